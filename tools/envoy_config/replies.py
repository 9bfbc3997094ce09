"""What Envoy answers by itself, as `google.rpc.Status`."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from tools.envoy_config.templates import Block, filled, joined

DOMAIN: Final = "rpc.reelmesh"
_TYPES: Final = "type.googleapis.com/"
_ANY: Final[dict[str, object]] = {
    "status_code_filter": {"comparison": {"op": "GE", "value": {"default_value": 400, "runtime_key": "unused"}}}
}
_UNANSWERED: Final[dict[str, object]] = {"response_flag_filter": {"flags": ["UAEX"]}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One kind of answer.

    Attributes:
        http_status: which answers of Envoy it is put in place of.
        at_least: whether it also stands for all greater ones.
        of_policy: only for answers about a request on which `policy` could not be asked.
        answered: HTTP status that the client gets.
        code: gRPC code in the body.
        grpc_code: gRPC code for callers by gRPC, if it is another one.
        reason: an `ErrorReason` of `reelmesh.rpc.v1` without its prefix.
        message: for people. Empty for Envoy's own words, where they say what is wrong with the request.
        retry: whether to try again, in `wait_seconds`.
        dependency: which part is away; a command of Envoy's formatter is allowed.
        metadata: more of it, as the contract documents.
    """

    http_status: int
    code: int
    reason: str
    message: str = ""
    at_least: bool = False
    of_policy: bool = False
    answered: int = 0
    grpc_code: int = 0
    retry: bool = False
    wait_seconds: int = 1
    dependency: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


_AWAY: Final = "a part of the server cannot be reached; try again in a moment"

REPLIES: Final = (
    Reply(http_status=400, code=3, reason="REQUEST_INVALID"),
    Reply(http_status=403, answered=404, code=5, reason="ROUTE_UNKNOWN", message="there is nothing at this address"),
    Reply(
        http_status=404,
        code=5,
        grpc_code=12,
        reason="ROUTE_UNKNOWN",
        message="there is nothing at this address; /docs lists what there is",
    ),
    Reply(
        http_status=405,
        code=12,
        reason="ROUTE_UNKNOWN",
        message="this address does not take that method; /docs lists what there is",
    ),
    Reply(
        http_status=408,
        code=4,
        reason="DEADLINE_EXCEEDED",
        message="the request did not arrive in time; send it again",
        retry=True,
    ),
    Reply(http_status=413, code=11, reason="REQUEST_TOO_LARGE", message="the body is larger than this method takes"),
    Reply(http_status=416, code=3, reason="REQUEST_INVALID", message="the range does not lie within the file"),
    Reply(
        http_status=429,
        code=8,
        reason="OVERLOADED",
        message="the server has more to do than it can; try again in a moment",
        retry=True,
    ),
    Reply(
        http_status=431,
        code=11,
        reason="REQUEST_TOO_LARGE",
        message="path and headers are more than 16 KiB, or more than 64 headers",
    ),
    Reply(
        http_status=503,
        of_policy=True,
        code=14,
        reason="DEPENDENCY_UNAVAILABLE",
        message=_AWAY,
        retry=True,
        dependency="policy",
    ),
    Reply(
        http_status=503,
        code=14,
        reason="DEPENDENCY_UNAVAILABLE",
        message=_AWAY,
        retry=True,
        dependency="%UPSTREAM_CLUSTER%",
    ),
    Reply(http_status=504, code=4, reason="DEADLINE_EXCEEDED", message="the answer did not come in time", retry=True),
    Reply(
        http_status=400,
        at_least=True,
        code=13,
        reason="INTERNAL",
        message="the server failed in a way that is its own fault; quote the correlation id to its operator",
    ),
)


def of_net(status: int, wait_seconds: int) -> Reply:
    """What a net of the edge's own answers.

    Args:
        status: HTTP status by which the net is known; it gives no other answer, and callers never see it.
        wait_seconds: in how many seconds the next call may pass.
    """
    return Reply(
        http_status=status,
        answered=429,
        code=8,
        reason="RATE_LIMITED",
        message="too many calls from this address; try again in a moment",
        retry=True,
        wait_seconds=wait_seconds,
        metadata={"limit": "edge", "per": "address"},
    )


def local_replies(nets: Sequence[Reply]) -> Block:
    """The `local_reply_config`, with the answers of the edge's nets."""
    return filled("local_replies", mappers=joined([_mappers(reply) for reply in (*nets, *REPLIES)]))


def _mappers(reply: Reply) -> Block:
    return filled(
        "local_reply",
        comparison="GE" if reply.at_least else "EQ",
        http_status=reply.http_status,
        also=_UNANSWERED if reply.of_policy else _ANY,
        answered=reply.answered or None,
        headers=_headers(reply),
        code=reply.code,
        message=reply.message or "%LOCAL_REPLY_BODY%",
        details=_details(reply),
        grpc_status=str(reply.grpc_code or reply.code),
        details_bin=b64encode(_status(reply).SerializeToString(deterministic=True)).decode().rstrip("="),
    )


def _headers(reply: Reply) -> list[dict[str, object]]:
    fields = {"cache-control": "no-store"} | ({"retry-after": str(reply.wait_seconds)} if reply.retry else {})
    return [
        {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        for key, value in fields.items()
    ]


def _details(reply: Reply) -> list[dict[str, object]]:
    metadata = {"correlation_id": "%REQ(x-correlation-id):64%", **reply.metadata}
    if reply.dependency:
        metadata["dependency"] = reply.dependency
    details: list[dict[str, object]] = [
        {
            "@type": _TYPES + ErrorInfo.DESCRIPTOR.full_name,
            "reason": reply.reason,
            "domain": DOMAIN,
            "metadata": metadata,
        },
    ]
    if reply.retry:
        details.append({"@type": _TYPES + RetryInfo.DESCRIPTOR.full_name, "retry_delay": f"{reply.wait_seconds}s"})
    return details


def _status(reply: Reply) -> Status:
    """The same for callers by gRPC. It is fixed when Envoy starts, so the correlation id is in its own header only."""
    status = Status(code=reply.grpc_code or reply.code, message=reply.message)
    info, retry = AnyMessage(), AnyMessage()
    info.Pack(ErrorInfo(reason=reply.reason, domain=DOMAIN, metadata=reply.metadata))
    status.details.append(info)
    if reply.retry:
        retry.Pack(RetryInfo(retry_delay=Duration(seconds=reply.wait_seconds)))
        status.details.append(retry)
    return status
