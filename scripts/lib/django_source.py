"""Fetch the source release of the installed Django, whose session tests ours must pass.

It goes to .cache/django-VERSION; the wheel has no tests. Does nothing when it is there.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import django

CACHE = Path(__file__).resolve().parents[2] / ".cache"


def main() -> None:
    """Download, extract and move into place, so that a broken download leaves nothing behind."""
    version = django.get_version()
    target = CACHE / f"django-{version}"
    if target.exists():
        return
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as directory:
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
                *("--no-binary", ":all:", "--dest", directory, f"Django=={version}"),
            ],
            check=True,
        )
        (archive,) = Path(directory).glob("*.tar.gz")
        # tarfile's extraction filters came in the middle of 3.11.
        subprocess.run(["tar", "-xzf", str(archive), "-C", directory], check=True)
        (source,) = (path for path in Path(directory).iterdir() if path.is_dir())
        source.rename(target)


if __name__ == "__main__":
    main()
