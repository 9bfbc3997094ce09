"""Root keys in files: who may read them, what a passphrase does, and how one takes another's place."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from services.drm.keystores.file import FileKeystore
from services.drm.keystores.keystore import Locked, WrongKeystore
from services.drm.keystores.root_files import RootFiles, new_root_key, opened, under_passphrase, write
from tools.reelmesh_cli.supervisor import install_secrets

PASSPHRASE = "correct horse battery staple"


def kept(folder: Path, *, passphrase: str = "") -> bytes:
    key = new_root_key()
    write(folder / "root_key", under_passphrase(key, passphrase) if passphrase else key)
    return key


class TestWhoMayRead:
    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o777])
    def test_a_file_that_others_may_open_is_refused(self, tmp_path: Path, mode: int) -> None:
        kept(tmp_path)
        (tmp_path / "root_key").chmod(mode)
        with pytest.raises(WrongKeystore, match="chmod 600"):
            FileKeystore.at(tmp_path)

    @pytest.mark.parametrize("mode", [0o600, 0o400])
    def test_its_owner_alone_is_right(self, tmp_path: Path, mode: int) -> None:
        kept(tmp_path)
        (tmp_path / "root_key").chmod(mode)
        FileKeystore.at(tmp_path)

    def test_what_is_written_is_its_owners_alone_and_whole(self, tmp_path: Path) -> None:
        kept(tmp_path, passphrase=PASSPHRASE)
        assert (tmp_path / "root_key").stat().st_mode & 0o777 == 0o600
        assert [file.name for file in tmp_path.iterdir()] == ["root_key"]


class TestAPassphrase:
    def test_opens_the_key_and_nothing_of_it_stands_in_the_file(self, tmp_path: Path) -> None:
        key = kept(tmp_path, passphrase=PASSPHRASE)
        content = (tmp_path / "root_key").read_bytes()
        assert opened(content, lambda: PASSPHRASE, "it") == key
        assert key not in content
        assert key.hex().encode() not in content

    def test_another_one_or_none_does_not(self, tmp_path: Path) -> None:
        kept(tmp_path, passphrase=PASSPHRASE)
        with pytest.raises(WrongKeystore, match="does not open"):
            FileKeystore.at(tmp_path, lambda: "correct horse battery stapler")
        with pytest.raises(WrongKeystore, match="REELMESH_DRM_ROOT_PASSPHRASE_FILE"):
            FileKeystore.at(tmp_path)

    def test_a_short_one_is_not_taken(self) -> None:
        with pytest.raises(WrongKeystore, match="at least 12"):
            under_passphrase(new_root_key(), "swordfish")

    @pytest.mark.parametrize("damage", [b"{}", b"{", b'{"kind": 1}', b"x" * 31, b""])
    def test_a_damaged_file_is_told_from_a_wrong_passphrase(self, damage: bytes) -> None:
        with pytest.raises(WrongKeystore, match=r"damaged|where a root key has 32 bytes"):
            opened(damage, lambda: PASSPHRASE, "it")

    def test_the_parameters_of_its_key_cannot_be_weakened(self) -> None:
        content = under_passphrase(new_root_key(), PASSPHRASE)
        with pytest.raises(WrongKeystore, match="does not open"):
            opened(content.replace(b'"passes": 3', b'"passes": 1'), lambda: PASSPHRASE, "it")

    def test_one_that_is_set_later_comes_with_the_next_root_key(self, tmp_path: Path) -> None:
        kept(tmp_path)
        keystore = FileKeystore.at(tmp_path, lambda: PASSPHRASE)
        wrapped = keystore.new_key_encryption_key()
        keystore.add_root()
        assert RootFiles(tmp_path).protected
        keystore.rewrapped(wrapped)

    def test_a_new_install_has_it_from_its_first_start(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("REELMESH_DRM_ROOT_PASSPHRASE", PASSPHRASE)
        install_secrets.ensure(tmp_path)
        assert RootFiles(tmp_path).protected
        FileKeystore.at(tmp_path, lambda: PASSPHRASE)


class TestOneInAnothersPlace:
    def test_the_former_one_opens_until_it_is_dropped(self, tmp_path: Path) -> None:
        kept(tmp_path)
        keystore = FileKeystore.at(tmp_path)
        wrapped = keystore.new_key_encryption_key()
        keystore.add_root()
        assert sorted(file.name for file in tmp_path.iterdir()) == ["root_key", "root_key.former"]
        rewrapped = FileKeystore.at(tmp_path).rewrapped(wrapped)
        assert len(keystore.drop_former_roots()) == 1
        keystore.open(rewrapped)
        with pytest.raises(Locked):
            FileKeystore.at(tmp_path).open(wrapped)

    def test_a_second_change_waits_for_the_end_of_the_first(self, tmp_path: Path) -> None:
        kept(tmp_path)
        keystore = FileKeystore.at(tmp_path)
        keystore.add_root()
        with pytest.raises(WrongKeystore, match="still there"):
            keystore.add_root()

    def test_a_crash_in_between_leaves_every_key_that_anything_may_be_wrapped_by(self, tmp_path: Path) -> None:
        """`root_key.former` was written, and `root_key` not yet."""
        kept(tmp_path)
        wrapped = FileKeystore.at(tmp_path).new_key_encryption_key()
        write(tmp_path / "root_key.former", (tmp_path / "root_key").read_bytes())
        FileKeystore.at(tmp_path).open(wrapped)

    def test_one_that_was_put_in_place_by_somebody_else_is_taken_up(self, tmp_path: Path) -> None:
        kept(tmp_path)
        here, there = FileKeystore.at(tmp_path), FileKeystore.at(tmp_path)
        there.add_root()
        here.open(there.new_key_encryption_key())
        assert here.root_id() == there.root_id()

    def test_a_missing_one_says_how_it_comes_back(self, tmp_path: Path) -> None:
        with pytest.raises(WrongKeystore, match="keys recover"):
            FileKeystore.at(tmp_path)
        write(tmp_path / "root_key.former", secrets.token_bytes(31) + b"k")
        with pytest.raises(WrongKeystore, match="keys recover"):
            FileKeystore.at(tmp_path)
