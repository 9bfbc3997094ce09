"""What all processes of a test run share: made by the first that needs it, found by the others."""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

_VARIABLE: Final = "TESTS_SHARED_FOLDER"


def folder() -> Path:
    """The folder of this run. Whoever asks first makes it and removes it at its end; processes that it starts from then on find it."""
    if _VARIABLE not in os.environ:
        made = tempfile.mkdtemp(prefix="reelmesh-tests-")
        os.environ[_VARIABLE] = made
        atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(os.environ[_VARIABLE])


def made_once(name: str, make: Callable[[Path], object]) -> Path:
    """A file or a folder of this run, by its name.

    Args:
        name: tells everything that it depends on.
        make: makes it at the path that it is given, where nothing is. Nobody may change it later.
    """
    target = folder() / name
    if not target.exists():
        with (folder() / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.exists():
                unfinished = folder() / f"unfinished-{name}"
                make(unfinished)
                unfinished.rename(target)
    return target
