"""How much one client, and one network address, may ask of the server.

Time is an argument: `now`, in seconds on a clock that never goes back. A client that sends too much
is not punished but read more slowly (`Throttle`); TCP then slows it down, and nothing is lost. Only
small talk, which costs the server more than it costs the client, has a hard end (`Bucket.take`).
"""

from typing import Final

from signaling.errors import Refusal
from signaling.messages import CloseCode

__all__ = ["AddressBook", "Bucket", "Throttle"]

_REMEMBERED_ADDRESSES: Final = 65_536
"""Addresses without a connection whose rate is still remembered: about 16 MiB at most."""


class Bucket:
    """Tokens that come back at a steady *rate* per second, at most *burst* of them at a time."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = now

    def take(self, now: float, amount: float = 1.0) -> bool:
        """Take *amount* tokens if they are there; otherwise leave all as it was and say no."""
        self._refill(now)
        if self._tokens < amount:
            return False
        self._tokens -= amount
        return True

    def wait(self, now: float) -> float:
        """Seconds until one token can be taken; 0 if one is there."""
        self._refill(now)
        return max(0.0, (1.0 - self._tokens) / self._rate)

    def is_full(self, now: float) -> bool:
        """Whether nothing was taken for so long that forgetting this bucket changes nothing."""
        self._refill(now)
        return self._tokens >= self._burst

    def _refill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now


class Throttle:
    """How fast one client's frames are read.

    Both budgets may go into debt by one frame; the debt is what the client has to wait for. They
    live in one object because this runs for every frame.
    """

    __slots__ = ("_at", "_byte_burst", "_byte_rate", "_bytes", "_frame_burst", "_frame_rate", "_frames")

    def __init__(
        self, *, frame_rate: float, frame_burst: float, byte_rate: float, byte_burst: float, now: float
    ) -> None:
        self._frame_rate = frame_rate
        self._frame_burst = self._frames = frame_burst
        self._byte_rate = byte_rate
        self._byte_burst = self._bytes = byte_burst
        self._at = now

    def charge(self, size: int, now: float) -> float:
        """Account for one frame of *size* bytes; return the seconds to wait before reading on."""
        passed = now - self._at
        self._at = now
        frames = self._frames + passed * self._frame_rate
        if frames > self._frame_burst:
            frames = self._frame_burst
        octets = self._bytes + passed * self._byte_rate
        if octets > self._byte_burst:
            octets = self._byte_burst
        self._frames = frames = frames - 1
        self._bytes = octets = octets - size
        if frames >= 0 and octets >= 0:
            return 0.0
        return max(-frames / self._frame_rate, -octets / self._byte_rate)


class _Caller:
    """What is known about one network address."""

    __slots__ = ("connections", "rate")

    def __init__(self, rate: Bucket) -> None:
        self.connections = 0
        self.rate = rate


class AddressBook:
    """Who is connected from where: how many at once, and how fast new ones come."""

    def __init__(self, *, connection_limit: int, rate: float, burst: float) -> None:
        self._connection_limit = connection_limit
        self._rate = rate
        self._burst = burst
        self._callers: dict[str, _Caller] = {}

    def __len__(self) -> int:
        return len(self._callers)

    def arrive(self, address: str, now: float) -> None:
        """Count a new connection; each call that does not raise needs one `depart`.

        Raises:
            Refusal: this address has too many connections, or opens them too fast.
        """
        caller = self._callers.get(address)
        if caller is None:
            self._make_room(now)
            caller = self._callers[address] = _Caller(Bucket(self._rate, self._burst, now))
        if caller.connections >= self._connection_limit:
            raise Refusal(CloseCode.ADDRESS_FULL, f"{self._connection_limit} at once")
        if not caller.rate.take(now):
            raise Refusal(CloseCode.ADDRESS_FULL, f"{self._rate:g} new ones a second")
        caller.connections += 1

    def depart(self, address: str, now: float) -> None:
        """A connection that `arrive` counted is over."""
        caller = self._callers[address]
        caller.connections -= 1
        if caller.connections == 0 and caller.rate.is_full(now):
            del self._callers[address]

    def _make_room(self, now: float) -> None:
        """Forget addresses without connections once there are too many of them.

        First those whose rate has recovered; if an attacker with countless addresses keeps even
        those many, then all: a rate forgotten early is better than memory without an end.
        """
        if len(self._callers) < _REMEMBERED_ADDRESSES:
            return
        idle = [address for address, caller in self._callers.items() if caller.connections == 0]
        recovered = [address for address in idle if self._callers[address].rate.is_full(now)]
        for address in recovered or idle:
            del self._callers[address]
