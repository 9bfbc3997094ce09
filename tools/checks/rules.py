"""The rules. Each takes one file and yields (line, what is wrong)."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

Finding = tuple[int, str]
Rule = Callable[[PurePosixPath, str], Iterator[Finding]]

MOST_LINES = 500
MOST_LINES_OF_A_FUNCTION = 60

_SOURCES = (".py", ".ts", ".tsx")
_EMPTY_NAMES = {"utils", "util", "common", "helpers", "helper", "manager", "managers", "base", "misc"}
_LOCKS = re.compile(r"^(requirements/.*\.txt|.*package-lock\.json|uv\.lock)$")
# npm also notes pages of thanks in its lock; nothing is fetched from those.
_SAYS_WHERE_FROM = re.compile(r'"resolved"|^[^"]*$')
_DOWNLOAD_HOST = re.compile(r"https?://|--(?:extra-)?index-url|--find-links")
_PATCHING = re.compile(
    r"\bmonkeypatch\.(?:setattr|setitem|delattr)|\bunittest\.mock\b|\bmock\.patch\b|\bMagicMock\b|\bAsyncMock\b|\bpytest_mock\b"
)


def short_files(path: PurePosixPath, text: str) -> Iterator[Finding]:
    """A file that one cannot keep in mind hides something."""
    lines = text.count("\n")
    if path.suffix in _SOURCES and lines > MOST_LINES:
        yield 1, f"{lines} lines; {MOST_LINES} are the limit: divide it by what it is about"


def short_functions(path: PurePosixPath, text: str) -> Iterator[Finding]:
    """A function reads on one screen."""
    if path.suffix != ".py":
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MOST_LINES_OF_A_FUNCTION:
                yield node.lineno, f"{node.name} has {lines} lines; {MOST_LINES_OF_A_FUNCTION} are the limit"


def names_that_say_something(path: PurePosixPath, _text: str) -> Iterator[Finding]:
    """A newcomer must be able to guess the file of any line of code."""
    if path.suffix in _SOURCES:
        for part in (*path.parts[:-1], path.stem):
            if part.lower() in _EMPTY_NAMES:
                yield 1, f"“{part}” says nothing: name it after what it holds"


def locks_without_hosts(path: PurePosixPath, text: str) -> Iterator[Finding]:
    """Where packages come from is the business of the machine that installs them."""
    if _LOCKS.match(str(path)):
        for number, line in enumerate(text.splitlines(), 1):
            if _SAYS_WHERE_FROM.search(line) and _DOWNLOAD_HOST.search(line):
                yield number, "a lock names no download host"


def nothing_patched(path: PurePosixPath, text: str) -> Iterator[Finding]:
    """Tests use the real parts, or fakes that we own; they do not reach into our code. Setting the environment is fine."""
    if path.parts[0] == "tests" and path.suffix == ".py" and path.parts[:2] != ("tests", "checks"):
        for number, line in enumerate(text.splitlines(), 1):
            if _PATCHING.search(line):
                yield number, "tests patch nothing: hand the part in"


RULES: tuple[Rule, ...] = (short_files, short_functions, names_that_say_something, locks_without_hosts, nothing_patched)
