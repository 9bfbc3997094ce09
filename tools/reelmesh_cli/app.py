"""The `reelmesh` command."""

from __future__ import annotations

import typer

from tools.reelmesh_cli.commands import (
    accounts,
    api_keys,
    audit,
    certificates,
    demo,
    detect,
    doctor,
    entitlements,
    hash_lists,
    holds,
    keys,
    keys_escrow,
    leaks,
    ledger,
    limits,
    logs,
    members,
    mesh,
    messages,
    notices,
    offers,
    organisations,
    overlay,
    payouts,
    plans,
    playback,
    processors,
    promotions,
    records,
    rights,
    status,
    subscriptions,
    upload,
)

app = typer.Typer(
    name="reelmesh",
    help="Runs the video platform on this machine, and speaks to it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("up")(mesh.up)
app.command("down")(mesh.down)
app.command("status")(status.status)
app.command("upload")(upload.upload)
app.command("play")(playback.play)
app.command("revoke")(playback.revoke)
app.command("grant")(entitlements.grant)
app.command("logs")(logs.logs)
app.command("messages")(messages.messages)
app.command("demo")(demo.demo)
app.command("key")(status.key)
app.command("rotate-authority")(certificates.rotate_authority)
app.command("limits")(limits.limits)
app.command("detect")(detect.detect)
app.command("doctor")(doctor.doctor)
app.add_typer(accounts.app, name="account")
app.add_typer(members.app, name="member")
app.add_typer(members.roles, name="role")
app.add_typer(organisations.app, name="organisation")
app.add_typer(api_keys.app, name="api-key")
keys.app.command("escrow")(keys_escrow.escrow)
keys.app.command("recover")(keys_escrow.recover)
app.add_typer(keys.app, name="keys")
app.add_typer(ledger.app, name="ledger")
app.add_typer(notices.app, name="notices")
app.add_typer(payouts.app, name="payouts")
app.add_typer(processors.app, name="processors")
app.add_typer(leaks.app, name="leaks")
app.add_typer(offers.app, name="offers")
app.add_typer(plans.app, name="plans")
app.add_typer(subscriptions.app, name="subscriptions")
app.add_typer(entitlements.app, name="entitlements")
app.add_typer(promotions.app, name="promotions")
app.add_typer(records.app, name="records")
app.add_typer(audit.app, name="audit")
app.add_typer(holds.app, name="holds")
app.add_typer(overlay.app, name="overlay")
app.add_typer(hash_lists.app, name="hash-lists")
app.add_typer(rights.app, name="rights")


def main() -> None:
    """Entry point of the `reelmesh` script."""
    app()


if __name__ == "__main__":
    main()
