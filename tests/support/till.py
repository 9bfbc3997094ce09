"""What has to be set up before anybody can buy something of a whole mesh, by the interface that operators use."""

from __future__ import annotations

import uuid
from typing import Any

import httpx

from tests.support.mesh import Mesh
from tools.stand_in_processor import keys

ACCOUNT = "stand-in"


def once() -> str:
    """A request id that was never used."""
    return uuid.uuid4().hex


async def done(http: httpx.AsyncClient, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """What a call answers that goes well."""
    answer = await http.request(method, path, json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def opened(mesh: Mesh) -> None:
    """Split rules, and an account with the stand-in."""
    rules = {"platform_basis_points": 2000, "fee_basis_points": 500}
    secrets = mesh.data / "secrets"
    async with mesh.http() as http:
        made = await done(http, "POST", "/v1/splitRules", {"request_id": once(), "rules": rules})
        version = made["rules"]["version"]
        await done(http, "POST", f"/v1/splitRules/{version}:activate", {})
        account = {
            "account": {"processor": "stand_in", "test_mode": True},
            "secrets": {"api_key": keys.api_key(secrets), "webhook_secret": keys.webhook_secret(secrets)},
        }
        await done(http, "PUT", f"/v1/processorAccounts/{ACCOUNT}", account)


async def for_rent(mesh: Mesh, asset_id: str, minor_units: int = 499) -> str:
    """Lets an asset be watched only by those who pay for it; returns the offer."""
    offer = {
        "kind": "OFFER_KIND_RENTAL",
        "asset_id": asset_id,
        "title": "The Counter",
        "prices": [{"price": {"minor_units": str(minor_units), "currency": "EUR"}}],
        "rental": {"begin_within": "2592000s", "watch_duration": "172800s"},
    }
    async with mesh.http() as http:
        await done(http, "PUT", f"/v1/assets/{asset_id}/terms", {"terms": {"entitlement_required": True}})
        return str(
            (await done(http, "POST", "/v1/offers", {"request_id": once(), "offer": offer}))["offer"]["offer_id"]
        )
