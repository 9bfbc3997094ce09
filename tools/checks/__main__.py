"""Runs the rules over every file that git knows or would add."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path, PurePosixPath

from tools.checks.rules import RULES

ROOT = Path(__file__).resolve().parents[2]
GENERATED = "gen/"
FOREIGN = "third_party/"


def files() -> list[PurePosixPath]:
    """Paths from the root of the repository; generated and foreign ones are left out."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    names = sorted({name for name in listed.stdout.split("\0") if name and not name.startswith((GENERATED, FOREIGN))})
    return [PurePosixPath(name) for name in names if (ROOT / name).is_file()]


def main() -> None:
    """Prints what breaks a rule, and fails if anything does."""
    broken = 0
    for path in files():
        try:
            text = (ROOT / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for rule in RULES:
            for line, wrong in rule(path, text):
                print(f"{path}:{line}: {wrong} ({rule.__name__})")
                broken += 1
    if broken:
        sys.exit(f"{broken} broken")


if __name__ == "__main__":
    main()
