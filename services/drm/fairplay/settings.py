"""What can be set about FairPlay, and what follows from it.

Files that Apple gives to the operator are in `secrets_dir/fairplay`; see `credentials`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from pydantic import Field

from services.drm.fairplay.credentials import CredentialFolder, d_function
from services.drm.fairplay.deployments import Deployments
from services.drm.fairplay.replays import Replays
from services.drm.fairplay.sdk_server import SdkServer
from services.drm.upstream.client import Upstream
from services.drm.upstream.settings import Address, UpstreamSettings
from services.kit.clock import Clock
from services.kit.database import Database

_NAME: Final = "fairplay"


class FairPlaySettings(UpstreamSettings):
    """Which modules answer SPCs. Without one FairPlay is not offered."""

    drm_fairplay_d_function: str = Field(
        default="",
        description="Apple's D function, as `/path/to/file.py:function` or `package.module:function`: R2 and the application secret key (bytes) in, 16 bytes out. Empty: SPCs of version 1 go to Apple's server.",
    )
    drm_fairplay_server_url: Address = Field(
        default="",
        description="Where Apple's server (FairPlay Streaming Server SDK) that the operator runs takes requests. Empty: only SPCs of version 1 are answered.",
    )
    drm_fairplay_spc_hours: float = Field(
        default=24,
        gt=0,
        le=720,
        description="Hours by which the date of an SPC may be off. For as long, an SPC that was answered is remembered, and not answered again.",
    )

    def fairplay(self, clock: Clock) -> tuple[Deployments, Upstream | None]:
        """What the operator has set up.

        Raises:
            NotConfigured: the D function that is named cannot be loaded.
        """
        derive = d_function(self.drm_fairplay_d_function) if self.drm_fairplay_d_function else None
        upstream = self.upstream(_NAME, self.drm_fairplay_server_url, clock) if self.drm_fairplay_server_url else None
        server = None if upstream is None else SdkServer(upstream)
        return Deployments(CredentialFolder(self.secrets_dir), derive, server), upstream

    def replays(self, database: Database, clock: Clock) -> Replays:
        """SPCs that were answered."""
        return Replays(database, clock, good_for=timedelta(hours=self.drm_fairplay_spc_hours))
