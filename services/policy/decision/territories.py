"""Which territory an address is in, by a MaxMind database of the operator's (GeoIP2 City or Country, or one of the same shape)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any, Final

import maxminddb
import structlog

log = structlog.stdlib.get_logger()

_UNKNOWN: Final = None


@dataclass(frozen=True, slots=True)
class Point:
    """A place on the earth.

    Attributes:
        latitude, longitude: in degrees.
        radius_km: how far it may be off.
    """

    latitude: float
    longitude: float
    radius_km: float = 0.0


class Territories:
    """Looks addresses up.

    Args:
        database: the `.mmdb` file. It is read again when it is replaced. None: no territory is ever known.
    """

    def __init__(self, database: Path | None) -> None:
        self._file = database
        self._version: tuple[int, int] = (0, 0)
        self._reader: maxminddb.Reader | None = None
        if database is not None:
            self._open(database)

    def of(self, address: IPv4Address | IPv6Address | None) -> str | None:
        """ISO 3166-2 code, such as `US-TX`; ISO 3166-1 where no subdivision is known; None for an address that is in no territory, as one
        of a private network."""
        found = self._found(address)
        country = found.get("country", {}).get("iso_code") or found.get("registered_country", {}).get("iso_code")
        if not isinstance(country, str):
            return _UNKNOWN
        subdivisions = found.get("subdivisions") or [{}]
        subdivision = subdivisions[0].get("iso_code")
        return f"{country}-{subdivision}" if isinstance(subdivision, str) else country

    def point(self, address: IPv4Address | IPv6Address | None) -> Point | None:
        """Where an address is; None when it is not known, as with a database of countries alone."""
        location = self._found(address).get("location")
        if not isinstance(location, dict):
            return None
        latitude, longitude = location.get("latitude"), location.get("longitude")
        if not isinstance(latitude, int | float) or not isinstance(longitude, int | float):
            return None
        return Point(latitude, longitude, float(location.get("accuracy_radius") or 0))

    def _found(self, address: IPv4Address | IPv6Address | None) -> dict[str, Any]:
        found: Any = None if address is None or self._reader is None else self._reader.get(_unwrapped(address))
        return found if isinstance(found, dict) else {}

    def codes_of(self, address: str) -> frozenset[str]:
        """ISO 3166 codes of the country, and of the subdivision where that is known, of an IP address. Empty when nobody knows."""
        found = self.of(read_address(address))
        return frozenset() if found is None else frozenset({found, found.split("-", 1)[0]})

    def refresh(self) -> None:
        """Opens the file anew if it was replaced. One that cannot be read leaves the earlier one in use."""
        if self._file is None:
            return
        try:
            found = self._file.stat()
            if (found.st_mtime_ns, found.st_size) != self._version:
                self._open(self._file)
        except (OSError, maxminddb.InvalidDatabaseError):
            log.exception("the territory database cannot be read; the earlier one stays in use", file=str(self._file))

    def _open(self, file: Path) -> None:
        found = file.stat()
        # Read whole: a file that is overwritten in place must not change under a look-up.
        self._reader = maxminddb.open_database(str(file), maxminddb.MODE_MEMORY)
        self._version = (found.st_mtime_ns, found.st_size)


def read_address(text: str) -> IPv4Address | IPv6Address | None:
    """An address as text; None for what is none."""
    try:
        return ip_address(text.strip())
    except ValueError:
        return None


def _unwrapped(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped if isinstance(mapped, IPv4Address) else address
