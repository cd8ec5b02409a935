"""Names of paths, and what is put right in the library."""

import asyncio

import pytest
from aioice import Candidate, Connection

from peer.edge.ice import (
    Checks,
    classify_path,
    end_consent_with,
    give_up_only_if,
    reconsider,
    same_host,
)
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
        (("host", "2001:470::1"), ("host", "2001:470:0:1::2"), "direct"),
        (("host", "2001:470::1"), ("host", "2001:470::2"), "lan"),
        (("host", "2001:470::1"), ("prflx", "2001:470::2"), "direct"),
        (("host", "2001:470::1"), ("host", "2001:470::1"), "direct"),
        (("relay", "8.8.8.8"), ("host", "192.168.1.6"), "turn"),
        (LAN, ("relay", "192.168.1.6"), "turn"),
    ],
)
def test_a_path_is_named_after_its_two_ends(
    local: tuple[str, str], remote: tuple[str, str], path: str
) -> None:
    assert (
        classify_path(local, remote, {"192.168.1.5", "172.17.0.1", "127.0.0.1", "::1", "2001:470::1"}) == path
    )


async def test_nothing_is_given_up_while_our_own_addresses_are_not_all_known() -> None:
    """One side has IPv6 alone, the other IPv4 alone: until TURN answers there is nothing to check."""
    install_hooks()
    connection = Connection(ice_controlling=True, use_ipv6=False)
    known: list[str] = []
    give_up_only_if(connection, lambda: bool(known))
    Checks(connection, hold=0.0)
    await connection.gather_candidates()
    connection.remote_username, connection.remote_password = "user", "p" * 22
    connecting = asyncio.create_task(connection.connect())
    async with asyncio.timeout(5):
        while not connection._early_checks_done:
            await asyncio.sleep(0)
    await connection.add_remote_candidate(Candidate("1", 1, "udp", 1, "2001:470::1", 5000, "host"))
    await connection.add_remote_candidate(None)
    assert not connection._check_list_done
    known.append("all")
    reconsider(connection)
    with pytest.raises(ConnectionError):
        await connecting
    await connection.close()


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
