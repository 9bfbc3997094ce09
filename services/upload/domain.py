"""Rules of an upload's life. No input, no output."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum
from pathlib import PurePosixPath
from typing import Final

import grpc

from services.kit.errors import Refusal

DOMAIN: Final = "upload.reelmesh"


class State(IntEnum):
    """Where an upload is in its life; the numbers are those of the contract."""

    RECEIVING = 1
    COMMITTED = 2
    CANCELLED = 3
    EXPIRED = 4


class Watermarking(IntEnum):
    """Whether the film is watermarked; the numbers are those of the contract."""

    UNSPECIFIED = 0
    OFF = 1
    STANDARD = 2
    STRONG = 3


class Purpose(IntEnum):
    """What the file is for; the numbers are those of the contract."""

    TITLE = 1
    EVIDENCE = 2


@dataclass(frozen=True, slots=True)
class Upload:
    """A master file on its way in.

    `received_bytes` is what is durable; `sha256` is announced while receiving and measured once committed; `actor` is the name of the principal that
    began it, empty for those of before it was kept.
    """

    upload_id: str
    asset_id: str
    organisation_id: str
    filename: str
    title: str
    content_type: str
    size_bytes: int
    received_bytes: int
    state: State
    sha256: str
    create_time: datetime
    expire_time: datetime | None
    commit_time: datetime | None
    watermarking: Watermarking = Watermarking.UNSPECIFIED
    actor: str = ""
    purpose: Purpose = Purpose.TITLE

    @property
    def staging_key(self) -> str:
        """Key of the growing file in the object store."""
        return f"staging/{self.upload_id}"

    def accepting(self, offset: int) -> None:
        """Checks that bytes may be appended at `offset`.

        Raises:
            Refusal: NOT_RECEIVING or OFFSET_MISMATCH.
        """
        self._receiving()
        if offset != self.received_bytes:
            raise Refusal(
                grpc.StatusCode.ABORTED,
                "OFFSET_MISMATCH",
                f"the next chunk goes to offset {self.received_bytes}, not {offset}; go on from there",
                domain=DOMAIN,
                metadata={"expected_offset": str(self.received_bytes), "offset": str(offset)},
            )

    def received(self, received_bytes: int, now: datetime, patience: timedelta) -> Upload:
        """The upload once that many bytes are durable; each chunk gives it new time."""
        self._receiving()
        return replace(self, received_bytes=received_bytes, expire_time=now + patience)

    def completable(self, sha256: str) -> str:
        """Checks that all is there, and returns the SHA-256 that the file must have; empty when none was ever announced.

        Raises:
            Refusal: NOT_RECEIVING, INCOMPLETE, or FILE_CORRUPT when two different sums were announced.
        """
        self._receiving()
        if self.received_bytes < self.size_bytes:
            raise Refusal(
                grpc.StatusCode.FAILED_PRECONDITION,
                "INCOMPLETE",
                f"{self.size_bytes - self.received_bytes} of {self.size_bytes} bytes are still missing; send them first",
                domain=DOMAIN,
                metadata={"received_bytes": str(self.received_bytes), "size_bytes": str(self.size_bytes)},
            )
        if sha256 and self.sha256 and sha256 != self.sha256:
            raise file_corrupt(self.sha256, sha256)
        return sha256 or self.sha256

    def committed(self, sha256: str, now: datetime) -> Upload:
        """The upload once it is a master."""
        self._receiving()
        return replace(self, state=State.COMMITTED, sha256=sha256, commit_time=now, expire_time=None)

    def cancelled(self) -> Upload:
        """The upload once its uploader gave it up. Cancelling twice changes nothing.

        Raises:
            Refusal: NOT_RECEIVING when it was committed or expired before.
        """
        if self.state is State.CANCELLED:
            return self
        self._receiving()
        return replace(self, state=State.CANCELLED, expire_time=None)

    def expired(self) -> Upload:
        """The upload once its time ran out."""
        self._receiving()
        return replace(self, state=State.EXPIRED, expire_time=None)

    def _receiving(self) -> None:
        if self.state is not State.RECEIVING:
            raise Refusal(
                grpc.StatusCode.FAILED_PRECONDITION,
                "NOT_RECEIVING",
                f"the upload is {self.state.name.lower()} and takes no more bytes; create a new one",
                domain=DOMAIN,
                metadata={"state": self.state.name},
            )


def title_of(filename: str, title: str) -> str:
    """The title that the uploader gave, or the file's name without extension."""
    return title.strip() or PurePosixPath(filename).stem or filename


def within_limit(size_bytes: int, limit_bytes: int) -> None:
    """Refuses a file that is larger than the server takes.

    Raises:
        Refusal: FILE_TOO_LARGE.
    """
    if size_bytes > limit_bytes:
        raise Refusal(
            grpc.StatusCode.OUT_OF_RANGE,
            "FILE_TOO_LARGE",
            f"the file has {size_bytes} bytes; this server takes up to {limit_bytes}",
            domain=DOMAIN,
            metadata={"limit_bytes": str(limit_bytes), "size_bytes": str(size_bytes)},
        )


def master_key(sha256: str) -> str:
    """Key of a master in the object store: its content is its name."""
    return f"masters/{sha256}"


def not_found(upload_id: str) -> Refusal:
    """There is no such upload in the caller's organisation."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "UPLOAD_NOT_FOUND",
        "there is no such upload; it may have been made by another organisation, or long ago",
        domain=DOMAIN,
        metadata={"upload_id": upload_id},
    )


def chunk_corrupt(offset: int) -> Refusal:
    """A chunk is not what its CRC32C says."""
    return Refusal(
        grpc.StatusCode.DATA_LOSS,
        "CHUNK_CORRUPT",
        f"the chunk at offset {offset} does not match its CRC32C and was not kept; send it again",
        domain=DOMAIN,
        metadata={"offset": str(offset)},
    )


def file_corrupt(expected: str, measured: str) -> Refusal:
    """The file is not what its SHA-256 says."""
    return Refusal(
        grpc.StatusCode.DATA_LOSS,
        "FILE_CORRUPT",
        "the file does not match its SHA-256; cancel this upload and send the file again",
        domain=DOMAIN,
        metadata={"expected_sha256": expected, "measured_sha256": measured},
    )


def bytes_lost(upload_id: str) -> Refusal:
    """Bytes that were counted are not on disk any more, such as after a disk was replaced."""
    return Refusal(
        grpc.StatusCode.DATA_LOSS,
        "BYTES_LOST",
        "the server lost bytes of this file that it had counted; cancel this upload and send the file again",
        domain=DOMAIN,
        metadata={"upload_id": upload_id},
    )


def beyond_size(size_bytes: int) -> Refusal:
    """More bytes came than were announced."""
    return Refusal(
        grpc.StatusCode.OUT_OF_RANGE,
        "BEYOND_SIZE",
        f"more than the announced {size_bytes} bytes came; what went beyond was not kept",
        domain=DOMAIN,
        metadata={"size_bytes": str(size_bytes)},
    )
