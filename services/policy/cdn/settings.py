"""Which outside CDNs there are, and how they are written in the settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from services.policy.cdn.cloudflare import SHORTEST_SECRET, Cloudflare
from services.policy.cdn.cloudfront import CloudFront, Digest, private_key

NAME: Final = re.compile(r"[a-z0-9-]{1,32}")
Cdn: TypeAlias = CloudFront | Cloudflare


class CdnSettings(BaseModel):
    """One CDN."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["cloudfront", "cloudflare"] = Field(description="How it wants URLs signed.")
    host: str = Field(pattern=r"^[a-z0-9.-]{1,253}(:[0-9]{1,5})?$", description="Name by which people reach it.")
    prefix: str = Field(
        default="/published",
        pattern=r"^(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$",
        description="Path below which it has packages.",
    )
    key_file: str = Field(
        pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$", description="File in the folder of secrets: PEM, or the bare secret."
    )
    key_id: str = Field(default="", pattern=r"^[A-Z0-9]*$", description="CloudFront: id of the public key.")
    digest: Digest = Field(default=Digest.SHA1, description="CloudFront: what of a policy is signed.")
    parameter: str = Field(
        default="verify", pattern=r"^[A-Za-z0-9_-]{1,32}$", description="Cloudflare: name of the parameter and cookie."
    )
    url_safe: bool = Field(default=False, description="Cloudflare: whether the rule has the flag `s`.")
    lifetime: int = Field(
        default=3600, ge=60, le=86_400, description="Seconds for which URLs work; with Cloudflare as the rule says."
    )


def cdns(named: Mapping[str, CdnSettings], secret: Callable[[str], bytes]) -> dict[str, tuple[Cdn, CdnSettings]]:
    """The CDNs by name, each with its key, which `secret` reads from its file.

    Raises:
        ValueError: a name or a key cannot be used.
    """
    found: dict[str, tuple[Cdn, CdnSettings]] = {}
    for name, one in named.items():
        if not NAME.fullmatch(name):
            raise ValueError(f"the name of a CDN is of a-z, 0-9 and -: {name!r}")
        found[name] = (_cdn(name, one, secret(one.key_file)), one)
    return found


def _cdn(name: str, one: CdnSettings, content: bytes) -> Cdn:
    base = f"https://{one.host}{one.prefix}"
    if one.kind == "cloudfront":
        if not one.key_id:
            raise ValueError(f"the CDN {name} needs the id of its public key")
        return CloudFront(base, one.key_id, private_key(content), one.digest)
    bare = content.rstrip(b"\r\n")
    if len(bare) < SHORTEST_SECRET:
        raise ValueError(f"the secret of the CDN {name} is shorter than {SHORTEST_SECRET} bytes")
    return Cloudflare(base, bare, one.parameter, one.lifetime, one.url_safe)
