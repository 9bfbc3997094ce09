"""Envoy and the services behind it: each knows the other by its certificate, while certificates come and go."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from services.kit.tls import read_identity
from tests.envoy.edge import Edge, running_edge
from tests.envoy.parts import ASSET, PACKAGE, TICKET
from tests.support.certificates import folder_of, made_in
from tools.reelmesh_cli.supervisor.certificates import LIFETIME, OVERLAP, replace_authority

CALL = f"/v1/assets/{ASSET}"
JUDGED = f"/p/{TICKET}/{PACKAGE}/manifest.mpd"
NEARLY_OVER = -LIFETIME + timedelta(minutes=10)


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    """An edge of an install whose certificates are nearly over, so that there is something to renew."""
    secrets = Path(tempfile.mkdtemp(prefix="edge-secrets-"))
    made_in(secrets, now=datetime.now(UTC) + NEARLY_OVER)
    try:
        async with running_edge(secrets) as running:
            yield running
    finally:
        shutil.rmtree(secrets)


async def called(edge: Edge) -> None:
    """One call each to a service, to the gateway, and to the authoriser. None may fail."""
    assert (await edge.http.get(CALL)).status_code == 200
    assert (await edge.http.patch("/files/x", content=b"abc")).status_code == 204
    answer = await edge.http.get(f"/p/{TICKET}/{PACKAGE}/manifest.mpd")
    assert answer.status_code == 404, "policy let it pass; there is no such file"


@contextlib.asynccontextmanager
async def under_load(edge: Edge) -> AsyncIterator[None]:
    """Calls without a pause for as long as the block lasts."""
    stop = asyncio.Event()

    async def lane() -> None:
        while not stop.is_set():
            await called(edge)

    lanes = [asyncio.create_task(lane()) for _ in range(2)]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*lanes)


def serial_number(certificate: bytes) -> int:
    return x509.load_pem_x509_certificate(certificate).serial_number


async def connected_anew(edge: Edge, certificate: bytes) -> None:
    """Waits until a service that was restarted is shown a certificate."""
    async with asyncio.timeout(10):
        while edge.parts.authoriser.shown[-1:] != [serial_number(certificate)]:
            await edge.parts.stop("policy")
            await edge.parts.start("policy")
            await asyncio.sleep(0.5)
            await edge.http.get(f"/p/{TICKET}/{PACKAGE}/manifest.mpd")


async def test_renewed_certificates_are_taken_up_without_a_failed_call(edge: Edge) -> None:
    before = read_identity(edge.settings.tls)
    async with under_load(edge):
        await asyncio.sleep(0.3)
        made_in(edge.parts.secrets)
        await asyncio.sleep(0.7)
    after = read_identity(edge.settings.tls)
    assert after.certificate != before.certificate
    await connected_anew(edge, after.certificate)
    await called(edge)


async def test_an_authority_is_replaced_without_a_failed_call(edge: Edge) -> None:
    old = read_identity(edge.settings.tls).trust
    async with under_load(edge):
        now = datetime.now(UTC)
        replace_authority(edge.parts.secrets, now)
        for step in range(4):
            made_in(edge.parts.secrets, now=now + OVERLAP * step)
            await asyncio.sleep(0.3)
    after = read_identity(edge.settings.tls)
    assert old not in after.trust
    await connected_anew(edge, after.certificate)
    await called(edge)


async def test_a_server_with_another_services_certificate_is_not_called(edge: Edge) -> None:
    await called(edge)
    await edge.parts.stop("assets")
    shutil.copytree(folder_of("assets", edge.parts.secrets), folder_of("kept", edge.parts.secrets), symlinks=True)
    shutil.rmtree(folder_of("assets", edge.parts.secrets))
    shutil.copytree(folder_of("drm", edge.parts.secrets), folder_of("assets", edge.parts.secrets), symlinks=True)
    await edge.parts.start("assets")
    seen = len(edge.parts.assets.seen)
    answer = await edge.http.get(CALL)
    assert (answer.status_code, answer.json()["details"][0]["reason"]) == (503, "DEPENDENCY_UNAVAILABLE")
    assert len(edge.parts.assets.seen) == seen


async def test_nor_is_one_of_another_install(edge: Edge, tmp_path: Path) -> None:
    made_in(tmp_path)
    await edge.parts.stop("policy")
    own, edge.parts.secrets = edge.parts.secrets, tmp_path
    await edge.parts.start("policy")
    edge.parts.secrets = own
    edge.parts.authoriser.asked.clear()
    assert (await edge.http.get(JUDGED)).status_code == 503
    assert edge.parts.authoriser.asked == []
