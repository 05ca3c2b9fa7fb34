"""What is left to pages without a session while Redis hangs: ``python -m benchmarks.faults.half``.

Behind gunicorn with four sync workers, whose probes hold a worker for 0.1 s each. Every visitor asks for a page with a
session and for one without in turn, as fast as they are answered, so that half of all requests need none. Their rate
while Redis hangs is compared with the one just before, and so in turn.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack

from benchmarks.faults.places import SITE, place
from benchmarks.faults.visitors import PATIENCE
from django_multisession.breaker import LONGEST_PAUSE
from django_multisession.testing.servers.web import SyncServer

VISITORS = 8
LEAST = 0.8
"""The part of their rate that pages without a session are to keep."""


def visit(port: int, page: str, cookie: str = "") -> str:
    """Return the answer to a request, head and body."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        connection.sendall(f"GET /{page} HTTP/1.1\r\nHost: 127.0.0.1\r\n{cookie}Connection: close\r\n\r\n".encode())
        with connection.makefile("rb") as answer:
            return answer.read().decode()


def rate_without_session(port: int, cookies: Sequence[str], seconds: float) -> tuple[float, float]:
    """Return how many pages without a session are answered a second, and which part of the others with 503."""
    begins = time.monotonic()
    without, statuses = [0] * len(cookies), list[str]()

    def come(number: int) -> None:
        while time.monotonic() < begins + seconds:
            statuses.append(visit(port, "read/", cookies[number]).split(" ", 2)[1])
            without[number] += visit(port, "none/").startswith("HTTP/1.1 200")

    threads = [threading.Thread(target=come, args=[number]) for number in range(len(cookies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(without) / (time.monotonic() - begins), statuses.count("503") / len(statuses)


def logged_in(port: int, number: int) -> str:
    """Return the Cookie header of somebody who has just logged in."""
    [cookie] = [
        line.partition(": ")[2].partition(";")[0]
        for line in visit(port, f"login/?user=visitor-{number}").splitlines()
        if line.startswith("Set-Cookie: ")
    ]
    return f"Cookie: {cookie}\r\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the rates of each round; return 1 if the pages without a session keep less than they should."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults.half", description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each half of a round (10)")
    asked = parser.parse_args(arguments)
    kept = []
    with ExitStack() as stack:
        at = stack.enter_context(place("redis"))
        port = stack.enter_context(SyncServer(SITE, at.variables)).port
        cookies = [logged_in(port, number) for number in range(VISITORS)]
        rate_without_session(port, cookies, 1.0)  # warm
        for _ in range(asked.rounds):
            before, failed_before = rate_without_session(port, cookies, asked.seconds)
            with at.server.paused():
                hung, failed = rate_without_session(port, cookies, asked.seconds)
            kept.append(hung / before)
            print(
                f"{before:.0f} a second, {hung:.0f} while Redis hangs: {kept[-1]:.0%}"
                f" (of the pages with a session {failed_before:.0%} and {failed:.0%} were 503)",
                flush=True,
            )
            time.sleep(LONGEST_PAUSE)
            rate_without_session(port, cookies, LONGEST_PAUSE)  # which closes the breakers of all workers
    median = statistics.median(kept)
    print(f"Pages without a session keep {median:.0%} of their rate; {LEAST:.0%} are to be kept.")
    return int(median < LEAST)


if __name__ == "__main__":
    sys.exit(main())
