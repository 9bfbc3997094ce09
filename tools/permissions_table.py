"""`docs/permissions.md`: who may call what, from the contracts and the built-in roles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import yaml

from tools.openapi.contracts import Contracts, Method, Service

ROLES_FILE: Final = Path(__file__).resolve().parent.parent / "services/identity/organisations/built_in_roles.yaml"
YES: Final = "✓"
_EVERYTHING: Final = "*"
_HEAD: Final = """\
# Who may call what

`make gen` writes this table from the contracts (`proto/`, the option `(reelmesh.rpc.v1.access)` of each method) and the built-in roles
(`services/identity/organisations/built_in_roles.yaml`); `make check` finds drift, and `tests/contracts/test_access_matrix.py` calls every
method in every role to see that it is so. Organisations make roles of their own from the same permissions.

| asks for | who may call |
|---|---|
| `a.permission` | people and API keys that hold it. No API key holds more than whoever made it did |
| person | any signed-in person, about what is their own. No API key |
| in the request | whoever has the credential that the request itself carries, such as a one-time code; metadata is not looked at |
| public | anybody |
| internal | the named services of the mesh. No person, no API key |
"""


def built_in_roles() -> Mapping[str, frozenset[str]]:
    """Permissions of each built-in role, in the order in which they are written."""
    described = yaml.safe_load(ROLES_FILE.read_text(encoding="utf-8"))
    return {role: frozenset(said["permissions"]) for role, said in described.items()}


def asked(method: Method) -> str:
    """What a method asks of its caller, in the words of the table."""
    ((rule, value),) = method.access.items()
    match rule:
        case "permission":
            return f"`{value}`"
        case "person":
            return "person"
        case "bearer_in_request":
            return "in the request"
        case "public":
            return "public"
        case _:
            return "internal: " + ", ".join(sorted(value["callers"]))


def lets_in(method: Method, permissions: frozenset[str]) -> bool:
    """Whether somebody with these permissions, signed in, may call a method."""
    if permission := method.access.get("permission"):
        return permission in permissions or _EVERYTHING in permissions
    return "internal" not in method.access


def document(contracts: Contracts) -> str:
    """The whole text."""
    return "\n".join([_HEAD, *(line for service in _own(contracts) for line in _section(service))])


def _own(contracts: Contracts) -> Iterator[Service]:
    return (service for _, service in sorted(contracts.services.items()) if service.name.startswith("reelmesh."))


def _section(service: Service) -> Iterator[str]:
    roles = built_in_roles()
    yield f"## {service.name.removeprefix('reelmesh.')}"
    yield ""
    yield f"| method | asks for | {' | '.join(roles)} |"
    yield f"|---|---|{':-:|' * len(roles)}"
    for method in service.methods:
        cells = [YES if lets_in(method, permissions) else "" for permissions in roles.values()]
        yield f"| {method.name} | {asked(method)} | {' | '.join(cells)} |"
    yield ""
