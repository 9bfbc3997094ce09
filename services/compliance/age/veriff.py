"""Photo ID matched with a face, or a face alone whose age is estimated, at Veriff: a hosted page, and a decision webhook.

API: `POST /v1/sessions` with `X-AUTH-CLIENT`; webhooks carry `X-HMAC-SIGNATURE`, the HMAC-SHA256 of the raw body under the integration's shared
secret (devdocs.veriff.com). The decision holds the person's documents' data; of that nothing but yes or no leaves this module.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final

import httpx

from services.compliance.age import refusals
from services.compliance.age.birthdays import is_so_old
from services.compliance.age.calling import asked as ask
from services.compliance.age.calling import page_of
from services.compliance.age.contract import (
    DOCUMENT,
    OK,
    PASSED,
    REFUSED,
    UNFIT,
    UNSURE,
    Asked,
    Begun,
    Delivery,
    Find,
    Pending,
    Taken,
    Verdict,
    read_token,
)
from services.compliance.age.signing import inner, is_hex_digest, json_object

_FAILURES: Final[Mapping[str, Verdict]] = {"declined": UNFIT, "expired": UNSURE, "abandoned": REFUSED}
"""What a status means. Approved is looked into; all others leave the check open, such as where photos are to be taken again."""


class Veriff:
    """One integration with Veriff.

    Args:
        name: as URLs have it.
        http: with time limits set.
        url: base URL of the integration.
        api_key, shared_secret: of the integration.
        method: `document`, or `face-estimation` for an integration that estimates ages.
        estimated: age at which such an integration approves.
    """

    repeats: Final = True

    def __init__(
        self,
        name: str,
        http: httpx.AsyncClient,
        *,
        url: str,
        api_key: str,
        shared_secret: str,
        method: str = DOCUMENT,
        estimated: int = 18,
    ) -> None:
        self.methods = (method,)
        self._name = name
        self._http = http
        self._url = url.rstrip("/")
        self._api_key = api_key
        self._secret = shared_secret
        self._estimated = estimated

    def proves(self, threshold: int) -> bool:
        """Documents tell any age; estimates the one that is set at the provider, and those below."""
        return self.methods == (DOCUMENT,) or threshold <= self._estimated

    async def begin(self, asked: Asked) -> Begun:
        """Makes a session with its hosted page."""
        wanted = {"verification": {"callback": asked.return_url, "vendorData": asked.token}}
        headers = {"x-auth-client": self._api_key}
        answer = await ask(self._http, self._name, "POST", f"{self._url}/v1/sessions", headers=headers, json=wanted)
        session = answer.get("verification")
        return Begun(page_of(self._name, session.get("url") if isinstance(session, dict) else None))

    async def take(self, delivery: Delivery, find: Find) -> Taken:
        """Takes a decision. Other webhooks, such as of events, are acknowledged and mean nothing."""
        shown = delivery.headers.get("x-auth-client", "").encode()
        signed = is_hex_digest(self._secret, delivery.body, delivery.headers.get("x-hmac-signature", ""))
        if not hmac.compare_digest(shown, self._api_key.encode()) or not signed:
            raise refusals.age_delivery_not_authentic(self._name)
        said = json_object(self._name, delivery.body)
        if not isinstance(said.get("verification"), dict) or said.get("status") != "success":
            return Taken(OK)
        decision = inner(self._name, said["verification"])
        check_id, nonce = read_token(self._name, decision.get("vendorData"))
        pending = await find(check_id)
        return Taken(OK, check_id, nonce, self._verdict(decision, pending, delivery.receive_time))

    def _verdict(self, decision: Mapping[str, Any], pending: Pending, now: datetime) -> Verdict | None:
        status = decision.get("status")
        if status != "approved":
            return _FAILURES.get(status) if isinstance(status, str) else None
        if pending.method != DOCUMENT:
            return PASSED if pending.threshold <= self._estimated else UNSURE
        born = _born(decision.get("person"))
        if born is None:
            return UNSURE
        return PASSED if is_so_old(born, pending.threshold, now) else REFUSED


def _born(person: object) -> date | None:
    """Day of birth, in either of the forms in which Veriff writes it; None when it was not read."""
    value = person.get("dateOfBirth") if isinstance(person, dict) else None
    if isinstance(value, dict):
        value = value.get("value")
    try:
        return date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
