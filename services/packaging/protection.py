"""How the key of a track is signalled to each protection system: PSSH boxes, descriptors in the MPD, key lines in HLS.

The packager's own headers are not used: of PlayReady it writes no checksum, of FairPlay one URI for every key, of
ClearKey in HLS the key id where players expect the way to the key. So all of them are written here, for the key that
the track really has.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from lxml import etree

from services.kit import pssh
from services.packaging.tracks import ContentKey, Scheme, System

DASH: Final = "urn:mpeg:dash:schema:mpd:2011"
CENC: Final = "urn:mpeg:cenc:2013"
PLAYREADY: Final = "urn:microsoft:playready"
NATIVE_PATH: Final = "native.m3u8"
"""The multivariant playlist for Apple's player, where there is one: see `has_native_playlists`."""
IDENTITY: Final = "identity"
"""The key format of players that fetch keys by themselves (RFC 8216 §4.3.2.4)."""

KEY_FORMATS: Final = {
    System.CLEARKEY: "org.w3.clearkey",
    System.WIDEVINE: f"urn:uuid:{pssh.WIDEVINE}",
    System.PLAYREADY: "com.microsoft.playready",
    System.FAIRPLAY: "com.apple.streamingkeydelivery",
}
DESCRIPTORS: Final = {
    System.CLEARKEY: f"urn:uuid:{pssh.CLEARKEY}",
    System.COMMON: f"urn:uuid:{pssh.COMMON}",
    System.WIDEVINE: f"urn:uuid:{pssh.WIDEVINE}",
    System.PLAYREADY: f"urn:uuid:{pssh.PLAYREADY}",
}
METHODS: Final = {Scheme.CBCS: "SAMPLE-AES", Scheme.CENC: "SAMPLE-AES-CTR"}
_VALUES: Final = {System.CLEARKEY: "ClearKey1.0", System.PLAYREADY: "MSPR 2.0"}


def signalled_in_mpd(systems: frozenset[System]) -> frozenset[System]:
    """The systems with a descriptor in the MPD.

    FairPlay has none. dash.js takes the common PSSH for ClearKey's own and fails on it, so ClearKey's descriptor stands
    in its place.
    """
    left_out = {System.FAIRPLAY} | ({System.COMMON} if System.CLEARKEY in systems else set())
    return systems - left_out


def boxed(systems: frozenset[System]) -> frozenset[System]:
    """The systems with a PSSH box in the init segments. ClearKey players read the common one (W3C "cenc" §2)."""
    common = {System.COMMON} if System.CLEARKEY in systems else set()
    return (systems - {System.CLEARKEY, System.FAIRPLAY}) | common


@dataclass(frozen=True, slots=True)
class KeySignal:
    """How the key of one track is signalled.

    Args:
        scheme: of the samples; never `Scheme.NONE`.
        key_id: 32 lower-case hex digits.
        constant_iv: 32 hex digits; empty when samples carry their own.
        systems: what to signal.
        headers: system → whole PSSH box, for each of `boxed(systems)`.
    """

    scheme: Scheme
    key_id: str
    constant_iv: str
    systems: frozenset[System]
    headers: Mapping[System, bytes] = field(default_factory=dict)

    def lines(self, tag: str, to_root: str) -> list[str]:
        """The HLS key lines, the key's URI seen from `to_root` (empty or `../…/`).

        Of ClearKey, Shaka Player knows `identity` alone, and hls.js its own format alone: with cbcs it takes `identity`
        for encrypted transport streams, prefers it, and plays nothing. So there `METHOD=NONE` ends that line before any
        segment comes (RFC 8216 §4.3.2.4). Shaka Player takes every key that it reads; hls.js keeps to the order, except
        that it lets a new format count for the segments before it as well, unless `METHOD=NONE` stands between.
        """
        way = f"{to_root}key/{self.key_id}"
        lines = []
        if System.CLEARKEY in self.systems:
            ended = [f"{tag}:METHOD=NONE"] if self.scheme is Scheme.CBCS else []
            lines += [*ended, self._line(tag, way, IDENTITY), *ended]
            lines.append(self._line(tag, way, KEY_FORMATS[System.CLEARKEY], named=True))
        if System.FAIRPLAY in self.systems:
            lines.append(self._line(tag, f"skd://{self.key_id}", KEY_FORMATS[System.FAIRPLAY]))
        if System.WIDEVINE in self.systems:
            box = _base64(self.headers[System.WIDEVINE])
            lines.append(self._line(tag, f"data:text/plain;base64,{box}", KEY_FORMATS[System.WIDEVINE], named=True))
        if System.PLAYREADY in self.systems:
            (header,) = pssh.read_pssh(self.headers[System.PLAYREADY])
            way = f"data:text/plain;charset=UTF-16;base64,{_base64(header.data)}"
            lines.append(self._line(tag, way, KEY_FORMATS[System.PLAYREADY]))
        return lines

    def native_lines(self, tag: str, to_root: str) -> list[str]:
        """The one key line for players that fetch keys by themselves and read no other: Apple's, without FairPlay."""
        return [self._line(tag, f"{to_root}key/{self.key_id}", IDENTITY)]

    def session_lines(self) -> list[str]:
        """The session key lines of the multivariant playlist, for licensed systems alone.

        A ClearKey player would fetch each key at once, also those of rungs above what the viewer may see, and give up at
        the first refusal; and Shaka Player, when it meets licensed session keys beside ClearKey, hides variants whose
        playlists it has not loaded yet.
        """
        return [] if System.CLEARKEY in self.systems else self.lines("#EXT-X-SESSION-KEY", "")

    def descriptors(self) -> list[etree._Element]:
        """The ContentProtection elements of an AdaptationSet, beside that of the scheme (23009-1 §5.8.5.2)."""
        return [self._descriptor(system) for system in sorted(signalled_in_mpd(self.systems))]

    def boxes(self) -> list[bytes]:
        """The PSSH boxes of the init segment."""
        return [self.headers[system] for system in sorted(boxed(self.systems))]

    def _line(self, tag: str, uri: str, key_format: str, *, named: bool = False) -> str:
        parts = [f"{tag}:METHOD={METHODS[self.scheme]}", f'URI="{uri}"']
        parts += [f"IV=0x{self.constant_iv}"] if self.constant_iv else []
        parts += [f"KEYID=0x{self.key_id}"] if named else []
        return ",".join([*parts, f'KEYFORMAT="{key_format}"', 'KEYFORMATVERSIONS="1"'])

    def _descriptor(self, system: System) -> etree._Element:
        element = etree.Element(f"{{{DASH}}}ContentProtection", {"schemeIdUri": DESCRIPTORS[system]})
        if system in _VALUES:
            element.set("value", _VALUES[system])
        if system is System.CLEARKEY:
            return element
        etree.SubElement(element, f"{{{CENC}}}pssh", nsmap={"cenc": CENC}).text = _base64(self.headers[system])
        if system is System.PLAYREADY:
            (header,) = pssh.read_pssh(self.headers[system])
            etree.SubElement(element, f"{{{PLAYREADY}}}pro", nsmap={"mspr": PLAYREADY}).text = _base64(header.data)
        return element


def has_native_playlists(scheme: Scheme, systems: frozenset[System]) -> bool:
    """Whether a set has a second multivariant playlist, see `KeySignal.native_lines`.

    With cbcs, what hls.js needs ends the only line that Apple's player could use. With FairPlay it has a line of its own;
    cenc it does not play at all.
    """
    return scheme is Scheme.CBCS and System.CLEARKEY in systems and System.FAIRPLAY not in systems


def headers(
    label: str, keys: Mapping[str, ContentKey], scheme: Scheme, systems: frozenset[System], playready_la_url: str = ""
) -> dict[System, bytes]:
    """The PSSH boxes of tracks with the key `label`, where `keys` are all keys of the set, or of one key period.

    Widevine's and the common one name every key, so that one licence request brings them all and a player that climbs
    the ladder need not ask again. PlayReady's names the track's own key only: with cenc that is the header that every
    client reads.
    """
    key_ids = sorted(key.key_id for key in keys.values())
    own = keys[label]
    make = {
        System.COMMON: lambda: pssh.common(key_ids),
        System.WIDEVINE: lambda: pssh.widevine(key_ids, scheme.value),
        System.PLAYREADY: lambda: pssh.playready(
            [own.key_id], scheme.value, keys={own.key_id: own.key}, la_url=playready_la_url
        ),
    }
    return {system: make[system]() for system in boxed(systems)}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
