"""What a player needs to play a package by way of an outside CDN."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from services.policy.cdn.cloudfront import CloudFront
from services.policy.cdn.settings import Cdn
from services.policy.domain import Package


@dataclass(frozen=True, slots=True)
class CdnUrls:
    """URLs that a CDN takes.

    Attributes:
        url_of: URL by path below the package.
        query: makes any URL of the package work.
        cookies: do the same.
        path: of the package at the CDN, with a slash at its end.
        expires: Unix time in seconds.
    """

    url_of: Mapping[str, str]
    query: str
    cookies: Mapping[str, str]
    host: str
    path: str
    expires: int


def signed(cdn: Cdn, package: Package, *, expires: int, network: str = "") -> CdnUrls:
    """Signs a package as a whole: players ask for manifests, playlists and segments by relative URIs, which inherit no query.

    Args:
        cdn: who will check them.
        package: what they lead to.
        expires: Unix time in seconds. Cloudflare's rules say themselves how long a token is good, so theirs are dated back.
        network: IPv4 address or network that they are good for. Only with CloudFront.
    """
    root = f"{cdn.base}/{package.package_id}/"
    files = [
        path for path in (package.hls_path, package.dash_path, package.poster_path, package.thumbnails_path) if path
    ]
    parts = urlsplit(root)
    if isinstance(cdn, CloudFront):
        policy = cdn.policy(f"{root}*", expires, network=network)
        query, cookies = cdn.query(policy), cdn.cookies(policy)
    else:
        token = cdn.token(parts.path, expires - cdn.lifetime)
        query, cookies = f"{cdn.parameter}={token}", {cdn.parameter: token}
    urls = {path: f"{root}{path}?{query}" for path in files}
    return CdnUrls(urls, query, cookies, parts.hostname or "", parts.path, expires)
