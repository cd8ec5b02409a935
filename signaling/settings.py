"""Every setting of the server, and where its value may come from.

    built-in  <  TOML file  <  environment `WEFT_*`  <  flags

A key that nobody knows is an error, because a limit that was misspelt is a limit that is not there.
Only in the environment may there be other `WEFT_*` names, for other commands; one that is nearly a
setting is still refused. `KEY_file` takes the value from a file, which is the way for secrets.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, get_type_hints

import msgspec

from signaling.addresses import Network, parse_network
from signaling.messages import LARGEST_MESSAGE_BYTES, IceServer
from signaling.turn import ice_urls, turn_secrets

__all__ = ["ENVIRONMENT_PREFIX", "Settings", "SettingsError", "read_settings"]

ENVIRONMENT_PREFIX: Final = "WEFT_"

_FILE_SUFFIX: Final = "_file"
_NEARLY_THE_SAME: Final = 0.75
"""Above this likeness a name in the environment is taken for a misspelt setting."""
_LONGEST_THROTTLE_SECONDS: Final = 5.0
"""One message must not make a client wait longer, or it could not answer a ping meanwhile."""
_LARGEST_CONFIG_BYTES: Final = 1024 * 1024
"""A configuration is a page of text; whatever is larger was given by mistake."""


class SettingsError(Exception):
    """A setting cannot be used; the sentence says which, where it came from and what is wrong."""


def _about(meaning: str, at_least: float | None = None) -> dict[str, object]:
    return {"meaning": meaning, "at_least": at_least}


def _setting(default: Any, meaning: str, *, at_least: float | None = None) -> Any:
    return field(default=default, metadata=_about(meaning, at_least))


_TLS_CERTIFICATE: Final = _about("PEM file with the certificate chain; without it, no TLS")
_TLS_KEY: Final = _about("PEM file with the private key of the certificate")
_TURN_SECRET: Final = _about("secrets shared with the TURN server, one a line; the first signs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How one server behaves. The defaults suit a small machine that serves a few thousand people."""

    host: str = _setting("127.0.0.1", "address to listen on; empty: all, IPv4 and IPv6")
    port: int = _setting(8787, "port to listen on; 0 takes a free one", at_least=0)
    tls_certificate: Path | None = field(default=None, metadata=_TLS_CERTIFICATE)
    tls_key: Path | None = field(default=None, metadata=_TLS_KEY)
    motd: str = _setting("", "a line for the people who connect")
    ice_servers: tuple[IceServer, ...] = _setting((), "STUN and TURN servers that clients are told about")
    stun: tuple[str, ...] = _setting((), "STUN server for the clients, such as stun:host:3478")
    turn: tuple[str, ...] = _setting(
        (), "TURN server for the clients, such as turn:host:3478 or turns:host:443"
    )
    turn_secret: str = field(default="", repr=False, metadata=_TURN_SECRET)
    turn_seconds: float = _setting(3600.0, "how long a client can use a TURN credential", at_least=1)
    allowed_origins: tuple[str, ...] = _setting((), "web origins that may connect; programs send none")
    trusted_proxies: tuple[str, ...] = _setting((), "networks whose X-Forwarded-For is believed")
    log_addresses: bool = _setting(False, "write IP addresses into the log")

    connections: int = _setting(10_000, "connections at once", at_least=1)
    connections_per_address: int = _setting(256, "connections at once from one address", at_least=1)
    connect_rate: float = _setting(16.0, "new connections per second from one address", at_least=0.001)
    connect_burst: float = _setting(128.0, "new connections at once from one address", at_least=1)
    rooms: int = _setting(10_000, "rooms at once", at_least=1)
    room_members: int = _setting(64, "members of one room", at_least=1)

    resume_seconds: float = _setting(120.0, "how long an address is kept for its member", at_least=0)
    resume_members: int = _setting(64, "members of one room who may be away", at_least=0)
    resume_total: int = _setting(10_000, "members of all rooms who may be away", at_least=0)

    message_bytes: int = _setting(LARGEST_MESSAGE_BYTES, "largest message", at_least=1024)
    enter_bytes: int = _setting(8 * 1024, "bytes that a client may send before its proof", at_least=512)
    enter_seconds: float = _setting(10.0, "time that a client has for its proof", at_least=0.05)
    frame_rate: float = _setting(1000.0, "frames per second from one client", at_least=1)
    frame_burst: float = _setting(2000.0, "frames at once from one client", at_least=1)
    byte_rate: float = _setting(4 * 1024 * 1024.0, "bytes per second from one client", at_least=1024)
    byte_burst: float = _setting(4 * 1024 * 1024.0, "bytes at once from one client", at_least=1024)
    talk_rate: float = _setting(20.0, "control messages per second from one client", at_least=0.1)
    talk_burst: float = _setting(200.0, "control messages at once from one client", at_least=10)

    queue_control: int = _setting(256, "control messages that may wait for one client", at_least=16)
    queue_frames: int = _setting(4096, "frames that may wait for one client", at_least=1)
    queue_bytes: int = _setting(4 * 1024 * 1024, "bytes that may wait for one client", at_least=1024)
    queue_total_bytes: int = _setting(256 * 1024 * 1024, "bytes that may wait for all clients", at_least=1024)
    write_seconds: float = _setting(5.0, "time for a write to make progress", at_least=0.05)

    ping_seconds: float = _setting(20.0, "time between two pings", at_least=0.05)
    pong_seconds: float = _setting(8.0, "time for an answer to a ping", at_least=0.05)
    drain_seconds: float = _setting(8.0, "time for clients to leave when the server goes down", at_least=0.05)
    reconnect_seconds: float = _setting(5.0, "time over which clients are asked to come back", at_least=0)
    try_seconds: float = _setting(120.0, "how long clients should try to come back", at_least=0)

    def __post_init__(self) -> None:
        """Check what one type cannot say.

        Raises:
            SettingsError: a number is too small, or two settings contradict each other.
        """
        for each in fields(self):
            least = each.metadata["at_least"]
            value = getattr(self, each.name)
            if least is not None and not value >= least:
                raise SettingsError(f"{each.name} is {value}, it must be at least {least}")
        if self.port > 65_535:
            raise SettingsError(f"port is {self.port}, there are none above 65535")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise SettingsError("tls_certificate and tls_key only make sense together")
        if self.queue_bytes < 2 * self.message_bytes:
            raise SettingsError("queue_bytes must be at least twice message_bytes, or nothing could wait")
        if self.message_bytes > self.byte_rate * _LONGEST_THROTTLE_SECONDS:
            raise SettingsError(
                f"byte_rate is too low for message_bytes: one message would stop a client for longer "
                f"than {_LONGEST_THROTTLE_SECONDS:g} s"
            )
        if bool(self.turn) != bool(self.turn_secret):
            raise SettingsError("turn and turn_secret_file only make sense together")
        self.stun_urls()
        self.turn_urls()
        self.turn_secrets()
        self.trusted_networks()

    def stun_urls(self) -> tuple[str, ...]:
        """What clients are told of `stun`.

        Raises:
            SettingsError: one of them is no `stun:` URL.
        """
        return _urls("stun", self.stun, ("stun",))

    def turn_urls(self) -> tuple[str, ...]:
        """What clients are told of `turn`, each with its transport.

        Raises:
            SettingsError: one of them is no `turn:` or `turns:` URL.
        """
        return _urls("turn", self.turn, ("turn", "turns"))

    def turn_secrets(self) -> tuple[str, ...]:
        """The secrets in `turn_secret`; the first signs.

        Raises:
            SettingsError: one of them cannot be used.
        """
        try:
            return turn_secrets(self.turn_secret) if self.turn else ()
        except ValueError as problem:
            raise SettingsError(f"turn_secret cannot be used: {problem}") from problem

    def trusted_networks(self) -> tuple[Network, ...]:
        """The networks in `trusted_proxies`.

        Raises:
            SettingsError: one of them is not a network.
        """
        try:
            return tuple(parse_network(text) for text in self.trusted_proxies)
        except ValueError as problem:
            raise SettingsError(f"trusted_proxies: {problem}") from problem


def _urls(setting: str, urls: tuple[str, ...], schemes: tuple[str, ...]) -> tuple[str, ...]:
    told: list[str] = []
    for url in urls:
        if url.partition(":")[0] not in schemes:
            raise SettingsError(f"{setting} is {url!r}, which does not begin with {schemes[-1]}:")
        try:
            told += ice_urls(url)
        except ValueError as problem:
            raise SettingsError(f"{setting}: {problem}") from problem
    return tuple(told)


_TYPES: Final = get_type_hints(Settings)


def read_settings(
    config: Path | None, environment: Mapping[str, str], flags: Mapping[str, object]
) -> Settings:
    """Put the settings together from all three places; flags that are None were not given.

    Raises:
        SettingsError: a file cannot be read, a key is unknown, or a value is of no use.
    """
    values: dict[str, object] = {}
    if config is not None:
        values.update(_from_file(config))
    values.update(_from_environment(environment))
    for name, value in flags.items():
        if value is not None:
            flag = f"--{name.replace('_', '-')}"
            setting, resolved = _resolved(name, value, flag)
            values[setting] = _converted(setting, resolved, flag)
    return Settings(**values)  # type: ignore[arg-type]


def _from_file(path: Path) -> dict[str, object]:
    try:
        table = tomllib.loads(_text_of(path, str(path)))
    except tomllib.TOMLDecodeError as problem:
        raise SettingsError(f"{path} is not valid TOML: {problem}") from problem
    values = {}
    for key, raw in table.items():
        name, value = _resolved(key, raw, str(path))
        if name != key:
            value = _structured(name, value, f"{key} in {path}")
        values[name] = _converted(name, value, f"{key} in {path}")
    return values


def _from_environment(environment: Mapping[str, str]) -> dict[str, object]:
    values = {}
    for variable, raw in sorted(environment.items()):
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        key = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        if _is_setting(key):
            name, text = _resolved(key, raw, variable)
            values[name] = _converted(name, _structured(name, text, variable), variable)
        elif near := get_close_matches(key, _TYPES, n=1, cutoff=_NEARLY_THE_SAME):
            meant = f"{ENVIRONMENT_PREFIX}{near[0].upper()}"
            raise SettingsError(f"{variable} is not a setting; did you mean {meant}?")
    return values


def _is_setting(key: str) -> bool:
    return key in _TYPES or key.removesuffix(_FILE_SUFFIX) in _TYPES


def _resolved(key: str, raw: object, source: str) -> tuple[str, object]:
    """The setting that *key* names, and its value, read from a file if the key asks for that."""
    if key in _TYPES:
        return key, _with_secrets(raw, source) if key == "ice_servers" else raw
    name = key.removesuffix(_FILE_SUFFIX)
    if name in _TYPES:
        return name, _secret_of(Path(str(raw)), f"{key} from {source}")
    near = get_close_matches(key, _TYPES, n=1, cutoff=0)
    raise SettingsError(f"{source}: there is no setting {key!r}; the nearest is {near[0]!r}")


def _with_secrets(raw: object, source: str) -> object:
    """ICE servers with each `credential_file` replaced by what is in that file."""
    if not isinstance(raw, list):
        return raw
    return [_with_secret(entry, source) if isinstance(entry, dict) else entry for entry in raw]


def _with_secret(entry: dict[str, object], source: str) -> dict[str, object]:
    known = {"urls", "username", "credential", "credential_file"}
    for key in entry.keys() - known:
        near = get_close_matches(key, known, n=1, cutoff=0)
        raise SettingsError(f"{source}: ice_servers has no key {key!r}; the nearest is {near[0]!r}")
    rest = {key: value for key, value in entry.items() if key != "credential_file"}
    if "credential_file" in entry:
        path = Path(str(entry["credential_file"]))
        rest["credential"] = _secret_of(path, f"credential_file from {source}")
    return rest


def _structured(name: str, text: object, source: str) -> object:
    """What a text from the environment stands for: lists are comma separated, ICE servers are JSON."""
    if name == "ice_servers":
        try:
            return _with_secrets(msgspec.json.decode(str(text)), source)
        except msgspec.DecodeError as problem:
            raise SettingsError(f"{source} is not valid JSON: {problem}") from problem
    if _TYPES[name] == tuple[str, ...]:
        return [part.strip() for part in str(text).split(",") if part.strip()]
    return text


def _converted(name: str, value: object, source: str) -> object:
    if _TYPES[name] == Path | None:
        return Path(str(value))
    try:
        return msgspec.convert(value, _TYPES[name], strict=not isinstance(value, str))
    except msgspec.ValidationError as problem:
        raise SettingsError(f"{source}: {problem}") from problem


def _text_of(path: Path, source: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_CONFIG_BYTES + 1)
        text = content.decode("utf-8")
    except OSError as problem:
        raise SettingsError(f"cannot read {source}: {problem.strerror} ({path})") from problem
    except UnicodeDecodeError as problem:
        raise SettingsError(f"cannot read {source}: it is not text ({path})") from problem
    if len(content) > _LARGEST_CONFIG_BYTES:
        raise SettingsError(f"cannot read {source}: it is larger than {_LARGEST_CONFIG_BYTES} bytes ({path})")
    return text


def _secret_of(path: Path, source: str) -> str:
    """What is in a file that holds one value; an empty one is a deployment that went wrong."""
    text = _text_of(path, source).strip()
    if not text:
        raise SettingsError(f"cannot use {source}: the file is empty ({path})")
    return text
