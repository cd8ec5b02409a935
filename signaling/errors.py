"""Everything the server refuses, each with the code that goes over the wire.

There is one error type, `Refusal`, and one table, `REASONS`. A refusal ends exactly one connection;
its sentence is for the person at the other end, its numbers are for their program.
"""

from dataclasses import dataclass
from typing import Final

from signaling.messages import CloseCode, Error, is_retryable

__all__ = ["REASONS", "Reason", "Refusal"]

_UNAVAILABLE: Final = 503
_TOO_MANY: Final = 429
_FORBIDDEN: Final = 403
_BAD_REQUEST: Final = 400


@dataclass(frozen=True, slots=True)
class Reason:
    """One row of the table: the name on the wire, the sentence, and what it is called in HTTP.

    *retry_after_ms* is how long it takes, as a rule, until trying again makes sense; None where
    the client's own back-off knows better, or where it never does.
    """

    name: str
    message: str
    http_status: int = _BAD_REQUEST
    retry_after_ms: int | None = None


REASONS: Final[dict[CloseCode, Reason]] = {
    CloseCode.RESTARTING: Reason("restarting", "the server is going down or restarting", _UNAVAILABLE, 2_000),
    CloseCode.NO_PONG: Reason("no-pong", "nothing came back after a ping"),
    CloseCode.TOO_SLOW: Reason("too-slow", "what was sent to you was not read in time"),
    CloseCode.SILENT: Reason("silent", "no valid proof came in time"),
    # A member that died without a word is noticed after 20 s + 25 % + 8 s.
    CloseCode.ROOM_FULL: Reason(
        "room-full", "the room has all the members it may have", retry_after_ms=33_000
    ),
    CloseCode.TOO_FAST: Reason("too-fast", "too many messages beside the relayed frames", _TOO_MANY, 10_000),
    CloseCode.SERVER_FULL: Reason(
        "server-full", "the server has all the connections it may have", _UNAVAILABLE, 30_000
    ),
    CloseCode.ADDRESS_FULL: Reason(
        "address-full", "too many connections come from your address", _TOO_MANY, 10_000
    ),
    CloseCode.NO_MORE_ROOMS: Reason(
        "no-more-rooms", "the server has all the rooms it may have", _UNAVAILABLE, 30_000
    ),
    CloseCode.SERVER_FAULT: Reason(
        "server-fault", "the server made a mistake; its operator can see it in the log", retry_after_ms=5_000
    ),
    CloseCode.MALFORMED: Reason("malformed", "a message did not follow the protocol"),
    CloseCode.WRONG_PROOF: Reason("wrong-proof", "the signature does not fit the room key and the nonce"),
    CloseCode.OUT_OF_ORDER: Reason("out-of-order", "this message makes no sense at this moment"),
    CloseCode.WRONG_ORIGIN: Reason(
        "wrong-origin", "web pages from this place may not use this server", _FORBIDDEN
    ),
    CloseCode.SUPERSEDED: Reason("superseded", "the same client came back on another connection"),
    CloseCode.TOO_LARGE: Reason("too-large", "too many bytes came before the proof"),
    CloseCode.WRONG_PROTOCOL: Reason("wrong-protocol", "this server speaks other versions of the protocol"),
}


class Refusal(Exception):
    """The server will not go on with this connection.

    *detail*, if given, is what exactly was wrong; it goes to the client together with the sentence
    from the table. It must hold nothing that the client did not already know.
    """

    def __init__(self, code: CloseCode, detail: str = "") -> None:
        self.code = code
        self.reason = REASONS[code]
        super().__init__(f"{self.reason.message}: {detail}" if detail else self.reason.message)

    @property
    def retryable(self) -> bool:
        """Whether the client may try again without anybody changing anything."""
        return is_retryable(self.code)

    def as_message(self) -> Error:
        """What is sent right before the connection is closed."""
        return Error(
            code=int(self.code),
            name=self.reason.name,
            message=str(self),
            retryable=self.retryable,
            retry_after_ms=self.reason.retry_after_ms,
        )
