"""What can be set about licence servers of the operator's, and what follows from it.

Secrets are read from files in `secrets_dir`: `widevine_signing_key`, `widevine_signing_iv`, `playready_signing_key.pem`, `playready_secret`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from services.drm.playready.licensing import PlayReady
from services.drm.playready.statement import SECRET_BYTES, Stater
from services.drm.upstream.client import Limits, Upstream
from services.drm.widevine.licensing import Widevine
from services.drm.widevine.signing import IV_BYTES, KEY_BYTES, Padding, Signer
from services.kit.clock import Clock
from services.kit.settings import ProcessSettings

_HERE: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class UnusableSecret(ValueError):
    """A secret file does not hold what it must. It is not said what it holds."""


def _address(url: str) -> str:
    if not url:
        return url
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _HERE):
        raise ValueError("keys go there, so it must begin with https:// (http:// on this machine only)")
    if not parts.hostname or "@" in parts.netloc or parts.fragment:
        raise ValueError("it must be the URL of a server, without a name, a password or a fragment in it")
    return url


Address = Annotated[str, AfterValidator(_address)]


class UpstreamSettings(ProcessSettings):
    """Which licence servers there are. Without one its key system is not offered."""

    drm_widevine_url: Address = Field(
        default="",
        description="Widevine's licence service, such as `https://license.widevine.com/cenc/getlicense`; the provider is added to it. Empty: Widevine is not offered.",
    )
    drm_widevine_provider: str = Field(
        default="",
        pattern="^[A-Za-z0-9_.-]{0,64}$",
        description="Name of the operator's account there. Its key and IV, as Google gives them out in hex, are in `widevine_signing_key` and `widevine_signing_iv`.",
    )
    drm_widevine_padding: Padding = Field(
        default="pkcs7", description="How the signed digest is filled up, `pkcs7` or `zero`; the service takes both."
    )
    drm_playready_url: Address = Field(
        default="",
        description="The operator's own PlayReady licence server. `playready_signing_key.pem` signs what it is told, `playready_secret` (32 bytes, or their hex) encrypts it. Empty: PlayReady is not offered.",
    )
    drm_upstream_ca_file: Path | None = Field(
        default=None, description="PEM file of authorities that vouch for these servers. None: the system's."
    )
    drm_upstream_connect_seconds: float = Field(
        default=2, gt=0, le=30, description="Seconds until a connection to a licence server stands."
    )
    drm_upstream_seconds: float = Field(
        default=5, gt=0, le=30, description="Seconds that a licence server may take in all, a second try included."
    )
    drm_upstream_connections: int = Field(
        default=64, ge=1, le=1000, description="Connections to each licence server at the same time."
    )

    def widevine(self, clock: Clock) -> tuple[Widevine, Upstream] | None:
        """Widevine's service; None when none is named.

        Raises:
            FileNotFoundError, UnusableSecret: a secret is missing, or not one.
        """
        if not self.drm_widevine_url:
            return None
        if not self.drm_widevine_provider:
            raise ValueError("drm_widevine_provider must name the operator's account, since drm_widevine_url is set")
        key, iv = self._secret("widevine_signing_key", KEY_BYTES), self._secret("widevine_signing_iv", IV_BYTES)
        url = f"{self.drm_widevine_url.rstrip('/')}/{self.drm_widevine_provider}"
        upstream = self.upstream("widevine", url, clock)
        return Widevine(
            upstream, Signer(self.drm_widevine_provider, key, iv, self.drm_widevine_padding), clock
        ), upstream

    def playready(self, clock: Clock) -> tuple[PlayReady, Upstream] | None:
        """The PlayReady licence server; None when none is named.

        Raises:
            FileNotFoundError, UnusableSecret: as above.
        """
        if not self.drm_playready_url:
            return None
        secret = self._secret("playready_secret", SECRET_BYTES)
        try:
            stater = Stater(self.secret("playready_signing_key.pem"), secret, self.drm_playready_url)
        except ValueError:
            raise UnusableSecret("playready_signing_key.pem must hold a private key on P-256 in PEM") from None
        upstream = self.upstream("playready", self.drm_playready_url, clock)
        return PlayReady(upstream, stater, clock), upstream

    def upstream(self, name: str, url: str, clock: Clock) -> Upstream:
        """A server that is asked as all of them are."""
        limits = Limits(
            connect=self.drm_upstream_connect_seconds,
            whole=self.drm_upstream_seconds,
            connections=self.drm_upstream_connections,
        )
        return Upstream(name, url, clock, limits=limits, ca_file=self.drm_upstream_ca_file)

    def _secret(self, name: str, size: int) -> bytes:
        """A secret of so many bytes, as they are or in hex."""
        content = self.secret(name)
        if len(content) == size:
            return content
        try:
            found = bytes.fromhex(content.decode("ascii"))
        except ValueError:
            found = b""
        if len(found) != size:
            raise UnusableSecret(f"{name} must hold {size} bytes, or {2 * size} hex digits")
        return found
