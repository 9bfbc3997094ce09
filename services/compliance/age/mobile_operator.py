"""The viewer's mobile operator, which knows who has a line: CAMARA "KYC Age Verification" (GSMA Open Gateway).

The viewer's browser goes to the operator, which recognises the line by its own network (OpenID Connect, code flow with PKCE), and comes back to
`<delivery_url>/return`. With the token for that, `POST /verify` says whether the holder has reached an age. The phone number is never asked for.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Final
from urllib.parse import parse_qs, urlencode

import httpx

from services.compliance.age import refusals
from services.compliance.age.calling import asked as ask
from services.compliance.age.contract import (
    MOBILE_OPERATOR,
    PASSED,
    REFUSED,
    UNFIT,
    UNSURE,
    Answer,
    Asked,
    Begun,
    Delivery,
    Find,
    Pending,
    Taken,
    Verdict,
    read_token,
)

_SCOPE: Final = "openid kyc-age-verification:verify"
_SEE_OTHER: Final = 303


class MobileOperator:
    """An operator, or somebody who stands for several.

    Args:
        name: as URLs have it.
        http: with time limits set.
        authorize_url, token_url: OpenID Connect endpoints.
        api_url: base URL of the API, with its version.
        client_id, client_secret: of the client there.
    """

    methods: Final = (MOBILE_OPERATOR,)
    repeats: Final = False

    def __init__(
        self,
        name: str,
        http: httpx.AsyncClient,
        *,
        authorize_url: str,
        token_url: str,
        api_url: str,
        client_id: str,
        client_secret: str,
    ) -> None:
        self._name = name
        self._http = http
        self._authorize_url = authorize_url
        self._token_url = token_url
        self._api_url = api_url.rstrip("/")
        self._client_id = client_id
        self._basic = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()

    def proves(self, threshold: int) -> bool:
        """Any age can be asked for."""
        return threshold > 0

    async def begin(self, asked: Asked) -> Begun:
        """Makes the address at which the operator recognises the line. Nothing is sent to anybody."""
        verifier = secrets.token_urlsafe(48)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": f"{asked.delivery_url}/return",
            "scope": _SCOPE,
            "state": asked.token,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return Begun(f"{self._authorize_url}?{urlencode(query)}", verifier.encode())

    async def take(self, delivery: Delivery, find: Find) -> Taken:
        """Takes the viewer's browser on its way back."""
        if delivery.path != "return" or delivery.http_method != "GET":
            raise refusals.age_delivery_malformed(self._name, "there is nothing at this address")
        try:
            query = parse_qs(delivery.query, max_num_fields=16)
        except ValueError:
            raise refusals.age_delivery_malformed(self._name, "the query has too many fields") from None
        check_id, nonce = read_token(self._name, query.get("state", [""])[0])
        pending = await find(check_id)
        back = Answer(_SEE_OTHER, location=pending.return_url)
        if "code" not in query:
            return Taken(back, check_id, nonce, REFUSED if "error" in query else None)
        return Taken(back, check_id, nonce, await self._verdict(pending, query["code"][0]))

    async def _verdict(self, pending: Pending, code: str) -> Verdict:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": f"{pending.delivery_url}/return",
            "code_verifier": pending.secret.decode(),
        }
        basic = {"authorization": f"Basic {self._basic}"}
        token = (await ask(self._http, self._name, "POST", self._token_url, headers=basic, form=form)).get(
            "access_token"
        )
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise refusals.age_provider_refused(self._name)
        bearer = {"authorization": f"Bearer {token}"}
        wanted = {"ageThreshold": pending.threshold, "includeContentLock": True, "includeParentalControl": True}
        said = await ask(self._http, self._name, "POST", f"{self._api_url}/verify", headers=bearer, json=wanted)
        if said.get("ageCheck") == "false":
            return REFUSED
        if said.get("ageCheck") != "true" or said.get("verifiedStatus") is not True:
            return UNSURE
        # The holder is old enough; whoever is given a locked line by them is not.
        locked = "true" in {said.get("contentLock"), said.get("parentalControl")}
        return UNFIT if locked else PASSED
