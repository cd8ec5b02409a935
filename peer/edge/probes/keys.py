"""Are the device key and the settings there, and can nobody else read the key?"""

import os
import stat
import tomllib
from pathlib import Path
from typing import Final

from peer.edge.probes.finding import Finding, broken, ok

__all__ = ["probe"]

_KEY: Final = ("computer.keys", "keys")
_CONFIG: Final = ("computer.config", "settings")


def probe(directory: Path) -> list[Finding]:
    """Look at the configuration directory."""
    return [_key(directory / "device.key"), _config(directory / "config.toml")]


def _key(path: Path) -> Finding:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return _place(path.parent)
    except OSError as error:
        return broken(*_KEY, f"the device key cannot be read: {error.strerror}", do=f"ls -la {path.parent}")
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid():
        return broken(
            *_KEY,
            "the device key belongs to somebody else",
            cause="Weft was started once as another user, perhaps with sudo",
            do=f"sudo chown -R $(id -un) {path.parent}",
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o077:
        return broken(
            *_KEY,
            f"others can read the device key (mode {mode:04o})",
            cause="whoever reads it can pass for this device",
            do=f"chmod 600 {path}",
        )
    return ok(*_KEY, f"device key, readable by you alone ({mode:04o})")


def _place(directory: Path) -> Finding:
    above = next((each for each in (directory, *directory.parents) if each.exists()), Path("/"))
    if os.access(above, os.W_OK):
        return ok(*_KEY, "no device key yet; the first session makes one")
    return broken(
        *_KEY,
        f"no device key, and none can be made in {directory}",
        cause="you may not write there",
        do="export WEFT_CONFIG_DIR=$HOME/.weft",
    )


def _config(path: Path) -> Finding:
    try:
        tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ok(*_CONFIG, "none; they are not needed")
    except (OSError, ValueError) as error:
        return broken(*_CONFIG, f"config.toml cannot be used: {error}", do=f"${{EDITOR:-vi}} {path}")
    return ok(*_CONFIG, "config.toml can be read")
