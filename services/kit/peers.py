"""Who is on the other side of a connection, by its certificate: judged before anything of a call is looked at."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import grpc

from services.kit.callers import Callers
from services.kit.errors import RPC_DOMAIN, Refusal
from services.kit.tls import Certificates, service_of

_HEALTH: Final = "/grpc.health.v1.Health/"
_SPIFFE_ID: Final = "peer_spiffe_id"


class Peers:
    """The door of one server. That a certificate is good was settled by TLS; here it is whose it is."""

    def __init__(self, certificates: Certificates, callers: Callers) -> None:
        self._trust_domain = certificates.current().trust_domain
        self._callers = callers

    def admitted(self, context: grpc.aio.ServicerContext[Any, Any], method: str) -> str:
        """Tells which service calls.

        Args:
            context: of the call.
            method: its full path.

        Raises:
            Refusal: PERMISSION_DENIED `PERMISSION_MISSING`: the service is not listed.
        """
        # gRPC makes this property of a certificate that carries exactly one URI, and that a SPIFFE ID.
        service = self._listed(
            (str(one, "ascii", "replace") for one in context.auth_context().get(_SPIFFE_ID, ())),
            health=method.startswith(_HEALTH),
        )
        if service is None:
            raise Refusal(
                grpc.StatusCode.PERMISSION_DENIED,
                "PERMISSION_MISSING",
                "the certificate of this connection is of no service that may call here; services/callers.toml lists them",
                domain=RPC_DOMAIN,
                metadata={"callers": ", ".join(sorted(self._callers.calls))},
            )
        return service

    def admits(self, certificate: dict[str, Any] | None) -> bool:
        """The same for servers that are not gRPC's: whether the holder of a certificate, as `SSLObject.getpeercert` describes it, may
        call."""
        names = (certificate or {}).get("subjectAltName", ())
        return self._listed([name for kind, name in names if kind == "URI"], health=False) is not None

    def _listed(self, identifiers: Iterable[str], *, health: bool) -> str | None:
        found = [service_of(identifier, self._trust_domain) for identifier in identifiers]
        if len(found) != 1 or found[0] is None:
            return None
        service = found[0]
        return service if service in self._callers.calls or (health and service in self._callers.health) else None
