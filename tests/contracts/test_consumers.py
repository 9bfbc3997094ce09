"""The one list of durable consumers of the event stream, held against the code."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.kit.consumers import FILE, declared
from tools.envoy_config.settings import REPOSITORY


def consumers_of_the_code() -> Iterator[tuple[str, str]]:
    """Each `Consumer("<name>", …)`: which service makes it, and its name."""
    for folder in ("services", "gateway"):
        for file in (REPOSITORY / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                match node:
                    case ast.Call(func=ast.Name(id="Consumer") | ast.Attribute(attr="Consumer"), args=[name, *_]):
                        assert isinstance(name, ast.Constant), f"{file}:{node.lineno}: a name that can be read here"
                        yield file.relative_to(REPOSITORY).parts[1], str(name.value)


def test_every_consumer_is_declared_and_no_other_is() -> None:
    listed = tomllib.loads(FILE.read_text(encoding="utf-8"))["consumers"]
    assert {(service, name) for service, names in listed.items() for name in names} == set(consumers_of_the_code())
    assert declared() == {name for _, name in consumers_of_the_code()}


@pytest.mark.parametrize("content", ["", "consumers = 1", "[consumers]\nassets = 7", "[consumers]\nassets = [7]"])
def test_what_is_no_list_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "consumers.toml").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match="must hold"):
        declared(tmp_path / "consumers.toml")
