"""What protection systems are told about one key: the values of a `DRMSystem` (AWS, "Implementing SPEKE v2.0 with AWS Elemental MediaPackage")."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from services.kit import pssh

WIDEVINE: Final = str(pssh.WIDEVINE)
PLAYREADY: Final = str(pssh.PLAYREADY)
FAIRPLAY: Final = str(pssh.FAIRPLAY)
COMMON: Final = str(pssh.COMMON)

SCHEMES: Final[Mapping[str, frozenset[str]]] = {
    WIDEVINE: frozenset({"cenc", "cbcs"}),
    PLAYREADY: frozenset({"cenc", "cbcs"}),
    FAIRPLAY: frozenset({"cbcs"}),
    COMMON: frozenset({"cenc", "cbcs", "cens", "cbc1"}),
}
"""Protection systems that are answered for, and the schemes that each can play."""

_METHODS: Final = {"cenc": "SAMPLE-AES-CTR", "cbcs": "SAMPLE-AES"}


@dataclass(frozen=True, slots=True)
class Signals:
    """What one system is told about one key; None where it is told nothing. `line` are the attributes of `EXT-X-KEY` (RFC 8216 section 4.3.2.4)."""

    box: bytes | None = None
    protection: bytes | None = None
    line: str | None = None
    uri: bytes | None = None
    smooth_streaming: str | None = field(default=None)

    def hls(self, playlist: str) -> bytes | None:
        """The line of a media playlist or of the master."""
        if self.line is None:
            return None
        tag = "#EXT-X-SESSION-KEY" if playlist == "master" else "#EXT-X-KEY"
        return f"{tag}:{self.line}".encode()


def signals_of(system_id: str, key_id: bytes, key: bytes, scheme: str) -> Signals:
    """What a system of `SCHEMES` is told about a key. Of the key itself only PlayReady's checksum goes in."""
    return _SYSTEMS[system_id](key_id, key, scheme)


def _widevine(key_id: bytes, _key: bytes, scheme: str) -> Signals:
    box = pssh.widevine([key_id], scheme)
    line = (
        f'METHOD={_METHODS[scheme]},URI="data:text/plain;base64,{_text(box)}",KEYID=0x{key_id.hex()},'
        f'KEYFORMAT="urn:uuid:{WIDEVINE}",KEYFORMATVERSIONS="1"'
    )
    return Signals(box, _cenc(box), line)


def _playready(key_id: bytes, key: bytes, scheme: str) -> Signals:
    record = pssh.playready_object(pssh.wrm_header([key_id], scheme, keys={key_id: key}))
    box = pssh.Pssh(pssh.PLAYREADY.bytes, (), record).box()
    protection = _cenc(box) + f'<mspr:pro xmlns:mspr="urn:microsoft:playready">{_text(record)}</mspr:pro>'.encode()
    line = (
        f'METHOD={_METHODS[scheme]},KEYFORMAT="com.microsoft.playready",KEYFORMATVERSIONS="1",'
        f'URI="data:text/plain;charset=UTF-16;base64,{_text(record)}"'
    )
    return Signals(box, protection, line, smooth_streaming=_text(record))


def _fairplay(key_id: bytes, _key: bytes, _scheme: str) -> Signals:
    # As packages of this install have it: one URI for each key id.
    uri = f"skd://{key_id.hex()}"
    line = f'METHOD=SAMPLE-AES,URI="{uri}",KEYFORMAT="com.apple.streamingkeydelivery",KEYFORMATVERSIONS="1"'
    return Signals(line=line, uri=uri.encode())


def _common(key_id: bytes, _key: bytes, _scheme: str) -> Signals:
    box = pssh.common([key_id])
    return Signals(box, _cenc(box))


_SYSTEMS: Final[Mapping[str, Callable[[bytes, bytes, str], Signals]]] = {
    WIDEVINE: _widevine,
    PLAYREADY: _playready,
    FAIRPLAY: _fairplay,
    COMMON: _common,
}


def _cenc(box: bytes) -> bytes:
    return f'<cenc:pssh xmlns:cenc="urn:mpeg:cenc:2013">{_text(box)}</cenc:pssh>'.encode()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
