"""A hundred viewers for a while: nobody who is entitled is refused, and nobody who is not is served."""

from __future__ import annotations

import pytest

from services.kit.settings import ProcessSettings
from tests.simulation.oracle import Bar, Oracle, Seat, Title, Viewer
from tests.simulation.run import Script, played

KINDS = {
    *("opening served", "opening TOO_MANY_STREAMS", "opening ENTITLEMENT_REQUIRED", "opening ASSET_WITHDRAWN"),
    *("segment served", "segment SESSION_REVOKED", "segment PLAYBACK_REVOKED", "segment TICKET_EXPIRED"),
    *("segment ASSET_WITHDRAWN", "manifest served", "heartbeat served"),
    *("segment TOO_MANY_STREAMS", "heartbeat TOO_MANY_STREAMS"),
}
"""What has to happen for the run to mean something; the whole list is longer."""


@pytest.mark.timeout(300)
async def test_an_oracle_agrees_with_every_answer_that_viewers_get(mesh: ProcessSettings) -> None:
    oracle = await played(mesh, Script(viewers=120, seconds=20, step=1.2))
    assert oracle.complaints == []
    assert set(oracle.outcomes) >= KINDS, oracle.outcomes


def a_seat(*bars: Bar, expires: float = 1000) -> Seat:
    """A session that was opened at the moment 0."""
    return Seat("pbs_1", "/p/t/pkg_1", Title("ast_1", "pkg_1"), Viewer("ada"), 0, expires, 0, list(bars))


@pytest.mark.parametrize(
    ("asked", "reason", "fine"),
    [
        (9.8, "", True),
        (9.8, "SESSION_REVOKED", False),
        (10.5, "", True),
        (10.5, "SESSION_REVOKED", True),
        (10.5, "TICKET_INVALID", False),
        (11.3, "SESSION_REVOKED", True),
        (11.3, "", False),
        (20.5, "SESSION_REVOKED", True),
        (20.5, "", True),
        (22.3, "SESSION_REVOKED", False),
        (22.3, "", True),
    ],
)
def test_the_oracle_allows_both_answers_until_every_edge_goes_by_an_order_and_no_longer(
    asked: float, reason: str, fine: bool
) -> None:
    """Revoked from 10 on and everywhere at 11.2, lifted from 20 on and everywhere at 22.2; each request takes a tenth of a second."""
    bar = Bar(frozenset({"SESSION_REVOKED"}), 10, sure=10.2, in_force=11.2, lifting=20, lifted=21.2, settled=22.2)
    oracle = Oracle()
    oracle.request(a_seat(bar), "segment", asked, asked + 0.1, reason)
    assert (oracle.complaints == []) == fine


def test_the_oracle_knows_when_a_ticket_ends_and_when_a_viewer_has_no_place_left() -> None:
    oracle, viewer = Oracle(), Viewer("ada")
    oracle.request(a_seat(expires=5), "segment", 5.6, 5.7, "")
    oracle.request(a_seat(expires=5), "segment", 4.6, 4.7, "TICKET_EXPIRED")
    viewer.seats += [a_seat(), a_seat()]
    oracle.opening(viewer, Title("ast_2", "pkg_2"), 3, 3.1, "")
    assert len(oracle.complaints) == 3
    oracle.opening(viewer, Title("ast_2", "pkg_2"), 3, 3.1, "TOO_MANY_STREAMS")
    oracle.opening(viewer, Title("ast_2", "pkg_2"), 40, 40.1, "")
    assert len(oracle.complaints) == 3
