"""The index of a session as a typed map: short names to plain values, and which of them changed.

The engine gives every integer back as a float and bytes as a bytearray; here they are what was put in.
A float without a fraction comes back as an integer.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, Final, Protocol

from peer.core.guard import KEY_LIMIT, VALUE_LIMIT
from peer.core.varints import INTEGER_LIMIT
from peer.errors import UsageError

__all__ = ["Index", "Scalar", "SharedMap"]

Scalar = None | bool | int | float | str | bytes

ABSENT: Final = object()


class SharedMap(Protocol):
    """The engine's map."""

    def __setitem__(self, key: str, value: Scalar) -> None: ...

    def __delitem__(self, key: str) -> None: ...

    def to_py(self) -> dict[str, Scalar | bytearray] | None:
        """All entries."""
        ...


class Index:
    """The entries of the index document.

    *write* carries out one local change in a transaction of that document.
    """

    def __init__(self, write: Callable[[Callable[[], None]], None]) -> None:
        self._write = write
        self._root: SharedMap
        self._entries: dict[str, Scalar] = {}
        self._changed: dict[str, None] = {}

    def attach(self, root: SharedMap) -> None:
        """Work on this map from now on; what differs from before counts as changed."""
        self._root = root
        before = self._entries
        self._entries = {key: plain(value) for key, value in (root.to_py() or {}).items()}
        for key in {**before, **self._entries}:
            if before.get(key, ABSENT) != self._entries.get(key, ABSENT):
                self._changed[key] = None

    def absorb(self, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Take over changes that were made to the map: per key what was done, and the new value."""
        for key, change in changes.items():
            if change["action"] == "delete":
                self._entries.pop(key, None)
            else:
                self._entries[key] = plain(change["newValue"])
            self._changed[key] = None

    def entries(self) -> Mapping[str, Scalar]:
        """All entries: a view that follows every change."""
        return MappingProxyType(self._entries)

    def set(self, key: str, value: Scalar) -> None:
        """Put *value* under *key*; nothing happens if that is what is there.

        Raises:
            UsageError: the key or the value is too long, or not one that every peer can hold.
        """
        check_string(key, KEY_LIMIT, "A key of the index")
        check_value(value)
        present = self._entries.get(key, ABSENT)
        if present != value or type(present) is not type(value):
            self._write(partial(self._root.__setitem__, key, value))

    def delete(self, key: str) -> None:
        """Remove *key*; nothing happens if it is not there."""
        if key in self._entries:
            self._write(partial(self._root.__delitem__, key))

    def take_changed_keys(self) -> list[str]:
        """The keys that changed since this was last asked, each once, here or elsewhere."""
        changed, self._changed = self._changed, {}
        return list(changed)


def plain(value: Scalar | bytearray) -> Scalar:
    """What was put in for what the engine gives back."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, bytearray):
        return bytes(value)
    return value


def check_value(value: Scalar) -> None:
    """Refuse a value that peers would refuse."""
    if isinstance(value, str):
        check_string(value, VALUE_LIMIT, "A text in the index")
    elif isinstance(value, bytes) and len(value) > VALUE_LIMIT:
        raise UsageError(f"A byte string in the index may have {VALUE_LIMIT} bytes, not {len(value)}.")
    elif isinstance(value, int) and abs(value) >= INTEGER_LIMIT:
        raise UsageError(f"A number in the index must be below {INTEGER_LIMIT}, not {value}.")


def check_string(text: str, limit: int, what: str) -> None:
    """Refuse a string that has no UTF-8, or too much of it."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise UsageError(f"{what} holds half a character, which cannot be sent.") from error
    if size > limit:
        raise UsageError(f"{what} may have {limit} bytes, not {size}.")
