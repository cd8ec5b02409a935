"""Several runs of one device: who was killed and starts Weft again is met beside what is left of them.

Two runs may both be alive, in two folders of one machine, so an earlier one is not dropped while anything
leads to it.  It is given a moment to speak, and is not shown to people unless it does.
"""

from collections.abc import Iterable

from peer.core.ids import device_of
from peer.core.link import Link

__all__ = ["replace", "survived_by_another"]


def survived_by_another(links: Iterable[Link]) -> list[Link]:
    """Those that look as they do when a program was killed, and that a later run of their device outlived.

    *links* in the order in which they were made.  A program that is killed is in no room any more, at once;
    a machine that stops falls silent.
    """
    links = list(links)
    latest = {device_of(link.member.id): link for link in links}
    return [
        link
        for link in links
        if (link.relay is None or link.told_silent)
        and not link.replaced
        and (later := latest[device_of(link.member.id)]) is not link
        and later.relay is not None
    ]


def replace(link: Link, now: float) -> None:
    """A later run of the same device is here; this one has a moment to show that it is, too."""
    link.replaced = True
    link.next_ping = now
    link.doubt(now)
