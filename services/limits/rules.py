"""The limits as data: `limits.yaml` of this folder, with a file of the install laid over it."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import structlog
import yaml
from prometheus_client import Gauge
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from services.limits.domain import MICROSECONDS, Ask, Limit

log = structlog.stdlib.get_logger()

DEFAULTS: Final = Path(__file__).with_name("limits.yaml")
_RATE: Final = re.compile(r"(?P<count>[1-9]\d{0,8}) per (?:(?P<many>[1-9]\d{0,5}) )?(?P<unit>second|minute|hour)s?")
_SECONDS: Final = {"second": 1, "minute": 60, "hour": 3600}
_LONGEST_FILL_SECONDS: Final = 31 * 24 * 3600
_LARGEST_FILE: Final = 1024 * 1024
_METHODS_REMEMBERED: Final = 4096

FILE_REFUSED: Final = Gauge(
    "reelmesh_limits_file_refused", "1 while the install's file of limits is wrong and not heeded."
)

Part = Literal["address", "caller", "organisation", "method"]
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class WrongLimits(Exception):
    """A file of limits cannot be heeded; the text says what is wrong, for the operator."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a call may be counted by. What is not known is empty.

    Attributes:
        method: `package.Service/Method`.
        address: `203.0.113.7/32` or `2001:db8::/64`.
        caller: who calls, in a form that nothing can be done with.
        tier: the caller's.
        organisation: which one the caller acts for.
    """

    method: str = ""
    address: str = ""
    caller: str = ""
    tier: str = ""
    organisation: str = ""


def _rate(text: object) -> tuple[int, int] | None:
    if text == "unlimited":
        return None
    match = _RATE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError('a rate is written "50 per second", "5 per 10 minutes" or "unlimited"')
    return int(match["count"]), int(match["many"] or 1) * _SECONDS[match["unit"]]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Quota(_Entry):
    """A rate and its burst; `rate` is None where there is no limit."""

    rate: Annotated[tuple[int, int] | None, BeforeValidator(_rate)]
    burst: int = Field(default=1, ge=1, le=1_000_000)

    @model_validator(mode="after")
    def _fills_in_time(self) -> Self:
        limit = self.limit()
        if limit is not None and limit.window > _LONGEST_FILL_SECONDS * MICROSECONDS:
            raise ValueError(
                "at this rate, the burst would take longer than 31 days to come back: raise the one or lower the other"
            )
        return self

    def limit(self) -> Limit | None:
        """The same as numbers to count with."""
        return None if self.rate is None else Limit(*self.rate, self.burst)


class _LimitEntry(Quota):
    methods: str = ""
    per: tuple[Part, ...] = Field(min_length=1)
    tiers: dict[Annotated[str, Field(pattern=r"^[a-z_]{1,40}$")], Quota] = {}


class EdgeNets(_Entry):
    """What each edge counts by itself, per address."""

    every_call: Quota
    guessing: Quota


class Written(_Entry):
    """The whole file, checked."""

    methods: dict[str, tuple[str, ...]]
    limits: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")], _LimitEntry]
    unlimited_addresses: tuple[Network, ...] = ()
    edge: EdgeNets

    @model_validator(mode="after")
    def _groups_exist(self) -> Written:
        for name, entry in self.limits.items():
            if entry.methods and entry.methods not in self.methods:
                raise ValueError(f"limits.{name}.methods: there is no group {entry.methods!r} under `methods`")
        if "guessing" not in self.methods:
            raise ValueError("methods.guessing: the group is needed, though it may be empty")
        return self

    def guesses(self, method: str) -> bool:
        """Whether `package.Service/Method` is one with which secrets can be tried."""
        return any(fnmatchcase(method, pattern) for pattern in self.methods["guessing"])


@dataclass(frozen=True, slots=True)
class Rule:
    """One limit."""

    name: str
    per: tuple[Part, ...]
    limit: Limit | None
    tiers: Mapping[str, Limit | None]

    def ask(self, call: Call) -> Ask | None:
        """What the call takes of this limit; None when it does not apply.

        A limit that is changed begins with full buckets, for its numbers are part of their keys.
        """
        parts = [getattr(call, part) for part in self.per]
        limit = self.tiers.get(call.tier, self.limit)
        if limit is None or not all(parts):
            return None
        counted = (self.name, str(limit.interval), str(limit.burst), *parts)
        # No part can pass for two: each says first how long it is.
        text = "".join(f"{len(part)}:{part}" for part in counted)
        return Ask(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest(), limit)


class Rules:
    """All limits, ready to be applied."""

    def __init__(self, written: Written) -> None:
        self._written = written
        self._rules = [
            (
                written.methods[entry.methods] if entry.methods else ("*",),
                Rule(name, entry.per, entry.limit(), {tier: quota.limit() for tier, quota in entry.tiers.items()}),
            )
            for name, entry in written.limits.items()
        ]
        self._of_method: dict[str, list[Rule]] = {}

    def asks(self, call: Call) -> list[tuple[Rule, Ask]]:
        """What a call takes of each limit that applies to it."""
        if self._unlimited(call.address):
            return []
        found = ((rule, rule.ask(call)) for rule in self._applying(call.method))
        return [(rule, ask) for rule, ask in found if ask is not None]

    def _applying(self, method: str) -> list[Rule]:
        known = self._of_method.get(method)
        if known is None:
            known = [rule for patterns, rule in self._rules if any(fnmatchcase(method, one) for one in patterns)]
            if len(self._of_method) >= _METHODS_REMEMBERED:
                self._of_method.clear()
            self._of_method[method] = known
        return known

    def _unlimited(self, address: str) -> bool:
        if not self._written.unlimited_addresses or not address:
            return False
        try:
            asking = ipaddress.ip_network(address, strict=False)
        except ValueError:
            return False
        return any(
            asking.version == network.version and asking.subnet_of(network)  # type: ignore[arg-type]  # the same version
            for network in self._written.unlimited_addresses
        )


def read(changes: Path | None = None) -> Written:
    """The limits of this folder with an install's changes laid over them.

    Raises:
        WrongLimits: the changes cannot be heeded.
    """
    made = yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))
    try:
        if changes is not None and changes.exists():
            made = _laid_over(made, _parsed(changes))
        return Written.model_validate(made)
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(str(part) for part in one['loc']) or 'file'}: {one['msg'].removeprefix('Value error, ')}"
            for one in error.errors(include_input=False, include_url=False)
        )
        raise WrongLimits(told) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise WrongLimits(f"the file cannot be read: {' '.join(str(error).split())[:300]}") from error


def _parsed(changes: Path) -> dict[str, Any]:
    if changes.stat().st_size > _LARGEST_FILE:
        raise WrongLimits("the file is larger than 1 MiB")
    parsed = yaml.safe_load(changes.read_text(encoding="utf-8"))
    if parsed is None:
        return {}
    if not isinstance(parsed, dict):
        raise WrongLimits("the file must be a map with the keys methods, limits, unlimited_addresses, edge")
    return parsed


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    made = dict(below)
    for name, value in above.items():
        if value is None:
            made.pop(name, None)
        elif isinstance(value, dict) and isinstance(made.get(name), dict):
            made[name] = _laid_over(made[name], value)
        else:
            made[name] = value
    return made


class RulesFile:
    """The limits in force. The install's file is looked at before each use and read again when it changed."""

    def __init__(self, changes: Path) -> None:
        self._changes = changes
        self._version: tuple[int, int, int] | None = None
        self._rules = Rules(read())
        self.current()

    def current(self) -> Rules:
        """The limits in force now."""
        version = self._found()
        if version != self._version:
            self._version = version
            try:
                self._rules = Rules(read(self._changes))
            except WrongLimits as error:
                FILE_REFUSED.set(1)
                log.error("limits refused; what was in force stays so", file=str(self._changes), wrong=str(error))  # noqa: TRY400  # the text says it all
            else:
                FILE_REFUSED.set(0)
                log.info("limits read", file=str(self._changes), changed=version is not None)
        return self._rules

    def _found(self) -> tuple[int, int, int] | None:
        try:
            found = self._changes.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
