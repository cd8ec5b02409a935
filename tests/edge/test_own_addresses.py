"""Which IPv6 addresses are told to others, by what the system says of each."""

import ipaddress

import pytest

from peer.edge.own_addresses import fit, known, read_states, unready

STABLE = "2a01:4f8:1::5"
TEMPORARY = "2a01:4f8:1::77"
ELSEWHERE = "2a01:4f8:2::5"

READY, FRESH_TEMPORARY, OLD_TEMPORARY = "80", "01", "21"
OLD, WAITING, WAITING_BUT_USABLE, DUPLICATE = "a0", "c0", "44", "88"


def system(*lines: tuple[str, str], interface: str = "eth0") -> str:
    """`/proc/net/if_inet6`, of addresses and flags."""
    rows = []
    for address, flags in lines:
        full = next(iter(read_states(f"{_hex(address)} 02 40 00 00 {interface}")))
        rows.append(f"{full.address.packed.hex()} 02 40 00 {flags} {interface:>8}")
    return "\n".join(rows) + "\n"


def _hex(address: str) -> str:
    return ipaddress.IPv6Address(address).packed.hex()


@pytest.mark.parametrize(
    ("states", "told"),
    [
        ("", [STABLE, TEMPORARY, ELSEWHERE]),
        ("not what we know\n", [STABLE, TEMPORARY, ELSEWHERE]),
        (system((STABLE, READY), (TEMPORARY, READY)), [STABLE, TEMPORARY, ELSEWHERE]),
        (system((STABLE, READY), (TEMPORARY, FRESH_TEMPORARY)), [TEMPORARY, ELSEWHERE]),
        (system((STABLE, READY), (TEMPORARY, OLD_TEMPORARY)), [STABLE, ELSEWHERE]),
        (system((STABLE, OLD), (TEMPORARY, OLD_TEMPORARY)), [STABLE, TEMPORARY, ELSEWHERE]),
        (system((STABLE, OLD), (TEMPORARY, FRESH_TEMPORARY)), [TEMPORARY, ELSEWHERE]),
        (system((STABLE, WAITING), (TEMPORARY, READY)), [TEMPORARY, ELSEWHERE]),
        (system((STABLE, WAITING_BUT_USABLE), (TEMPORARY, DUPLICATE)), [STABLE, ELSEWHERE]),
        (
            system((STABLE, READY)) + system((TEMPORARY, FRESH_TEMPORARY), interface="wlan0"),
            [STABLE, TEMPORARY, ELSEWHERE],
        ),
        (
            system((ELSEWHERE, READY), (TEMPORARY, FRESH_TEMPORARY)),
            [STABLE, TEMPORARY, ELSEWHERE],
        ),
    ],
    ids=[
        "the system says nothing",
        "it says something else",
        "two lasting ones",
        "a temporary one hides the lasting one beside it",
        "one that will soon be gone hides nothing and is not told",
        "what will soon be gone is better than nothing",
        "a new one is better than an old one",
        "one that is not ready",
        "one that is being checked and may be used, and one that somebody else has",
        "on another interface nothing is hidden",
        "nor in another prefix",
    ],
)
def test_only_addresses_that_are_fit_for_it_are_told(states: str, told: list[str]) -> None:
    all_of_them = [STABLE, TEMPORARY, ELSEWHERE, "192.168.1.5"]
    assert fit(all_of_them, list(read_states(states))) == [*told, "192.168.1.5"]


def test_what_this_system_says_can_be_read() -> None:
    assert unready() <= {each.address for each in known()}
