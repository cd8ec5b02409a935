"""The files for a TURN server: ranges and not CIDR, nothing left open, mistakes in sentences."""

import re
import shlex
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from signaling.turn_command import templates, turn_config
from signaling.turn_config import DENIED, TEMPLATES, USER_QUOTA, TurnConfig, render

SECRET = "north-wind-and-the-sun"
EXAMPLE = Path(__file__).parents[2] / "turn-config"


def files(**settings: Any) -> dict[str, str]:
    chosen: dict[str, Any] = {
        "domain": "turn.example.org",
        "secrets": (SECRET,),
        "external": ("198.51.100.7",),
    }
    return render(TurnConfig(**(chosen | settings)), templates())


def conf(**settings: Any) -> list[str]:
    return files(**settings)["turnserver.conf"].splitlines()


def ranges(lines: list[str], word: str) -> list[tuple[int, int, int]]:
    """Version, first and last address of each line."""
    found: list[tuple[int, int, int]] = []
    for line in lines:
        key, _, value = line.partition("=")
        if key == f"{word}-peer-ip":
            first, _, last = value.partition("-")
            low, high = ip_address(first), ip_address(last or first)
            found.append((low.version, int(low), int(high)))
    return found


def test_every_denied_network_is_a_range_from_its_first_to_its_last_address() -> None:
    assert "denied-peer-ip=172.16.0.0-172.31.255.255" in conf()
    assert "denied-peer-ip=fe80::-febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff" in conf()
    assert "denied-peer-ip=::1" in conf()
    assert not [line for line in conf() if line.startswith(("denied", "allowed")) and "/" in line]
    # coturn 4.6 takes that for all of IPv4
    assert not [line for line in conf() if line.startswith("denied-peer-ip=::-")]


@given(st.ip_addresses(network="0.0.0.0/0") | st.ip_addresses(v=6))
def test_an_address_is_denied_if_it_is_in_a_denied_network_and_only_then(address: Any) -> None:
    denied = ranges(conf(), "denied")
    inside = any(version == address.version and low <= int(address) <= high for version, low, high in denied)
    assert inside == any(address in ip_network(text) for text in DENIED)


def test_no_private_address_is_left_out() -> None:
    denied = ranges(conf(), "denied")
    for text in [
        "10.0.0.0",
        "10.255.255.255",
        "100.64.0.0",
        "127.0.0.1",
        "169.254.169.254",
        "172.16.0.0",
        "172.31.255.255",
    ]:
        assert any(low <= int(ip_address(text)) <= high for version, low, high in denied if version == 4)
    for text in ("::1", "fc00::", "fd00:ec2::254", "fe80::1", "::ffff:10.0.0.1", "64:ff9b::a00:1"):
        assert any(low <= int(ip_address(text)) <= high for version, low, high in denied if version == 6)


def test_the_addresses_are_pinned_and_the_own_one_is_open_if_it_is_private() -> None:
    plain = conf(external=("192.31.196.7",))
    assert {"listening-ip=192.31.196.7", "relay-ip=192.31.196.7"} <= set(plain)
    assert not [line for line in plain if line.startswith(("external-ip", "allowed-peer-ip"))]
    behind = conf(external=("192.31.196.7", "2606::7"), listen=("10.0.0.5", "2606::7"))
    assert {"listening-ip=10.0.0.5", "relay-ip=10.0.0.5", "listening-ip=2606::7"} <= set(behind)
    assert [line for line in behind if line.startswith("external-ip")] == [
        "external-ip=192.31.196.7/10.0.0.5"
    ]
    assert [line for line in behind if line.startswith("allowed")] == ["allowed-peer-ip=10.0.0.5"]
    assert not [line for line in conf(external=()) if line.startswith(("listening-ip", "relay-ip"))]


def test_all_secrets_are_in_it_and_without_one_nobody_is_let_in() -> None:
    several = conf(secrets=(SECRET, "the-one-before-that"))
    assert [line for line in several if line.startswith("static-auth-secret")] == [
        f"static-auth-secret={SECRET}",
        "static-auth-secret=the-one-before-that",
    ]
    none = conf(secrets=())
    assert "use-auth-secret" in none
    assert not [line for line in none if line.startswith("static-auth-secret")]
    assert SECRET not in repr(TurnConfig(domain="a", secrets=(SECRET,)))


def test_tls_is_there_if_there_is_a_certificate() -> None:
    assert "no-tls" in conf()
    secure = conf(certificate="/c.pem", key="/k.pem")
    assert "no-tls" not in secure
    assert {"tls-listening-port=443", "cert=/c.pem", "pkey=/k.pem"} <= set(secure)


def test_there_is_a_port_for_each_allocation_that_is_allowed() -> None:
    assert {"min-port=2000", "max-port=2099", "total-quota=100", f"user-quota={USER_QUOTA}"} <= set(
        conf(min_port=2000, max_port=2099)
    )


def test_words_that_newer_versions_do_not_know_are_left_out_for_them() -> None:
    words = {"no-rfc5780", "no-tlsv1", "response-origin-only-with-rfc5780"}
    assert words | {"no-cli", "no-dtls"} <= set(conf(coturn=(4, 6, 3)))
    assert not words & set(conf(coturn=(4, 7)))
    assert {"no-cli", "no-dtls"} <= set(conf(coturn=(4, 9, 1)))
    assert "no-cli" not in conf(coturn=(4, 10))
    newest = files(coturn=(4, 17, 2))
    assert {"no-tcp-relay", "no-multicast-peers"} <= set(newest["turnserver.conf"].splitlines())
    assert not re.search(r"^no-(cli|dtls|rfc)|log these words", newest["turnserver.conf"], re.MULTILINE)
    assert "coturn/coturn:4.17.2" in newest["compose.yaml"]


def test_the_operator_can_close_and_open_more() -> None:
    lines = conf(deny=("192.31.196.9/32", "2606::/32"), allow=("10.20.0.0/16",))
    assert "denied-peer-ip=192.31.196.9" in lines
    assert "denied-peer-ip=2606::-2606:0:ffff:ffff:ffff:ffff:ffff:ffff" in lines
    assert "allowed-peer-ip=10.20.0.0-10.20.255.255" in lines


def test_only_low_ports_need_a_capability_but_the_image_always_asks_for_it() -> None:
    low = files(certificate="/c.pem", key="/k.pem")
    assert "\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n" in low["coturn-weft.conf"]
    assert "cap_add: [NET_BIND_SERVICE]" in low["compose.yaml"]
    assert "      - /c.pem:/c.pem:ro\n      - /k.pem:/k.pem:ro\n" in low["compose.yaml"]
    high = files()
    assert "Ambient" not in high["coturn-weft.conf"]
    assert "cap_add: [NET_BIND_SERVICE]" in high["compose.yaml"]


def test_the_firewall_knows_ports_networks_and_own_addresses() -> None:
    rules = files(external=("192.31.196.7",), listen=("10.0.0.5",), certificate="/c", key="/k")["turn.nft"]
    assert "udp sport 49152-49999 jump relayed" in rules
    assert "tcp dport { 3478, 443 } ct state new" in rules
    assert "elements = { 10.0.0.5 };" in rules
    assert "10.0.0.0/8, " in rules
    assert "fe80::/10" in rules
    assert "set own6 { type ipv6_addr; flags interval;  }" in rules


def test_the_files_are_tidy() -> None:
    for settings in (
        {},
        {"coturn": (4, 7), "external": (), "secrets": ()},
        {"certificate": "/c", "key": "/k"},
    ):
        for name, text in files(**settings).items():
            assert "$" not in text, name
            assert "\n\n\n" not in text, name
            assert text.endswith("\n"), name
            assert not re.search(r"[ \t]$", text, re.MULTILINE), name


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"domain": ""}, "the domain '' has to be a name"),
        ({"domain": "a b"}, "has to be a name"),
        ({"domain": "a\nno-auth"}, "has to be a name"),
        ({"external": ("nowhere",)}, "'nowhere' is no IP address"),
        ({"listen": ("10.0.0.5", "10.0.0.6")}, "each --listen address needs"),
        ({"certificate": "/c"}, "only make sense together"),
        ({"certificate": "/c d", "key": "/k"}, "must not have spaces"),
        ({"deny": ("10.0.0.1/8",)}, "'10.0.0.1/8' is no network"),
        ({"allow": ("x",)}, "'x' is no network"),
        ({"port": 0}, "there is no port 0"),
        ({"max_port": 65_536}, "there is no port 65536"),
        ({"min_port": 50_000}, "50000 to 49999 is no range"),
        ({"min_port": 1000}, "no range of ports above 1023"),
        ({"port": 49_500}, "cannot listen on a port of the range"),
        ({"tls_port": 49_500}, "cannot listen on a port of the range"),
        ({"tls_port": 3478, "certificate": "/c", "key": "/k"}, "TLS needs a port of its own"),
    ],
)
def test_what_coturn_would_misunderstand_is_refused_in_a_sentence(
    settings: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        files(**settings)


# --- the command ----------------------------------------------------------------------------------------


def run(*arguments: str) -> Result:
    return CliRunner().invoke(turn_config, ["--domain", "turn.example.org", *arguments])


def test_the_command_writes_all_files_and_makes_the_secret(tmp_path: Path) -> None:
    secret, output = tmp_path / "secret", tmp_path / "out"
    arguments = ("--secret-file", str(secret), "--external-ip", "198.51.100.7", "--output", str(output))
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout.split() == [str(output / name) for name in TEMPLATES]
    assert "made" in result.stderr
    made = secret.read_text().strip()
    assert len(made) > 40
    assert secret.stat().st_mode & 0o777 == 0o600
    assert (output / "turnserver.conf").stat().st_mode & 0o777 == 0o600
    assert f"static-auth-secret={made}\n" in (output / "turnserver.conf").read_text()
    assert made not in result.output
    assert run(*arguments).exit_code == 0
    assert not list(output.glob("*.old"))


def test_the_next_step_is_a_command_that_can_be_copied(tmp_path: Path) -> None:
    secret = tmp_path / "the secret"
    arguments = ("--secret-file", str(secret), "--external-ip", "198.51.100.7", "--output", str(tmp_path))
    result = run(*arguments)
    *_, command = result.stderr.strip().partition("then  ")
    asked = ["turn:turn.example.org:3478", "--secret-file", str(secret)]
    assert shlex.split(command) == ["weft", "turn-check", *asked]
    assert "warning" not in result.stderr


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_who_names_a_loopback_address_is_told_that_it_cannot_work(tmp_path: Path, address: str) -> None:
    arguments = ("--secret-file", str(tmp_path / "secret"), "--external-ip", address)
    result = run(*arguments, "--output", str(tmp_path))
    assert result.exit_code == 0
    assert f"warning: coturn refuses to relay to {address} (loopback)" in result.stderr


def test_what_is_replaced_is_kept_beside_it(tmp_path: Path) -> None:
    secret, output = tmp_path / "secret", tmp_path / "out"
    secret.write_text(f"{SECRET}\n")
    output.mkdir()
    (output / "turnserver.conf").write_text("edited by hand\n")
    assert run("--secret-file", str(secret), "--output", str(output)).exit_code == 0
    assert (output / "turnserver.conf.old").read_text() == "edited by hand\n"
    assert SECRET in (output / "turnserver.conf").read_text()


@pytest.mark.parametrize(
    ("content", "arguments", "complaint"),
    [
        ("short\n", (), "secret 1 is shorter than 16"),
        ("\n", (), "there is no secret in it"),
        (SECRET, ("--external-ip", "x"), "'x' is no IP address"),
        (SECRET, ("--coturn", "new"), "'new' is no version such as 4.6"),
    ],
)
def test_wrong_usage_ends_with_2_and_a_sentence(
    tmp_path: Path, content: str, arguments: tuple[str, ...], complaint: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(content)
    result = run("--secret-file", str(secret), "--output", str(tmp_path / "out"), *arguments)
    assert result.exit_code == 2
    assert complaint in result.stderr
    assert not (tmp_path / "out").exists()


def test_files_that_cannot_be_read_or_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run("--secret-file", str(tmp_path), "--output", str(tmp_path / "out"))
    assert f"cannot read {tmp_path}: Is a directory" in result.stderr
    result = run("--secret-file", str(tmp_path / "secret"), "--output", str(tmp_path / "file" / "out"))
    assert "cannot write" in result.stderr


def test_the_example_in_the_repository_is_what_the_command_writes() -> None:
    expected = files(
        secrets=(),
        external=("198.51.100.7",),
        certificate="/etc/coturn/fullchain.pem",
        key="/etc/coturn/privkey.pem",
    )
    for name, text in expected.items():
        assert (EXAMPLE / name).read_text() == text, (
            f"turn-config/{name} is not what `weft turn-config` writes"
        )
