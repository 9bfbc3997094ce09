"""`python -m services.drm.fairplay`: one SPC from files, as an operator tries a deployment or a sample pair from elsewhere out."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from services.drm.fairplay.__main__ import main
from services.drm.fairplay.tags import HdcpType, KeyType
from tests.support import fairplay_client as client
from tests.support.fairplay_client import Asking
from tests.support.fairplay_d import derive
from tests.support.fairplay_provider import D_FUNCTION, new_provider, the_provider

ROOT = Path(__file__).resolve().parents[3]
ASSET = b"skd://000102030405060708090a0b0c0d0e0f"
KEY, IV = bytes(range(16)), bytes(range(16, 32))
CONTENT = ["--key", KEY.hex(), "--iv", IV.hex()]


@pytest.fixture
def asking(tmp_path: Path) -> Asking:
    """An SPC in a file, beside the credentials that open it."""
    the_provider().put(tmp_path / "credentials")
    asking = the_provider().device().ask(ASSET)
    (tmp_path / "spc").write_bytes(asking.spc)
    return asking


def words(folder: Path, *more: str, d_function: str = D_FUNCTION) -> list[str]:
    return [
        "--spc",
        str(folder / "spc"),
        "--credentials",
        str(folder / "credentials"),
        "--d-function",
        d_function,
        *more,
    ]


def ckc(folder: Path, *more: str) -> bytes:
    assert main(["ckc", *words(folder), *CONTENT, "--out", str(folder / "ckc"), *more]) == 0
    return (folder / "ckc").read_bytes()


def test_a_file_becomes_a_file(tmp_path: Path, asking: Asking) -> None:
    received = asking.receive(ckc(tmp_path))
    assert (received.key, received.iv, received.duration, received.hdcp) == (KEY, IV, None, None)


def test_as_a_program_of_its_own(tmp_path: Path, asking: Asking) -> None:
    command = [
        sys.executable,
        "-m",
        "services.drm.fairplay",
        "ckc",
        *words(tmp_path),
        *CONTENT,
        "--out",
        str(tmp_path / "ckc"),
    ]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'gen/python'}"}
    subprocess.run(command, cwd=ROOT, check=True, env=environment)
    assert asking.receive((tmp_path / "ckc").read_bytes()).key == KEY


@pytest.mark.parametrize(
    ("flags", "duration"),
    [
        (["--lease", "60"], (60, 0, KeyType.LEASE)),
        (["--rental", "70"], (0, 70, KeyType.RENTAL)),
        (["--lease", "60", "--rental", "70"], (60, 70, KeyType.LEASE_AND_RENTAL)),
        (["--persist"], (0, 0, KeyType.PERSIST)),
        (["--persist", "--rental", "70"], (0, 70, KeyType.PERSIST_LIMITED)),
    ],
)
def test_terms_are_flags(tmp_path: Path, asking: Asking, flags: list[str], duration: tuple[int, int, KeyType]) -> None:
    assert asking.receive(ckc(tmp_path, *flags)).duration == duration


@pytest.mark.parametrize(
    ("flag", "hdcp"), [("none", HdcpType.NOT_REQUIRED), ("0", HdcpType.TYPE_0), ("1", HdcpType.TYPE_1)]
)
def test_hdcp_is_a_flag(tmp_path: Path, asking: Asking, flag: str, hdcp: HdcpType) -> None:
    assert asking.receive(ckc(tmp_path, "--hdcp", flag)).hdcp == hdcp


def test_derived_key_in_place_of_the_d_function(tmp_path: Path, asking: Asking) -> None:
    """Samples from elsewhere come with DASk: the D function itself is Apple's secret."""
    r2 = dict(client.untangled(asking.payload))[client.R2]
    derived = derive(r2, the_provider().application_secret_key).hex()
    names = [
        "--spc",
        str(tmp_path / "spc"),
        "--private-key",
        str(tmp_path / "credentials/private_key.pem"),
        "--dask",
        derived,
    ]
    assert main(["ckc", *names, *CONTENT, "--out", str(tmp_path / "ckc")]) == 0
    assert asking.receive((tmp_path / "ckc").read_bytes()).key == KEY


def test_certificates_in_pem_and_messages_in_base64(tmp_path: Path, asking: Asking) -> None:
    pem = x509.load_der_x509_certificate(the_provider().certificate).public_bytes(Encoding.PEM)
    (tmp_path / "credentials/certificate.der").write_bytes(pem)
    (tmp_path / "spc").write_bytes(b"spc=" + base64.b64encode(asking.spc) + b"&assetId=x")
    assert asking.receive(base64.b64decode(ckc(tmp_path, "--base64"))).key == KEY
    (tmp_path / "spc").write_bytes(base64.encodebytes(asking.spc))
    assert asking.receive(ckc(tmp_path)).key == KEY


def test_what_an_spc_says_is_shown_without_its_secrets(
    tmp_path: Path, asking: Asking, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", *words(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert ASSET.decode() in shown
    assert "TRANSACTION_ID" in shown
    assert asking.session_key.hex() not in shown
    assert main(["show", *words(tmp_path), "--secrets"]) == 0
    assert asking.session_key.hex() in capsys.readouterr().out


def test_a_ckc_opens_with_the_spc_that_it_answers(
    tmp_path: Path, asking: Asking, capsys: pytest.CaptureFixture[str]
) -> None:
    ckc(tmp_path, "--lease", "60")
    assert main(["open", *words(tmp_path), "--ckc", str(tmp_path / "ckc")]) == 0
    shown = capsys.readouterr().out
    assert f"key  {KEY.hex()}" in shown
    assert f"iv   {IV.hex()}" in shown
    assert "47acf6a418cd091a KEY_DURATION  0000003c000000001a4bde7e86d34a3a" in shown
    (tmp_path / "spc").write_bytes(the_provider().device().ask(ASSET).spc)
    assert main(["open", *words(tmp_path), "--ckc", str(tmp_path / "ckc")]) == 1
    assert capsys.readouterr().err.startswith("-42581")


def test_refusals_are_numbers(tmp_path: Path, asking: Asking, capsys: pytest.CaptureFixture[str]) -> None:
    broken = asking.spc[:-16]
    for content, number in ((broken, -42581), (b"\0\0\0\2" + asking.spc[4:], -42580)):
        (tmp_path / "spc").write_bytes(content)
        assert main(["ckc", *words(tmp_path), *CONTENT, "--out", str(tmp_path / "ckc")]) == 1
        assert capsys.readouterr().err.startswith(f"{number} ")
    (tmp_path / "spc").write_bytes(new_provider().device().ask(ASSET).spc)
    assert main(["ckc", *words(tmp_path), *CONTENT, "--out", str(tmp_path / "ckc")]) == 1
    assert capsys.readouterr().err.startswith("-42585 ")
    assert not (tmp_path / "ckc").exists()


def test_a_device_that_would_not_hold_to_it_gets_nothing(
    tmp_path: Path, asking: Asking, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "spc").write_bytes(the_provider().device(state=None).ask(ASSET).spc)
    assert main(["ckc", *words(tmp_path), *CONTENT, "--lease", "60", "--out", str(tmp_path / "ckc")]) == 1
    assert "duration" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [
        ["--d-function", "tests.support.fairplay_d:nothing"],
        ["--d-function", "tests.support.fairplay_d:NO_FUNCTION"],
        ["--d-function", "/nowhere.py:derive"],
        ["--d-function", "derive"],
        ["--key", "00"],
        ["--iv", "not hex"],
        ["--ask", "00"],
        ["--spc", "/nowhere"],
        ["--dask", "00"],
    ],
)
def test_what_cannot_be_used_is_said(
    tmp_path: Path, asking: Asking, capsys: pytest.CaptureFixture[str], change: list[str]
) -> None:
    assert main(["ckc", *words(tmp_path), *CONTENT, "--out", str(tmp_path / "ckc"), *change]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert the_provider().application_secret_key.hex() not in said
