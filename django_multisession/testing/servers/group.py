"""Several servers as one: they are started, made to hang and ended together."""

from __future__ import annotations

import contextlib
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Generic, Self

from django_multisession.testing.servers.base import LOOPBACK, LocationT, Server, ServerError, Service


class ServerGroup(Service, Generic[LocationT]):
    """The same face as a `Server`, over all its `members`; each member can be hung and ended by itself."""

    name: ClassVar[str]
    form_timeout: ClassVar[float] = 30.0  # seconds
    host = LOOPBACK

    # What a kind of group defines.

    @classmethod
    @abstractmethod
    def available(cls) -> str | None:
        """Return why this group cannot be started here, or None if it can."""

    @property
    @abstractmethod
    def members(self) -> Sequence[Server[Any]]:
        """The servers, in the order in which they start."""

    @abstractmethod
    def form(self) -> None:
        """Make the members that have just started know one another; called once."""

    @abstractmethod
    def answers(self) -> bool:
        """Return whether all members serve and agree about one another."""

    @property
    @abstractmethod
    def location(self) -> LocationT:
        """What a Django user would put into the settings."""

    # What every group does.

    def start(self) -> Self:
        """Start all members and wait until they answer as one; raise ServerError if they won't."""
        reason = self.available()
        if reason:
            raise ServerError(reason)
        try:
            for member in self.members:
                member.start()
            self.form()
            self.wait_until_it_answers()
        except BaseException:
            self.stop()
            raise
        return self

    def wait_until_it_answers(self) -> None:
        """Wait until all members serve and agree, such as after the restart of one; raise ServerError if they won't."""
        self.wait_for(self.answers, "agree")

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until the condition holds, taking an OSError for no; raise ServerError if it does not come."""
        deadline = time.monotonic() + self.form_timeout
        while True:
            with contextlib.suppress(OSError):
                if condition():
                    return
            if time.monotonic() > deadline:
                logs = "\n".join(f"{member.name} on {member.port}:\n{member.log_tail(5)}" for member in self.members)
                raise ServerError(f"{self.name} did not {what} within {self.form_timeout:g} s:\n{logs}")
            time.sleep(0.02)

    def version(self) -> str:
        """Return the version that the first member reports."""
        return self.members[0].version()

    def stop(self) -> None:
        """End all members and remove their directories."""
        for member in reversed(self.members):
            member.stop()

    def kill(self) -> None:
        """End all members at once; `restart()` brings them back."""
        for member in self.members:
            member.kill()

    def restart(self) -> None:
        """End all members and start them again on their ports; wait until they answer as one."""
        for member in self.members:
            member.restart()
        self.wait_until_it_answers()

    def pause(self) -> None:
        """Hang all members."""
        for member in self.members:
            member.pause()

    def resume(self) -> None:
        """End a `pause()`."""
        for member in self.members:
            member.resume()
