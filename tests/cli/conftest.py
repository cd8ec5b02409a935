"""Places of their own for everything the command line reads and writes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from peer.edge.control import socket_path


@pytest.fixture(autouse=True)
def places(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Data, configuration and sockets in a fresh directory, and no flags from the environment."""
    base = tmp_path_factory.mktemp("weft")
    for name in ("DATA", "CONFIG", "RUNTIME"):
        monkeypatch.setenv(f"WEFT_{name}_DIR", str(base / name.lower()))
    for name in (
        "WEFT_SERVER",
        "WEFT_NAME",
        "WEFT_LINK",
        "WEFT_PATH",
        "WEFT_COLOR",
        "NO_COLOR",
        "FORCE_COLOR",
    ):
        monkeypatch.delenv(name, raising=False)
    yield base
    sockets = socket_path("x").parent
    if sockets.exists():
        sockets.rmdir()  # fails if a session left its socket there
