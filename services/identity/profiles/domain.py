"""Rules of profiles."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import grpc
from reelmesh.identity.v1 import profiles_pb2

from services.identity.refusals import IDENTITY_DOMAIN, field_not_updatable, refusal
from services.kit.errors import RPC_DOMAIN, Refusal

MOST: Final = 5
"""Profiles of one account."""
UPDATABLE: Final = ("display_name", "avatar_colour", "maturity_rating", "language", "kids")
KIDS_LIMIT: Final = profiles_pb2.MATURITY_RATING_TWELVE
_COLOURS: Final = ("#c2410c", "#1d4ed8", "#15803d", "#7e22ce", "#be185d", "#0f766e", "#a16207", "#4338ca")


@dataclass(frozen=True, slots=True)
class Profile:
    """One of the people who share an account.

    Attributes:
        profile_id: `prf_…`.
        account_id: whose account it is of.
        version: counts changes.
        display_name, avatar_colour, language: how it looks.
        maturity_rating: rating of films that it may watch, at most; a `MaturityRating`.
        kids: whether it is a child's.
        pin_digest: keyed digest of its PIN; None when it has none.
        create_time: when it was made.
    """

    profile_id: str
    account_id: str
    version: int
    display_name: str
    avatar_colour: str
    maturity_rating: int
    language: str
    kids: bool
    pin_digest: bytes | None
    create_time: datetime

    @property
    def etag(self) -> str:
        """Version as the contract shows it."""
        return str(self.version)

    def checked(self, etag: str) -> Profile:
        """The profile, for whoever last saw it in this state.

        Raises:
            Refusal: ABORTED `ETAG_MISMATCH`.
        """
        if etag and etag != self.etag:
            raise Refusal(
                grpc.StatusCode.ABORTED,
                "ETAG_MISMATCH",
                "the profile changed since you read it; read it again",
                domain=RPC_DOMAIN,
                metadata={"etag": self.etag},
            )
        return self

    def changed(self, paths: Sequence[str], wanted: profiles_pb2.Profile) -> Profile:
        """The profile with what may be changed.

        Raises:
            Refusal: INVALID_ARGUMENT `FIELD_NOT_UPDATABLE`, `REQUEST_INVALID` or `RATING_TOO_HIGH`.
        """
        for path in paths:
            if path not in UPDATABLE:
                raise field_not_updatable(path, ", ".join(UPDATABLE))
            if path in {"display_name", "maturity_rating"} and not getattr(wanted, path):
                raise _empty(path)
        values = {path: getattr(wanted, path) for path in paths}
        if values.get("avatar_colour") == "":
            values["avatar_colour"] = chosen_colour(self.profile_id)
        return replace(self, version=self.version + 1, **values).allowed()

    def with_pin(self, pin_digest: bytes | None) -> Profile:
        """With another PIN, or none."""
        return replace(self, version=self.version + 1, pin_digest=pin_digest)

    def allowed(self) -> Profile:
        """The profile, if there may be such a one.

        Raises:
            Refusal: INVALID_ARGUMENT `RATING_TOO_HIGH`.
        """
        if self.kids and self.maturity_rating > KIDS_LIMIT:
            message = "a child's profile goes up to MATURITY_RATING_TWELVE; choose a lower rating"
            raise Refusal(
                grpc.StatusCode.INVALID_ARGUMENT,
                "RATING_TOO_HIGH",
                message,
                domain=IDENTITY_DOMAIN,
                fields=[("maturity_rating", message)],
            )
        return self


def chosen_colour(profile_id: str) -> str:
    """A colour for a profile for which nobody chose one."""
    return _COLOURS[hashlib.sha256(profile_id.encode()).digest()[0] % len(_COLOURS)]


def first_rating(*, kids: bool) -> int:
    """The rating of a profile for which nobody chose one."""
    return profiles_pb2.MATURITY_RATING_SEVEN if kids else profiles_pb2.MATURITY_RATING_EIGHTEEN


def profile_not_found(profile_id: str) -> Refusal:
    """None, or none of the caller's."""
    message = f"you have no profile {profile_id}"
    return refusal(grpc.StatusCode.NOT_FOUND, "PROFILE_NOT_FOUND", message, profile_id=profile_id)


def limit_reached() -> Refusal:
    """As many as there may be."""
    message = f"an account has {MOST} profiles at most; delete one first"
    return refusal(grpc.StatusCode.FAILED_PRECONDITION, "PROFILE_LIMIT_REACHED", message, limit=str(MOST))


def _empty(path: str) -> Refusal:
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "REQUEST_INVALID",
        f"{path} cannot be empty",
        domain=RPC_DOMAIN,
        fields=[(f"profile.{path}", "cannot be empty")],
    )
