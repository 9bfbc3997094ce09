"""Claim `catnip`: IP addresses and networks from which a token may be used.

Addresses and prefixes are tagged 52 (IPv4) and 54 (IPv6): a byte string, or prefix length and the bytes of the prefix without its trailing
zeros (RFC 9164 §3). Numbers are autonomous systems, which nobody here can tell from an address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

import cbor2

from services.policy.cat.matching import Unsupported

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
_VERSIONS: Final = {52: (4, 32), 54: (6, 128)}
_MOST: Final = 64


def network_of(text: str) -> Network:
    """Reads an address, or a network in CIDR form.

    Raises:
        ValueError: it is neither, or has bits beyond its prefix.
    """
    if "%" in text:
        raise ValueError("an address with a zone is good on one machine only")
    return ipaddress.ip_network(text)


def within(address: str, networks: Iterable[Network]) -> bool:
    """Tells whether an address is in one of the networks. An IPv4 address mapped into IPv6 (RFC 4291 §2.5.5.2) is one of IPv4."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        if found.scope_id is not None:  # good on one machine only
            return False
        found = found.ipv4_mapped or found
    return any(found in network for network in networks if network.version == found.version)


def read(value: Any) -> tuple[Network, ...]:
    """Reads the claim. Autonomous systems are left out: whoever is in one of them only is refused, since nobody can tell.

    Raises:
        Unsupported: it is malformed, or names autonomous systems only.
    """
    if not isinstance(value, list | tuple) or not 0 < len(value) <= _MOST:
        raise Unsupported("not a list of addresses")
    found = [_one(item) for item in value if type(item) is not int]
    if not found:
        raise Unsupported("autonomous systems cannot be told here")
    return tuple(found)


def written(networks: Iterable[Network]) -> list[cbor2.CBORTag]:
    """The claim."""
    return [_tagged(network) for network in networks]


def _tagged(network: Network) -> cbor2.CBORTag:
    tag, packed = (52 if network.version == 4 else 54), network.network_address.packed
    if network.prefixlen == network.max_prefixlen:
        return cbor2.CBORTag(tag, packed)
    return cbor2.CBORTag(tag, [network.prefixlen, packed.rstrip(b"\0")])


def _one(item: Any) -> Network:
    if not isinstance(item, cbor2.CBORTag) or item.tag not in _VERSIONS:
        raise Unsupported("not an address")
    version, bits = _VERSIONS[item.tag]
    length, packed = bits, item.value
    if isinstance(packed, Sequence) and not isinstance(packed, str | bytes):
        if len(packed) != 2 or type(packed[0]) is not int or not 0 <= packed[0] <= bits:
            raise Unsupported("not a prefix")
        length, packed = packed
    elif not isinstance(packed, bytes) or len(packed) != bits // 8:
        raise Unsupported("not an address")
    if not isinstance(packed, bytes) or len(packed) > bits // 8:
        raise Unsupported("not a prefix")
    kind: type[Any] = ipaddress.IPv4Network if version == 4 else ipaddress.IPv6Network
    try:
        found: Network = kind((packed.ljust(bits // 8, b"\0"), length))
    except ValueError as error:
        raise Unsupported("bits beyond the prefix") from error
    return found
