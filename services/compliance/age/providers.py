"""Which providers there are here, and how they are written in the settings."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

import httpx
from pydantic import BaseModel, ConfigDict, Field

from services.compliance.age import stand_in
from services.compliance.age.card import CreditCard
from services.compliance.age.contract import DOCUMENT, Provider
from services.compliance.age.mobile_operator import MobileOperator
from services.compliance.age.openid4vp import Verifier
from services.compliance.age.status import StatusLists
from services.compliance.age.trust import TrustList
from services.compliance.age.veriff import Veriff
from services.compliance.age.wallet import Wallet
from services.kit.settings import ProcessSettings

STAND_IN_KEY_FILE: Final = "stand_in_key"
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")
_FILE: Final = r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$"
_URL: Final = r"^https?://[^\s]+$"


class _Kind(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class VeriffSettings(_Kind):
    """An integration with Veriff."""

    kind: Literal["veriff"]
    url: str = Field(default="https://stationapi.veriff.com", pattern=_URL, description="Base URL of the integration.")
    method: Literal["document", "face-estimation"] = Field(default=DOCUMENT, description="What the integration does.")
    estimated: int = Field(default=18, ge=1, le=99, description="face-estimation: age at which it approves.")
    api_key_file: str = Field(pattern=_FILE, description="File in the folder of secrets with the API key.")
    shared_secret_file: str = Field(pattern=_FILE, description="File there with the shared secret key.")


class CreditCardSettings(_Kind):
    """An account with Stripe."""

    kind: Literal["credit-card"]
    url: str = Field(default="https://api.stripe.com", pattern=_URL, description="Base URL of the API.")
    api_key_file: str = Field(pattern=_FILE, description="File in the folder of secrets with the secret key.")
    webhook_secret_file: str = Field(pattern=_FILE, description="File there with the webhook's signing secret.")


class MobileOperatorSettings(_Kind):
    """A client at a mobile operator."""

    kind: Literal["mobile-operator"]
    authorize_url: str = Field(pattern=_URL, description="OpenID Connect authorization endpoint.")
    token_url: str = Field(pattern=_URL, description="OpenID Connect token endpoint.")
    api_url: str = Field(
        pattern=_URL, description="Base URL of the API with its version, such as `https://…/kyc-age-verification/v1`."
    )
    client_id: str = Field(min_length=1, max_length=200, description="The client there.")
    client_secret_file: str = Field(pattern=_FILE, description="File in the folder of secrets with its secret.")


class WalletSettings(_Kind):
    """The EU's proof of age in wallets."""

    kind: Literal["eu-wallet"]
    key_file: str = Field(pattern=_FILE, description="File in the folder of secrets: PEM key, P-256, of who asks.")
    certificate_file: str = Field(pattern=_FILE, description="File there: PEM certificates of who asks, its own first.")
    trust_file: Path = Field(description="PEM certificates of issuing authorities, or of single signers.")
    scheme: str = Field(default="av", pattern=r"^[a-z][a-z0-9+.-]{0,30}$", description="Of links that open wallets.")
    thresholds: tuple[int, ...] = Field(default=(18,), min_length=1, description="Ages that issuers attest.")
    take_unbound: bool = Field(
        default=False,
        description="Take proofs that the wallet did not sign for the request, each once. For pilots only.",
    )


AnyProvider: TypeAlias = Annotated[
    VeriffSettings | CreditCardSettings | MobileOperatorSettings | WalletSettings, Field(discriminator="kind")
]


class AgeSettings(ProcessSettings):
    """What can be set about proofs of age."""

    compliance_age_providers: dict[str, AnyProvider] = Field(
        default_factory=dict,
        description="JSON map from name to provider of proofs of age; `docs/age.md` shows one of each kind.",
    )
    compliance_age_stand_in_url: str = Field(
        default="",
        description="Where the stand-in that believes any age has its API, such as `http://127.0.0.1:8096`. Empty: there is none, as befits whoever has real viewers.",
    )
    compliance_age_check_seconds: int = Field(
        default=1800, ge=60, le=86_400, description="Seconds that a viewer has to prove their age."
    )
    compliance_age_proof_days: int = Field(
        default=365, ge=1, le=3650, description="Days that a proof is good at most; the law of a place may say fewer."
    )


def stand_in_secret(key: bytes, purpose: bytes) -> str:
    """A secret that the stand-in shares with us, made from the install's key for stand-ins: for `api` or `webhooks`."""
    return hmac.digest(key, b"stand-in age " + purpose, "sha256").hex()


def providers(settings: AgeSettings, http: httpx.AsyncClient) -> dict[str, Provider]:
    """All providers by name.

    Raises:
        ValueError: one cannot be used as it is set.
        OSError: one of its files cannot be read.
    """
    found: dict[str, Provider] = {}
    for name, one in settings.compliance_age_providers.items():
        if not _NAME.fullmatch(name) or name == stand_in.NAME:
            raise ValueError(f"the name of a provider is of a-z, 0-9 and -, and another than {stand_in.NAME}: {name!r}")
        found[name] = _made(name, one, http, settings.secret)
    if url := settings.compliance_age_stand_in_url:
        key = settings.secret(STAND_IN_KEY_FILE)
        secrets = {"api_key": stand_in_secret(key, b"api"), "webhook_secret": stand_in_secret(key, b"webhooks")}
        found[stand_in.NAME] = stand_in.StandIn(http, url=url, **secrets)
    return found


def _made(name: str, one: AnyProvider, http: httpx.AsyncClient, secret: Callable[[str], bytes]) -> Provider:
    def text(file: str) -> str:
        return secret(file).decode().strip()

    match one:
        case VeriffSettings():
            keys = {"api_key": text(one.api_key_file), "shared_secret": text(one.shared_secret_file)}
            return Veriff(name, http, url=one.url, method=one.method, estimated=one.estimated, **keys)
        case CreditCardSettings():
            keys = {"api_key": text(one.api_key_file), "webhook_secret": text(one.webhook_secret_file)}
            return CreditCard(name, http, url=one.url, **keys)
        case MobileOperatorSettings():
            return MobileOperator(
                name,
                http,
                authorize_url=one.authorize_url,
                token_url=one.token_url,
                api_url=one.api_url,
                client_id=one.client_id,
                client_secret=text(one.client_secret_file),
            )
        case WalletSettings():
            trust = TrustList.of_pem(one.trust_file.read_bytes())
            verifier = Verifier.of_pem(secret(one.key_file), secret(one.certificate_file))
            return Wallet(
                name,
                verifier,
                trust,
                StatusLists(http, trust),
                scheme=one.scheme,
                thresholds=one.thresholds,
                take_unbound=one.take_unbound,
            )
