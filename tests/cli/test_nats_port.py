"""Where NATS listens."""

from __future__ import annotations

import socket
from pathlib import Path

from tools.reelmesh_cli.supervisor import nats_server
from tools.reelmesh_cli.supervisor.layout import Layout


def prepared(data: Path) -> Layout:
    layout = Layout.of(data)
    layout.prepare()
    return layout


def test_the_port_is_none_that_somebody_may_get_who_asks_for_any(tmp_path: Path) -> None:
    """Nobody takes it while the server is started again, and no client that comes back too early is connected to itself."""
    first, *_ = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    for number in range(20):
        assert nats_server.choose_port(prepared(tmp_path / str(number))) < first


def test_the_port_stays_the_same_unless_it_is_taken(tmp_path: Path) -> None:
    layout = prepared(tmp_path / "data")
    port = nats_server.choose_port(layout)
    assert nats_server.choose_port(layout) == port
    with socket.socket() as taken:
        taken.bind((nats_server.HOST, port))
        taken.listen()
        other = nats_server.choose_port(layout)
    assert other != port
    assert nats_server.choose_port(layout) == other
