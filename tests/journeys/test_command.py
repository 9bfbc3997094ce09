"""What the `reelmesh` command tells people and programs about a mesh that runs."""

from __future__ import annotations

import httpx

from tests.support.counted_films import film
from tests.support.mesh import Mesh

STABLE_FIELDS = {
    "asset_id",
    "package_id",
    "session_id",
    "hls_url",
    "dash_url",
    "licence_url",
    "watch_url",
}


def test_demo_brings_a_clip_all_the_way_in_one_command(whole_mesh: Mesh) -> None:
    shown = whole_mesh.command("demo", str(film()))
    assert set(shown) == STABLE_FIELDS
    assert shown["watch_url"].startswith(f"{whole_mesh.url}/watch/{shown['asset_id']}#code=")


def test_a_refused_call_shows_reason_message_and_correlation_id(whole_mesh: Mesh) -> None:
    unknown = "ast_01j0000000e008000000000000"
    told = whole_mesh.command("play", unknown, check=False)["error"]
    assert told["reason"] == "ASSET_NOT_PLAYABLE"
    assert told["metadata"] == {"asset_id": unknown}
    assert told["message"]
    assert len(told["correlation_id"]) >= 8

    ran = whole_mesh.installation.run("play", unknown)
    assert ran.returncode == 3
    assert ran.stdout == ""
    assert "ASSET_NOT_PLAYABLE" in ran.stderr
    assert "correlation id" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_evidence_is_sent_and_only_kept(whole_mesh: Mesh) -> None:
    sent = whole_mesh.command("upload", str(film(seconds=2, height=144)), "--evidence", "--wait")
    assert (sent["state"], sent["package_id"]) == ("kept", None)


def test_every_process_of_the_mesh_is_in_the_status(whole_mesh: Mesh) -> None:
    told = whole_mesh.command("status")
    assert told["state"] == "ready"
    assert {one["state"] for one in told["processes"]} == {"ready", "done"}
    assert {
        "upload",
        "assets",
        "transcode",
        "packaging",
        "drm",
        "payments",
        "policy",
        "compliance",
        "limits",
        "oauth",
        "speke",
        "envoy",
    } <= {one["name"] for one in told["processes"]}
    assert told["memory_bytes"] < 1.25 * 2**30, "by the sum of the processes, which share much of it"


def test_credentials_of_servers_are_made_and_ended_through_the_edge(whole_mesh: Mesh) -> None:
    assert whole_mesh.command("organisation", "show")["organisation"]["display_name"] == "Home"
    assert "admin" in {role["role_id"] for role in whole_mesh.command("role", "list")["roles"]}
    assert all(member["role_ids"] for member in whole_mesh.command("member", "list")["members"])
    assert all(account["account_id"] for account in whole_mesh.command("account", "list")["accounts"])
    made = whole_mesh.command("api-key", "create", "ingest", "assets.read")
    shown = {"authorization": f"Bearer {made['secret']}"}
    with httpx.Client(base_url=whole_mesh.url, headers=shown, trust_env=False) as server:
        assert server.get("/v1/assets").status_code == 200
        whole_mesh.command("api-key", "revoke", made["api_key"]["key_id"])
        refused = server.get("/v1/assets")
    assert refused.status_code == 401
    assert "CREDENTIAL_INVALID" in refused.text
    assert whole_mesh.command("member", "add", "nobody@example.com", "viewer", check=False)["error"]["reason"] == (
        "EMAIL_UNKNOWN"
    )


def test_limits_are_shown_with_what_they_refused_and_a_wrong_file_is_told(whole_mesh: Mesh) -> None:
    httpx.get(f"{whole_mesh.url}/v1/assets", headers={"authorization": f"Bearer {whole_mesh.key}"}, trust_env=False)
    told = whole_mesh.command("limits")
    shown = {(one["limit"], one["tier"]): one for one in told["limits"]}
    assert shown["per-address", ""]["rate"] == "50 per second"
    assert shown["per-caller", "staff"]["burst"] == 1000
    assert told["counted"]["per-address"]["allowed"] >= 1
    assert told["counted"]["per-caller"]["allowed"] >= 1
    file = whole_mesh.data / "limits.yaml"
    file.write_text("limits: {per-address: {rate: fast}}")
    try:
        refused = whole_mesh.command("limits", check=False)
    finally:
        file.unlink()
    assert "limits.per-address.rate: a rate is written" in refused["error"]["message"]
    assert "per-address" in whole_mesh.installation.run("limits").stdout
