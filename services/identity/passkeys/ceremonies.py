"""What devices are asked, and whether their answers are right. Pure: `webauthn` does the protocol, nothing here is kept."""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import webauthn
from webauthn.helpers import base64url_to_bytes, options_to_json, parse_client_data_json
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.structs import (
    AttestationConveyancePreference,
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from services.identity.passkeys.relying_party import NAME, RelyingParty

LIFETIME: Final = timedelta(minutes=5)
"""How long a device may take to answer."""
_ALGORITHMS: Final = [
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
]
_LONGEST_CREDENTIAL_ID: Final = 1023  # WebAuthn Level 3 §5.8.3
_MILLISECONDS: Final = int(LIFETIME.total_seconds() * 1000)


class Unacceptable(Exception):
    """An answer that is malformed, of another site, or signed wrongly. The text is for logs, not for whoever answered."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A passkey that a device made.

    Attributes:
        credential_id: chosen by the device, up to 1023 bytes.
        public_key: as a COSE_Key (RFC 9052 §7).
        sign_count: its counter of signatures; 0 for devices that do not count.
        authenticator_model: AAGUID of what holds it.
        transports: how it can be reached, such as `internal`.
        backed_up: whether a key ring of several devices holds it.
    """

    credential_id: bytes
    public_key: bytes
    sign_count: int
    authenticator_model: str
    transports: tuple[str, ...]
    backed_up: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it is read before it is judged.

    Attributes:
        challenge: what it says to have been asked.
        credential_id: passkey that it says to be signed with.
        user_handle: person that the passkey was made for; empty when that is not told.
    """

    challenge: bytes
    credential_id: bytes
    user_handle: bytes


@dataclass(frozen=True, slots=True)
class Signed:
    """What a right answer told of the passkey: its counter now, and whether a key ring holds it."""

    sign_count: int
    backed_up: bool


def creation_options(
    party: RelyingParty,
    challenge: bytes,
    *,
    user_handle: bytes,
    email: str,
    display_name: str,
    known: Sequence[bytes],
) -> str:
    """What a device is asked for a new passkey, `PublicKeyCredentialCreationOptionsJSON`: one that finds the account by itself
    (discoverable) and that checks who holds it, by a PIN or a finger. `known` are passkeys that the device must not hold already."""
    options = webauthn.generate_registration_options(
        rp_id=party.rp_id,
        rp_name=NAME,
        user_id=user_handle,
        user_name=email,
        user_display_name=display_name or email,
        challenge=challenge,
        timeout=_MILLISECONDS,
        attestation=AttestationConveyancePreference.NONE,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=one) for one in known],
        supported_pub_key_algs=_ALGORITHMS,
    )
    return options_to_json(options)


def request_options(party: RelyingParty, challenge: bytes) -> str:
    """What a device is asked to sign in, `PublicKeyCredentialRequestOptionsJSON`. No passkey is named: the device offers its own."""
    options = webauthn.generate_authentication_options(
        rp_id=party.rp_id,
        challenge=challenge,
        timeout=_MILLISECONDS,
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return options_to_json(options)


def read(credential: str) -> Answer:
    """What an answer of either kind says about itself.

    Raises:
        Unacceptable: see there.
    """
    try:
        found = _object(json.loads(credential))
        response = _object(found["response"])
        client_data = parse_client_data_json(base64url_to_bytes(response["clientDataJSON"]))
        if client_data.cross_origin:
            raise Unacceptable("a page that is framed by another site asked for it")
        handle = response.get("userHandle") or ""
        return Answer(client_data.challenge, base64url_to_bytes(found["rawId"]), base64url_to_bytes(handle))
    except Unacceptable:
        raise
    except Exception as error:  # the parser was not made for what strangers send, and breaks in many ways
        raise _broken(error) from error


def registered(party: RelyingParty, credential: str, challenge: bytes) -> Registered:
    """The passkey that a device made when it was asked this challenge.

    Raises:
        Unacceptable: see there.
    """
    try:
        verified = webauthn.verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=party.rp_id,
            expected_origin=list(party.origins),
            require_user_verification=True,
            supported_pub_key_algs=_ALGORITHMS,
        )
        transports = _object(json.loads(credential))["response"].get("transports") or []
        told = tuple(str(one)[:32] for one in transports)[:8]
    except Exception as error:  # as above
        raise _broken(error) from error
    if not 0 < len(verified.credential_id) <= _LONGEST_CREDENTIAL_ID:
        raise Unacceptable("the credential id is too long")
    return Registered(
        credential_id=verified.credential_id,
        public_key=verified.credential_public_key,
        sign_count=verified.sign_count,
        authenticator_model=verified.aaguid,
        transports=told,
        backed_up=verified.credential_backed_up,
    )


def signed(party: RelyingParty, credential: str, answer: Answer, *, public_key: bytes, user_handle: bytes) -> Signed:
    """Checks a signature. The counter is not judged: who judges it must know first that the signature is right.

    Raises:
        Unacceptable: see there.
    """
    if not hmac.compare_digest(answer.user_handle, user_handle):
        raise Unacceptable("the passkey was made for another person")
    try:
        verified = webauthn.verify_authentication_response(
            credential=credential,
            expected_challenge=answer.challenge,
            expected_rp_id=party.rp_id,
            expected_origin=list(party.origins),
            credential_public_key=public_key,
            credential_current_sign_count=0,
            require_user_verification=True,
        )
    except Exception as error:  # as above
        raise _broken(error) from error
    return Signed(verified.new_sign_count, verified.credential_backed_up)


def went_back(before: int, now: int) -> bool:
    """Whether a counter did not go on (WebAuthn Level 3 §7.2 step 22). Devices that do not count always say 0."""
    return (before > 0 or now > 0) and now <= before


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("not an object")
    return value


def _broken(error: Exception) -> Unacceptable:
    return Unacceptable(f"{type(error).__name__}: {error}"[:300])
