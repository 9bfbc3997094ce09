"""The EU's proof of age (`eu.europa.ec.av.1`), shown by the viewer's own wallet: who it is stays unknown, even to whoever issued it.

`<delivery_url>/<check>/request` hands out the request object, `<delivery_url>/<check>/response` takes the response.
"""

from __future__ import annotations

import json
from typing import Final

from services.compliance.age import mdoc, refusals
from services.compliance.age.contract import (
    EU_PROOF,
    PASSED,
    REFUSED,
    Answer,
    Asked,
    Begun,
    Delivery,
    Find,
    Pending,
    Taken,
    Verdict,
)
from services.compliance.age.cose import Malformed
from services.compliance.age.openid4vp import (
    REQUEST_TYPE,
    Exchange,
    Verifier,
    invocation,
    request_object,
    response_of,
)
from services.compliance.age.status import StatusLists
from services.compliance.age.trust import TrustList
from services.kit.ids import is_id

DOC_TYPE: Final = "eu.europa.ec.av.1"
_ALWAYS_THERE: Final = 18


class Wallet:
    """Asks wallets.

    Args:
        name: as URLs have it.
        verifier: who asks.
        trust: who is believed.
        statuses: tells what issuers took back.
        scheme: of the links that open wallets, such as `av`.
        thresholds: ages that issuers attest.
        take_unbound: whether a proof is taken without the device's signature, once; else it is refused, as it may be anybody's copy.
    """

    methods: Final = (EU_PROOF,)
    repeats: Final = False

    def __init__(
        self,
        name: str,
        verifier: Verifier,
        trust: TrustList,
        statuses: StatusLists,
        *,
        scheme: str = "av",
        thresholds: tuple[int, ...] = (_ALWAYS_THERE,),
        take_unbound: bool = False,
    ) -> None:
        self._name = name
        self._verifier = verifier
        self._trust = trust
        self._statuses = statuses
        self._scheme = scheme
        self._thresholds = tuple(sorted(thresholds))
        self._take_unbound = take_unbound

    def proves(self, threshold: int) -> bool:
        """Whether it can find out this age: whoever is older than an age that is attested has reached all below it."""
        return threshold <= self._thresholds[-1]

    async def begin(self, asked: Asked) -> Begun:
        """Makes the key of this check. Nothing is sent to anybody."""
        at = f"{asked.delivery_url}/{asked.check_id}"
        exchange = Exchange.begun(asked.nonce, f"{at}/response")
        return Begun(invocation(self._scheme, self._verifier, f"{at}/request"), exchange.kept())

    async def take(self, delivery: Delivery, find: Find) -> Taken:
        """Hands out the request, or takes the response."""
        check_id, _, what = delivery.path.partition("/")
        if not is_id("agc", check_id) or what not in {"request", "response"}:
            raise refusals.age_delivery_malformed(self._name, "there is nothing at this address")
        pending = await find(check_id)
        exchange = Exchange.found(pending.secret)
        if what == "request":
            return Taken(Answer(content_type=REQUEST_TYPE, body=self._request(pending, exchange).encode()))
        if delivery.http_method != "POST":
            raise refusals.age_delivery_malformed(self._name, "responses are posted")
        verdict = await self._judged(delivery, pending, exchange)
        body = json.dumps({"redirect_uri": pending.return_url}).encode()
        return Taken(Answer(content_type="application/json", body=body), check_id, exchange.nonce, verdict)

    def _request(self, pending: Pending, exchange: Exchange) -> str:
        return request_object(
            self._verifier,
            exchange,
            state=pending.check_id,
            doc_type=DOC_TYPE,
            element=self._element(pending.threshold),
            times=(pending.create_time, pending.expire_time),
        )

    def _element(self, threshold: int) -> str:
        return f"age_over_{next(age for age in self._thresholds if age >= threshold)}"

    async def _judged(self, delivery: Delivery, pending: Pending, exchange: Exchange) -> Verdict:
        try:
            said = response_of(delivery.body, exchange, pending.check_id)
            if said.error:
                return REFUSED
            shown = mdoc.only_document(said.presentation, DOC_TYPE)
            document = mdoc.issuer_signed(shown.get("issuerSigned"), DOC_TYPE, self._trust, delivery.receive_time)
            transcript = exchange.transcript(self._verifier.client_id)
            bound = mdoc.device_signed(shown.get("deviceSigned"), document, transcript)
            if not bound and not self._take_unbound:
                raise mdoc.Invalid("unbound", "the wallet did not sign it for this request")
            if document.status is not None:
                await self._statuses.check(document.status, delivery.receive_time)
        except Malformed as error:
            raise refusals.age_delivery_malformed(self._name, str(error)) from error
        except mdoc.Invalid as error:
            raise refusals.age_proof_invalid(error.cause, str(error)) from error
        if document.elements.get(self._element(pending.threshold)) is not True:
            return REFUSED
        return PASSED if bound else Verdict(passed=True, once=document.digest, once_until=document.valid_until)
