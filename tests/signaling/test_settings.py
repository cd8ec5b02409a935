"""Settings: three sources in rising order, nothing unknown, sentences for people."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from signaling.addresses import parse_network
from signaling.messages import IceServer
from signaling.settings import Settings, SettingsError, read_settings


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "server.toml"


def test_the_defaults_are_good_settings() -> None:
    settings = read_settings(None, {}, {})
    assert settings == Settings()
    assert (settings.host, settings.port, settings.room_members) == ("127.0.0.1", 8787, 64)
    assert settings.message_bytes == 65_536


def test_flags_beat_the_environment_which_beats_the_file(toml: Path) -> None:
    toml.write_text('port = 1\nrooms = 1\nmotd = "file"\n')
    settings = read_settings(toml, {"WEFT_PORT": "2", "WEFT_ROOMS": "2"}, {"port": 3, "motd": None})
    assert (settings.port, settings.rooms, settings.motd) == (3, 2, "file")


def test_every_setting_can_come_from_the_environment() -> None:
    samples = {
        "ice_servers": '[{"urls": ["stun:x"]}]',
        "trusted_proxies": "10.0.0.0/8",
        "allowed_origins": "https://a, https://b,",
        "log_addresses": "true",
        "host": "::1",
        "motd": "日",
        "tls_certificate": "a.pem",
        "tls_key": "b.pem",
        "stun": "stun:a:3478",
        "turn": "turn:a, turns:a:443",
        "turn_secret": "north-wind-and-the-sun",
    }
    environment = {
        f"WEFT_{each.name.upper()}": samples.get(each.name, str(each.default)) for each in fields(Settings)
    }
    settings = read_settings(None, environment, {})
    assert settings.ice_servers == (IceServer(urls=("stun:x",)),)
    assert settings.allowed_origins == ("https://a", "https://b")
    assert settings.trusted_networks() == (parse_network("10.0.0.0/8"),)
    assert settings.log_addresses is True
    assert (settings.tls_certificate, settings.tls_key) == (Path("a.pem"), Path("b.pem"))
    assert settings.frame_rate == Settings().frame_rate
    assert settings.stun_urls() == ("stun:a:3478",)
    assert settings.turn_urls()[0] == "turn:a?transport=udp"
    assert settings.turn_urls()[2] == "turns:a:443?transport=tcp"
    assert settings.turn_secrets() == ("north-wind-and-the-sun",)
    assert "north-wind" not in repr(settings)


def test_a_misspelt_key_in_the_file_is_an_error_with_the_nearest_one(toml: Path) -> None:
    toml.write_text("room_member = 3\n")
    with pytest.raises(SettingsError, match=r"no setting 'room_member'; the nearest is 'room_members'"):
        read_settings(toml, {}, {})


def test_a_misspelt_variable_is_an_error_with_the_nearest_one() -> None:
    with pytest.raises(SettingsError, match=r"WEFT_ROOM_MEMBER is not a setting.*WEFT_ROOM_MEMBERS"):
        read_settings(None, {"WEFT_ROOM_MEMBER": "3"}, {})


def test_variables_of_other_programs_and_commands_are_not_ours() -> None:
    names = (
        "SERVER NAME CONFIG TEST_ALL TEST_PATIENCE CONFIG_DIR DATA_DIR RUNTIME_DIR PATH JSON LINK NO_COLOR"
    )
    environment = {f"WEFT_{name}": "x" for name in names.split()} | {"PORT": "1", "HOME": "/"}
    assert read_settings(None, environment, {}) == Settings()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("port = 'x'", "port in .*: Expected `int`"),
        ("port = 1.5", "port in .*: Expected `int`"),
        ("port = -1", "port is -1, it must be at least 0"),
        ("port = 65536", "there are none above 65535"),
        ("rooms = 0", "rooms is 0, it must be at least 1"),
        ("frame_rate = nan", "frame_rate is nan"),
        ("port = ", "not valid TOML"),
        ("log_addresses = 1", "Expected `bool`"),
        ("trusted_proxies = ['10.0.0.0/99']", "trusted_proxies: .*10.0.0.0/99"),
        ("trusted_proxies = '10.0.0.0/8'", "Expected `array`"),
        ("tls_key = 'a.pem'", "only make sense together"),
        ("queue_bytes = 65536", "twice message_bytes"),
        ("byte_rate = 1024.0", "byte_rate is too low"),
        ("ice_servers = 'x'", "Expected `array`"),
        ("ice_servers = ['x']", "Expected `object`"),
        ("[[ice_servers]]\nurl = ['stun:x']", "no key 'url'; the nearest is 'urls'"),
        ("turn = ['turn:a']", "turn and turn_secret_file only make sense together"),
        ("turn_secret = 'north-wind-and-the-sun'", "only make sense together"),
        ("turn = ['turn:a']\nturn_secret = 'short'", "turn_secret cannot be used: .*shorter than 16"),
        ("turn = ['stun:a']\nturn_secret = 'north-wind-and-the-sun'", "does not begin with turns:"),
        ("turn = ['turn:a:b']\nturn_secret = 'north-wind-and-the-sun'", "turn: 'turn:a:b' is no address"),
        ("stun = ['turn:a']", "stun is 'turn:a', which does not begin with stun:"),
        ("stun = ['stun:']", "stun: 'stun:' is no address"),
        ("turn_secret_file = '/nonexistent/secret'", "cannot read turn_secret_file .*No such file"),
        ("turn_seconds = 0.5", "turn_seconds is 0.5, it must be at least 1"),
        ("motd_file = '/nonexistent/motd'", "cannot read motd_file .*No such file"),
    ],
)
def test_a_value_of_no_use_is_an_error_that_names_it(toml: Path, content: str, complaint: str) -> None:
    toml.write_text(content)
    with pytest.raises(SettingsError, match=complaint):
        read_settings(toml, {}, {})


def test_bad_values_from_the_environment_name_their_variable() -> None:
    with pytest.raises(SettingsError, match="WEFT_PORT: Expected `int`"):
        read_settings(None, {"WEFT_PORT": "eighty"}, {})
    with pytest.raises(SettingsError, match="WEFT_ICE_SERVERS is not valid JSON"):
        read_settings(None, {"WEFT_ICE_SERVERS": "stun:x"}, {})


def test_a_secret_comes_from_a_file(tmp_path: Path, toml: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    toml.write_text(
        f"[[ice_servers]]\nurls = ['turn:x']\nusername = 'u'\ncredential_file = {json.dumps(str(secret))}\n"
    )
    expected = (IceServer(urls=("turn:x",), username="u", credential="s3cret"),)
    assert read_settings(toml, {}, {}).ice_servers == expected

    servers = tmp_path / "servers.json"
    servers.write_text(json.dumps([{"urls": ["turn:x"], "username": "u", "credential": "s3cret"}]))
    assert read_settings(None, {"WEFT_ICE_SERVERS_FILE": str(servers)}, {}).ice_servers == expected
    toml.write_text(f"ice_servers_file = {json.dumps(str(servers))}\n")
    assert read_settings(toml, {}, {}).ice_servers == expected


def test_an_empty_secret_file_is_a_deployment_that_went_wrong(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text(" \n")
    with pytest.raises(SettingsError, match="the file is empty"):
        read_settings(None, {"WEFT_ICE_SERVERS_FILE": str(empty)}, {})


def test_an_empty_configuration_is_fine(toml: Path) -> None:
    toml.write_text("")
    assert read_settings(toml, {}, {}) == Settings()


def test_a_configuration_that_cannot_be_text_is_refused(toml: Path) -> None:
    toml.write_bytes(b"\xff")
    with pytest.raises(SettingsError, match="not text"):
        read_settings(toml, {}, {})
    toml.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(SettingsError, match="larger than"):
        read_settings(toml, {}, {})
    with pytest.raises(SettingsError, match="No such file"):
        read_settings(toml.with_suffix(".absent"), {}, {})


def test_the_secrets_of_turn_come_from_a_file_that_a_flag_names(tmp_path: Path, toml: Path) -> None:
    secret = tmp_path / "turn-secret"
    secret.write_text("north-wind-and-the-sun\nthe-one-before-that\n")
    flags = {"turn": ["turn:a"], "turn_secret_file": str(secret)}
    settings = read_settings(None, {}, flags)
    assert settings.turn_secrets() == ("north-wind-and-the-sun", "the-one-before-that")
    toml.write_text(f"turn = ['turn:a']\nturn_secret_file = {json.dumps(str(secret))}\n")
    assert read_settings(toml, {}, {}) == settings
    assert read_settings(None, {"WEFT_TURN": "turn:a", "WEFT_TURN_SECRET_FILE": str(secret)}, {}) == settings
    secret.write_text("\n")
    with pytest.raises(SettingsError, match="--turn-secret-file: the file is empty"):
        read_settings(None, {}, flags)
