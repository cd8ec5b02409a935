"""What the command line takes from flags, the environment and `config.toml`, in falling order."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from peer.cli.errors import Failure, Problem
from peer.cli.exit_codes import ExitCode

__all__ = ["Settings", "config_file", "load"]

CONFIG_LIMIT: Final = 65_536
"""Bytes; two settings need about a hundred."""

_KNOWN: Final = ("server", "name", "ice_servers")

Settings = Mapping[str, Any]
"""What `config.toml` says: the texts `server` and `name`; `ice_servers` is looked at where it is used."""


def config_file() -> Path:
    """Where the settings are: in `WEFT_CONFIG_DIR`, or where the system has them."""
    chosen = os.environ.get("WEFT_CONFIG_DIR")
    if chosen:
        return Path(chosen) / "config.toml"
    import platformdirs  # 15 ms that `weft --help` need not pay

    return Path(platformdirs.user_config_dir("weft", appauthor=False)) / "config.toml"


def load(path: Path) -> Settings:
    """Read the settings; no file means no settings.

    Raises:
        Failure: the file cannot be read, or says something unknown.
    """
    try:
        with path.open("rb") as file:
            found = tomllib.loads(file.read(CONFIG_LIMIT).decode())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise _bad(path, str(error)) from error
    for key, value in found.items():
        if key not in _KNOWN:
            raise _bad(path, f"it has the unknown setting {key!r}; known are {', '.join(_KNOWN)}")
        if key != "ice_servers" and (not isinstance(value, str) or not value):
            raise _bad(path, f"{key} has to be a text in quotes")
    return found


def _bad(path: Path, reason: str) -> Failure:
    return Failure(
        Problem(
            "E-CONFIG", ExitCode.USAGE, f"{path} cannot be used: {reason}", do=f"correct or remove {path}"
        )
    )
