"""Which module answers an SPC: ours where the operator has Apple's D function and the SPC is of version 1, else Apple's own server."""

from __future__ import annotations

from services.drm.fairplay.credentials import SETTING_D_FUNCTION, SETTING_SERVER, CredentialFolder, NotConfigured
from services.drm.fairplay.module import KeySecurityModule, OwnModule
from services.drm.fairplay.spc import VERSION, Derive, version_of
from services.drm.fairplay.status import UnknownSpcVersion


class Deployments:
    """What the operator has set up.

    Args:
        derive: the operator's D function; None when there is none.
        server: Apple's server; None when there is none.
    """

    def __init__(self, folder: CredentialFolder, derive: Derive | None, server: KeySecurityModule | None) -> None:
        self._folder = folder
        self._derive = derive
        self._server = server

    @property
    def by_organisation(self) -> bool:
        """Whether any organisation has a deployment of its own."""
        return self._folder.by_organisation

    def certificate(self, organisation_id: str) -> bytes:
        """The application certificate of an organisation, DER.

        Raises:
            NotConfigured: there is none.
        """
        return self._folder.certificate(organisation_id)

    def module(self, organisation_id: str, spc: bytes) -> KeySecurityModule:
        """Who answers an SPC of a player of this organisation.

        Raises:
            NotConfigured: nobody, for want of something of the operator's.
            UnknownSpcVersion: nobody, since SPCs of this version are answered by Apple's server only.
            Malformed: it is no SPC.
        """
        version = version_of(spc)
        if self._derive is not None and version == VERSION:
            return OwnModule(self._folder.credentials(organisation_id), self._derive)
        if self._server is not None:
            return self._server
        if self._derive is None:
            raise NotConfigured(
                SETTING_D_FUNCTION,
                f"no D function is named, nor Apple's server as {SETTING_SERVER}: one of them must be",
            )
        raise UnknownSpcVersion(
            f"the SPC is of version {version}, and is answered by Apple's server only ({SETTING_SERVER})"
        )
