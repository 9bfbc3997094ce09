"""Dies at once, saying why."""

from __future__ import annotations

import sys


def main() -> None:
    """Refuses to work."""
    sys.exit("the sky is falling")


if __name__ == "__main__":
    main()
