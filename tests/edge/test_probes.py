"""Each probe of the doctor by itself, where it needs nothing but this computer."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from peer.edge.probes import clock, keys, peer_path, ports, stun, turn, watches, web
from peer.edge.probes.finding import Finding, Verdict, attempt, ok
from peer.edge.probes.internet import Asked, probe_nat, probe_stun
from signaling.messages import IceServer

OK, NOTE, BROKEN, SKIPPED = Verdict.OK, Verdict.NOTE, Verdict.BROKEN, Verdict.SKIPPED


@pytest.mark.parametrize(
    ("skew", "verdict", "words"),
    [
        (None, SKIPPED, "nobody"),
        (0.4, OK, "right to the second"),
        (-12.0, OK, "12 s from"),
        (45.0, NOTE, "45 s ahead of"),
        (-3600.0, BROKEN, "60 min behind"),
        (90_000.0, BROKEN, "25 h ahead of"),
        (-864_000.0, BROKEN, "10 days behind"),
    ],
)
def test_a_clock_is_judged_by_how_far_it_is_off(skew: float | None, verdict: Verdict, words: str) -> None:
    found = clock.probe(skew, "pad.example.org")
    assert found.verdict == verdict
    assert words in found.found


def test_a_key_that_others_can_read_is_told_with_the_command_that_closes_it(tmp_path: Path) -> None:
    assert [each.verdict for each in keys.probe(tmp_path)] == [OK, OK]
    key = tmp_path / "device.key"
    key.write_text("key")
    key.chmod(0o644)
    found = keys.probe(tmp_path)[0]
    assert (found.verdict, found.do) == (BROKEN, f"chmod 600 {key}")
    key.chmod(0o600)
    assert keys.probe(tmp_path)[0].verdict == OK
    (tmp_path / "config.toml").write_text("server = [")
    assert keys.probe(tmp_path)[1].verdict == BROKEN


def test_a_key_that_is_no_file_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "device.key").mkdir()
    assert keys.probe(tmp_path)[0].verdict == BROKEN


@pytest.mark.parametrize(
    ("limits", "verdict"),
    [({}, OK), ({"fs/inotify/max_user_watches": 500_000}, OK), ({"user/max_inotify_watches": 900}, NOTE)],
)
def test_watches_are_judged_by_the_lower_of_two_limits(
    tmp_path: Path, limits: dict[str, int], verdict: Verdict
) -> None:
    for name, value in limits.items():
        (tmp_path / "sys" / name).parent.mkdir(parents=True)
        (tmp_path / "sys" / name).write_text(f"{value}\n")
    found = watches.probe(tmp_path)
    assert found.verdict == verdict
    assert ("sysctl" in found.do) == (verdict == NOTE)


def test_a_port_that_is_taken_is_broken_only_if_somebody_wants_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        assert ports.probe(port, wanted=True).verdict == BROKEN
        found = ports.probe(port, wanted=False)
        assert found.verdict == NOTE
        assert f"process {os.getpid()}" in found.found
    assert ports.probe(port, wanted=True).verdict == OK


def test_how_a_peer_is_reached_is_told_with_the_reason() -> None:
    def words(path: str, address: str) -> str:
        return f"{path} {address}"

    (direct,) = peer_path.probe({"name": "ben", "path": "lan", "address": "10.0.0.2:5", "rtt_ms": 2.0}, words)
    assert (direct.verdict, direct.found) == (OK, "lan 10.0.0.2:5, 2 ms")
    (relayed,) = peer_path.probe({"name": "ben", "path": "relay", "why_not_direct": "too slow"}, words)
    assert (relayed.verdict, relayed.cause) == (NOTE, "too slow")
    assert peer_path.probe({"name": "ben", "path": None}, words)[0].verdict == NOTE


async def test_a_probe_that_fails_or_hangs_is_a_finding_and_not_the_end() -> None:
    async def fails() -> list[Finding]:
        raise KeyError("x")

    async def hangs() -> list[Finding]:
        await asyncio.Event().wait()
        return [ok("a.b", "c", "d")]

    (failed,) = await attempt("a.b", "title", fails(), seconds=1.0)
    assert (failed.verdict, failed.cause) == (NOTE, "KeyError: 'x'")
    (hung,) = await attempt("a.b", "title", hangs(), seconds=0.05)
    assert "did not end within 0.05 s" in hung.found


# --- STUN ----------------------------------------------------------------------------------------------


class Stun(asyncio.DatagramProtocol):
    """A server that tells whoever asks that they are at *mapped*, or where they are."""

    def __init__(self, mapped: tuple[str, int] | None, noise: bytes) -> None:
        self._mapped = mapped
        self._noise = noise
        self._transport: Any = None  # asyncio's own are no `DatagramTransport`

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        from aioice import stun as messages

        request = messages.parse_message(data)
        if "CHANGE-REQUEST" in request.attributes:
            return
        answer = messages.Message(
            messages.Method.BINDING, messages.Class.RESPONSE, transaction_id=request.transaction_id
        )
        answer.attributes["XOR-MAPPED-ADDRESS"] = self._mapped or addr
        if self._noise:
            self._transport.sendto(self._noise, addr)
        self._transport.sendto(bytes(answer), addr)


@asynccontextmanager
async def stun_server(
    mapped: tuple[str, int] | None = None, noise: bytes = b""
) -> AsyncIterator[tuple[str, int]]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: Stun(mapped, noise), local_addr=("127.0.0.1", 0)
    )
    try:
        host, port = transport.get_extra_info("sockname")
        yield host, port
    finally:
        transport.close()


async def test_a_binding_request_tells_how_we_are_seen_past_any_noise() -> None:
    async with stun_server(("198.51.100.7", 4711), noise=b"\x01\x01noise") as server:
        answer = await stun.ask(server)
    assert answer.mapped == ("198.51.100.7", 4711)
    assert answer.source == server
    assert 0 < answer.ms < 2000


async def test_where_nobody_listens_is_told_from_where_nobody_answers() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        with pytest.raises(stun.NoAnswer) as none:
            await stun.ask(silent.getsockname())
        assert none.value.kind == "silent"
        dead = silent.getsockname()
    with pytest.raises(stun.NoAnswer) as refused:
        await stun.ask(dead)
    assert refused.value.kind == "refused"


async def test_a_silent_server_is_dead_only_where_another_one_answers() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        quiet = silent.getsockname()
        (udp, alone), _ = await probe_stun([quiet])
        assert (udp.verdict, alone.verdict) == (NOTE, SKIPPED)
        async with stun_server() as server:
            (udp, dead), asked = await probe_stun([quiet, server])
    assert (udp.verdict, dead.verdict) == (OK, BROKEN)
    assert f"{quiet[0]}:{quiet[1]}" in dead.found
    assert [bool(each.answer) for each in asked] == [False, True]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_turn_server_that_does_not_run_is_told_from_a_network_that_blocks_it(transport: str) -> None:
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as gone:
        gone.bind(("127.0.0.1", 0))
        port = gone.getsockname()[1]
    server = IceServer((f"turn:127.0.0.1:{port}?transport={transport}",), "user", "password")
    (refused,) = await turn.probe([server])
    assert refused.verdict == BROKEN
    assert "nothing listens" in refused.found
    assert "its machine answers, so it is up" in refused.cause
    assert "blocks" not in refused.cause
    assert "`weft serve --turn`" in refused.do
    assert "here" not in refused.do.split()


async def test_a_turn_server_that_is_silent_may_be_down_or_blocked() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        url = f"turn:127.0.0.1:{silent.getsockname()[1]}?transport=udp"
        (found,) = await turn.probe([IceServer((url,), "user", "password")])
    assert found.cause == "the TURN server is down, or this network blocks UDP to it"


async def test_a_turn_server_whose_name_is_not_known_is_neither_down_nor_blocked() -> None:
    (found,) = await turn.probe([IceServer(("turn:no-such-host.invalid:3478?transport=udp",), "u", "p")])
    assert ("is not known" in found.found, found.cause) == (True, "")


@pytest.mark.parametrize(
    ("seen", "kind", "verdict"),
    [
        ([None, None], "none", OK),
        ([("198.51.100.7", 1), ("198.51.100.7", 1)], "easy", OK),
        ([("198.51.100.7", 1), ("198.51.100.7", 2)], "hard", NOTE),
        ([("198.51.100.7", 1)], None, OK),
    ],
)
async def test_a_router_is_told_by_what_two_servers_see(
    seen: list[tuple[str, int] | None], kind: str | None, verdict: Verdict
) -> None:
    async with stun_server(seen[0]) as one, stun_server(seen[-1]) as two:
        servers = [one, two][: len(seen)]
        asked = [Asked("name", each, await stun.ask(each), "", "") for each in servers]
        mapping, filtering = await probe_nat(asked)
    assert mapping.verdict == verdict
    assert mapping.data.get("kind") == kind
    assert filtering.verdict == SKIPPED, "none of these servers has two addresses"


# --- web -----------------------------------------------------------------------------------------------


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("answer", "status", "has_skew"),
    [
        (b"HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2020 12:00:00 GMT\r\n\r\n", 200, True),
        (b"HTTP/1.1 404 no\r\nDate: yesterday\r\n\r\n", 404, False),
        (b"HTTP/1.0 503 x\r\n\r\n", 503, False),
    ],
)
async def test_what_a_server_says_is_read_and_its_clock_too(
    answer: bytes, status: int, has_skew: bool
) -> None:
    async with answering(answer) as port:
        seen = await web.look("127.0.0.1", port, "/livez", tls=False)
    assert (seen.status, seen.skew is not None, seen.days) == (status, has_skew, None)
    if seen.skew is not None:
        assert seen.skew > 86_400


@pytest.mark.parametrize("answer", [b"SSH-2.0-x\r\n\r\n", b"", b"HTTP/1.1\r\n\r\n", b"x" * 100_000])
async def test_what_is_no_web_server_is_told_as_such(answer: bytes) -> None:
    async with answering(answer) as port:
        with pytest.raises(web.Unseen) as unseen:
            await web.look("127.0.0.1", port, "/livez", tls=False)
    assert unseen.value.step == "web"


async def test_a_name_that_leads_nowhere_and_a_port_where_nobody_listens_are_told_apart() -> None:
    with pytest.raises(web.Unseen) as unknown:
        await web.look("no-such-host.invalid", 80, "/", tls=False)
    assert unknown.value.step == "name"
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(web.Unseen) as refused:
        await web.look("127.0.0.1", port, "/", tls=False)
    assert refused.value.step == "refused"
