"""Which file is where: the index entries, read the same way by every peer.

An entry is a file, named by its document's id; what is known of it are flat keys, so that two people who
change different things about one file do not undo each other:

    ID/path   where its creator, or the last to rename it, wants it     ID/kind   `text` or `blob`
    ID/by     who created it, for the name of a copy                    ID/exec   whether it may be executed
    ID/eol    `crlf` when all its line ends are                         ID/hash, ID/size   of a blob
    ID/gone   it was deleted by someone who knew this state vector of it

Nothing in an entry is believed: what cannot be a file is left out and reported.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from peer.core.ids import DocId
from peer.core.paths import check_path, fold
from peer.errors import Refused

__all__ = ["ATTRIBUTES", "Entry", "Layout", "key_of", "read_layout"]

Scalar = str | int | float | bool | bytes | None

ATTRIBUTES: Final = ("path", "kind", "by", "exec", "eol", "hash", "size", "gone")
"""Everything that may be known of an entry."""
COPIES: Final = 1000
"""Names tried for one copy; more files of one name are not shown."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file as the index has it.

    Attributes:
        doc: its document.
        wanted: the path in the index; where it really is, is its key in `Layout.files`.
    """

    doc: DocId
    wanted: str
    kind: str = "text"
    by: str = ""
    executable: bool = False
    eol: str = "lf"
    digest: bytes | None = None
    size: int = 0


@dataclass(slots=True)
class Layout:
    """Where every file is.

    Attributes:
        files: entries by path.
        paths: paths by document.
        gone: documents that were deleted and not edited since.
        unusable: why an entry is not shown, by its path or id.
    """

    files: dict[str, Entry] = field(default_factory=dict)
    paths: dict[DocId, str] = field(default_factory=dict)
    gone: set[DocId] = field(default_factory=set)
    unusable: dict[str, str] = field(default_factory=dict)


def key_of(doc: DocId, attribute: str) -> str:
    """The index key of one attribute of a file."""
    return f"{doc.hex()}/{attribute}"


def read_layout(entries: Mapping[str, Scalar], is_edited: Callable[[DocId, bytes], bool]) -> Layout:
    """Place every entry.

    *is_edited(doc, state_vector)*: whether the document holds edits that the owner of that state vector
    did not know.  Such a file is not gone: an edit beats a delete.
    """
    layout = Layout()
    taken: set[str] = set()
    for doc, attributes in sorted(_grouped(entries).items()):
        gone = attributes.get("gone")
        if isinstance(gone, bytes) and not is_edited(doc, gone):
            layout.gone.add(doc)
            continue
        try:
            entry = _read(doc, attributes)
            path = _place(entry, taken)
        except Refused as error:
            layout.unusable[str(attributes.get("path", doc.hex()))[:200]] = str(error)
            continue
        _take(path, taken)
        layout.files[path] = entry
        layout.paths[doc] = path
    return layout


def _grouped(entries: Mapping[str, Scalar]) -> dict[DocId, dict[str, Scalar]]:
    grouped: dict[DocId, dict[str, Scalar]] = {}
    for key, value in entries.items():
        name, _, attribute = key.partition("/")
        if attribute in ATTRIBUTES and len(name) == 16 and name.isascii() and name == name.lower():
            try:
                doc = DocId(bytes.fromhex(name))
            except ValueError:
                continue
            grouped.setdefault(doc, {})[attribute] = value
    return grouped


def _read(doc: DocId, attributes: Mapping[str, Scalar]) -> Entry:
    path = attributes.get("path")
    if not isinstance(path, str):
        raise Refused("it has no path")
    check_path(path)
    kind = attributes.get("kind", "text")
    digest, size = attributes.get("hash"), attributes.get("size", 0)
    if kind not in ("text", "blob"):
        raise Refused("it is of a kind that this version does not know")
    if kind == "blob" and not (isinstance(digest, bytes) and len(digest) == 32 and isinstance(size, int)):
        raise Refused("it does not say what it holds")
    return Entry(
        doc,
        path,
        str(kind),
        str(attributes.get("by", ""))[:64],
        attributes.get("exec") is True,
        "crlf" if attributes.get("eol") == "crlf" else "lf",
        digest if isinstance(digest, bytes) else None,
        size if isinstance(size, int) else 0,
    )


def _place(entry: Entry, taken: set[str]) -> str:
    for path in _names(entry):
        parents = [str(parent) for parent in PurePosixPath(path).parents][:-1]
        clash = fold(path) in taken or f"{fold(path)}/" in taken
        if not clash and not any(fold(parent) in taken for parent in parents):
            check_path(path)
            return path
    raise Refused("there are too many files of this name")


def _names(entry: Entry) -> Iterator[str]:
    yield entry.wanted
    place = PurePosixPath(entry.wanted)
    who = "".join(letter for letter in entry.by if letter.isalnum() or letter in " -_").strip() or "copy"
    for number in range(1, COPIES):
        mark = who if number == 1 else f"{who} {number}"
        yield str(place.with_name(f"{place.stem} ({mark}){place.suffix}"))


def _take(path: str, taken: set[str]) -> None:
    taken.add(fold(path))
    # a folder is taken too, with a mark, so that no file gets its name
    taken.update(f"{fold(str(parent))}/" for parent in list(PurePosixPath(path).parents)[:-1])
