"""Ports for programs that must be told theirs before they start."""

from __future__ import annotations

import random
import socket
from typing import Final

_RANGE: Final = range(15_000, 32_000)
"""Below those that the kernel gives to whoever does not ask for one (`net.ipv4.ip_local_port_range`)."""


def free_port() -> int:
    """A port that nobody listens on. As the kernel gives it to nobody, it is still free when the program that is told of it starts.

    Raises:
        RuntimeError: there is none.
    """
    for port in random.SystemRandom().sample(_RANGE, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("a hundred ports are all taken")
