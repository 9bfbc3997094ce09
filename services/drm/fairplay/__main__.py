"""Answers one SPC from files, without a mesh: `python -m services.drm.fairplay ckc|show|open`; `--help` tells what each takes.

For trying a deployment out, and sample pairs of SPC and CKC from elsewhere. It asks no policy, remembers nothing, and needs no database.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Final

from services.drm.fairplay import ckc as ckcs
from services.drm.fairplay import credentials as given
from services.drm.fairplay.conditions import Abilities, CannotEnforce, Conditions, terms_of
from services.drm.fairplay.credentials import NotConfigured
from services.drm.fairplay.spc import Derive, Session, Spc, check_certificate, open_payload, read_container
from services.drm.fairplay.status import KsmError
from services.drm.fairplay.tags import CkcTag, HdcpType, Tag

_HDCP: Final = {"none": HdcpType.NOT_REQUIRED, "0": HdcpType.TYPE_0, "1": HdcpType.TYPE_1}
_NAMES: Final = {int(tag): tag.name for tags in (Tag, CkcTag) for tag in tags}
_KEY_BYTES: Final = 16


class Wrong(Exception):
    """Something on the command line cannot be used."""


def main(words: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns:
        0, or 1 when the SPC gets no answer, or 2 when something on the command line cannot be used.
    """
    arguments = _parser().parse_args(words)
    commands = {"ckc": _ckc, "show": _show, "open": _open}
    try:
        commands[arguments.command](arguments)
    except KsmError as error:
        sys.stderr.write(f"{error.status} {error.kind}: {error}\n")
        return 1
    except CannotEnforce as error:
        sys.stderr.write(f"{error}, which was asked for\n")
        return 1
    except (Wrong, NotConfigured, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services.drm.fairplay", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    about = {
        "ckc": "answers an SPC with a CKC",
        "show": "prints what an SPC says; its secrets only with --secrets",
        "open": "opens the CKC that answers an SPC, and prints what it says, its key included",
    }
    for name, text in about.items():
        command = commands.add_parser(name, help=text, description=text)
        _add_common(command)
        if name == "ckc":
            _add_terms(command)
        elif name == "open":
            command.add_argument("--ckc", type=Path, required=True, help="the CKC, raw or in base64")
        else:
            command.add_argument(
                "--secrets", action="store_true", help="print values of secret TLLVs, session key and R1 too"
            )
    return parser


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--spc", type=Path, required=True, help="the SPC, raw, in base64, or as a form `spc=…`")
    command.add_argument(
        "--credentials",
        type=Path,
        help="folder with certificate.der, private_key.pem, private_key.passphrase and ask, as <secrets>/fairplay; each may be named by itself instead",
    )
    command.add_argument(
        "--certificate", type=Path, help="application certificate, DER or PEM; without one it is not compared"
    )
    command.add_argument("--private-key", type=Path, help="private key of the certificate, PEM or DER")
    command.add_argument("--passphrase-file", type=Path, help="passphrase of the private key")
    command.add_argument("--ask", help="application secret key: 32 hex digits, or a file of them or of 16 bytes")
    command.add_argument(
        "--d-function", help="Apple's D function, as /path/to/file.py:function or package.module:function"
    )
    command.add_argument(
        "--dask", help="what the D function gives for this SPC, 32 hex digits; instead of --ask and --d-function"
    )


def _add_terms(command: argparse.ArgumentParser) -> None:
    command.add_argument("--key", required=True, help="content key, 32 hex digits")
    command.add_argument("--iv", required=True, help="IV of the content, 32 hex digits")
    command.add_argument("--lease", type=int, help="seconds")
    command.add_argument("--rental", type=int, help="seconds; with --persist the time for which the key is kept")
    command.add_argument("--persist", action="store_true", help="the device may keep the key")
    command.add_argument("--hdcp", choices=sorted(_HDCP), help="of outer screens; without it nothing is said")
    command.add_argument("--out", type=Path, required=True, help="file for the CKC")
    command.add_argument("--base64", action="store_true", help="write the CKC in base64")


def _ckc(arguments: argparse.Namespace) -> None:
    spc, session = _opened(arguments)
    abilities = Abilities(durations=spc.playback is not None, hdcp=spc.can_enforce_hdcp)
    conditions = Conditions(
        licence=_seconds(arguments.lease),
        rental=_seconds(arguments.rental),
        offline=arguments.persist,
        hdcp=_HDCP.get(arguments.hdcp, HdcpType.NOT_REQUIRED),
    )
    terms = terms_of(conditions, abilities)
    if arguments.hdcp is None:
        terms = replace(terms, hdcp=None)
    made = ckcs.make_ckc(spc, session, _hex("--key", arguments.key), _hex("--iv", arguments.iv), terms)
    arguments.out.write_bytes(base64.b64encode(made) if arguments.base64 else made)


def _show(arguments: argparse.Namespace) -> None:
    spc, session = _opened(arguments)
    _say(f"asset id            {spc.asset_id!r}")
    _say(f"transaction id      {spc.transaction_id.hex()}")
    _say(f"protocol version    {spc.protocol_version} of {list(spc.protocol_versions)}")
    _say(f"to be returned      {', '.join(_name(tllv.tag) for tllv in spc.returned)}")
    if spc.playback is not None:
        _say(f"made                {spc.playback.creation_time.isoformat()}")
        _say(f"playback            {spc.playback.state.name if spc.playback.state else 'unknown'}")
    _say(f"understands HDCP    {'yes' if spc.can_enforce_hdcp else 'no'}")
    _say(f"TLLVs               {spc.tag_count}")
    if arguments.secrets:
        _say(f"session key         {session.key.hex()}\nR1                  {session.r1.hex()}")
        _say(f"anti-replay seed    {spc.anti_replay_seed.hex()}\nR2                  {spc.r2.hex()}")


def _open(arguments: argparse.Namespace) -> None:
    spc, session = _opened(arguments)
    opened = ckcs.open_ckc(_message(arguments.ckc), spc, session)
    for tllv in opened.tllvs:
        _say(f"{_name(tllv.tag)}  {tllv.value.hex()}")
    _say(f"key  {opened.key.hex()}\niv   {opened.iv.hex()}")


def _opened(arguments: argparse.Namespace) -> tuple[Spc, Session]:
    """The SPC, read with the credentials that the command line names."""
    folder = arguments.credentials
    container = read_container(_message(arguments.spc))
    certificate = arguments.certificate or _in(folder, given.CERTIFICATE)
    if certificate is not None:
        check_certificate(container, given.read_certificate(certificate.read_bytes()))
    key_file = arguments.private_key or _in(folder, given.PRIVATE_KEY)
    if key_file is None:
        raise Wrong("name the private key by --private-key, or a folder that holds it by --credentials")
    passphrase_file = arguments.passphrase_file or _in(folder, given.PASSPHRASE)
    passphrase = passphrase_file.read_bytes().strip() if passphrase_file else None
    spc = open_payload(container, given.read_private_key(key_file.read_bytes(), passphrase))
    derive, secret = _derivation(arguments, folder)
    return spc, spc.session(derive, secret)


def _derivation(arguments: argparse.Namespace, folder: Path | None) -> tuple[Derive, bytes]:
    """What derives DASk, and from what."""
    if arguments.dask:
        derived = _hex("--dask", arguments.dask)
        return lambda _r2, _secret: derived, bytes(_KEY_BYTES)
    if not arguments.d_function:
        raise Wrong("name Apple's D function by --d-function, or what it gives by --dask")
    if arguments.ask is None:
        file = _in(folder, given.APPLICATION_SECRET_KEY)
        if file is None:
            raise Wrong("name the application secret key by --ask, or a folder that holds it by --credentials")
        content = file.read_bytes()
    else:
        content = Path(arguments.ask).read_bytes() if Path(arguments.ask).is_file() else arguments.ask.encode()
    return given.d_function(arguments.d_function), given.read_secret_key(content)


def _in(folder: Path | None, name: str) -> Path | None:
    return folder / name if folder is not None and (folder / name).exists() else None


def _message(file: Path) -> bytes:
    """An SPC or a CKC: both begin with a zero byte, and nothing in base64 does."""
    content = file.read_bytes()
    if content.startswith(b"\0"):
        return content
    text = content.strip().removeprefix(b"spc=").partition(b"&")[0].removeprefix(b"<ckc>").removesuffix(b"</ckc>")
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except binascii.Error:
        raise Wrong(f"{file} holds neither an SPC or a CKC nor one in base64") from None


def _hex(option: str, text: str) -> bytes:
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != _KEY_BYTES:
        raise Wrong(f"{option} must be {2 * _KEY_BYTES} hex digits")
    return value


def _seconds(number: int | None) -> timedelta | None:
    return None if number is None else timedelta(seconds=number)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def _name(tag: int) -> str:
    return f"{tag:016x} {_NAMES.get(tag, '')}".rstrip()


if __name__ == "__main__":
    sys.exit(main())
