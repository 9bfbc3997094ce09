"""The stand-in, which believes whatever the viewer says: for demonstrations and development. Its own process is `tools/stand_in_age_provider`."""

from __future__ import annotations

from typing import Final

import httpx

from services.compliance.age import refusals
from services.compliance.age.calling import asked as ask
from services.compliance.age.calling import page_of
from services.compliance.age.contract import (
    CREDIT_CARD,
    DOCUMENT,
    FACE,
    OK,
    PASSED,
    REFUSED,
    UNSURE,
    Asked,
    Begun,
    Delivery,
    Find,
    Taken,
    read_token,
)
from services.compliance.age.signing import is_signed, json_object

NAME: Final = "stand-in"
HEADER: Final = "stand-in-signature"
_VERDICTS: Final = {"over": PASSED, "under": REFUSED, "unsure": UNSURE}


class StandIn:
    """The stand-in at a URL.

    Args:
        http: with time limits set.
        url: where its API is.
        api_key: opens it.
        webhook_secret: signs what it tells.
    """

    methods: Final = (DOCUMENT, FACE, CREDIT_CARD)
    repeats: Final = True

    def __init__(self, http: httpx.AsyncClient, *, url: str, api_key: str, webhook_secret: str) -> None:
        self._http = http
        self._url = url.rstrip("/")
        self._headers = {"authorization": f"Bearer {api_key}"}
        self._secret = webhook_secret

    def proves(self, threshold: int) -> bool:
        """It believes any age."""
        return threshold > 0

    async def begin(self, asked: Asked) -> Begun:
        """Makes a page."""
        wanted = {
            "token": asked.token,
            "method": asked.method,
            "threshold": asked.threshold,
            "return_url": asked.return_url,
            "notify_url": f"{asked.delivery_url}/webhook",
        }
        answer = await ask(self._http, NAME, "POST", f"{self._url}/v1/checks", headers=self._headers, json=wanted)
        return Begun(page_of(NAME, answer.get("url")))

    async def take(self, delivery: Delivery, find: Find) -> Taken:
        """Takes what the viewer said there."""
        if not is_signed(self._secret, delivery.body, delivery.headers.get(HEADER, ""), delivery.receive_time):
            raise refusals.age_delivery_not_authentic(NAME)
        said = json_object(NAME, delivery.body)
        check_id, nonce = read_token(NAME, said.get("token"))
        verdict = _VERDICTS.get(str(said.get("result")))
        if verdict is None:
            raise refusals.age_delivery_malformed(NAME, "it has no result")
        pending = await find(check_id)
        # What it was asked for is part of what it says: another threshold was not found out.
        if said.get("threshold") != pending.threshold or said.get("method") != pending.method:
            raise refusals.age_delivery_malformed(NAME, "it is about another age or method")
        return Taken(OK, check_id, nonce, verdict)
