"""The device key: who this installation is, made at its first start and kept in one file.

The file is complete from the moment it has its name: it is written under another name, then linked.  So of
two programs that start for the first time at once, one makes the key and the other reads it.
"""

import contextlib
import datetime
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import platformdirs
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from peer.core.certificates import public_bytes
from peer.core.ids import DeviceKey
from peer.errors import StorageError

__all__ = ["Identity", "config_dir", "data_dir", "load_identity", "make_identity"]

_KEY_FILE: Final = "device.key"
_KEY_FILE_LIMIT: Final = 4096
"""Bytes; a key file has about 120, so anything larger is some other file."""

_VALID_FROM: Final = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
_VALID_UNTIL: Final = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
"""RFC 5280 section 4.1.2.5: the date for a certificate that has none; membership has its own dates."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Identity:
    """A device key, and the self-signed certificate in which TLS carries its public half."""

    private_key: Ed25519PrivateKey
    certificate: x509.Certificate

    @property
    def device(self) -> DeviceKey:
        """The public half, by which others know this device."""
        return DeviceKey(public_bytes(self.private_key))

    def __repr__(self) -> str:
        return f"Identity({self.device.hex()[:8]})"


def make_identity(private_key: Ed25519PrivateKey) -> Identity:
    """Wrap *private_key* in a self-signed certificate that says nothing but the key."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "weft")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private_key.public_key())
        .serial_number(1)
        .not_valid_before(_VALID_FROM)
        .not_valid_after(_VALID_UNTIL)
        .sign(private_key, None)
    )
    return Identity(private_key, certificate)


def config_dir() -> Path:
    """Where the device key and settings are: `WEFT_CONFIG_DIR`, or what the system uses."""
    chosen = os.environ.get("WEFT_CONFIG_DIR")
    return Path(chosen) if chosen else Path(platformdirs.user_config_dir("weft", appauthor=False))


def data_dir() -> Path:
    """Where the sessions' databases are: `WEFT_DATA_DIR`, or what the system uses."""
    chosen = os.environ.get("WEFT_DATA_DIR")
    return Path(chosen) if chosen else Path(platformdirs.user_data_dir("weft", appauthor=False))


def load_identity(directory: Path | None = None) -> Identity:
    """Read the device key from *directory* (default `config_dir()`), making it if there is none.

    Raises:
        StorageError: the file cannot be read or made, is not a key, or is open to other users.
    """
    path = (directory or config_dir()) / _KEY_FILE
    try:
        _make_directory(path.parent)
        if not path.exists():
            _create(path)
        return make_identity(_read(path))
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(f"the device key {path} cannot be used: {reason}") from error


def _make_directory(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    mode = directory.stat().st_mode
    # Whoever may write to the directory may put another key in the place of ours.
    if os.name == "posix" and mode & 0o022 and not mode & stat.S_ISVTX:
        raise StorageError(
            f"others may write to {directory}, where your device key is: run chmod 700 {directory}"
        )


def _create(path: Path) -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    draft = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        _write(draft, pem)
        _name_unless_taken(draft, path, pem)
    finally:
        draft.unlink(missing_ok=True)


def _name_unless_taken(draft: Path, path: Path, pem: bytes) -> None:
    with contextlib.suppress(FileExistsError):
        try:
            os.link(draft, path)
        except FileExistsError:
            raise
        except OSError:
            # No hard links here (FAT, Android): for a moment the file is there and still empty.
            _write(path, pem)


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> Ed25519PrivateKey:
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if os.name == "posix" and mode & 0o077:
            raise StorageError(f"other users may read your device key {path}: run chmod 600 {path}")
        pem = file.read(_KEY_FILE_LIMIT)
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError) as error:
        raise _no_key(path) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _no_key(path)
    return key


def _no_key(path: Path) -> StorageError:
    return StorageError(
        f"{path} does not hold a device key (damaged, or another file): restore it from a backup, "
        "or move it away, and you will be a new device that has to be invited again"
    )
