"""`check_turn` against a real coturn: one that is as it should be, and each way to get it wrong."""

import asyncio
import json
import os
import re
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from peer.cli.errors import Failure
from peer.cli.main import weft
from peer.cli.turn_check import lines
from peer.edge.turn_check import PRIVATE, Step, check_turn, verdict
from peer.edge.turn_client import Rejected, connected, targets
from peer.edge.turn_findings import OPEN
from peer.errors import UsageError
from tests.conftest import TEST_ALL
from tests.turn.coturn import OLD_SECRET, PATIENCE, SECRET, Coturn, certificate, coturn, credential, free_port

pytestmark = pytest.mark.needs("turnserver")

CARRY = ["reach", "allocate", "permission", "data"]
REFUSE = ["public", "expired", *(f"private {address}" for address in PRIVATE)]


async def check(server: Coturn, url: str = "", *, secret: str = SECRET) -> list[Step]:
    expired = credential(-60, secret=secret)
    return await check_turn(url or server.url, *credential(secret=secret), expired=expired, answer_seconds=2)


def outcomes(steps: Sequence[Step]) -> dict[str, str]:
    return {f"{step.transport} {step.name}": step.outcome for step in steps if step.outcome != "ok"}


def failed(steps: Sequence[Step]) -> Step:
    found = [step for step in steps if step.outcome == "failed"]
    assert found, steps
    assert found[0].do.endswith((".", ")")) or found[0].do
    return found[0]


async def test_what_we_generate_is_all_right_over_udp_and_tcp(tmp_path: Path) -> None:
    async with coturn(tmp_path) as server:
        steps = await check(server)
    assert outcomes(steps) == {}
    assert [step.name for step in steps if step.transport == "udp"] == [*CARRY, "outside", *REFUSE]
    assert [step.name for step in steps if step.transport == "tcp"] == CARRY
    assert verdict(steps) == "ok"
    assert all(0 < step.ms < 2000 for step in steps)


async def test_over_tls_with_a_certificate_that_is_trusted(tmp_path: Path) -> None:
    chain, key, trust = certificate(tmp_path)
    async with coturn(tmp_path / "turn", certificate=chain, key=key) as server:
        steps = await check_turn(server.tls_url, *credential(), expired=credential(-60), tls=trust)
        assert outcomes(steps) == {}
        assert [step.transport for step in steps] == ["tls"] * len(CARRY + REFUSE)
        strange = failed(await check(server, server.tls_url))
    assert "its certificate does not prove that it is 127.0.0.1" in strange.detail
    assert "cert= and pkey=" in strange.do


async def test_a_certificate_that_ends_soon_is_worth_a_note(tmp_path: Path) -> None:
    chain, key, trust = certificate(tmp_path, days=3)
    async with coturn(tmp_path / "turn", certificate=chain, key=key) as server:
        steps = await check_turn(server.tls_url, *credential(), tls=trust, policy=False)
    assert outcomes(steps) == {"tls reach": "note"}
    assert "ends in 3 days" in steps[0].detail
    assert verdict(steps) == "note"


async def test_each_secret_of_the_list_is_good_and_no_other(tmp_path: Path) -> None:
    async with coturn(tmp_path) as server:
        assert verdict(await check(server, secret=OLD_SECRET)) == "ok"
        steps = await check(server, secret="some-other-secret")
    assert failed(steps).name == "allocate"
    assert failed(steps).detail == "it refuses the credential"
    assert "secret file of `weft serve`" in failed(steps).do
    assert verdict(steps) == "failed"


async def test_an_expired_credential_is_of_no_use(tmp_path: Path) -> None:
    async with coturn(tmp_path) as server, connected(targets(server.url)[0], *credential(-2)) as late:
        with pytest.raises(Rejected) as caught:
            await late.allocate()
    assert caught.value.code == 401


async def test_a_server_with_fixed_passwords_is_checked_without_the_expired_one(tmp_path: Path) -> None:
    def fixed(text: str) -> str:
        text = re.sub(r"^static-auth-secret=.*\n", "", text, flags=re.MULTILINE)
        return text.replace("use-auth-secret", "lt-cred-mech\nuser=anna:password")

    async with coturn(tmp_path, change=fixed) as server:
        steps = await check_turn(server.url, "anna", "password")
    assert outcomes(steps) == {"udp expired": "skipped"}
    assert verdict(steps) == "ok"


def without(*words: str) -> Callable[[str], str]:
    """Remove the lines that hold one of *words*."""
    return lambda text: "\n".join(
        line for line in text.split("\n") if not any(word in line for word in words)
    )


async def test_attack_a_server_that_relays_into_private_networks_is_found(tmp_path: Path) -> None:
    async with coturn(tmp_path, change=without("denied-peer-ip")) as server:
        steps = await check(server)
    found = [step for step in steps if step.outcome == "failed"]
    assert {step.name for step in found} >= {
        "private 169.254.169.254",
        "private 10.254.253.252",
        "private 127.0.0.1",
    }
    assert "denied-peer-ip lines" in found[0].do
    assert verdict(steps) == "failed"


async def test_attack_a_network_that_is_denied_as_cidr_is_open_and_found(tmp_path: Path) -> None:
    def as_cidr(text: str) -> str:
        return text.replace("denied-peer-ip=10.0.0.0-10.255.255.255", "denied-peer-ip=10.0.0.0/8")

    async with coturn(tmp_path, change=as_cidr) as server:
        steps = await check(server)
    assert failed(steps).name == "private 10.254.253.252"


async def test_a_list_that_denies_everything_is_found(tmp_path: Path) -> None:
    def everything(text: str) -> str:
        return text.replace("denied-peer-ip=::1\n", "denied-peer-ip=::-::1\n")

    async with coturn(tmp_path, change=everything) as server:
        steps = await check(server)
    assert failed(steps).name == "public"
    assert verdict(steps) == "failed"


async def test_a_server_that_denies_its_own_address_is_found(tmp_path: Path) -> None:
    async with coturn(tmp_path, change=without("allowed-peer-ip")) as server:
        steps = await check(server)
    assert failed(steps).name == "permission"
    assert "add allowed-peer-ip=127.0.0.1" in failed(steps).do


async def test_behind_a_1_to_1_nat_two_relayed_addresses_still_meet(tmp_path: Path) -> None:
    async with coturn(tmp_path, external=("198.51.100.7",), listen=("127.0.0.1",)) as server:
        url = f"{server.url}?transport=udp"
        steps = await check_turn(url, *credential(), policy=False, answer_seconds=0.5)
    by_name = {step.name: step for step in steps}
    assert "198.51.100.7:" in by_name["allocate"].detail
    assert by_name["data"].outcome == "ok"
    # nothing here leads to that address
    assert by_name["outside"].outcome == "failed"
    assert "on the server itself" in by_name["outside"].do


async def test_a_server_with_ipv6_relays_into_no_private_network_of_ipv6(tmp_path: Path) -> None:
    async with coturn(tmp_path, external=("127.0.0.1", "::1")) as server:
        assert outcomes(await check(server)) == {"udp private ::1": "skipped"}
        over_ipv6 = await check_turn(f"turn:[::1]:{server.port}", *credential(), policy=False)
        assert outcomes(over_ipv6) == {"udp outside": "skipped"}
        async with connected(targets(server.url)[0], *credential()) as client:
            assert (await client.allocate(ipv6=True))[0] == "::1"
            await client.permit("2606:4700:4700::1111")
            for address in ("fd00::1", "fe80::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::"):
                with pytest.raises(Rejected, match="403"):
                    await client.permit(address)


async def test_a_server_without_room_says_so(tmp_path: Path) -> None:
    async with coturn(tmp_path, change=lambda text: text.replace("user-quota=64", "user-quota=1")) as server:
        steps = await check(server)
    assert failed(steps).name == "allocate"
    assert "no room for another allocation (486" in failed(steps).detail


async def test_nothing_that_was_tried_is_left_behind(tmp_path: Path) -> None:
    """A quota for two checks is enough for any number of them; coturn takes a moment to free anything."""
    async with coturn(tmp_path, change=lambda text: text.replace("user-quota=64", "user-quota=4")) as server:
        good = 0
        async with asyncio.timeout(PATIENCE):
            while good < 8:
                steps = await check_turn(f"{server.url}?transport=udp", *credential(), policy=False)
                good += verdict(steps) == "ok"
                await asyncio.sleep(0.05)


@pytest.mark.needs("nft", "unshare", "ip")
@pytest.mark.parametrize(
    ("closed", "step"),
    [("udp dport 49152-49999 udp sport < 49152 drop", "outside"), ("udp dport 49152-49999 drop", "data")],
)
async def test_relay_ports_behind_a_firewall_are_found(tmp_path: Path, closed: str, step: str) -> None:
    """In a network of its own, whose loopback is the internet."""
    if os.geteuid() != 0:
        if TEST_ALL:
            pytest.fail("needs root for a network of its own, and WEFT_TEST_ALL asks for every test")
        pytest.skip("needs root for a network of its own")
    rules = tmp_path / "rules.nft"
    chain = "add chain t c { type filter hook input priority 0; }"
    rules.write_text(f"add table t\n{chain}\nadd rule t c {closed}\n")
    check = f"{sys.executable} -m tests.turn.behind {tmp_path / 'turn'}"
    # or a plain socket, by chance, has a port that the rules are about
    ports = "echo 32768 49000 > /proc/sys/net/ipv4/ip_local_port_range"
    script = f"ip link set lo up && {ports} && nft -f {rules} && exec {check}"
    process = await asyncio.create_subprocess_exec(
        *("unshare", "-n", "sh", "-c", script), stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    async with asyncio.timeout(2 * PATIENCE):
        output, _ = await process.communicate()
    steps = [Step(**found) for found in json.loads(output)]
    assert failed(steps).name == step
    assert "open the UDP ports from min-port to max-port" in failed(steps).do
    assert verdict(steps) == "failed"


# --- servers that are not there -------------------------------------------------------------------------


async def test_where_nobody_listens_the_operator_must_start_it() -> None:
    steps = await check_turn(f"turn:127.0.0.1:{free_port()}", "1:a", "b")
    assert [step.name for step in steps] == ["reach", "reach"]
    assert all("nothing listens at 127.0.0.1" in step.detail for step in steps)
    assert "start coturn" in steps[0].do
    assert max(step.ms for step in steps) < 1000
    assert verdict(steps) == "failed"


async def test_who_does_not_answer_may_be_behind_a_firewall() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        url = f"turn:127.0.0.1:{silent.getsockname()[1]}?transport=udp"
        steps = await check_turn(url, "1:a", "b", answer_seconds=0.2)
    assert "does not answer: no answer within 0.2 s" in failed(steps).detail
    assert "firewall" in failed(steps).do
    assert "?transport=tcp" in failed(steps).do


async def test_a_name_that_nobody_knows_is_called_so() -> None:
    steps = await check_turn("turn:turn.invalid?transport=udp", "1:a", "b")
    assert "the name turn.invalid is not known" in failed(steps).detail


async def test_a_port_without_tls_is_called_so(tmp_path: Path) -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as plain:
        port = plain.sockets[0].getsockname()[1]
        steps = await check_turn(f"turns:127.0.0.1:{port}", "1:a", "b")
    assert f"there is no TLS at 127.0.0.1:{port}/tls" in failed(steps).detail


async def test_without_a_credential_only_the_way_is_checked(tmp_path: Path) -> None:
    async with coturn(tmp_path) as server:
        steps = await check_turn(server.url, None, None)
    assert [step.name for step in steps] == ["reach", "allocate"] * 2
    assert "no credential" in failed(steps).detail


@pytest.mark.parametrize("url", ["", "turn.example.org", "stun:a", "turn:a:70000", "turns:a?transport=udp"])
async def test_what_is_no_turn_url_is_refused_in_a_sentence(url: str) -> None:
    with pytest.raises(UsageError, match="is no TURN address"):
        await check_turn(url, "a", "b")


# --- the command ----------------------------------------------------------------------------------------


def run(*arguments: str) -> Result:
    return CliRunner().invoke(weft, ["turn-check", *arguments], standalone_mode=False)


async def test_the_command_says_each_step_and_how_long_it_took(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    async with coturn(tmp_path / "turn") as server:
        good = await asyncio.to_thread(run, server.url, "--secret-file", str(secret))
        as_json = await asyncio.to_thread(run, server.url, "--secret-file", str(secret), "--json")
        wrong = await asyncio.to_thread(run, server.url, "--user", "anna", "--password", "x")
    assert good.return_value == 0
    assert re.search(
        r"^ok +udp +\d+\.\d ms +data +1000 bytes went there and back$", good.stdout, re.MULTILINE
    )
    record = json.loads(as_json.stdout)
    assert (record["schema"], record["outcome"]) == (1, "ok")
    assert len(record["steps"]) == 1 + len(CARRY * 2 + REFUSE)
    assert record["steps"][0].keys() == {"name", "transport", "outcome", "ms", "detail", "do"}
    assert wrong.return_value == 1
    assert "FAIL  udp" in wrong.stdout
    assert "do: the operator" in wrong.stdout


def test_a_command_that_works_with_notes_ends_with_10(tmp_path: Path) -> None:
    """TLS that is not there does not break what else the server does, but people should know."""
    assert verdict([Step("data", "udp", "ok", 1, ""), Step("reach", "tcp", "failed", 1, "")]) == "note"
    assert verdict([Step("reach", "tls", "note", 1, ""), Step("data", "tls", "ok", 1, "")]) == "note"


@pytest.mark.parametrize("width", [80, 60])
def test_no_word_of_a_step_is_broken_and_what_goes_on_is_indented(width: int) -> None:
    step = Step("unauthorized", "udp", "failed", 12.0, OPEN, do=OPEN)
    first, *rest = lines(step, width)
    assert max(map(len, (first, *rest))) <= width
    assert all(line.startswith(" " * 6) for line in rest)
    assert " ".join(" ".join((first, *rest)).split()) == " ".join(" ".join(lines(step)).split())


def test_a_secret_file_of_no_use_is_a_sentence(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("")
    for path in (empty, tmp_path / "missing"):
        problem = run("turn:a", "--secret-file", str(path)).exception
        assert f"{path} cannot be used: there is no" in str(problem)
        assert "Errno" not in str(problem)
        assert isinstance(problem, Failure)
        made_by = f"weft turn-config --domain NAME --secret-file {path}"
        assert (made_by in problem.problem.do) == (path.name == "missing")
    assert "cannot be used" in str(run("turns:a", "--ca-file", str(empty)).exception)
