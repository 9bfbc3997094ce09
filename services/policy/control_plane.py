"""Envoy's control plane for the warm lane (xDS, Extension Config Discovery Service): whose tickets are good, and who is barred.

The warm lane lets segments through without asking this service. It may, because this service keeps two filters of every edge up to
date over one stream each: the keys that sign tickets (`jwt_authn`), and what lets a request through (`lua`), with the sessions and packages
whose tickets must not be honoured any more. An edge that knows neither sends everything here, and so does one that is told that too many are barred, one that
cannot use what it is told, and one that has not been told anything for the length of its lease: it may have missed somebody. So do all
edges once this service itself has not seen the database for longer than it may go on alone.

A third filter slows down the sessions that are named in it (`bandwidth_limit`, each with a bucket of its own). It has no lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, cast

import grpc
import structlog
from envoy.config.core.v3.base_pb2 import DataSource
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.extensions.common.matching.v3.extension_matcher_pb2 import ExtensionWithMatcher
from envoy.extensions.filters.common.matcher.action.v3.skip_action_pb2 import SkipFilter
from envoy.extensions.filters.http.bandwidth_limit.v3.bandwidth_limit_pb2 import BandwidthLimit
from envoy.extensions.filters.http.composite.v3.composite_pb2 import Composite, ExecuteFilterAction
from envoy.extensions.filters.http.jwt_authn.v3.config_pb2 import JwtAuthentication
from envoy.extensions.filters.http.lua.v3.lua_pb2 import Lua
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse, Resource
from envoy.service.extension.v3 import config_discovery_pb2_grpc
from envoy.type.matcher.v3.http_inputs_pb2 import HttpRequestHeaderMatchInput
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import BoolValue
from xds.type.matcher.v3.matcher_pb2 import Matcher

from services.kit.access import Rule
from services.kit.clock import Clock
from services.kit.ids import new_id
from services.policy.judge import Known
from services.policy.tickets import ISSUER, Tickets

STREAM: Final = "/envoy.service.extension.v3.ExtensionConfigDiscoveryService/StreamExtensionConfigs"
RULES: Final = {STREAM: Rule(callers=frozenset({"envoy"}))}

TICKETS: Final = "reelmesh.playback-tickets"
ADMISSION: Final = "reelmesh.admission"
THROTTLED: Final = "reelmesh.throttled"
"""Names of the filters, as in `envoy/warm_lane.yaml` and `envoy/throttled.yaml`."""

_ADMISSION_LUA: Final = Path(__file__).with_name("admission.lua").read_text(encoding="utf-8")
_ID: Final = re.compile(r"[a-z]+_\w+", re.ASCII)
_QUIET: Final = 0.02
"""Seconds between two lists: of a thousand revocations at once not each one is worth a list of its own."""
_QUIET_PER_ID: Final = 5e-6
"""Seconds more for each id on it: an edge takes 2 µs of processor time to read one."""
_TICKETS_CACHED: Final = 10_000
MOST_THROTTLED: Final = 2_000
"""Sessions that are slowed down at a time, the newest of them; each costs an edge about 1 KB."""

log = structlog.stdlib.get_logger()


class ControlPlane(config_discovery_pb2_grpc.ExtensionConfigDiscoveryServiceServicer):  # type: ignore[misc]  # the wheel brings no types
    """Serves `envoy.service.extension.v3.ExtensionConfigDiscoveryService` to any number of edges.

    Args:
        most_barred: names on the list of who is barred, at most; with more the warm lane is closed.
        lease: seconds for which an edge may go by what it was told last.
        longest_alone: seconds for which what is known may be gone by while the database is away.
        throttled_kib: KiB a second that a session gets which is slowed down.
    """

    def __init__(
        self,
        tickets: Tickets,
        known: Known,
        clock: Clock,
        *,
        most_barred: int,
        lease: float,
        longest_alone: float,
        throttled_kib: int,
    ) -> None:
        self._known = known
        self._longest_alone = longest_alone
        self._lease = lease
        self._made: dict[str, Message] = {}
        self._listed = 0
        self._clock = clock
        self._most_barred = most_barred
        self._closing = False
        self._streams: set[asyncio.Event] = set()
        self._filters: Mapping[str, Callable[[], Message]] = {
            TICKETS: lambda: tickets_filter(tickets.public_keys()),
            ADMISSION: self._admission,
            THROTTLED: lambda: throttled_filter(known.throttled[:MOST_THROTTLED], throttled_kib),
        }
        known.when_changed(self.wake)

    async def StreamExtensionConfigs(  # noqa: N802  # the contract's name
        self, requests: AsyncIterator[DiscoveryRequest], _context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[DiscoveryResponse]:
        """Tells one edge one filter: at once, and again whenever it changed."""
        first = await anext(requests, None)
        name = next((name for name in first.resource_names if name in self._filters), None) if first else None
        if first is None or name is None:
            return
        changed, refused = asyncio.Event(), asyncio.Event()
        # An edge that could not use a script takes the same one for good when it is told it again (it remembers its digest). Whoever connects
        # anew gets another, and refuses it again if need be: its first word may never have been heard.
        mark = new_id("str")
        self._streams.add(changed)
        listening = asyncio.create_task(_heed(requests, name, refused, changed))
        try:
            version = 0
            while not self._closing:
                changed.clear()
                version += 1
                # Nobody may pass by a list that may be out of date, or that the edge could not read.
                unsure = refused.is_set() or self._known.alone_for > self._longest_alone
                config = nobody_admitted() if unsure and name == ADMISSION else _marked(self._current(name), mark)
                lease = 0 if name == THROTTLED else self._lease
                yield _response(first.type_url, name, _packed(config), version, lease)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._lease / 3):
                        await changed.wait()
                await asyncio.sleep(_QUIET + (_QUIET_PER_ID * self._listed if name == ADMISSION else 0))
        finally:
            self._streams.discard(changed)
            listening.cancel()

    async def until_stopped(self) -> None:
        """Waits to be cancelled, then ends all streams: they have no end of their own, and a drain would wait for them."""
        try:
            await asyncio.Event().wait()
        finally:
            self._closing = True
            self.wake()

    def wake(self) -> None:
        """Tells every edge what is known now."""
        self._made.clear()
        for changed in self._streams:
            changed.set()

    def _current(self, name: str) -> Message:
        """A filter as it is now, made once for all edges."""
        if name not in self._made:
            self._made[name] = self._filters[name]()
        return self._made[name]

    def _admission(self) -> Lua:
        sessions, packages = self._known.barred(self._clock.now().timestamp())
        self._listed = len(sessions) + len(packages)
        fits = self._listed <= self._most_barred
        return admission_filter([*sessions, *packages]) if fits else nobody_admitted()


async def _heed(
    requests: AsyncIterator[DiscoveryRequest], name: str, refused: asyncio.Event, changed: asyncio.Event
) -> None:
    """Reads what an edge answers. When it cannot use what it was told it goes on with what it had, so it is told something else at once,
    and somebody should know."""
    async for request in requests:
        if request.HasField("error_detail"):
            if not refused.is_set():  # once: it may refuse the next as well
                changed.set()
            refused.set()
            log.error("an edge refused its configuration", filter=name, why=request.error_detail.message[:500])


def _packed(config: Message) -> AnyMessage:
    return AnyMessage(
        type_url=f"type.googleapis.com/{config.DESCRIPTOR.full_name}",
        value=config.SerializeToString(deterministic=True),
    )


def _response(type_url: str, name: str, config: AnyMessage, version: int, lease: float) -> DiscoveryResponse:
    """What an edge is told. Each time it is the whole filter, because that is what renews the lease (xDS, "TTL"); 0 is for good."""
    ttl = Duration(nanos=round(lease % 1 * 1e9), seconds=int(lease)) if lease else None
    told = Resource(
        name=name, version=str(version), ttl=ttl, resource=_packed(TypedExtensionConfig(name=name, typed_config=config))
    )
    return DiscoveryResponse(
        version_info=str(version), nonce=str(version), type_url=type_url, resources=[_packed(told)]
    )


def tickets_filter(public_keys: str) -> JwtAuthentication:
    """The filter that finds out whether Envoy was handed a ticket of ours. It refuses nobody: it only says what it found.

    Args:
        public_keys: a JSON Web Key Set (RFC 7517 §5).
    """
    provider = {
        "issuer": ISSUER,
        "local_jwks": {"inline_string": public_keys},
        "from_headers": [{"name": "x-reelmesh-ticket"}],
        # For the admission, which remembers what it read in it; claim by claim, or as metadata, they would cost several times as much.
        "forward_payload_header": "x-reelmesh-claims",
        # For the access log, and for what slows sessions down.
        "claim_to_headers": [{"header_name": "x-reelmesh-session", "claim_name": "sub"}],
        "clock_skew_seconds": 1,  # zero would mean a minute; the admission looks at the clock itself
        "jwt_cache_config": {"jwt_cache_size": _TICKETS_CACHED, "jwt_max_token_size": 4096},
    }
    anyone = {"requires_any": {"requirements": [{"provider_name": "tickets"}, {"allow_missing_or_failed": {}}]}}
    config = {"providers": {"tickets": provider}, "rules": [{"match": {"prefix": "/p/"}, "requires": anyone}]}
    return ParseDict(config, JwtAuthentication())


def admission_filter(barred: Collection[str]) -> Lua:
    """The filter that lets requests with a good ticket through. It refuses nobody: `policy` does, with a reason; this one only leaves them
    to it.

    Args:
        barred: ids of sessions and packages. What is none would be part of a program, and is left out: nobody is admitted by such an id.
    """
    listed = [name for name in barred if _ID.fullmatch(name)]
    if len(listed) < len(barred):
        log.error("what is barred has no id that one could have", count=len(barred) - len(listed))
    code = f'local BARRED = "{" ".join(listed)}"\n{_ADMISSION_LUA}'
    return Lua(default_source_code=DataSource(inline_string=code), clear_route_cache=BoolValue(value=False))


def _marked(config: Message, mark: str) -> Message:
    """The same script, told apart from those of other streams."""
    if not isinstance(config, Lua) or not config.HasField("default_source_code"):
        return config
    code = f"-- {mark}\n{config.default_source_code.inline_string}"
    marked = Lua(clear_route_cache=BoolValue(value=False))
    marked.default_source_code.inline_string = code
    return cast("Message", marked)


def nobody_admitted() -> Lua:
    """The same filter when everyone is barred from the warm lane."""
    return Lua()


def throttled_filter(sessions: Iterable[str], kib: int) -> ExtensionWithMatcher:
    """The filter that slows sessions down. A `bandwidth_limit` is one bucket for all that pass it, so each session has one of its own."""
    config = ExtensionWithMatcher()
    config.extension_config.name = "composite"
    config.extension_config.typed_config.Pack(Composite())
    pace = BandwidthLimit(
        stat_prefix="throttled", enable_mode=BandwidthLimit.RESPONSE, fill_interval=Duration(nanos=10**8)
    )
    pace.limit_kbps.value = kib
    slow = ExecuteFilterAction(typed_config=TypedExtensionConfig(name="pace", typed_config=_packed(pace)))
    matched = Matcher.OnMatch(action=_extension("slow", slow))
    names = list(sessions)
    if not names:
        config.xds_matcher.on_no_match.action.CopyFrom(_extension("pass", SkipFilter()))
        return config
    session = _extension("header", HttpRequestHeaderMatchInput(header_name="x-reelmesh-session"))
    config.xds_matcher.matcher_tree.input.CopyFrom(session)
    by_name = config.xds_matcher.matcher_tree.exact_match_map.map
    for name in names:
        by_name[name].CopyFrom(matched)
    return config


def _extension(name: str, config: Message) -> Any:
    packed = AnyMessage()
    packed.Pack(config)
    return type(Matcher.OnMatch().action)(name=name, typed_config=packed)
