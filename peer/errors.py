"""What can go wrong in the client, sorted by who must act.

    WeftError                     root; nothing else is raised on purpose
    ├── UsageError                our own code, or the person, asked for something out of order
    │   └── WouldOverwrite        joining would touch files that are there: the person must choose
    ├── RemoteError               the other side broke the protocol: cut that link, keep the session
    │   ├── Malformed             bytes that do not follow the format
    │   ├── TooLarge              more than we agreed to hold
    │   └── Refused               well formed, but this sender may not do it
    ├── Unreachable               the network did not carry us: try again later
    │   └── ServerUnreachable     the signaling server did not let us in
    ├── InvitationRefused         the other side does not accept us: ask for another invitation
    ├── Incompatible              the two sides speak different protocols: update the older one
    └── StorageError              the disk failed: tell the person at once

Every message is a sentence for a person; data for programs is in attributes.
"""

__all__ = [
    "Incompatible",
    "InvitationRefused",
    "Malformed",
    "Refused",
    "RemoteError",
    "ServerUnreachable",
    "StorageError",
    "TooLarge",
    "Unreachable",
    "UsageError",
    "WeftError",
    "WouldOverwrite",
]


class WeftError(Exception):
    """Root of everything that this package raises on purpose."""


class UsageError(WeftError):
    """The caller, or the person at the keyboard, asked for something that cannot be done as asked."""


class RemoteError(WeftError):
    """The other side broke the protocol; its link is cut and the session goes on."""


class Malformed(RemoteError):
    """Bytes that do not follow the format."""


class TooLarge(RemoteError):
    """More bytes, entries or levels than we agreed to hold."""

    def __init__(self, what: str, size: int, limit: int) -> None:
        super().__init__(f"{what} is {size}, the limit is {limit}")
        self.what = what
        self.size = size
        self.limit = limit


class Refused(RemoteError):
    """A well-formed request that its sender is not allowed to make."""


class Unreachable(WeftError):
    """The network did not carry us there; trying again later may help."""


class StorageError(WeftError):
    """The disk failed us; what could not be stored is still in memory."""


class WouldOverwrite(UsageError):
    """Joining here would mix with files that are there already; nothing was changed.

    Attributes:
        differing: what differs, one line each for people.
    """

    def __init__(self, message: str, differing: list[str]) -> None:
        super().__init__(message)
        self.differing = differing


class ServerUnreachable(Unreachable):
    """The signaling server could not be reached, or would not let us in."""


class InvitationRefused(WeftError):
    """The other side does not accept our invitation."""


class Incompatible(WeftError):
    """The two sides speak different protocols."""
