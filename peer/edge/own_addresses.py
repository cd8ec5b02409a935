"""Which of this machine's IPv6 addresses are fit to be told to others, as far as the system says (Linux).

An address is *tentative* for about a second after it was made, and cannot be used; *deprecated* when it will
soon be gone; *temporary* when it is one of those that change every day, so that nobody can follow a machine
from network to network (RFC 8981).  Where there is a temporary one, the lasting one beside it must not be
told (RFC 8445 section 5.1.1.1).
"""

import contextlib
import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Known", "fit", "known", "offered", "read_states", "unready"]

_STATES: Final = Path("/proc/net/if_inet6")
_TEMPORARY: Final = 0x01
_OPTIMISTIC: Final = 0x04
_DUPLICATE: Final = 0x08
_DEPRECATED: Final = 0x20
_TENTATIVE: Final = 0x40
"""Flags of an address (IFA_F_* in <linux/if_addr.h>)."""

_FIELDS: Final = 6


@dataclass(frozen=True, slots=True)
class Known:
    """What the system says of one address."""

    address: ipaddress.IPv6Address
    interface: str
    flags: int

    @property
    def is_ready(self) -> bool:
        """Whether packets can be sent from it now."""
        waits = self.flags & _TENTATIVE and not self.flags & _OPTIMISTIC
        return not (waits or self.flags & _DUPLICATE)

    @property
    def place(self) -> tuple[str, ipaddress.IPv6Network]:
        """The interface and the prefix."""
        return self.interface, ipaddress.IPv6Network((self.address, 64), strict=False)


def read_states(text: str) -> Iterator[Known]:
    """The lines of `/proc/net/if_inet6`: address, interface's number, bits, scope, flags, interface."""
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == _FIELDS:
            with contextlib.suppress(ValueError):
                yield Known(ipaddress.IPv6Address(int(fields[0], 16)), fields[5], int(fields[4], 16))


def known() -> list[Known]:
    """What the system says; empty where it does not say it this way."""
    try:
        return list(read_states(_STATES.read_text()))
    except OSError:
        return []


def fit(addresses: Sequence[str], states: Sequence[Known]) -> list[str]:
    """Those of *addresses* that are fit to be told; what *states* does not know, is.

    A deprecated address is better than none on its interface and prefix.
    """
    ready = [each for each in states if each.is_ready]
    fresh = [each for each in ready if not each.flags & _DEPRECATED]
    hiding = {each.place for each in fresh if each.flags & _TEMPORARY}
    taken = {each.place for each in fresh}
    good = [each for each in fresh if each.flags & _TEMPORARY or each.place not in hiding]
    good += [each for each in ready if each.flags & _DEPRECATED and each.place not in taken]
    unfit = {each.address for each in states} - {each.address for each in good}
    return [text for text in addresses if ":" not in text or ipaddress.IPv6Address(text) not in unfit]


def offered(addresses: Sequence[str]) -> list[str]:
    """Those of this machine's *addresses* that others are told."""
    return fit(addresses, known())


def unready() -> set[ipaddress.IPv6Address]:
    """Addresses that cannot be used yet, or never."""
    return {each.address for each in known() if not each.is_ready}
