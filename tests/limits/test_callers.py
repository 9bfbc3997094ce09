"""Whose calls are counted together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from services.kit.access import ApiKeys, Principal, credential_invalid
from services.kit.errors import unavailable
from services.limits.callers import Caller, CheckedCallers


@dataclass
class Issuer:
    """Knows some credentials, and can be away or slow."""

    known: dict[str, Principal] = field(default_factory=dict)
    away: bool = False
    slow: bool = False
    asked: int = 0

    async def person(self, token: str) -> Principal:
        self.asked += 1
        if self.slow:
            await asyncio.Event().wait()
        if self.away:
            raise unavailable("the identity service")
        if token not in self.known:
            raise credential_invalid("not known")
        return self.known[token]

    api_key = person


class TestCallers:
    @pytest.fixture(autouse=True)
    async def _parts(self, tmp_path: Path) -> None:
        self.elapsed = 0.0
        self.issuer = Issuer(
            {
                "t1": Principal("user/usr_1", "org_1", tier="basic"),
                "t2": Principal("user/usr_1", "org_2", tier="basic"),
                "rmk_issued": Principal("api_key/key_1", "org_1", tier="premium"),
            }
        )
        self.callers = CheckedCallers(
            ApiKeys(tmp_path / "none.json"), self.issuer, patience=0.01, now=lambda: self.elapsed
        )

    async def test_all_tokens_of_a_person_are_one(self) -> None:
        one, other = await self.callers.of("Bearer t1"), await self.callers.of("bearer t2")
        assert one == Caller("user/usr_1", "basic", "org_1")
        assert other == Caller("user/usr_1", "basic", "org_2")

    async def test_a_key_has_the_tier_of_its_organisation(self) -> None:
        assert await self.callers.of("Bearer rmk_issued") == Caller("api_key/key_1", "premium", "org_1")

    async def test_nobody_is_nobody(self) -> None:
        assert await self.callers.of("") is None

    async def test_who_is_not_recognised_is_told_apart_by_what_was_shown_and_that_is_not_kept(self) -> None:
        seen = [await self.callers.of(header) for header in ("Bearer x", "Bearer y", "Basic x", "Bearer x")]
        assert len({caller.key for caller in seen if caller}) == 3
        assert {caller.tier for caller in seen if caller} == {"unknown"}
        assert not any(caller.key in ("unknown/x", "unknown/Basic x") for caller in seen if caller)

    @pytest.mark.parametrize("trouble", ["away", "slow"])
    async def test_an_issuer_that_does_not_answer_is_not_waited_for_each_time(self, trouble: str) -> None:
        setattr(self.issuer, trouble, True)
        for _ in range(5):
            caller = await self.callers.of("Bearer t1")
            assert caller is not None
            assert caller.tier == "unknown"
        assert self.issuer.asked == 1
        setattr(self.issuer, trouble, False)
        self.elapsed = 2.0
        caller = await self.callers.of("Bearer t1")
        assert caller is not None
        assert caller.tier == "basic"
