"""One end of a bare data channel: aiortc as it comes, ordered and reliable, on one address.

Nothing of Weft is in this process.  `do_type` with `naive` is the shortest program that joins a CRDT to a
data channel: send every update as it is, apply whatever comes.
"""

import asyncio
import os
import time
from typing import Any, Final

import aioice.ice
import pycrdt
from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription

from bench.texts import make_text
from bench.udp import Meter

__all__ = ["Side"]

PATIENCE: Final = 100.0
HIGH_WATER: Final = 1024 * 1024
"""Bytes handed to the channel ahead; enough to keep it busy."""
LOW_WATER: Final = 256 * 1024


def own_address(use_ipv4: bool, use_ipv6: bool) -> list[str]:
    """In the place of aioice's list of addresses, which leaves out 127.0.0.1."""
    return [os.environ["BENCH_ADDRESS"]]


setattr(aioice.ice, "get_host_addresses", own_address)  # noqa: B010


class Side:
    """The commands of one end."""

    def __init__(self) -> None:
        self._pc: RTCPeerConnection
        self._channel: RTCDataChannel
        self._opened: asyncio.Future[int]
        self._times: list[int] = []
        self._bytes = 0
        self._arrived = asyncio.Event()
        self._doc: pycrdt.Doc[pycrdt.Text] = pycrdt.Doc()
        self._text = self._doc.get("text", type=pycrdt.Text)
        self._meter: Meter | None = None
        self._naive = False

    # --- opening --------------------------------------------------------------------------------------

    async def do_count(self) -> None:
        """Count datagrams from now on; before any connection is made."""
        self._meter = Meter()

    async def do_traffic(self) -> dict[str, int]:
        """What went over UDP so far."""
        assert self._meter is not None
        return self._meter.read()

    async def do_offer(self) -> dict[str, Any]:
        """Make an offer; return it and when that began."""
        began = time.monotonic_ns()
        self._build()
        await self._pc.setLocalDescription(await self._pc.createOffer())
        return {"began": began, "sdp": self._pc.localDescription.sdp}

    async def do_answer(self, sdp: str) -> str:
        """Answer an offer."""
        self._build()
        await self._pc.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        await self._pc.setLocalDescription(await self._pc.createAnswer())
        answer: str = self._pc.localDescription.sdp
        return answer

    async def do_accept(self, sdp: str) -> None:
        """Take the answer."""
        await self._pc.setRemoteDescription(RTCSessionDescription(sdp, "answer"))

    async def do_opened(self) -> int:
        """Wait until the channel is open; return when it was."""
        return await asyncio.wait_for(self._opened, PATIENCE)

    def _build(self) -> None:
        self._opened = asyncio.get_running_loop().create_future()
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._channel = self._pc.createDataChannel("raw", negotiated=True, id=1)
        self._channel.bufferedAmountLowThreshold = LOW_WATER
        self._channel.on("message", self._on_message)
        self._channel.on("open", lambda: self._opened.set_result(time.monotonic_ns()))

    async def do_close(self) -> None:
        """End the connection."""
        await self._pc.close()

    # --- messages -------------------------------------------------------------------------------------

    def _on_message(self, data: bytes) -> None:
        if self._naive:
            self._doc.apply_update(data)
        self._times.append(time.monotonic_ns())
        self._bytes += len(data)
        self._arrived.set()

    async def do_expect(self, naive: bool = False) -> None:
        """Count messages from now on; with *naive*, apply each to a document first."""
        self._naive = naive
        self._times = []
        self._bytes = 0

    async def do_arrived(self, count: int) -> list[int]:
        """When each of *count* messages was here."""
        async with asyncio.timeout(PATIENCE):
            while len(self._times) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self._times

    async def do_arrived_bytes(self, count: int) -> int:
        """When the last of *count* bytes was here."""
        async with asyncio.timeout(PATIENCE):
            while self._bytes < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self._times[-1]

    async def do_type(self, count: int, rate: float, size: int, naive: bool = False) -> list[int]:
        """Send *count* messages of *size* bytes, *rate* a second; return when each was begun."""
        payload = os.urandom(size)
        observing = self._doc.observe(lambda event: self._channel.send(event.update)) if naive else None
        times = []
        begin = time.monotonic()
        for number in range(count):
            await asyncio.sleep(max(0.0, begin + number / rate - time.monotonic()))
            times.append(time.monotonic_ns())
            if naive:
                self._text.insert(len(self._text), "abcdefghijklmnopqrstuvwxyz "[number % 27])
            else:
                self._channel.send(payload)
        if observing is not None:
            self._doc.unobserve(observing)
        return times

    async def do_pause(self, seconds: float) -> None:
        """Do nothing."""
        await asyncio.sleep(seconds)

    async def do_bulk(self, total: int, size: int) -> int:
        """Send *total* bytes in messages of *size*, as fast as they go; return when that began."""
        low = asyncio.Event()
        self._channel.on("bufferedamountlow", low.set)
        payload = make_text("random", size, 1).encode()
        began = time.monotonic_ns()
        for _ in range(total // size):
            if self._channel.bufferedAmount > HIGH_WATER:
                low.clear()
                await low.wait()
            self._channel.send(payload)
        return began
