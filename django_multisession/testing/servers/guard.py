"""Run a server, and end it with its children when the tests that have started it are gone.

A program of its own: `guard.py DIRECTORY USER COMMAND…`. It prints the server's process id and
exits with the server's exit code. Its standard input is a pipe that nobody writes to: when that
ends, the tests were ended, however (SIGKILL included). prctl(PR_SET_PDEATHSIG) would be shorter,
but it fires when the *thread* that started the server ends, and it is Linux only.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import threading

import psutil


def tree(pid: int) -> list[psutil.Process]:
    """Return the process and its descendants, the process first; empty when it is gone."""
    # A process group would not do: every PostgreSQL backend makes itself the leader of its own.
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kill_tree(pid: int) -> None:
    """End the process and its descendants at once, stopped ones too."""
    for process in tree(pid):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _end_with_parent(pid: int, directory: str, killing: threading.Lock) -> None:
    sys.stdin.read()
    with killing:
        kill_tree(pid)
        shutil.rmtree(directory, ignore_errors=True)  # nobody else is left to do it


def main(directory: str, user: str, *command: str) -> int:
    """Run the command as the user (empty: the current one) and return its exit code.

    The directory is the server's own: it is removed when the tests can no longer do that.
    """
    identity = {"user": user, "group": _group_of(user), "extra_groups": []} if user else {}
    server = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,  # which the tests have pointed to the log
        start_new_session=True,  # Ctrl-C is for pytest, which then stops the server in order
        **identity,  # type: ignore[call-overload]  # one set of keywords or none
    )
    print(server.pid, flush=True)  # noqa: T201 - read by process.py
    killing = threading.Lock()
    arguments = (server.pid, directory, killing)
    threading.Thread(target=_end_with_parent, args=arguments, daemon=True).start()
    exit_code = int(server.wait())
    with killing:  # the server is dead, its children may still have to be
        return exit_code


def _group_of(user: str) -> int:
    import pwd

    return pwd.getpwnam(user).pw_gid


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
