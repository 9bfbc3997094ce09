"""Typed refusals, and their form on the wire.

A `Refusal` is raised anywhere in a service and reaches the caller as `google.rpc.Status` with `ErrorInfo` (and `BadRequest`,
`RetryInfo` where they apply, AIP-193). A client turns the status back into the same `Refusal`, so a reason survives any
number of hops. Nothing else ever leaves a server: see `services.kit.server`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final, cast

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.json_format import MessageToDict
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

RPC_DOMAIN: Final = "rpc.reelmesh"
STATUS_METADATA_KEY: Final = "grpc-status-details-bin"
# A status travels in headers, of which peers take 8 KiB in all; gRPC sends the message twice, once with % in place of what is not ASCII.
_MESSAGE_BYTES: Final = 600
_METADATA_BYTES: Final = 300
_MOST_FIELDS: Final = 8
_FIELD_BYTES: Final = 80
_FIELD_MESSAGE_BYTES: Final = 160
_CODE_BY_NUMBER: Final = {code.value[0]: code for code in grpc.StatusCode}


class Refusal(Exception):
    """A call was refused, for a reason that the contract names.

    Args:
        code: gRPC status code.
        reason: name of an `ErrorReason` value in the contract without the `ERROR_REASON_` prefix.
        message: what is wrong and how to mend it, for people.
        domain: which service's `ErrorReason` it is, such as `upload.reelmesh`.
        metadata: the facts that the contract documents for this reason.
        retry_after: when it makes sense to try again; None when it does not.
        fields: (field path, what is wrong with it) for each field that breaks the contract.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str,
        message: str,
        *,
        domain: str,
        metadata: Mapping[str, str] | None = None,
        retry_after: timedelta | None = None,
        fields: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(f"{reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.domain = domain
        self.metadata: dict[str, str] = dict(metadata or {})
        self.retry_after = retry_after
        self.fields = tuple(fields)

    def status(self, correlation_id: str = "") -> status_pb2.Status:
        """The refusal as `google.rpc.Status`; the correlation id goes into the metadata of its `ErrorInfo`. Texts that would not fit into
        headers are cut, and of many fields the first are named."""
        metadata = {name: _cut(value, _METADATA_BYTES) for name, value in self.metadata.items()}
        if correlation_id:
            metadata["correlation_id"] = correlation_id
        status = status_pb2.Status(code=self.code.value[0], message=_cut(self.message, _MESSAGE_BYTES))
        _pack(status, error_details_pb2.ErrorInfo(reason=self.reason, domain=self.domain, metadata=metadata))
        if self.fields:
            violations = [
                error_details_pb2.BadRequest.FieldViolation(
                    field=_cut(name, _FIELD_BYTES), description=_cut(why, _FIELD_MESSAGE_BYTES)
                )
                for name, why in self.fields[:_MOST_FIELDS]
            ]
            _pack(status, error_details_pb2.BadRequest(field_violations=violations))
        if self.retry_after is not None:
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.FromTimedelta(self.retry_after)
            _pack(status, retry)
        return status

    def as_json(self, correlation_id: str = "") -> dict[str, object]:
        """The refusal as the JSON form of `google.rpc.Status`, which is what REST callers get."""
        return MessageToDict(self.status(correlation_id), preserving_proto_field_name=True)

    def as_problem(self, http_status: int, correlation_id: str = "") -> dict[str, object]:
        """The refusal as problem details (RFC 9457), with the members of `as_json` beside, which do not clash with them."""
        return {
            "type": f"urn:reelmesh:refusal:{self.domain}:{self.reason}",
            "title": self.reason.replace("_", " ").capitalize(),
            "status": http_status,
            "detail": self.message,
            **self.as_json(correlation_id),
        }

    @classmethod
    def from_status(cls, status: status_pb2.Status) -> Refusal:
        """Reads a refusal back from the wire. A status without `ErrorInfo` becomes reason `UNKNOWN` of the rpc domain."""
        info, fields, retry_after = error_details_pb2.ErrorInfo(reason="UNKNOWN", domain=RPC_DOMAIN), [], None
        for detail in status.details:
            if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                info = error_details_pb2.ErrorInfo()
                detail.Unpack(info)
            elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
                bad = error_details_pb2.BadRequest()
                detail.Unpack(bad)
                fields = [(violation.field, violation.description) for violation in bad.field_violations]
            elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
                retry = error_details_pb2.RetryInfo()
                detail.Unpack(retry)
                retry_after = retry.retry_delay.ToTimedelta()
        return cls(
            _CODE_BY_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN),
            info.reason,
            status.message,
            domain=info.domain,
            metadata=dict(info.metadata),
            retry_after=retry_after,
            fields=fields,
        )

    @classmethod
    def from_rpc_error(cls, error: grpc.RpcError) -> Refusal:
        """Reads a refusal from an error that a stub raised. Errors of the transport itself become `DEPENDENCY_UNAVAILABLE` or
        `DEADLINE_EXCEEDED` of the rpc domain."""
        if isinstance(error, grpc.Call | grpc.aio.AioRpcError):
            status = rpc_status.from_call(cast("grpc.Call", error))
            if status is not None:
                return cls.from_status(status)
            code, details = error.code(), error.details() or ""
        else:
            code, details = grpc.StatusCode.UNKNOWN, str(error)
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            return cls(code, "DEADLINE_EXCEEDED", details or "the deadline passed", domain=RPC_DOMAIN)
        if code == grpc.StatusCode.UNAVAILABLE:
            # gRPC's own words name sockets and addresses, which are nobody's business outside.
            return unavailable("the service")
        return cls(code, code_pb2.Code.Name(code.value[0]), details, domain=RPC_DOMAIN)


def _cut(text: str, most: int) -> str:
    """A text of at most so many bytes."""
    encoded = text.encode(errors="replace")
    return text if len(encoded) <= most else encoded[: most - 3].decode(errors="ignore") + "…"


def _pack(
    status: status_pb2.Status,
    detail: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest | error_details_pb2.RetryInfo,
) -> None:
    packed = AnyMessage()
    packed.Pack(detail)
    status.details.append(packed)


def unavailable(dependency: str, retry_after: timedelta = timedelta(seconds=1)) -> Refusal:
    """Something that the service needs is away; the caller does well to try again."""
    return Refusal(
        grpc.StatusCode.UNAVAILABLE,
        "DEPENDENCY_UNAVAILABLE",
        f"{dependency} cannot be reached; try again in a moment",
        domain=RPC_DOMAIN,
        metadata={"dependency": dependency},
        retry_after=retry_after,
    )
