"""People of a running install, for measuring what they do, and an install that does not hold them back."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from tests.support.mailbox import newest_code
from tests.support.mesh import Mesh

UNLIMITED: Final = """\
unlimited_addresses: [127.0.0.0/8]
edge:
  every_call: {rate: 1000000 per second, burst: 1000000}
  guessing: {rate: 1000000 per second, burst: 1000000}
"""
"""Limits of an install whose limits are not what is measured. Each call is still counted."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account."""

    email: str
    password: str


@contextmanager
def unlimited() -> Iterator[None]:
    """Installs that start meanwhile take any number of calls from this machine."""
    with tempfile.TemporaryDirectory(prefix="limits-") as folder:
        file = Path(folder) / "limits.yaml"
        file.write_text(UNLIMITED, encoding="utf-8")
        before = os.environ.get("REELMESH_LIMITS_FILE")
        os.environ["REELMESH_LIMITS_FILE"] = str(file)
        try:
            yield
        finally:
            del os.environ["REELMESH_LIMITS_FILE"]
            if before is not None:
                os.environ["REELMESH_LIMITS_FILE"] = before


async def registered(mesh: Mesh, *, roles: tuple[str, ...] = ()) -> Person:
    """Somebody new, who has shown that the address is theirs; a member of the operator's organisation if roles are given."""
    person = Person(f"{secrets.token_hex(6)}@example.com", f"{secrets.token_hex(6)} lanterns over Aarhus")
    async with httpx.AsyncClient(base_url=mesh.url, trust_env=False, timeout=30) as http:
        asked = await http.post("/v1/accounts:register", json={"email": person.email, "password": person.password})
        asked.raise_for_status()
        code = await newest_code(mesh, person.email, "verify-email")
        proof = {
            "request_id": secrets.token_hex(8),
            "registration_id": asked.json()["registration_id"],
            "code": code,
        }
        (await http.post("/v1/accounts:verifyEmail", json=proof)).raise_for_status()
    if roles:
        mesh.command("member", "add", person.email, *roles)
    return person


async def access_token(mesh: Mesh, person: Person, organisation_id: str) -> str:
    """Signs somebody in; the token is good for 15 minutes."""
    async with httpx.AsyncClient(base_url=mesh.url, trust_env=False, timeout=30) as http:
        asked = {"email": person.email, "password": person.password, "organisation_id": organisation_id}
        answer = await http.post("/v1/sessions", json=asked)
        answer.raise_for_status()
        return str(answer.json()["tokens"]["access_token"])
