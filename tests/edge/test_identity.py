"""The device key: made once, kept private, and clear words when something is wrong."""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from peer.edge.identity import config_dir, data_dir, load_identity
from peer.errors import StorageError


def device_of(directory: str) -> bytes:
    return load_identity(Path(directory)).device


def test_the_key_is_made_once_and_kept(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "weft"
    first = load_identity(home)
    assert load_identity(home).device == first.device
    assert (home / "device.key").stat().st_mode & 0o777 == 0o600
    assert home.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in home.iterdir()] == ["device.key"]


def test_two_folders_are_two_devices(tmp_path: Path) -> None:
    assert load_identity(tmp_path / "a").device != load_identity(tmp_path / "b").device


def test_programs_that_start_at_once_agree(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=get_context("fork")) as pool:
        devices = set(pool.map(device_of, [str(tmp_path / "home")] * 12))
    assert len(devices) == 1


def test_a_key_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    load_identity(tmp_path / "home")
    key = tmp_path / "home" / "device.key"
    key.chmod(0o644)
    with pytest.raises(StorageError, match=f"run chmod 600 {key}"):
        load_identity(tmp_path / "home")


def test_a_directory_that_others_may_write_to_is_not_used(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    home.chmod(0o777)
    with pytest.raises(StorageError, match="run chmod 700"):
        load_identity(home)


@pytest.mark.parametrize(
    "content", [b"", b"rubbish", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_a_damaged_key_is_never_replaced_silently(tmp_path: Path, content: bytes) -> None:
    key = tmp_path / "device.key"
    key.touch(0o600)
    key.write_bytes(content)
    with pytest.raises(StorageError, match="does not hold a device key"):
        load_identity(tmp_path)
    assert key.read_bytes() == content


def test_a_key_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be used"):
        load_identity(tmp_path / "file" / "home")


def test_a_file_system_without_hard_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert load_identity(tmp_path).device == load_identity(tmp_path).device


def test_the_environment_chooses_the_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEFT_CONFIG_DIR", str(tmp_path / "c"))
    monkeypatch.setenv("WEFT_DATA_DIR", str(tmp_path / "d"))
    assert config_dir() == tmp_path / "c"
    assert data_dir() == tmp_path / "d"
    assert load_identity().device == load_identity(tmp_path / "c").device
    monkeypatch.delenv("WEFT_CONFIG_DIR")
    monkeypatch.delenv("WEFT_DATA_DIR")
    assert config_dir().name == "weft"
    assert data_dir().name == "weft"


def test_the_certificate_says_nothing_but_the_key(tmp_path: Path) -> None:
    made = load_identity(tmp_path)
    assert made.certificate.subject.rfc4514_string() == "CN=weft"
    assert made.certificate.extensions is not None
    assert len(list(made.certificate.extensions)) == 0
    assert made.private_key.private_bytes_raw().hex() not in repr(made)
