"""Secrets that an operator sets: one of each kind, and every setting that one stands in or is read by."""

from __future__ import annotations

import importlib
import json
import pkgutil
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import SecretStr
from pydantic.fields import FieldInfo

import services
from services.compliance.age import providers as age
from services.kit.settings import ProcessSettings
from tests.compliance.holder import Issuer, verifier_pem

NOBODY_THERE: Final = "http://127.0.0.1:9"
NODE_KEY: Final = secrets.token_hex(20)
"""Part of the address of a chain's node, as those who rent nodes have it."""
FILES: Final = {
    name: secrets.token_urlsafe(30).encode()
    for name in ("veriff_key", "veriff_secret", "stripe_key", "stripe_webhook", "operator_secret", "passphrase")
} | {"evm_key": secrets.token_hex(32).encode()}
"""What the operator puts into the folder of secrets."""
_PROVIDERS: Final = {
    "veriff": {
        "kind": "veriff",
        "url": NOBODY_THERE,
        "api_key_file": "veriff_key",
        "shared_secret_file": "veriff_secret",
    },
    "card": {
        "kind": "credit-card",
        "url": NOBODY_THERE,
        "api_key_file": "stripe_key",
        "webhook_secret_file": "stripe_webhook",
    },
    "operator": {
        "kind": "mobile-operator",
        "authorize_url": f"{NOBODY_THERE}/authorize",
        "token_url": f"{NOBODY_THERE}/token",
        "api_url": NOBODY_THERE,
        "client_id": "films",
        "client_secret_file": "operator_secret",
    },
    "eu": {
        "kind": "eu-wallet",
        "key_file": "verifier.key",
        "certificate_file": "verifier.crt",
        "trust_file": "{secrets}/age_issuers.crt",
    },
}
PROVIDERS: Final = {
    "veriff": "document",
    "card": "credit-card",
    "operator": "mobile-operator",
    "eu": "eu-age-verification",
}
"""Providers of proofs of age, and by which method."""
ENVIRONMENT: Final = {
    "REELMESH_COMPLIANCE_AGE_PROVIDERS": json.dumps(_PROVIDERS),
    "REELMESH_COMPLIANCE_ANCHORING_EVM_URL": f"{NOBODY_THERE}/v3/{NODE_KEY}",
    "REELMESH_COMPLIANCE_ANCHORING_EVM_CHAIN_ID": "1",
    "REELMESH_COMPLIANCE_ANCHORING_EVM_KEY_FILE": "{secrets}/evm_key",
    "REELMESH_COMPLIANCE_ANCHORING_EVM_POLL_SECONDS": "1",
    "REELMESH_COMPLIANCE_ANCHORING_EVERY_SECONDS": "1",
}
ELSEWHERE: Final = {
    "database_password_file": "the embedded database knows its user by the socket",
    "nats_token_file": "the install makes the file, in the folder of secrets",
    "drm_root_passphrase": "tests/drm/keystores",
    "drm_root_passphrase_file": "tests/drm/keystores",
    "drm_pkcs11_pin_file": "tests/drm/keystores",
    "drm_vault_token_file": "tests/drm/keystores",
    "drm_cpix_key_file": "tests/drm/key_server",
}
"""Settings that this mesh goes without, and why."""
_WORDS: Final = ("key_file", "secret_file", "passphrase_file", "pin_file", "token_file", "password_file")


def files() -> dict[str, bytes]:
    """What the operator puts into the folder of secrets, and what goes with it."""
    now = datetime.now(UTC)
    key, certificate = verifier_pem(now)
    return FILES | {"verifier.key": key, "verifier.crt": certificate, "age_issuers.crt": Issuer(now).pem}


def settings_with_secrets() -> Iterator[str]:
    """Every setting of every service that holds a secret, or the name of a file that does."""
    for module in pkgutil.walk_packages(services.__path__, "services."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for domain in pkgutil.iter_modules(services.__path__):
        if domain.ispkg and domain.name != "kit":
            importlib.import_module(f"services.{domain.name}.__main__")
    for kind in _below(ProcessSettings):
        yield from (name for name, field in kind.model_fields.items() if _secret(name, field))
    for provider in (age.VeriffSettings, age.CreditCardSettings, age.MobileOperatorSettings, age.WalletSettings):
        yield from (name for name, field in provider.model_fields.items() if _secret(name, field))


def _below(kind: type[Any]) -> Iterator[type[Any]]:
    yield kind
    for one in kind.__subclasses__():
        yield from _below(one)


def _secret(name: str, field: FieldInfo) -> bool:
    return name.endswith(_WORDS) or "SecretStr" in str(field.annotation) or field.annotation is SecretStr


def is_set(name: str) -> bool:
    """Whether the mesh of these tests has a setting."""
    return f"REELMESH_{name.upper()}" in ENVIRONMENT or any(name in provider for provider in _PROVIDERS.values())
