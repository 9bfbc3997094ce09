"""What the edge has to know about the methods of the contracts, read from their descriptors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet, MethodOptions
from reelmesh.rpc.v1 import access_pb2


@dataclass(frozen=True, slots=True)
class Method:
    """One method that may be called from outside.

    Attributes:
        domain: the service that serves it, such as `upload`.
        service: full name, such as `reelmesh.upload.v1.UploadService`.
        name: such as `CreateUpload`.
        streams: whether the request or the response is a stream.
        repeatable: whether the contract says that asking again does no harm and gets the same answer.
    """

    domain: str
    service: str
    name: str
    streams: bool
    repeatable: bool

    @property
    def path(self) -> str:
        """Its path on the wire."""
        return f"/{self.service}/{self.name}"


def public_methods(descriptors: Path) -> list[Method]:
    """All methods but those for services of the mesh only, in the order of the contracts."""
    return list(_methods(FileDescriptorSet.FromString(descriptors.read_bytes())))


def _methods(described: FileDescriptorSet) -> Iterator[Method]:
    for file in described.file:
        for service in file.service:
            for method in service.method:
                if method.options.Extensions[access_pb2.access].WhichOneof("rule") == "internal":
                    continue
                yield Method(
                    domain=file.package.split(".")[1],
                    service=f"{file.package}.{service.name}",
                    name=method.name,
                    streams=method.client_streaming or method.server_streaming,
                    repeatable=method.options.idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN,
                )
