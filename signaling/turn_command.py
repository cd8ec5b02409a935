"""`weft turn-config`: write what a coturn for Weft needs, ready to be copied to its machine."""

import os
import secrets
import shlex
from importlib.resources import files
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import click

from signaling.turn import turn_secrets
from signaling.turn_config import TEMPLATES, TurnConfig, render

__all__ = ["templates", "turn_config"]

_SECRET_BYTES: Final = 32
"""Of a secret that we make: as long as a key."""

_LARGEST_SECRET_BYTES: Final = 64 * 1024
"""A file of secrets has some lines; whatever is larger was named by mistake."""

_PRIVATE_MODE: Final = 0o600
_PUBLIC_MODE: Final = 0o644
_SECRET_FILES: Final = frozenset({"turnserver.conf"})


def templates() -> dict[str, str]:
    """The text of each template."""
    folder = files("signaling") / "turn_templates"
    return {name: (folder / name).read_text(encoding="utf-8") for name in TEMPLATES}


@click.command("turn-config")
@click.option("--domain", required=True, metavar="NAME", help="Name of the TURN server, for its clients.")
@click.option(
    "--secret-file",
    required=True,
    type=click.Path(path_type=Path),
    help="The file of `weft serve --turn-secret-file`; made if it is not there.",
)
@click.option(
    "--external-ip", multiple=True, metavar="ADDRESS", help="Address of the server, as the world knows it."
)
@click.option(
    "--listen", multiple=True, metavar="ADDRESS", help="Its own address, if a 1:1 NAT is in front (clouds)."
)
@click.option("--port", default=3478, show_default=True, help="Port for UDP and TCP.")
@click.option("--tls-port", default=443, show_default=True, help="Port for TLS.")
@click.option("--min-port", default=49_152, show_default=True, help="First UDP port to relay from.")
@click.option("--max-port", default=49_999, show_default=True, help="Last UDP port to relay from.")
@click.option("--tls-cert", default="", metavar="PATH", help="Certificate chain, where it is on the server.")
@click.option("--tls-key", default="", metavar="PATH", help="Its private key, where it is on the server.")
@click.option("--deny", multiple=True, metavar="NETWORK", help="Never relay there either: your own machines.")
@click.option("--allow", multiple=True, metavar="NETWORK", help="Relay there, although it is private.")
@click.option("--coturn", default="4.6", show_default=True, metavar="VERSION", help="Version that reads it.")
@click.option(
    "--output",
    default="coturn",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the files; what is replaced is kept beside it as .old.",
)
def turn_config(
    domain: str,
    secret_file: Path,
    external_ip: tuple[str, ...],
    listen: tuple[str, ...],
    coturn: str,
    output: Path,
    tls_cert: str,
    tls_key: str,
    **others: object,
) -> int:
    """Write turnserver.conf, and what belongs to it, for a TURN server that works with `weft serve`.

    \b
    Example:
      weft turn-config --domain turn.example.org --secret-file turn-secret --external-ip 198.51.100.7
    """
    try:
        config = TurnConfig(
            domain=domain,
            secrets=_secrets(secret_file),
            external=external_ip,
            listen=listen,
            certificate=tls_cert,
            key=tls_key,
            coturn=_version(coturn),
            **others,  # type: ignore[arg-type]
        )
        written = _write(output, render(config, templates()))
    except ValueError as problem:
        raise click.UsageError(str(problem)) from problem
    except OSError as problem:
        raise click.UsageError(f"cannot write {problem.filename}: {problem.strerror}") from problem
    for path in written:
        click.echo(path)
    _advise(config, secret_file)
    return 0


def _advise(config: TurnConfig, secret_file: Path) -> None:
    loopback = [address for address in config.external if ip_address(address).is_loopback]
    if loopback:
        click.echo(
            f"warning: coturn refuses to relay to {loopback[0]} (loopback), so no path will come about; "
            "give --external-ip an address that others reach",
            err=True,
        )
    check = (
        f"weft turn-check turn:{config.domain}:{config.port} --secret-file {shlex.quote(str(secret_file))}"
    )
    click.echo(f"next: read turn-config/README.md, then  {check}", err=True)


def _secrets(path: Path) -> tuple[str, ...]:
    """The secrets in *path*, which is made with a new one if there is none.

    Raises:
        ValueError: it cannot be read, or a secret in it cannot be used.
        OSError: it cannot be made.
    """
    if not path.exists():
        _save(path, secrets.token_urlsafe(_SECRET_BYTES) + "\n", _PRIVATE_MODE)
        click.echo(f"made {path} with a new secret", err=True)
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_SECRET_BYTES).decode()
        return turn_secrets(text)
    except OSError as problem:
        raise ValueError(f"cannot read {path}: {problem.strerror}") from problem
    except ValueError as problem:
        raise ValueError(f"{path} cannot be used: {problem}") from problem


def _version(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split("."))
    except ValueError as problem:
        raise ValueError(f"{text!r} is no version such as 4.6") from problem


def _write(folder: Path, contents: dict[str, str]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in contents.items():
        path = folder / name
        if path.exists() and path.read_text(encoding="utf-8", errors="replace") != text:
            path.replace(path.with_name(f"{name}.old"))
        if not path.exists():
            _save(path, text, _PRIVATE_MODE if name in _SECRET_FILES else _PUBLIC_MODE)
        written.append(path)
    return written


def _save(path: Path, text: str, mode: int) -> None:
    """Write a file that was not there; nobody else can read a secret, not even for a moment."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
