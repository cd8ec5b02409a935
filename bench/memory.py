"""(h) Memory of a session that does nothing, and of each peer, beyond a process with the same imports."""

import contextlib

from bench.children import child, signaling_server
from bench.pairs import Sizes
from bench.rows import Row

__all__ = ["measure"]

MB = 1e6
KB = 1e3


async def measure(sizes: Sizes) -> list[Row]:
    """Resident bytes of the process of one session."""
    session, base, peer = [], [], []
    for _ in range(sizes.repeat):
        async with contextlib.AsyncExitStack() as stack:
            server = await stack.enter_async_context(signaling_server())
            one = await stack.enter_async_context(child("weft_side"))
            await one.do("load")
            base.append(await one.do("memory") / MB)
            link = await one.do("share", server=server)
            await one.do("pause", seconds=1)
            alone = await one.do("memory")
            session.append(alone / MB)
            # the first peer also pays for what is made once, so it is not counted
            for number in range(sizes.peers + 1):
                guest = await stack.enter_async_context(child("weft_side"))
                await guest.do("join", link=link)
                await one.do("peers", count=number + 1)
                if number == 0:
                    await one.do("pause", seconds=0.5)
                    with_one = await one.do("memory")
            await one.do("pause", seconds=0.5)
            peer.append((await one.do("memory") - with_one) / sizes.peers / KB)
    return [
        Row("h", "memory of an idle session", "MB", session, base, "same imports, no session"),
        Row("h", "memory per further peer on a direct path", "kB", peer),
    ]
