"""What a person is given: a ZIP file with a JSON file for each table and a manifest that says what they are (GDPR articles 15 and 20).

It is written as it is sent and kept nowhere.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from reelmesh.rpc.v1 import personal_data_service_pb2 as api

from services.compliance.rights.keepers import Keeper
from services.kit.personal import DataSubject

FORMAT: Final = "reelmesh-personal-data/1"
_PART: Final = 256 * 1024

Table = tuple[str, str, bytes]
"""Name of a table, what it is for, and its rows as lines of JSON."""


class _Sink(io.RawIOBase):
    """Takes what is written until somebody takes it away; it cannot go back."""

    def __init__(self) -> None:
        super().__init__()
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._written += data
        return len(data)

    def take(self, least: int = 0) -> bytes:
        """What was written, if it is at least so much."""
        if len(self._written) < least:
            return b""
        taken = bytes(self._written)
        self._written.clear()
        return taken


@dataclass(slots=True)
class _File:
    """A file of the archive that is being written."""

    entry: dict[str, Any]
    digest: Any = field(default_factory=hashlib.sha256)
    rows: int = 0


async def archive(
    keepers: Mapping[str, Keeper], subject: DataSubject, more: Mapping[str, Sequence[Table]], now: datetime
) -> AsyncIterator[bytes]:
    """The archive, part by part.

    Args:
        keepers: the services by name.
        subject: whose it is.
        more: tables that are in no declaration, by service.
        now: the present moment.
    """
    sink = _Sink()
    writing = _Writing(zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED), now)
    for service, keeper in keepers.items():
        async for part in keeper.export(subject):
            writing.add(service, part)
            if data := sink.take(_PART):
                yield data
        writing.finish_file()
    for service, tables in more.items():
        for name, purpose, rows in tables:
            writing.add(service, api.GetPersonalDataResponse(table=name, purpose=purpose, on_erasure="shredded"))
            writing.add(service, api.GetPersonalDataResponse(table=name, rows=rows))
        writing.finish_file()
        if data := sink.take(_PART):
            yield data
    writing.finish(subject)
    yield sink.take()


class _Writing:
    """Writes files one after the other: tables come whole, each in one run of parts."""

    def __init__(self, target: zipfile.ZipFile, now: datetime) -> None:
        self._target = target
        self._now = now
        self._files: list[_File] = []
        self._name = ""
        self._open: Any = None

    def add(self, service: str, part: api.GetPersonalDataResponse) -> None:
        """Adds rows of a table; the first part of one says what it is."""
        name = f"{service}/{part.table}.json"
        if name != self._name:
            self.finish_file()
            self._begin(name, service, part)
        for line in part.rows.splitlines():
            self._write((b",\n" if self._files[-1].rows else b"\n") + line)
            self._files[-1].rows += 1

    def finish_file(self) -> None:
        """Ends the file that is being written, if there is one."""
        if self._open is None:
            return
        self._write(b"\n]\n")
        self._open.close()
        last = self._files[-1]
        last.entry |= {"rows": last.rows, "sha256": last.digest.hexdigest()}
        self._name, self._open = "", None

    def finish(self, subject: DataSubject) -> None:
        """Writes the manifest and what ends a ZIP file."""
        self.finish_file()
        manifest = {
            "format": FORMAT,
            "subject": {"organisation_id": subject.scope, "name": subject.name},
            "export_time": self._now.isoformat(),
            "files": [file.entry for file in self._files],
        }
        with self._target.open(self._info("manifest.json"), "w") as target:
            target.write(json.dumps(manifest, indent=2, ensure_ascii=False).encode() + b"\n")
        self._target.close()

    def _begin(self, name: str, service: str, part: api.GetPersonalDataResponse) -> None:
        entry = {
            "path": name,
            "service": service,
            "table": part.table,
            "purpose": part.purpose,
            "on_erasure": part.on_erasure,
            "withheld": dict(part.withheld),
        }
        self._name = name
        self._files.append(_File(entry))
        self._open = self._target.open(self._info(name), "w")
        self._write(b"[")

    def _write(self, data: bytes) -> None:
        self._open.write(data)
        self._files[-1].digest.update(data)

    def _info(self, name: str) -> zipfile.ZipInfo:
        now = self._now
        info = zipfile.ZipInfo(name, (now.year, now.month, now.day, now.hour, now.minute, now.second))
        info.compress_type = zipfile.ZIP_DEFLATED
        return info
