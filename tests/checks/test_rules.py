"""Each rule of tools/checks finds what it is there for, and leaves the rest alone."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from tools.checks import rules

HOST = "https://" + "packages.example"
LONG_FUNCTION = "def work():\n" + "    x = 1\n" * rules.MOST_LINES_OF_A_FUNCTION


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (rules.short_files, "services/upload/rpc.py", "x = 1\n" * (rules.MOST_LINES + 1)),
        (rules.short_files, "web/src/main.tsx", "//\n" * (rules.MOST_LINES + 1)),
        (rules.short_functions, "services/upload/rpc.py", LONG_FUNCTION),
        (rules.short_functions, "services/upload/rpc.py", "async " + LONG_FUNCTION),
        (rules.names_that_say_something, "services/kit/utils.py", ""),
        (rules.names_that_say_something, "services/helpers/offsets.py", ""),
        (rules.locks_without_hosts, "requirements/all.txt", f"--index-url {HOST}/simple\n"),
        (rules.locks_without_hosts, "web/package-lock.json", f'  "resolved": "{HOST}/a.tgz",\n'),
        (rules.nothing_patched, "tests/upload/test_uploads.py", "from unittest.mock import patch\n"),
        (rules.nothing_patched, "tests/upload/test_uploads.py", "    monkeypatch.setattr(upload, 'now', later)\n"),
    ],
)
def test_a_breach_is_found(rule: rules.Rule, path: str, text: str) -> None:
    assert list(rule(PurePosixPath(path), text))


@pytest.mark.parametrize("rule", rules.RULES)
@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("services/upload/rpc.py", "def work():\n    return 1\n"),
        ("requirements/all.txt", "uv==0.13.8 \\\n    --hash=sha256:0b3e\n"),
        ("web/package-lock.json", '  "funding": [\n    "https://thanks.example"\n'),
        ("tests/kit/test_storage.py", "monkeypatch.setenv('AWS_REGION', 'x')\n"),
        ("README.md", "See https://example.org\n" * 1000),
        ("tests/upload/test_uploads.py", "def test_a_film_arrives(): ...\n"),
    ],
)
def test_what_is_in_order_passes(rule: rules.Rule, path: str, text: str) -> None:
    assert not list(rule(PurePosixPath(path), text))
