"""A folder that all processes of one test run share, for what is costly to make and then only read. It goes when the run is over."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

_NAME: Final = "TESTS_SHARED_FOLDER"


def open_for_all() -> Callable[[], None]:
    """Makes the folder for this process and those that it starts. Returns what removes it."""
    if _NAME in os.environ:  # this process was started by the one that made it
        return lambda: None
    folder = Path(tempfile.mkdtemp(prefix="reelmesh-tests-", dir="/tmp"))
    folder.chmod(0o711)  # Postgres, which root starts under another name, passes through
    os.environ[_NAME] = str(folder)

    def remove() -> None:
        del os.environ[_NAME]
        shutil.rmtree(folder, ignore_errors=True)

    return remove


def folder() -> Path | None:
    """The folder; None where no test run made one."""
    return Path(found) if (found := os.environ.get(_NAME)) else None
