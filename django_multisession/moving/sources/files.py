"""Sessions in files: Django's file engine."""

import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import cached_property, partial
from os import scandir, utime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.core import signing
from django.core.exceptions import ImproperlyConfigured

from ...conf import Fallback
from ...exceptions import InvalidRecord
from ...stores.base import ABSENT_KEY
from ..source import Found, New, Removal
from .asked import Asked
from .djangos import DjangosSource, as_session, seconds_left


class FileSource(DjangosSource):
    """Files in LOCATION, SESSION_FILE_PATH or the temporary directory, named after the cookie's name and the key."""

    def __init__(self, fallback: Fallback) -> None:
        super().__init__(fallback)
        location: Any = fallback.entry.location
        self._directory = Path(location or getattr(settings, "SESSION_FILE_PATH", None) or tempfile.gettempdir())
        self._prefix: str = fallback.entry.cookie.get("NAME", settings.SESSION_COOKIE_NAME)

    @property
    def name(self) -> str:
        return f"{self._directory}/{self._prefix}*"

    @cached_property
    def _asked(self) -> Asked:
        return Asked(self.name, self.fallback.entry.timeout, partial(self._content, ABSENT_KEY))

    def _path(self, key: str) -> Path:
        # A key that accepts() refuses could lead to another directory; check it even if the caller has not.
        if not self.accepts(key):
            raise InvalidRecord("its key is none of Django's")
        return self._directory / f"{self._prefix}{key}"

    def _content(self, key: str) -> tuple[str, float] | None:
        try:
            with self._path(key).open(encoding="ascii") as file:
                return file.read(), Path(file.name).stat().st_mtime
        except FileNotFoundError:
            if self._directory.is_dir():
                return None
            raise ImproperlyConfigured(
                f"MULTISESSION: the directory {str(self._directory)!r} of FALLBACK is not there. Correct its LOCATION "
                "or SESSION_FILE_PATH."
            ) from None

    async def read(self, key: str) -> Found | None:
        try:
            content = await self._asked.ask(partial(self._content, key))
        except UnicodeDecodeError:
            raise InvalidRecord("it is no text") from None
        if content is None:
            return None
        text, written_at = content
        data = self._decoded(key, text)
        age = seconds_left(data, written_at, self.engine.cookie_age)
        return Found(key, data, age, text) if age > 0 else None

    def _decoded(self, key: str, text: str) -> dict[str, Any]:
        if not text:
            return {}  # Django leaves an empty file for a new session if the disk is full
        store = self.engine.store(key)
        try:
            return as_session(signing.loads(text, salt=store.key_salt, serializer=self.engine.serializer))
        except Exception as error:  # a serializer is the project's own code
            raise InvalidRecord("it is not signed with SECRET_KEY or its fallbacks, or damaged") from error

    async def remove(self, key: str, found: Found | None = None) -> Removal:
        def unlink() -> Removal:
            content = self._content(key)
            if content is not None and found is not None and content[0] != found.token:
                return Removal.CHANGED
            try:
                self._path(key).unlink()
            except FileNotFoundError:
                return Removal.GONE
            return Removal.REMOVED

        return await self._asked.ask(unlink)

    async def shorten(self, found: Found, seconds: int) -> bool:
        def age_the_file() -> bool:
            content = self._content(found.key)
            if content is None:
                return False
            if content[0] == found.token and found.age > seconds:
                # The file's time decides when it expires, except with a date of set_expiry().
                now = time.time()
                written_at = now + seconds - seconds_left(found.data, now, self.engine.cookie_age)
                with suppress(FileNotFoundError):
                    utime(self._path(found.key), (written_at, written_at))
            return True

        return await self._asked.ask(age_the_file)

    async def create(self, key: str, new: New) -> Found | None:
        return await self._asked.ask(partial(self._save, key, new.data, must_create=True))

    async def write(self, found: Found, new: New) -> Found | None:
        def save() -> Found | None:
            content = self._content(found.key)
            if content is None or content[0] != found.token:
                return None
            return self._save(found.key, new.data)

        return await self._asked.ask(save)

    def _save(self, key: str, data: dict[str, Any], *, must_create: bool = False) -> Found | None:
        store = self.engine.store(key, data)
        store.storage_path, store.file_prefix = str(self._directory), self._prefix
        try:
            store.save(must_create)
        except (CreateError, UpdateError):
            return None
        content = self._content(key)
        if content is None:
            return None
        return Found(key, data, seconds_left(data, content[1], self.engine.cookie_age), content[0])

    async def scan(self, batch_size: int = 1000) -> AsyncIterator[str]:
        with await self._asked.ask(partial(scandir, self._directory)) as entries:
            for entry in entries:
                key = entry.name.removeprefix(self._prefix)
                if entry.name.startswith(self._prefix) and self.accepts(key):
                    yield key

    async def count(self) -> int | None:
        with await self._asked.ask(partial(scandir, self._directory)) as entries:
            return sum(entry.name.startswith(self._prefix) for entry in entries)
