"""Looks whether a finished set signals each of its keys to each of its protection systems, and to no other.

It reads what players read: the PSSH boxes of the init segments, the descriptors of the MPD, the key lines of the
playlists. What it finds it compares with the keys that `verification` measured in the track's own boxes.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from lxml import etree

from services.kit import pssh
from services.kit.pssh import PsshError
from services.packaging import manifest, playlists
from services.packaging.protection import NATIVE_PATH, has_native_playlists
from services.packaging.tracks import Measured, Scheme, System, UsedKey, init_name
from services.packaging.verification import Unsound

_SYSTEMS: Final = {
    pssh.COMMON.bytes: System.COMMON,
    pssh.WIDEVINE.bytes: System.WIDEVINE,
    pssh.PLAYREADY.bytes: System.PLAYREADY,
}
_DESCRIBED: Final = {
    "urn:uuid:e2719d58-a985-b3c9-781a-b030af78d30e": System.CLEARKEY,
    "urn:uuid:1077efec-c0b2-4d02-ace3-3c1e52e2fb4b": System.COMMON,
    "urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed": System.WIDEVINE,
    "urn:uuid:9a04f079-9840-4286-ab92-e65be0885f95": System.PLAYREADY,
}
_FORMATS: Final = {
    "org.w3.clearkey": System.CLEARKEY,
    "urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed": System.WIDEVINE,
    "com.microsoft.playready": System.PLAYREADY,
    "com.apple.streamingkeydelivery": System.FAIRPLAY,
}
_MP4_PROTECTION: Final = "urn:mpeg:dash:mp4protection:2011"
_PSSH: Final = "{urn:mpeg:cenc:2013}pssh"
_PRO: Final = "{urn:microsoft:playready}pro"
_DATA: Final = re.compile(r"data:text/plain(?:;charset=UTF-16)?;base64,([A-Za-z0-9+/=]+)")
_KEY_WAY: Final = re.compile(r"(?:\.\./)*key/([0-9a-f]{32})")


def check_signals(
    root: Path, dash_path: str, hls_path: str, tracks: Sequence[Measured], *, scheme: Scheme, systems: frozenset[System]
) -> None:
    """Checks a set against what it was to be.

    Args:
        root: folder of the package.
        dash_path: the MPD below it.
        hls_path: the multivariant playlist below it.
        tracks: as measured, with the keys that they are encrypted with.
        scheme: that was asked for.
        systems: that were asked for.

    Raises:
        Unsound: a key is signalled to none of its players, or wrongly, or to a system that was not asked for.
    """
    systems = frozenset() if scheme is Scheme.NONE else systems
    try:
        for track in tracks:
            _check_boxes(track, tracks, systems)
        _check_mpd((root / dash_path).read_bytes(), tracks, scheme, systems)
        master = (root / hls_path).read_text()
        _check_playlists(root, master, tracks, scheme, systems)
        _check_session_keys(master, tracks, systems)
        if has_native_playlists(scheme, systems):
            _check_playlists(root, (root / NATIVE_PATH).read_text(), tracks, scheme, frozenset())
    except (PsshError, manifest.ManifestError, playlists.PlaylistError, OSError, ValueError) as error:
        raise Unsound(f"what is signalled cannot be read: {error}") from error


def _check_boxes(track: Measured, tracks: Sequence[Measured], systems: frozenset[System]) -> None:
    wanted = systems - {System.CLEARKEY, System.FAIRPLAY} | ({System.COMMON} if System.CLEARKEY in systems else set())
    for period, key in enumerate(track.keys):
        where = f"{track.folder}/{init_name(period + 1)}"
        found = pssh.read_pssh(key.headers)
        _check_systems(where, [_SYSTEMS.get(box.system) for box in found], wanted)
        for box in found:
            _check_key_ids(where, box, key.key_id, {other.keys[period].key_id for other in _lasting(tracks, period)})


def _lasting(tracks: Sequence[Measured], period: int) -> list[Measured]:
    """The tracks that last into a key period, counted from 0."""
    return [track for track in tracks if len(track.keys) > period]


def _check_key_ids(where: str, box: pssh.Pssh, key_id: str, used: set[str]) -> None:
    named = {named.hex() for named in box.named_key_ids()}
    if key_id not in named:
        raise Unsound(f"{where} does not name key {key_id} to {_SYSTEMS[box.system].value}")
    if strange := named - used:
        raise Unsound(f"{where} names key {min(strange)}, which nothing is encrypted with")


def _check_mpd(document: bytes, tracks: Sequence[Measured], scheme: Scheme, systems: frozenset[System]) -> None:
    left_out = {System.FAIRPLAY} | ({System.COMMON} if System.CLEARKEY in systems else set())
    for number, period in enumerate(manifest.parse(document).iter(f"{{{manifest.MPD}}}Period")):
        by_folder = {track.folder: track for track in _lasting(tracks, number)} or {t.folder: t for t in tracks}
        for adaptation_set in period.iter(f"{{{manifest.MPD}}}AdaptationSet"):
            here = [by_folder[folder] for folder in manifest.folders(adaptation_set) if folder in by_folder]
            if here:
                where = f"the MPD for {here[0].folder}"
                _check_set(
                    where, adaptation_set, {track.key_id_in(number) for track in here}, scheme, systems - left_out
                )
                for element in adaptation_set.findall(f"{{{manifest.MPD}}}ContentProtection"):
                    if element.get("schemeIdUri") != _MP4_PROTECTION:
                        used = {track.key_id_in(number) for track in _lasting(tracks, number)}
                        _check_descriptor(where, element, here[0].key_id_in(number), used)


def _check_set(
    where: str, adaptation_set: etree._Element, key_ids: set[str], scheme: Scheme, systems: frozenset[System]
) -> None:
    if len(key_ids) != 1:
        raise Unsound(f"{where} puts tracks of several keys into one set, which has room for one")
    protections = list(adaptation_set.findall(f"{{{manifest.MPD}}}ContentProtection"))
    schemes = [element.get("value") for element in protections if element.get("schemeIdUri") == _MP4_PROTECTION]
    if schemes != ([] if scheme is Scheme.NONE else [scheme.value]):
        raise Unsound(f"{where} says scheme {schemes} instead of {scheme.value}")
    others = [element.get("schemeIdUri", "").lower() for element in protections]
    _check_systems(where, [_DESCRIBED.get(name) for name in others if name != _MP4_PROTECTION], systems)


def _check_descriptor(where: str, element: etree._Element, key_id: str, used: set[str]) -> None:
    system = _DESCRIBED[element.get("schemeIdUri", "").lower()]
    text = element.findtext(_PSSH)
    if (text is None) != (system is System.CLEARKEY):
        raise Unsound(f"{where} has {'no' if text is None else 'a'} PSSH for {system.value}")
    boxes = () if text is None else pssh.read_pssh(_decoded(text))
    if [_SYSTEMS.get(box.system) for box in boxes] != ([] if text is None else [system]):
        raise Unsound(f"{where} has the PSSH of another system for {system.value}")
    for box in boxes:
        _check_key_ids(where, box, key_id, used)
        if system is System.PLAYREADY and _decoded(element.findtext(_PRO) or "") != box.data:
            raise Unsound(f"{where} has a PlayReady object that is not that of its PSSH")


def _check_playlists(
    root: Path, master: str, tracks: Sequence[Measured], scheme: Scheme, systems: frozenset[System]
) -> None:
    """The media playlists of a multivariant one; those of Apple's player have their own key line and no system's."""
    track_of = {track.folder: track for track in tracks}
    for uri in playlists.uris(master):
        if uri.endswith(".m3u8") and (found := track_of.get(str(PurePosixPath(uri).parent))) is not None:
            _check_playlist(uri, (root / uri).read_text(), found, scheme, systems)


def _check_playlist(path: str, text: str, track: Measured, scheme: Scheme, systems: frozenset[System]) -> None:
    """The lines of each key stand before its first segment, so that nothing of it is taken to be in the clear."""
    found: dict[int, list[str]] = {}
    inits: list[str] = []
    waiting: list[str] = []
    for line in text.splitlines():
        if line.startswith("#EXT-X-MAP:"):
            inits.append(_plain(playlists.attributes(line), "URI"))
        elif line.startswith("#EXT-X-KEY:"):
            waiting.append(line)
        elif not line.startswith("#") and waiting:
            found[int(PurePosixPath(line).stem)], waiting = waiting, []
    if set(found) != {key.first_segment for key in track.keys}:
        raise Unsound(f"{path} changes its keys at {sorted(found)}, which is not where its segments do")
    if inits != [init_name(period) for period in range(1, max(len(track.keys), 1) + 1)]:
        raise Unsound(f"{path} names the init segments {', '.join(inits) or 'none'}")
    for key in track.keys:
        _check_lines(path, found[key.first_segment], key, scheme, systems)


def _check_lines(path: str, lines: Sequence[str], key: UsedKey, scheme: Scheme, systems: frozenset[System]) -> None:
    keys = [playlists.attributes(line) for line in lines]
    ends = [index for index, said in enumerate(keys) if said == {"METHOD": "NONE"}]
    clearkey = System.CLEARKEY in systems
    identity = clearkey or not systems
    if ends != ([0, 2] if clearkey and scheme is Scheme.CBCS else []):
        raise Unsound(f"{path} turns encryption off where it should not, or does not where it must for hls.js")
    keys = [said for index, said in enumerate(keys) if index not in ends]
    formats = [_plain(said, "KEYFORMAT") or "identity" for said in keys]
    if formats.count("identity") != identity or (identity and formats[0] != "identity"):
        raise Unsound(f'{path} does not begin with a key of KEYFORMAT "identity", the only one that Shaka Player knows')
    named = [_FORMATS.get(name) for name in formats if name != "identity"]
    _check_systems(path, named, systems - {System.COMMON})
    for said in keys:
        _check_key_line(path, said, key, scheme)


def _check_key_line(path: str, said: dict[str, str], key: UsedKey, scheme: Scheme) -> None:
    method = {Scheme.CBCS: "SAMPLE-AES", Scheme.CENC: "SAMPLE-AES-CTR"}[scheme]
    if said.get("METHOD") != method:
        raise Unsound(f"{path} says METHOD={said.get('METHOD')} where {scheme.value} is {method}")
    if said.get("IV", "") != (f"0x{key.constant_iv}" if key.constant_iv else ""):
        raise Unsound(f"{path} gives another IV than its track has")
    if said.get("KEYID", f"0x{key.key_id}") != f"0x{key.key_id}" or key.key_id not in _named(said):
        raise Unsound(f"{path} does not name key {key.key_id} to {_plain(said, 'KEYFORMAT')}")


def _check_session_keys(master: str, tracks: Sequence[Measured], systems: frozenset[System]) -> None:
    """Every key of the first period to every licensed system, or none to any: see `KeySignal.session_lines`."""
    found = [playlists.attributes(line) for line in master.splitlines() if line.startswith("#EXT-X-SESSION-KEY:")]
    said = {(_FORMATS.get(_plain(key, "KEYFORMAT")), key_id) for key in found for key_id in _named(key)}
    if System.CLEARKEY in systems:
        if said:
            raise Unsound("the multivariant playlist has session keys beside ClearKey, which players trip over")
        return
    wanted = {(system, track.key_id) for system in systems - {System.COMMON} for track in tracks}
    if said != wanted:
        raise Unsound("the multivariant playlist does not have one session key for each key and system")


def _named(key: dict[str, str]) -> set[str]:
    """The key ids that a key line leads to, as hex digits."""
    uri = _plain(key, "URI")
    if (way := _KEY_WAY.fullmatch(uri)) is not None:
        return {way[1]}
    if uri.startswith("skd://"):
        return {uri.removeprefix("skd://")}
    if (data := _DATA.fullmatch(uri)) is None:
        return set()
    content = _decoded(data[1])
    if _plain(key, "KEYFORMAT") == "com.microsoft.playready":
        return {key_id.hex() for key_id in pssh.playready_key_ids(content)}
    return {key_id.hex() for box in pssh.read_pssh(content) for key_id in box.named_key_ids()}


def _check_systems(where: str, found: Sequence[System | None], wanted: frozenset[System]) -> None:
    if None in found or len(set(found)) != len(found) or set(found) != wanted:
        said = ", ".join(sorted("an unknown one" if system is None else system.value for system in found)) or "none"
        raise Unsound(f"{where} signals {said} instead of {', '.join(sorted(wanted)) or 'none'}")


def _plain(key: dict[str, str], name: str) -> str:
    return key.get(name, "").strip('"')


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise PsshError("a header is no base64") from error
