"""Roles and what they permit: the built-in ones, and the permissions that there are at all."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final

import grpc
import reelmesh
import yaml
from google.protobuf.descriptor import FileDescriptor
from reelmesh.rpc.v1 import access_pb2

from services.identity.refusals import etag_mismatch, field_not_updatable, invalid_field, refusal
from services.kit.errors import Refusal

ADMIN: Final = "admin"
VIEWER: Final = "viewer"
EVERYTHING: Final = "*"
_UPDATABLE: Final = ("display_name", "permissions")
_LONGEST_NAME: Final = 100
_MOST_PERMISSIONS: Final = 200
_FILE: Final = Path(__file__).with_name("built_in_roles.yaml")


@dataclass(frozen=True, slots=True)
class Role:
    """A named set of permissions.

    Attributes:
        role_id: name of a built-in role, or `rol_…`.
        organisation_id: whose it is; empty for built-in ones.
        display_name: name to show.
        permissions: what its holders may do; `*` is everything.
        version: counts changes; 0 for built-in ones.
    """

    role_id: str
    organisation_id: str
    display_name: str
    permissions: tuple[str, ...]
    version: int = 0

    @property
    def etag(self) -> str:
        """Version as the contract shows it; empty for built-in ones."""
        return str(self.version) if self.version else ""

    def changed(self, paths: Sequence[str], etag: str, display_name: str, permissions: Sequence[str]) -> Role:
        """The role with another name or other permissions, for whoever last saw it in this state.

        Raises:
            Refusal: ABORTED `ETAG_MISMATCH`, INVALID_ARGUMENT `FIELD_NOT_UPDATABLE`, `REQUEST_INVALID` or `PERMISSION_UNKNOWN`.
        """
        if etag and etag != self.etag:
            raise etag_mismatch("the role", self.etag)
        for path in paths:
            if path not in _UPDATABLE:
                raise field_not_updatable(path, ", ".join(_UPDATABLE))
        after = replace(self, version=self.version + 1)
        if "display_name" in paths:
            after = replace(after, display_name=checked_name("role.display_name", display_name))
        if "permissions" in paths:
            if not 1 <= len(permissions) <= _MOST_PERMISSIONS:
                raise invalid_field("role.permissions", f"a role has 1 to {_MOST_PERMISSIONS} permissions")
            check_known(permissions)
            after = replace(after, permissions=tuple(sorted(set(permissions))))
        return after


@cache
def built_in() -> Mapping[str, Role]:
    """The built-in roles by id."""
    described = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return {
        role_id: Role(role_id, "", role["display_name"], tuple(role["permissions"]))
        for role_id, role in described.items()
    }


@cache
def methods_by_permission() -> Mapping[str, tuple[str, ...]]:
    """Every permission that a contract declares, with the full names of the methods that ask for it; both in order of name."""
    found: dict[str, list[str]] = {}
    for file in _contracts():
        for service in file.services_by_name.values():
            for method in service.methods:
                permission = method.GetOptions().Extensions[access_pb2.access].permission
                if permission:
                    found.setdefault(permission, []).append(method.full_name)
    return {permission: tuple(sorted(set(methods))) for permission, methods in sorted(found.items())}


def _contracts() -> Iterable[FileDescriptor]:
    """Every contract that there is, whether this service uses it or not."""
    for root in map(Path, reelmesh.__path__):
        for file in sorted(root.rglob("*_service_pb2.py")):
            name = ".".join(("reelmesh", *file.relative_to(root).with_suffix("").parts))
            yield importlib.import_module(name).DESCRIPTOR


def granted(roles: Iterable[Role]) -> frozenset[str]:
    """What the holder of these roles may do, spelt out."""
    permissions = {permission for role in roles for permission in role.permissions}
    if EVERYTHING in permissions:
        return frozenset(methods_by_permission())
    # A role may outlive a permission that it names.
    return frozenset(permissions & methods_by_permission().keys())


def checked_name(field: str, text: str) -> str:
    """A name to show.

    Raises:
        Refusal: INVALID_ARGUMENT `REQUEST_INVALID`.
    """
    if not 1 <= len(text) <= _LONGEST_NAME:
        raise invalid_field(field, f"a name has 1 to {_LONGEST_NAME} characters")
    return text


def check_known(permissions: Iterable[str]) -> None:
    """Refuses permissions that no contract declares.

    Raises:
        Refusal: INVALID_ARGUMENT `PERMISSION_UNKNOWN`.
    """
    for permission in permissions:
        if permission not in methods_by_permission():
            raise refusal(
                grpc.StatusCode.INVALID_ARGUMENT,
                "PERMISSION_UNKNOWN",
                f"no method asks for the permission {permission!r}; ListPermissions has all that there are",
                permission=permission,
            )


def permission_not_held(permission: str) -> Refusal:
    """Nobody can give, or take from others, what they do not have."""
    return refusal(
        grpc.StatusCode.PERMISSION_DENIED,
        "PERMISSION_NOT_HELD",
        f"the permission {permission!r} is not yours to give or to take, because you do not have it yourself",
        permission=permission,
    )
