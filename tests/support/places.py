"""Writes a small database of where addresses are, in the form of MaxMind (MaxMind DB file format 2.0), for IPv4."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

_SEPARATOR = b"\0" * 16
_MARKER = b"\xab\xcd\xefMaxMind.com"


def place(country: str, latitude: float, longitude: float) -> dict[str, Any]:
    """A record as GeoIP2 City has it, as far as it is read here."""
    location = {"latitude": latitude, "longitude": longitude, "accuracy_radius": 10}
    return {"country": {"iso_code": country}, "location": location}


def write_places(file: Path, places: Mapping[str, Mapping[str, Any]]) -> Path:
    """Writes a database that knows these networks."""
    nodes: list[list[int | str | None]] = [[None, None]]
    for name in places:
        network = IPv4Network(name)
        at, bits = 0, f"{int(network.network_address):032b}"[: network.prefixlen]
        for bit in bits[:-1]:
            below = nodes[at][int(bit)]
            if not isinstance(below, int):
                nodes.append([None, None])
                below = nodes[at][int(bit)] = len(nodes) - 1
            at = below
        nodes[at][int(bits[-1])] = name
    data, offsets = b"", {}
    for name, record in places.items():
        offsets[name] = len(data)
        data += _packed(record)

    def pointer(below: int | str | None) -> int:
        if isinstance(below, str):
            return len(nodes) + len(_SEPARATOR) + offsets[below]
        return len(nodes) if below is None else below

    tree = b"".join(pointer(below).to_bytes(3, "big") for node in nodes for below in node)
    metadata = {
        "node_count": len(nodes),
        "record_size": 24,
        "ip_version": 4,
        "database_type": "GeoIP2-City",
        "binary_format_major_version": 2,
        "binary_format_minor_version": 0,
        "build_epoch": 1,
        "description": {"en": "for tests"},
        "languages": [],
    }
    file.write_bytes(tree + _SEPARATOR + data + _MARKER + _packed(metadata))
    return file


def _packed(value: object) -> bytes:
    match value:
        case str():
            return _head(2, len(value.encode())) + value.encode()
        case float():
            return _head(3, 8) + struct.pack(">d", value)
        case int():
            return _head(6, 4) + value.to_bytes(4, "big")
        case Mapping():
            return _head(7, len(value)) + b"".join(_packed(key) + _packed(item) for key, item in value.items())
        case list():
            return bytes([len(value), 11 - 7]) + b"".join(_packed(item) for item in value)
    raise TypeError(f"{value!r} has no form here")


def _head(kind: int, size: int) -> bytes:
    return bytes([kind << 5 | size]) if size < 29 else bytes([kind << 5 | 29, size - 29])
