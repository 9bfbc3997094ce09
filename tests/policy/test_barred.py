"""Who is barred from the warm lane, as the policy service knows it and as edges are told."""

from __future__ import annotations

from datetime import UTC, datetime

from services.policy.control_plane import admission_filter, nobody_admitted
from services.policy.domain import CLOCKS_APART, LONGEST_LIFETIME, Package
from services.policy.judge import Known

DAY = LONGEST_LIFETIME.total_seconds()
MARGIN = CLOCKS_APART.total_seconds()


def package(package_id: str, asset_id: str) -> Package:
    return Package(package_id, asset_id, "org_1", "manifest.mpd", "master.m3u8", "", "", (), datetime.now(UTC))


def test_revoked_sessions_are_barred_until_no_clock_takes_their_tickets_any_more() -> None:
    known = Known()
    known.revoke("pbs_2", 2000)
    known.revoke("pbs_1", 1000)
    assert known.barred(0) == (["pbs_1", "pbs_2"], [])
    known.forget_expired(1000 + MARGIN - 1)
    assert known.barred(0) == (["pbs_1", "pbs_2"], [])
    known.forget_expired(1000 + MARGIN)
    assert known.barred(0) == (["pbs_2"], [])


def test_packages_of_a_deleted_asset_are_barred_whichever_came_first() -> None:
    known = Known()
    known.publish(package("pkg_1", "ast_1"))
    known.publish(package("pkg_2", "ast_2"))
    known.withdraw("ast_1", 1000)
    known.publish(package("pkg_3", "ast_1"))
    assert known.barred(1000) == ([], ["pkg_1", "pkg_3"])
    assert known.barred(1000 + DAY + MARGIN - 1) == ([], ["pkg_1", "pkg_3"])
    assert known.barred(1000 + DAY + MARGIN) == ([], [])


def test_edges_hear_of_each_change_once() -> None:
    known, heard = Known(), []
    known.when_changed(lambda: heard.append(known.barred(0)))
    known.publish(package("pkg_1", "ast_1"))
    assert heard == []
    known.revoke("pbs_1", 1000)
    known.revoke("pbs_1", 1000)
    known.withdraw("ast_1", 500)
    known.withdraw("ast_1", 600)
    known.forget_expired(0)
    known.forget_expired(2000)
    assert heard == [(["pbs_1"], []), (["pbs_1"], ["pkg_1"]), ([], ["pkg_1"])]


def test_the_longest_list_fits_a_message() -> None:
    names = [f"pbs_{number:026d}" for number in range(30_000)]
    assert admission_filter(names).ByteSize() < 4 * 1024 * 1024
    assert nobody_admitted().ByteSize() < 200


def test_what_is_no_id_becomes_no_part_of_a_program() -> None:
    def listed(*names: str) -> str:
        return str(admission_filter(names).default_source_code.inline_string).split("\n")[0]

    assert listed() == 'local BARRED = ""'
    assert listed("pbs_1", "pkg_2") == 'local BARRED = "pbs_1 pkg_2"'
    for name in ('pbs_1" os.exit() --', "pbs_1\n", "pbs_1\\", "pbs_é", "", "_1"):
        assert listed("pbs_2", name) == 'local BARRED = "pbs_2"'
