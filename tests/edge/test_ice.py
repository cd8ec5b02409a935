"""Names of paths, and what is put right in the library."""

import asyncio

import pytest
from aioice import Connection

from peer.edge.ice import classify_path, end_consent_with, same_host
from peer.edge.ice import install as install_hooks

LAN = ("host", "192.168.1.5")


@pytest.mark.parametrize(
    ("local", "remote", "path"),
    [
        (LAN, ("host", "192.168.1.6"), "lan"),
        (LAN, ("host", "10.1.1.1"), "lan"),
        (("host", "fe80::1%eth0"), ("host", "fe80::2"), "lan"),
        (("host", "fd00::2"), ("host", "fd00::3"), "lan"),
        (LAN, ("host", "4f1c.local"), "lan"),
        (LAN, ("host", "printer.example"), "direct"),
        (LAN, LAN, "direct"),
        (LAN, ("host", "172.17.0.1"), "direct"),
        (("host", "127.0.0.1"), ("host", "127.0.0.1"), "direct"),
        (("host", "::1"), ("host", "::1"), "direct"),
        (LAN, ("host", "8.8.8.8"), "direct"),
        (LAN, ("srflx", "192.168.1.6"), "direct"),
        (LAN, ("prflx", "192.168.1.6"), "direct"),
        (("host", "2001:470::1"), ("host", "2001:470::2"), "direct"),
        (("relay", "8.8.8.8"), ("host", "192.168.1.6"), "turn"),
        (LAN, ("relay", "192.168.1.6"), "turn"),
    ],
)
def test_a_path_is_named_after_its_two_ends(
    local: tuple[str, str], remote: tuple[str, str], path: str
) -> None:
    assert classify_path(local, remote, {"192.168.1.5", "172.17.0.1"}) == path


async def test_a_close_at_the_moment_of_success_leaves_no_task_behind() -> None:
    """aioice starts asking for consent when the checks have succeeded, even if it was closed just then."""
    install_hooks()
    same_host.set(True)
    before = asyncio.all_tasks()
    one, two = Connection(ice_controlling=True), Connection(ice_controlling=False)
    end_consent_with(one)
    closing: list[asyncio.Task[None]] = []
    get = one._check_list_state.get

    async def closed_meanwhile() -> int:
        result = await get()
        closing.append(asyncio.create_task(one.close()))
        await asyncio.wait(closing)
        return result

    one._check_list_state.get = closed_meanwhile  # type: ignore[method-assign]
    for connection in (one, two):
        await connection.gather_candidates()
    for here, there in ((one, two), (two, one)):
        here.remote_username, here.remote_password = there.local_username, there.local_password
        for candidate in there.local_candidates:
            await here.add_remote_candidate(candidate)
        await here.add_remote_candidate(None)
    await asyncio.gather(one.connect(), two.connect(), return_exceptions=True)
    await two.close()
    async with asyncio.timeout(5):
        while asyncio.all_tasks() - before:
            await asyncio.sleep(0)
    assert closing
