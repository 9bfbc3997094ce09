"""The one list of who may connect to whom, held against the contracts, the code, and the edge."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.kit.callers import FILE, ServerNotListed, callers_of, everyone, listed
from services.limits import rpc as limits
from services.policy import control_plane, edge
from tests.compliance.rights.test_declared import SERVING
from tests.support import certificates
from tools.envoy_config.methods import public_methods
from tools.envoy_config.settings import REPOSITORY
from tools.openapi.contracts import Contracts
from tools.reelmesh_cli.processes import PROCESSES
from tools.reelmesh_cli.supervisor.envoy_server import SERVICE_NAME as ENVOY
from tools.reelmesh_cli.supervisor.mesh import SERVICE_NAME as SUPERVISOR

CODE = REPOSITORY / "services"
PLAIN = {"policy.authorizer", "drm.licences", "upload.tus"}
"""Second servers of services, for our own edge."""
FOREIGN_RULES = {"policy": {**edge.RULES, **control_plane.RULES}, "limits": limits.RULES}
"""Rules of methods of other people's contracts, by the server that has them."""


SERVED_BY = {"rpc": "identity"}
"""Servers of contracts that are no domain's."""
SERVED_BY_MANY = {"reelmesh.rpc.v1.PersonalDataService": SERVING}
"""Contracts that several servers have."""


def grpc_servers() -> set[str]:
    return {spec.name for spec in PROCESSES if spec.health == "grpc" and spec.kind == "python"}


def calls_between_services() -> Iterator[tuple[str, str, Path]]:
    """Each `process.peer("<server>", …)` of the code: who calls, whom, and where it says so; and what the kit calls for every server."""
    for server in grpc_servers():
        if server != "identity":
            yield server, "identity", CODE / "kit/process.py"
    for file in [*CODE.rglob("*.py"), *(REPOSITORY / "gateway").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr="peer", value=ast.Name(id="process")), args=[ast.Constant(value), *_]
                ):
                    # A folder of `services/` or `gateway/` is named as what runs there.
                    yield file.relative_to(REPOSITORY).parts[1], str(value), file


def test_services_that_a_contract_lets_in_are_on_the_servers_list(contracts: Contracts) -> None:
    for method in contracts.methods():
        if "internal" in method.access:
            domain = method.service.split(".")[1]
            servers = SERVED_BY_MANY.get(method.service, (SERVED_BY.get(domain, domain),))
            for server in servers:
                assert set(method.access["internal"]["callers"]) <= callers_of(server).calls, method.name


def test_whoever_recognises_people_is_told_whom_to_trust(contracts: Contracts) -> None:
    """By the identity service, in every method of its contract for that."""
    asking = {server for server in grpc_servers() if server != "identity"}
    methods = [method for method in contracts.methods() if method.service == "reelmesh.rpc.v1.TrustService"]
    assert methods
    for method in methods:
        assert set(method.access["internal"]["callers"]) == asking, method.name


def test_so_are_those_that_foreign_methods_are_for() -> None:
    for server, rules in FOREIGN_RULES.items():
        for method, rule in rules.items():
            assert rule.callers <= callers_of(server).calls, method


def test_every_call_that_the_code_makes_is_on_the_list() -> None:
    made = list(calls_between_services())
    assert {("drm", "policy"), ("packaging", "drm"), ("upload", "upload")} <= {
        (caller, server) for caller, server, _ in made
    }
    for caller, server, file in made:
        assert caller in callers_of(server).calls, f"{file} calls {server}"


def test_nobody_is_listed_who_has_nothing_to_call() -> None:
    made = {(caller, server) for caller, server, _ in calls_between_services()}
    public = {method.domain for method in public_methods(REPOSITORY / "gen/envoy/reelmesh.binpb")} | {
        "oauth",
        "speke",
        "webhooks",
        *PLAIN,
        *FOREIGN_RULES,
    }
    for server, callers in listed().items():
        for caller in callers.calls:
            assert (caller, server) in made or (caller == ENVOY and server in public), f"{caller} on {server}'s list"


def test_everything_that_serves_is_listed() -> None:
    serving = {spec.name for spec in PROCESSES if spec.health in ("grpc", "tls") and spec.kind == "python"}
    assert serving | PLAIN == set(listed())
    assert {ENVOY, SUPERVISOR} <= set(everyone())


def test_the_supervisor_is_for_health_only() -> None:
    for callers in listed().values():
        assert callers.health == {SUPERVISOR}
        assert SUPERVISOR not in callers.calls


def test_a_server_that_is_not_listed_does_not_start() -> None:
    with pytest.raises(ServerNotListed, match=r"callers\.toml does not say who may call nobody"):
        callers_of("nobody")


@pytest.mark.parametrize(
    "content", ["", "health = []\nservers = []", 'health = "all"\n[servers]', "[servers]\na = [1]"]
)
def test_a_list_in_another_form_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "callers.toml"
    file.write_text(content)
    with pytest.raises(ValueError, match="must hold"):
        listed(file)


def test_tests_have_a_certificate_for_everyone_on_it() -> None:
    for service in everyone():
        assert certificates.certificates_of(service).current().service == service
    assert FILE.is_file()
