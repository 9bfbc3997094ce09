"""Certificates for tests: one install's for the whole session, and others that are wrong in one way each."""

from __future__ import annotations

import functools
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from services.kit.callers import everyone
from services.kit.tls import Certificates
from tools.reelmesh_cli.supervisor.certificates import certificate_folder, renew, trust_domain

# Services that tests play, or that tests call.
_PLAYED = ("far", "near", "stranger")


def made_in(secrets: Path, *more: str, now: datetime | None = None) -> None:
    """Makes the certificates of every service, of some that only tests know, and of `more`, in an install's folder of secrets."""
    renew(secrets, sorted({*everyone(), *_PLAYED, *more}), now or datetime.now(UTC))


@functools.cache
def session_secrets() -> Path:
    """Secrets of one install, for tests that need no more of it than certificates. Its files go with the machine's temporary ones."""
    secrets = Path(tempfile.mkdtemp(prefix="reelmesh-certificates-"))
    made_in(secrets)
    return secrets


def certificates_of(service: str, secrets: Path | None = None) -> Certificates:
    """What a service shows; of the session's install when none is named."""
    return Certificates(certificate_folder(secrets or session_secrets(), service), look_seconds=0)


def folder_of(service: str, secrets: Path | None = None) -> Path:
    """Where the certificate of a service lies; of the session's install when none is named."""
    return certificate_folder(secrets or session_secrets(), service)


def domain(secrets: Path | None = None) -> str:
    """Trust domain of an install; of the session's when none is named."""
    return trust_domain(secrets or session_secrets())
