"""Ports of this machine."""

from __future__ import annotations

import random
import socket
from typing import Final

_PORTS: Final = range(12_000, 32_000)
"""Below those that Linux gives to whoever asks for any, or connects to somebody (`net.ipv4.ip_local_port_range`, from 32768 on)."""
_CHANCE: Final = random.SystemRandom()


def free_port() -> int:
    """A port that nobody listens on. Nobody gets it by chance before it is used, however long that takes."""
    while True:
        port = _CHANCE.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
