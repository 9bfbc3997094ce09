"""Who is calling, and may they? The answer to the second question stands in the contract.

A person's credential is taken as `authorization: Bearer …` metadata: an API key (`rmk_…`), of which only the SHA-256 is known here.
A service is known by the certificate of its connection (`services.kit.peers`), whatever its metadata say.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import grpc
import jwt
import structlog
from google.protobuf.descriptor import ServiceDescriptor
from reelmesh.rpc.v1 import access_pb2

from services.kit.dpop import Proofs
from services.kit.errors import RPC_DOMAIN, Refusal

log = structlog.stdlib.get_logger()

API_KEYS_FILE: Final = "api_keys.json"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling.

    Attributes:
        name: `service/<name>` for a service, `user/usr_…` for a person, `client/cli_…` for an OAuth client that acts for its organisation,
            `api_key/key_…` for an API key, the entry's name for a key of the install's own file.
        organisation_id: organisation that the caller acts for; empty for services.
        permissions: what the caller may do; `*` is everything.
        session_id: session of a person, or the one token of an OAuth client; empty for everybody else.
        tier: tier of the person or of the key's organisation, by which limits differ.
        profile_id: profile that the person chose; empty when none.
        profile_maturity: what that profile could watch at most when the token was made, as identity's `MaturityRating`; 0 when it is not
            told.
        device_id: registered device that the token is bound to by its key; empty when none.
        client_id: OAuth client that holds the token; `reelmesh` for our own pages and SDKs; empty when there is no token.
        key_thumbprint: key that the access token is bound to (RFC 9449), which the call has proved to hold; empty when none.
    """

    name: str
    organisation_id: str = ""
    permissions: frozenset[str] = frozenset()
    session_id: str = ""
    tier: str = ""
    profile_id: str = ""
    client_id: str = ""
    key_thumbprint: str = ""
    device_id: str = ""
    profile_maturity: int = 0

    @property
    def service(self) -> str:
        """Name of the calling service; empty when it is not one."""
        return self.name.removeprefix("service/") if self.name.startswith("service/") else ""

    @property
    def account_id(self) -> str:
        """Account of the calling person; empty when it is none."""
        return self.name.removeprefix("user/") if self.name.startswith("user/") else ""

    @property
    def delegated(self) -> bool:
        """Whether somebody else's program acts here, for a person or for itself: an OAuth client that an organisation registered."""
        return self.client_id.startswith("cli_")

    def may(self, permission: str) -> bool:
        """Tells whether the caller holds a permission."""
        return permission in self.permissions or "*" in self.permissions


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may call one method. Exactly one attribute says something, besides `recorded`.

    Attributes:
        recorded: the service keeps a record of each call, so that none is needed in the log of those that end well.
    """

    permission: str = ""
    bearer_in_request: bool = False
    callers: frozenset[str] = frozenset()
    anyone: bool = False
    authenticated: bool = False
    person: bool = False
    recorded: bool = False

    def check(self, principal: Principal | None) -> None:
        """Refuses a caller whom the rule does not let in.

        Raises:
            Refusal: UNAUTHENTICATED `CREDENTIAL_INVALID` or PERMISSION_DENIED `PERMISSION_MISSING`.
        """
        if self.bearer_in_request or self.anyone:
            return
        if principal is None:
            raise credential_invalid("no credential was presented; send `authorization: Bearer <API key>`")
        if self.authenticated:
            return
        # What a person let an OAuth client do is said in permissions, and these calls ask for none.
        if self.person and (not principal.account_id or principal.delegated):
            raise Refusal(
                grpc.StatusCode.PERMISSION_DENIED,
                "PERMISSION_MISSING",
                "this call is for a signed-in person, about what is their own; an API key or an OAuth client cannot make it",
                domain=RPC_DOMAIN,
                metadata={"caller": "person"},
            )
        if self.permission and not principal.may(self.permission):
            raise Refusal(
                grpc.StatusCode.PERMISSION_DENIED,
                "PERMISSION_MISSING",
                f"this call needs the permission {self.permission!r}, which the credential does not carry",
                domain=RPC_DOMAIN,
                metadata={"permission": self.permission},
            )
        if self.callers and principal.service not in self.callers:
            raise Refusal(
                grpc.StatusCode.PERMISSION_DENIED,
                "PERMISSION_MISSING",
                "this call is for services of the mesh only",
                domain=RPC_DOMAIN,
                metadata={"callers": ", ".join(sorted(self.callers))},
            )


OUTSIDE_HEADER: Final = "x-reelmesh-outside"
"""Set by the edge on calls from outside of methods that it calls itself too. There a credential counts, and its certificate does not."""

ANYONE: Final = Rule(anyone=True)
AUTHENTICATED: Final = Rule(authenticated=True)


class UndeclaredMethod(Exception):
    """A contract forgot to say who may call one of its methods; the server does not start with it."""


def declared_rules(services: Iterable[ServiceDescriptor]) -> dict[str, Rule]:
    """Reads from the contracts who may call which method, by full method path `/package.Service/Method`.

    Raises:
        UndeclaredMethod: a method carries no `(reelmesh.rpc.v1.access)`.
    """
    rules: dict[str, Rule] = {}
    for service in services:
        for method in service.methods:
            declared = method.GetOptions().Extensions[access_pb2.access]
            kind = declared.WhichOneof("rule")
            rule = Rule(
                permission=declared.permission,
                bearer_in_request=declared.bearer_in_request,
                callers=frozenset(declared.internal.callers),
                anyone=declared.public,
                person=declared.person,
                recorded=method.GetOptions().Extensions[access_pb2.recorded],
            )
            if kind is None or rule == Rule(recorded=rule.recorded):
                raise UndeclaredMethod(f"{method.full_name} does not say who may call it")
            rules[f"/{service.full_name}/{method.name}"] = rule
    return rules


def credential_invalid(message: str) -> Refusal:
    """The caller could not be recognised."""
    return Refusal(grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID", message, domain=RPC_DOMAIN)


class ApiKeys:
    """The API keys of the install itself, such as its operator's, from a JSON file of `[{key_id, sha256, name, organisation_id, permissions}]`.

    The file is read again when it changes, so that a key can be added or taken away without a restart.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._version: tuple[int, int] = (0, 0)
        self._known: dict[bytes, Principal] = {}

    def find(self, key: str) -> Principal | None:
        """Tells who an API key belongs to; None when it is not in the file. Keys are 256 random bits, so a plain SHA-256 look-up gives
        nothing away."""
        self._read_if_changed()
        return self._known.get(hashlib.sha256(key.encode()).digest())

    def _read_if_changed(self) -> None:
        try:
            found = self._file.stat()
        except FileNotFoundError:
            self._known, self._version = {}, (0, 0)
            return
        version = (found.st_mtime_ns, found.st_size)
        if version == self._version:
            return
        self._version = version
        try:
            entries = json.loads(self._file.read_text(encoding="utf-8"))
            self._known = {
                bytes.fromhex(entry["sha256"]): Principal(
                    entry["name"], entry["organisation_id"], frozenset(entry["permissions"])
                )
                for entry in entries
            }
        except (ValueError, KeyError, TypeError):
            # Somebody is writing it, or made a slip: those who were let in before stay so until it can be read again.
            log.exception("the file of API keys cannot be read", file=str(self._file))


class Trust(Protocol):
    """Whoever can tell who a credential belongs to that somebody was issued."""

    async def person(self, token: str) -> Principal:
        """Who an access token belongs to.

        Raises:
            Refusal: UNAUTHENTICATED `CREDENTIAL_INVALID`, or UNAVAILABLE `DEPENDENCY_UNAVAILABLE`.
        """
        ...

    async def api_key(self, key: str) -> Principal:
        """Who an API key belongs to.

        Raises:
            Refusal: as above.
        """
        ...


class Authenticator:
    """Recognises callers by the credential in their metadata."""

    def __init__(self, api_keys: ApiKeys, trust: Trust, proofs: Proofs) -> None:
        self._api_keys = api_keys
        self._trust = trust
        self._proofs = proofs

    async def principal(self, metadata: Mapping[str, str], method: str) -> Principal | None:
        """Who is calling a method; None when no credential was presented.

        Raises:
            Refusal: UNAUTHENTICATED `CREDENTIAL_INVALID` or `PROOF_INVALID` when one was presented and is not good.
        """
        header = metadata.get("authorization")
        if header is None:
            return None
        scheme, _, credential = header.partition(" ")
        if scheme.lower() in {"bearer", "dpop"} and _is_access_token(credential):
            principal = await self._trust.person(credential)
            self._proofs.require(principal.key_thumbprint, scheme.lower(), credential, metadata, method)
            return principal
        if scheme.lower() != "bearer" or not credential:
            raise credential_invalid("the credential must be sent as `authorization: Bearer <credential>`")
        if credential.startswith("rmk_"):
            return self._api_keys.find(credential) or await self._trust.api_key(credential)
        raise credential_invalid("the credential is neither an API key nor an access token")


def _is_access_token(credential: str) -> bool:
    if not credential.startswith("eyJ"):  # spares API keys the attempt
        return False
    try:
        return jwt.get_unverified_header(credential).get("typ") == "at+jwt"
    except jwt.InvalidTokenError:
        return False


def new_api_key() -> str:
    """A new API key: `rmk_` and 256 random bits."""
    return "rmk_" + secrets.token_urlsafe(32)


def api_key_entry(
    key: str, *, key_id: str, name: str, organisation_id: str, permissions: Sequence[str]
) -> dict[str, object]:
    """What is kept of an API key: its SHA-256 and what it is good for, never the key."""
    return {
        "key_id": key_id,
        "sha256": hashlib.sha256(key.encode()).hexdigest(),
        "name": name,
        "organisation_id": organisation_id,
        "permissions": list(permissions),
    }
