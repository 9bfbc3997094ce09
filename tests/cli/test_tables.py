"""Tables of commands: ids are what one copies."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from services.kit.ids import new_id
from tools.reelmesh_cli.output import Output
from tools.reelmesh_cli.people import show


def shown(width: int, rows: list[tuple[str, ...]]) -> list[str]:
    """Lines of a table on a terminal of some width."""
    text = io.StringIO()
    show(Output(as_json=False, people=Console(file=text, width=width)), ("what", "one", "other", "why"), rows, "None.")
    return text.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_ids_are_in_one_piece_on_any_terminal(width: int) -> None:
    one, other = new_id("ntc"), new_id("ast")
    lines = shown(
        width, [("copyright", one, other, "a reason of several words that takes room"), ("other", one, "", "")]
    )
    assert [line for line in lines if one in line and other in line]
    assert sum(one in line for line in lines) == 2
    assert any("copyright" in line for line in lines), "nor is the rest cut into letters"


def test_what_holds_no_ids_is_folded_to_the_terminal() -> None:
    assert max(map(len, shown(40, [("a", "b", "c", "word " * 30)]))) <= 40
