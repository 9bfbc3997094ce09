"""Edges that are not ours: a foreign Envoy, or a function of a CDN, that asks with an API key of its own. `docs/edge-authoriser.md` is the contract.

They see packages of their key's organisation only, and may have a prefix of their own before the paths that we know.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from services.kit.access import Principal, Rule
from services.policy import refusals
from services.policy.bearers import EdgeRequest
from services.policy.doors import Doors, Passage

PERMISSION: Final = "edge.check"
_PREFIX: Final = re.compile(r"(?:/[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}){0,4}")


@dataclass(frozen=True, slots=True)
class EnvoyOrPermission(Rule):
    """Lets in our own Envoy, and whoever holds a permission. Another contract's method cannot carry our option, which could say only one."""

    def check(self, principal: Principal | None) -> None:
        """As `Rule.check`; a service of the mesh is let in by its name only."""
        if principal is not None and principal.service:
            Rule(callers=self.callers).check(principal)
        else:
            Rule(permission=self.permission).check(principal)


async def admitted(doors: Doors, request: EdgeRequest, *, organisation_id: str, prefix: str) -> Passage:
    """Judges a request at an edge of an organisation.

    Raises:
        Refusal: as `Doors.pass_through`, and PATH_INVALID for what is not below the prefix or not the organisation's.
    """
    passage = await doors.pass_through(replace(request, path=_below(prefix, request.path)))
    if doors.owner(passage.package_id) != organisation_id:
        raise refusals.path_invalid(f"{passage.package_id} is not published here")
    return passage


def _below(prefix: str, path: str) -> str:
    if not _PREFIX.fullmatch(prefix):
        raise refusals.path_invalid("the edge's prefix is not plain; it is up to four segments such as /video")
    if not path.startswith(f"{prefix}/"):
        raise refusals.path_invalid(f"the address does not begin with {prefix}/")
    return path.removeprefix(prefix)
