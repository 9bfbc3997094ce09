"""Passwords: Argon2id (RFC 9106), judged by zxcvbn and, where the operator has one, by a list of breached passwords."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

import grpc
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type
from zxcvbn import zxcvbn

from services.identity.refusals import IDENTITY_DOMAIN
from services.kit.errors import RPC_DOMAIN, Refusal

LEAST_SCORE: Final = 3
"""zxcvbn's own measure, 0 to 4: 3 withstands 10^8 to 10^10 guesses."""
_JUDGED_CHARACTERS: Final = 72
# More than these wait for a processor: whoever comes then would time out.
_MOST_WAITING: Final = 256

Breached = Callable[[str], bool]
"""Tells whether a password is known from a breach."""

Answer = TypeVar("Answer")


class BreachedPasswords:
    """A list of SHA-1 digests of breached passwords in folders of the operator's, as `haveibeenpwned-downloader` makes them: one file
    for each five hex digits, with a line `<other 35 digits>:<count>` for each password. Nothing is ever asked of anybody outside.

    Args:
        folder: where the files lie, named `<FIVE DIGITS>.txt`. None: nothing is known to be breached.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def __call__(self, password: str) -> bool:
        if self._folder is None:
            return False
        digest = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
        file = self._folder / f"{digest[:5]}.txt"
        if not file.is_file():
            return False
        return any(line.split(":", 1)[0].strip() == digest[5:] for line in file.read_text("ascii").splitlines())


class Passwords:
    """Hashes and verifies, a few at a time: each takes tens of milliseconds of a processor and the memory that is set.

    Args:
        memory_kib: memory of one hash.
        passes: passes over the memory.
        breached: see there.
        workers: how many are worked on at a time.
    """

    def __init__(self, *, memory_kib: int, passes: int, breached: Breached, workers: int) -> None:
        self._hasher = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1, type=Type.ID)
        self._breached = breached
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="argon2")
        self._waiting = 0
        self._nobodys = self._hasher.hash(secrets.token_urlsafe(24))

    async def hash(self, password: str) -> str:
        """The password's hash, with its salt and cost, in PHC string form."""
        return await self._run(lambda: self._hasher.hash(password))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether the password is the one of the hash. It takes as long where there is no hash at all."""
        return await self._run(lambda: self._matches(password_hash or self._nobodys, password)) and bool(password_hash)

    def outdated(self, password_hash: str) -> bool:
        """Whether a hash was made at another cost than is set now."""
        return self._hasher.check_needs_rehash(password_hash)

    async def check(self, field: str, password: str, personal: Iterable[str]) -> None:
        """Refuses a password that is easy to guess.

        Args:
            field: path of the field that holds it, for the refusal.
            password: the password.
            personal: what a guesser would try first, such as the person's name and address.

        Raises:
            Refusal: INVALID_ARGUMENT `PASSWORD_WEAK`.
        """
        known = [word for word in personal if word]
        judged, breached = await self._run(
            lambda: (zxcvbn(password[:_JUDGED_CHARACTERS], user_inputs=known), self._breached(password))
        )
        if judged["score"] >= LEAST_SCORE and not breached:
            return
        warning = str(judged["feedback"]["warning"] or "it is easy to guess").rstrip(".")
        why = "it is known from a breach of another site" if breached else warning[0].lower() + warning[1:]
        message = f"choose another password: {why}; several unrelated words make a good one"
        raise Refusal(
            grpc.StatusCode.INVALID_ARGUMENT,
            "PASSWORD_WEAK",
            message,
            domain=IDENTITY_DOMAIN,
            metadata={"score": str(judged["score"]), "breached": "true" if breached else "false"},
            fields=[(field, message)],
        )

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], Answer]) -> Answer:
        if self._waiting >= _MOST_WAITING:
            message = "too many people sign in at once; try again in a few seconds"
            raise Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", message, domain=RPC_DOMAIN)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Ends the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)
