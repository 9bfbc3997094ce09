"""Puts the configuration together."""

from __future__ import annotations

from typing import Final

from services.limits.rules import Written
from tools.envoy_config.credentials import mutual_tls
from tools.envoy_config.limits import asked, flood, guesses, limits_in
from tools.envoy_config.methods import Method, public_methods
from tools.envoy_config.replies import local_replies, of_net
from tools.envoy_config.settings import EdgeSettings
from tools.envoy_config.templates import FOLDER, Block, filled, joined

MIB: Final = 1024 * 1024
BUFFER_BYTES: Final = 256 * 1024
STREAM_WINDOW_BYTES: Final = 512 * 1024
CONNECTION_WINDOW_BYTES: Final = MIB
FILE_THREADS: Final = 2

# A unary call that a client gave no deadline ends here. Completing an upload reads the whole file once more.
UNARY_TIMEOUT: Final = "60s"
TIMEOUTS: Final = {"CompleteUpload": "3600s"}

# How long a new edge waits for `policy` to say who is barred. Then it opens without its warm lane, which comes as soon as it is told.
CONTROL_PLANE_PATIENCE: Final = "3s"

_UNASKED: Final = {
    "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute",
    "disabled": True,
}
_BUFFERED: Final = {
    "@type": "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute",
    "buffer": {"max_request_bytes": MIB},
}
_SWITCHED_ON: Final = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}}
_SWITCHED_OFF: Final = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": True}

# What never reached a service may be sent again, whatever it is; what may be repeated also when the service died or drained
# under it. Together the tries outlast a restart.
_RETRY_UNSENT: Final = {
    "retry_on": "connect-failure,refused-stream,reset-before-request",
    "num_retries": 6,
    "retry_back_off": {"base_interval": "0.05s", "max_interval": "0.5s"},
}
_RETRY_REPEATABLE: Final = {**_RETRY_UNSENT, "retry_on": f"{_RETRY_UNSENT['retry_on']},reset,unavailable"}

_PAGE_RULES: Final = (
    "default-src 'self'",
    # Shaka Player makes its styles while it runs, and plays from blob: URLs.
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "media-src 'self' blob:",
    "worker-src 'self' blob:",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
)

_API_HEADERS: Final = (
    "authorization",
    "content-type",
    "connect-protocol-version",
    "connect-timeout-ms",
    "dpop",
    "grpc-timeout",
    "x-correlation-id",
    "x-grpc-web",
    "x-user-agent",
)
_API_EXPOSED: Final = (
    "grpc-status",
    "grpc-message",
    "grpc-status-details-bin",
    "x-correlation-id",
    "retry-after",
    "ratelimit",
    "ratelimit-policy",
)
_TUS_HEADERS: Final = (
    "authorization",
    "content-type",
    "dpop",
    "tus-resumable",
    "upload-checksum",
    "upload-defer-length",
    "upload-length",
    "upload-metadata",
    "upload-offset",
    "x-correlation-id",
    "x-http-method-override",
    "x-request-id",
    "x-requested-with",
)
_TUS_EXPOSED: Final = (
    "location",
    "ratelimit",
    "ratelimit-policy",
    "reelmesh-asset-id",
    "retry-after",
    "tus-checksum-algorithm",
    "tus-extension",
    "tus-max-size",
    "tus-resumable",
    "tus-version",
    "upload-expires",
    "upload-length",
    "upload-metadata",
    "upload-offset",
    "x-correlation-id",
)
_OAUTH_HEADERS: Final = ("authorization", "content-type", "x-correlation-id")
_OAUTH_EXPOSED: Final = ("www-authenticate", "x-correlation-id")
_PLAYBACK_EXPOSED: Final = (
    "content-length",
    "content-range",
    "x-correlation-id",
    "x-reelmesh-reason",
    "retry-after",
    "cta-common-access-token",
)


def render(settings: EdgeSettings) -> str:
    """Envoy's whole configuration as YAML. It holds no secret.

    Raises:
        FileNotFoundError: the descriptor set is not where the settings say.
    """
    methods = public_methods(settings.descriptors)
    written = limits_in(settings.limits_file)
    clusters = _clusters(settings)
    return filled(
        "bootstrap",
        admin_address=_address(settings.admin),
        listen_address=_address(settings.listen),
        trusted_hops=settings.trusted_hops,
        max_heap_bytes=settings.max_heap_bytes,
        max_connections=settings.max_connections,
        buffer_bytes=BUFFER_BYTES,
        stream_window_bytes=STREAM_WINDOW_BYTES,
        connection_window_bytes=CONNECTION_WINDOW_BYTES,
        access_log=filled("access_log", access_log_path=settings.access_log),
        local_replies=local_replies(
            [of_net(net.status, net.wait_seconds) for net in (flood(written), guesses(written))]
        ),
        http_filters=_filters(settings, methods, written, sorted(clusters)),
        api_cors=_cors(
            [{"exact": origin} for origin in settings.allowed_origins],
            "GET, POST, PUT, PATCH, DELETE",
            _API_HEADERS,
            _API_EXPOSED,
        ),
        routes=_routes(settings, methods, written),
        clusters=joined(list(clusters.values())),
    )


def _filters(settings: EdgeSettings, methods: list[Method], written: Written, clusters: list[str]) -> Block:
    return filled(
        "filters",
        warm_lane=Block("") if settings.strict else _warm_lane(settings),
        throttled=filled("throttled", control_plane=_control_plane()),
        flood=flood(written).filter(),
        limits_patience=_seconds(settings.limits_patience),
        # An edge is ready without `limits`: calls go on when it is away.
        every_cluster_healthy={cluster: {"value": 100} for cluster in clusters if cluster != "limits"},
        edge_lua="".join(_lua(name) for name in (["edge"] if settings.strict else ["ticket", "edge"])),
        answer_lua=_lua("answer"),
        authorizer=_authorizer(settings),
        authorized=_authorized(),
        file_threads=FILE_THREADS,
        descriptors=str(settings.descriptors),
        services=sorted({method.service for method in methods}),
        # A streamed body arrives in parts of up to a connection's buffer and a bit; each becomes a message of the stream.
        max_json_bytes=MIB,
        max_answer_bytes=8 * MIB,
    )


def _routes(settings: EdgeSettings, methods: list[Method], written: Written) -> Block:
    allowed = _allowed(settings)
    playback_cors = _cors(
        [{"safe_regex": {"regex": ".*"}}],
        "GET, HEAD, POST",
        ("content-type", "dpop", "range", "soapaction", "x-correlation-id", "cta-common-access-token"),
        _PLAYBACK_EXPOSED,
    )
    published_files = filled(
        "published_files",
        buffered=_BUFFERED,
        switched_on=_SWITCHED_ON,
        file_threads=FILE_THREADS,
        published=str((settings.objects / "published").resolve()),
        playback_cors=playback_cors,
    )
    return filled(
        "routes",
        playback_cors=playback_cors,
        unasked=_UNASKED,
        untranscoded=_SWITCHED_OFF,
        buffered=_BUFFERED,
        switched_off=_SWITCHED_OFF,
        published_files=published_files,
        playback_route=filled(
            "playback_route",
            published_files=published_files,
            warm_route=Block("")
            if settings.strict
            else filled("warm_route", switched_on=_SWITCHED_ON, switched_off=_SWITCHED_OFF),
            switched_off=_SWITCHED_OFF,
        ),
        rpc_routes=joined([_rpc_route(method, written) for method in methods]),
        limited=filled("limited", switched_on=_SWITCHED_ON),
        tus_asked=asked("gateway.tus/Request"),
        speke_asked=asked("gateway.speke/Request"),
        tus_cors=_cors(allowed, "POST, HEAD, PATCH, DELETE, OPTIONS", _TUS_HEADERS, _TUS_EXPOSED),
        oauth_cors=_cors(allowed, "GET, POST, OPTIONS", _OAUTH_HEADERS, _OAUTH_EXPOSED),
        web_files=_web_files(settings.web.resolve()),
        openapi_files=_web_files(settings.openapi.resolve()),
        audit_files=filled(
            "audit_files",
            unasked=_UNASKED,
            untranscoded=_SWITCHED_OFF,
            file_threads=FILE_THREADS,
            folder=str((settings.objects / "audit").resolve()),
        ),
    )


def _warm_lane(settings: EdgeSettings) -> Block:
    return filled(
        "warm_lane",
        authorizer=_authorizer(settings),
        authorized=_authorized(),
        control_plane=_control_plane(),
    )


def _authorized() -> Block:
    return filled("authorized", authorized_lua=_lua("authorized"))


def _lua(name: str) -> str:
    return (FOLDER / f"{name}.lua").read_text(encoding="utf-8")


def _control_plane() -> dict[str, object]:
    """Where an edge is told what changes while it runs."""
    return {
        "api_config_source": {
            "api_type": "GRPC",
            "transport_api_version": "V3",
            "grpc_services": [
                # Envoy's own patience grows to half a minute, in which it would not hear of a revocation.
                {
                    "envoy_grpc": {
                        "cluster_name": "policy-control",
                        "retry_policy": {"retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}},
                    }
                }
            ],
        },
        "resource_api_version": "V3",
        "initial_fetch_timeout": CONTROL_PLANE_PATIENCE,
    }


def _web_files(folder: object) -> Block:
    return filled(
        "web_files",
        unasked=_UNASKED,
        untranscoded=_SWITCHED_OFF,
        content_security_policy="; ".join(_PAGE_RULES),
        file_threads=FILE_THREADS,
        folder=str(folder),
    )


def _rpc_route(method: Method, written: Written) -> Block:
    return filled(
        "rpc_route",
        name=f"{method.service}/{method.name}",
        path=method.path,
        cluster=method.domain,
        timeout="0s" if method.streams else TIMEOUTS.get(method.name, UNARY_TIMEOUT),
        idle_timeout="0s" if method.streams or method.name in TIMEOUTS else UNARY_TIMEOUT,
        retry_policy=_RETRY_REPEATABLE if method.repeatable and not method.streams else _RETRY_UNSENT,
        rate_limits=asked(method.path.removeprefix("/")),
        unasked=_UNASKED,
        limited=(
            filled("limited_guess", switched_on=_SWITCHED_ON, guesses=guesses(written).filter())
            if written.guesses(method.path.removeprefix("/"))
            else filled("limited", switched_on=_SWITCHED_ON)
        ),
    )


def _allowed(settings: EdgeSettings) -> list[dict[str, object]]:
    return [{"exact": origin} for origin in settings.allowed_origins]


def _cors(origins: list[dict[str, object]], methods: str, headers: tuple[str, ...], exposed: tuple[str, ...]) -> Block:
    return filled("cors", origins=origins, methods=methods, headers=", ".join(headers), exposed=", ".join(exposed))


def _clusters(settings: EdgeSettings) -> dict[str, Block]:
    """Each cluster by its name. `policy-control` is `policy` once more, so that people's calls take nothing from the edge's own."""
    windows = f"{{initial_stream_window_size: {STREAM_WINDOW_BYTES}, initial_connection_window_size: {CONNECTION_WINDOW_BYTES}}}"
    grpc = Block("grpc_health_check: {}"), Block(f"http2_protocol_options: {windows}")
    clusters = {
        name: _cluster(settings, name, address, grpc, mutual_tls(settings, name, "h2"))
        for name, address in settings.services().items()
    }
    clusters["policy-control"] = _cluster(
        settings, "policy-control", settings.policy, grpc, mutual_tls(settings, "policy", "h2")
    )
    clusters["limits"] = _cluster(settings, "limits", settings.limits, grpc, mutual_tls(settings, "limits", "h2"))
    # A connection counts as made only when both have shown their certificates.
    plain = Block("tcp_health_check: {}"), Block("http_protocol_options: {}")
    for name, address in (
        ("policy.authorizer", settings.authorizer),
        ("drm.licences", settings.licences),
        ("upload.tus", settings.tus),
    ):
        secured = mutual_tls(settings, name.partition(".")[0], "http/1.1")
        clusters[name] = _cluster(settings, name, address, plain, secured)
    for name, address in (
        ("oauth", settings.oauth),
        ("speke", settings.speke),
        ("webhooks", settings.webhooks),
    ):
        secured = mutual_tls(settings, name, "http/1.1")
        clusters[f"gateway-{name}"] = _cluster(settings, f"gateway-{name}", address, plain, secured)
    return clusters


def _cluster(
    settings: EdgeSettings, name: str, address: str, spoken: tuple[Block, Block], transport_socket: dict[str, object]
) -> Block:
    """One cluster; `spoken` is how its health is asked for, and its protocol."""
    health_check, protocol = spoken
    return filled(
        "cluster",
        name=name,
        connect_patience=_seconds(settings.connect_patience),
        discovery="STATIC" if address.startswith("unix:") else "STRICT_DNS",
        buffer_bytes=BUFFER_BYTES,
        health_check=health_check,
        protocol=protocol,
        transport_socket=transport_socket,
        address=_address(address),
    )


def _authorizer(settings: EdgeSettings) -> Block:
    return filled("authorizer", patience=_seconds(settings.authorizer_patience))


def _seconds(span: float) -> str:
    return f"{span:.3f}s"


def _address(address: str) -> dict[str, object]:
    if address.startswith("unix:"):
        return {"pipe": {"path": address.removeprefix("unix:")}}
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host.strip("[]"), "port_value": int(port)}}
