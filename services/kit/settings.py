"""Settings that every process has. They come from the environment (`REELMESH_…`) only, and are refused at start when wrong."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ProcessSettings(BaseSettings):
    """Where a process finds the rest of the mesh."""

    model_config = SettingsConfigDict(env_prefix="REELMESH_", frozen=True, extra="ignore")

    data_dir: Path = Field(default=Path(".reelmesh"), description="Folder for everything that is kept on local disk.")
    run_dir: Path = Field(default=Path(".reelmesh/run"), description="Folder of unix sockets.")
    secrets_dir: Path = Field(default=Path(".reelmesh/secrets"), description="Folder of key files; mode 0700.")
    tls_dir: Path | None = Field(
        default=None,
        description="Folder with one folder for each service that runs here, which holds its certificate `tls.crt`, its key `tls.key`, and `ca.crt`, the authorities that it believes. Renewed files are taken up at once. None: `<secrets_dir>/tls`.",
    )
    listen: str = Field(
        default="", description="`unix:/path` or `host:port` to serve gRPC on. Empty: `<run_dir>/<service>.sock`."
    )
    plain_listen: str = Field(
        default="",
        description="`unix:/path` or `host:port` to serve short requests of HTTP/1.1 on, where a service has some. Empty: `<run_dir>/<server>.sock`.",
    )
    metrics_listen: str = Field(
        default="",
        description="`unix:/path` or `host:port` to serve Prometheus metrics on. Empty: `<run_dir>/<service>.metrics.sock`.",
    )
    peers: dict[str, str] = Field(
        default_factory=dict,
        description="JSON map from service name to gRPC target. A service not named is at `unix:<run_dir>/<name>.sock`.",
    )
    database_host: str = Field(default=".reelmesh/postgres", description="Postgres host, or folder of its unix socket.")
    database_port: int = Field(
        default=5432, ge=1, le=65535, description="Postgres port; also part of the socket's name."
    )
    database_name: str = Field(default="reelmesh", description="Postgres database.")
    database_password_file: Path | None = Field(
        default=None, description="File with the password of the service's role. None: no password."
    )
    database_pool: int = Field(default=4, ge=1, le=100, description="Connections kept open; twice as many under load.")
    database_admin: str = Field(
        default="postgres",
        description="Role that makes the services' roles and schemas; used by `services.kit.migrate` only.",
    )
    nats_url: str = Field(default="nats://127.0.0.1:4222", description="NATS servers, comma-separated.")
    nats_token_file: Path | None = Field(default=None, description="File with the NATS token. None: no token.")
    storage_url: str = Field(
        default="", description="`s3://bucket/prefix` or `file:///folder`. Empty: `<data_dir>/objects`."
    )
    public_url: str = Field(default="http://127.0.0.1:8080", description="Where people reach the edge; used in links.")
    drain_timeout: timedelta = Field(
        default=timedelta(seconds=10), description="How long running calls may take to end when asked to stop."
    )
    log_level: str = Field(
        default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Least severe log line that is written."
    )
    otlp_endpoint: str = Field(default="", description="OTLP gRPC endpoint for traces. Empty: no traces are recorded.")

    def listen_address(self, service: str) -> str:
        """The gRPC address that `service` listens on in this process."""
        return self.listen or f"unix:{self.run_dir.resolve()}/{service}.sock"

    def plain_address(self, server: str) -> str:
        """The HTTP/1.1 address that `server`, as `services/callers.toml` names it, listens on in this process."""
        return self.plain_listen or f"unix:{self.run_dir.resolve()}/{server}.sock"

    def metrics_address(self, service: str) -> str:
        """The address that this process serves its metrics on."""
        return self.metrics_listen or f"unix:{self.run_dir.resolve()}/{service}.metrics.sock"

    def peer(self, service: str) -> str:
        """The gRPC target at which another service is found."""
        return self.peers.get(service) or f"unix:{self.run_dir.resolve()}/{service}.sock"

    def tls_folder(self, service: str) -> Path:
        """Where the certificate of `service` lies."""
        return (self.tls_dir or self.secrets_dir / "tls") / service

    def storage_location(self) -> str:
        """The object store's URL."""
        return self.storage_url or f"file://{self.data_dir.resolve()}/objects"

    def secret(self, name: str) -> bytes:
        """Content of a secret file, byte for byte."""
        return (self.secrets_dir / name).read_bytes()
