"""What the exit code of `weft` says; scripts may rely on these, an unknown one means failure."""

from enum import IntEnum
from typing import Final

__all__ = ["MEANINGS", "ExitCode", "table"]


class ExitCode(IntEnum):
    """How a command ended."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    NO_SESSION = 3
    UNREACHABLE = 4
    BAD_INVITATION = 5
    REFUSED = 6
    NO_SERVER = 7
    WOULD_OVERWRITE = 8
    INCOMPATIBLE = 9
    DEGRADED = 10
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143


MEANINGS: Final = {
    ExitCode.OK: "done",
    ExitCode.FAILURE: "some other failure; the message says which",
    ExitCode.USAGE: "the command cannot be carried out as it was written",
    ExitCode.NO_SESSION: "nothing to report: no session runs there",
    ExitCode.UNREACHABLE: "the other side could not be reached",
    ExitCode.BAD_INVITATION: "the invitation is wrong, incomplete or has run out",
    ExitCode.REFUSED: "the other side refused",
    ExitCode.NO_SERVER: "the server could not be reached",
    ExitCode.WOULD_OVERWRITE: "files here would be overwritten, so nothing was changed",
    ExitCode.INCOMPATIBLE: "the versions of Weft do not fit together",
    ExitCode.DEGRADED: "it works, with warnings",
    ExitCode.HUNG_UP: "its terminal was closed",
    ExitCode.INTERRUPTED: "ended with Ctrl-C",
    ExitCode.TERMINATED: "ended by the system (SIGTERM)",
}


def table() -> str:
    """All codes with their meanings, for `weft help exit-codes`."""
    return "\n".join(f"  {code.value:>3}  {meaning}" for code, meaning in MEANINGS.items())
