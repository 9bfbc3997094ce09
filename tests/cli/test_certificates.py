"""How an install makes its certificates and renews them, at times that the test chooses."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from services.kit.tls import Identity as Certified
from services.kit.tls import read_identity
from tools.reelmesh_cli.commands.doctor import Finding, certificates
from tools.reelmesh_cli.supervisor import linux
from tools.reelmesh_cli.supervisor.certificates import (
    AUTHORITY_LIFETIME,
    AUTHORITY_RENEWAL,
    LIFETIME,
    OVERLAP,
    certificate_folder,
    renew,
    replace_authority,
    trust_domain,
)
from tools.reelmesh_cli.supervisor.layout import Layout
from tools.reelmesh_cli.supervisor.state import Identity, MeshRecord

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
SERVICES = ("assets", "envoy")
SECOND = timedelta(seconds=1)


def identity(secrets: Path, service: str = "assets") -> Certified:
    return read_identity(certificate_folder(secrets, service))


def issuer(found: Certified) -> x509.Name:
    return x509.load_pem_x509_certificate(found.certificate).issuer


def believed(found: Certified) -> list[x509.Name]:
    return [authority.subject for authority in x509.load_pem_x509_certificates(found.trust)]


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    assert renew(tmp_path, SERVICES, NOW) == list(SERVICES)
    return tmp_path


def test_each_service_gets_its_own_name_from_the_installs_own_authority(secrets: Path) -> None:
    leaf = x509.load_pem_x509_certificate(identity(secrets).certificate)
    (authority,) = x509.load_pem_x509_certificates(identity(secrets).trust)
    leaf.verify_directly_issued_by(authority)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    domain = trust_domain(secrets)
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [f"spiffe://{domain}/service/assets"]
    assert names.get_values_for_type(x509.DNSName) == [f"assets.{domain}"]
    assert leaf.not_valid_after_utc == NOW + LIFETIME
    assert identity(secrets, "envoy").key != identity(secrets).key


def test_two_installs_have_neither_name_nor_authority_in_common(secrets: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    renew(other, SERVICES, NOW)
    assert trust_domain(other) != trust_domain(secrets)
    assert not set(believed(identity(other))) & set(believed(identity(secrets)))


def test_only_the_owner_may_read_keys_and_no_service_is_given_the_authoritys(secrets: Path) -> None:
    for path in secrets.rglob("*"):
        if not path.is_symlink():
            assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    (authority,) = (secrets / "authority").glob("*.pem")
    key = authority.read_text().partition("-----END PRIVATE KEY-----")[0]
    for file in (secrets / "tls").rglob("*.*"):
        assert not file.is_file() or key not in file.read_text()


def test_nothing_is_done_until_half_of_the_time_is_over(secrets: Path) -> None:
    before = identity(secrets)
    assert renew(secrets, SERVICES, NOW + LIFETIME / 2 - SECOND) == []
    assert identity(secrets) == before
    assert renew(secrets, SERVICES, NOW + LIFETIME / 2) == list(SERVICES)
    after = identity(secrets)
    assert (after.key, after.trust) != (before.key, before.trust)
    assert after.trust == before.trust


def test_what_is_missing_or_broken_is_made_anew_and_the_rest_left_alone(secrets: Path) -> None:
    kept = identity(secrets, "envoy")
    (certificate_folder(secrets, "assets") / "tls.key").write_bytes(kept.key)
    assert renew(secrets, (*SERVICES, "upload"), NOW) == ["assets", "upload"]
    assert identity(secrets).key != kept.key
    assert identity(secrets, "envoy") == kept


def test_nothing_is_left_behind(secrets: Path) -> None:
    for turn in range(1, 5):
        renew(secrets, SERVICES, NOW + LIFETIME * turn)
    folder = certificate_folder(secrets, "assets")
    # One folder, the link to it, and the three links through that.
    assert len(list(folder.iterdir())) == 5


def test_a_new_authority_is_believed_by_all_before_it_signs_and_the_old_one_until_nobody_has_its_certificates(
    secrets: Path,
) -> None:
    (old,) = believed(identity(secrets))
    moment = NOW + OVERLAP
    replace_authority(secrets, moment)
    seen = []
    for _ in range(6):
        renew(secrets, SERVICES, moment)
        for service in SERVICES:
            found = identity(secrets, service)
            assert issuer(found) in believed(found)
        found = identity(secrets)
        seen.append((issuer(found) == old, old in believed(found), len(believed(found))))
        moment += OVERLAP / 2
    signs_old, believes_both = (True, True, 2), (False, True, 2)
    assert seen == [signs_old, signs_old, believes_both, believes_both, (False, False, 1), (False, False, 1)]
    assert len(list((secrets / "authority").glob("*.pem"))) == 1


def test_no_step_is_taken_twice_at_once_however_long_the_machine_slept(secrets: Path) -> None:
    (old,) = believed(identity(secrets))
    replace_authority(secrets, NOW + SECOND)
    renew(secrets, SERVICES, NOW + SECOND)
    late = NOW + LIFETIME / 3
    renew(secrets, SERVICES, late)
    assert (issuer(identity(secrets)) == old, old in believed(identity(secrets))) == (False, True)


def test_the_authority_is_replaced_before_it_ends(secrets: Path) -> None:
    (old,) = believed(identity(secrets))
    moment = NOW + AUTHORITY_LIFETIME - AUTHORITY_RENEWAL - SECOND
    renew(secrets, SERVICES, moment)
    assert believed(identity(secrets)) == [old]
    renew(secrets, SERVICES, moment + SECOND)
    assert len(believed(identity(secrets))) == 2
    for step in range(1, 4):
        renew(secrets, SERVICES, moment + SECOND + OVERLAP * step)
    assert old not in believed(identity(secrets))


def test_an_install_that_was_off_for_years_starts_again(secrets: Path) -> None:
    (old,) = believed(identity(secrets))
    assert renew(secrets, SERVICES, NOW + AUTHORITY_LIFETIME * 3) == list(SERVICES)
    (new,) = believed(identity(secrets))
    assert new != old
    assert issuer(identity(secrets)) == new


def test_a_clock_that_stepped_back_leaves_certificates_good(secrets: Path) -> None:
    back = NOW - timedelta(minutes=50)
    assert renew(secrets, SERVICES, back) == []
    far_back = NOW - timedelta(days=400)
    assert renew(secrets, SERVICES, far_back) == list(SERVICES)
    leaf = x509.load_pem_x509_certificate(identity(secrets).certificate)
    assert leaf.not_valid_before_utc < far_back < leaf.not_valid_after_utc


def test_an_authority_that_cannot_be_read_is_replaced(secrets: Path) -> None:
    (authority,) = (secrets / "authority").glob("*.pem")
    authority.write_text("half written")
    renew(secrets, SERVICES, NOW + SECOND)
    (new,) = believed(identity(secrets))
    assert issuer(identity(secrets)) == new


def test_doctor_warns_when_a_certificate_of_a_running_install_is_near_its_end(tmp_path: Path) -> None:
    layout = Layout.of(tmp_path)
    layout.prepare()
    assert certificates(layout, NOW).found == "made at the first start"
    renew(layout.secrets, SERVICES, NOW)
    assert certificates(layout, NOW) == Finding("certificates", "2, good for 24 more hours", True)
    late = NOW + LIFETIME - timedelta(hours=1)
    assert certificates(layout, late).found.endswith("ends at 2026-11-29 12:00 UTC; the next start renews it")
    running(layout)
    for moment, word in ((late, "ends"), (NOW + LIFETIME, "ended")):
        finding = certificates(layout, moment)
        assert (finding.ok, finding.required) == (False, False)
        assert f"that of assets {word} at" in finding.found


def running(layout: Layout) -> None:
    """Has this process pass for the supervisor of an install."""
    record = MeshRecord(
        data_dir=str(layout.data),
        url="",
        port=0,
        run_dir=str(layout.sockets),
        boot=linux.boot_id(),
        supervisor=Identity.of(os.getpid()),
        guardian=None,
        started=0,
        processes=[],
    )
    record.write(layout.state_file)
