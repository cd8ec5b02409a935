"""Takes out of a text what is nobody else's business: names, addresses, paths, secrets.

What people have named is replaced by what it is; an address becomes its class.  What is not known to be
harmless is left out rather than let through: of a crash, only places in the program and the kinds of errors.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

__all__ = ["Redaction", "address_class"]

_CLASSES: Final = (
    ("is_loopback", "loopback"),
    ("is_link_local", "link-local"),
    ("is_multicast", "multicast"),
    ("is_unspecified", "any"),
    ("is_private", "private"),
)
_LINK: Final = re.compile(r"weft:[A-Za-z0-9_\-=+/.~%#?&]+|https?://\S*#\S+")
_URL: Final = re.compile(r"\b(?:https?|wss?)://(?=[^\s,;)\]]*\w)[^\s,;)\]]+")
_NO_NAME: Final = r"(?!/+(?![/\w.@+\-]))"  # slashes alone, as in our own words "use https://"
_PATH: Final = re.compile(
    rf"(?<![\w.]){_NO_NAME}(?:~|/)[\w.@+\-]*(?:/[\w.@+\- ]*[\w.@+\-]|/)+|(?<![\w/])[A-Z]:\\\S+"
)
_LONG: Final = re.compile(r"\b[0-9a-fA-F]{16,}\b|\b[A-Za-z0-9+/_\-]{32,}={0,2}")
_IPV4: Final = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b")
_SIX: Final = r"((?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4})(?:%\w+)?"
_IPV6: Final = re.compile(rf"\[{_SIX}\]|(?<![\w:.]){_SIX}(?![\w:])")
_HOST: Final = re.compile(
    r"\b(?:[a-z0-9\-]+\.)+[a-z]{2,}(?=:\d)|\b(?:[a-z0-9\-]+\.)+(?:org|net|com|io|dev|local|lan)\b"
)

_PLACE: Final = re.compile(r'^\s*File "(?P<path>.*)", line (?P<line>\d+), in (?P<name>\S+)')
_KIND: Final = re.compile(r"^(?P<kind>[A-Za-z_][\w.]*)(?::|$)")
_HEADINGS: Final = ("Traceback ", "During handling ", "The above exception ")


def address_class(text: str) -> str:
    """What kind of address *text* is: `IPv4 private`, `IPv6 public`; `address` if it is none."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0].strip("[]"))
    except ValueError:
        return "address"
    kind = next((name for test, name in _CLASSES if getattr(address, test)), "public")
    return f"IPv{address.version} {kind}"


class Redaction:
    """Replaces what it knows and what it recognises, and counts what it replaced.

    Args:
        known: what people have named, and what to put in its place; the longest goes first.
    """

    def __init__(self, known: Iterable[tuple[str, str]] = ()) -> None:
        self.counts: Counter[str] = Counter()
        usable = {word: stand_in for word, stand_in in known if len(word) >= 2}
        self._known = sorted(usable.items(), key=lambda pair: -len(pair[0]))

    def text(self, text: str) -> str:
        """*text* without what is nobody's business."""
        text = self._replace(_LINK, text, "links", "<link>")
        for word, stand_in in self._known:
            pattern = re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)
            text = self._replace(pattern, text, "names", f"<{stand_in}>")
        text = self._replace(_URL, text, "server addresses", "<url>")
        text = _IPV4.sub(self._address, text)
        text = _IPV6.sub(self._address, text)
        text = self._replace(_PATH, text, "paths", "<path>")
        text = self._replace(_HOST, text, "server addresses", "<host>")
        return self._replace(_LONG, text, "keys and other long words", "<long>")

    def value(self, value: object) -> object:
        """A JSON value with every text in it redacted; the names of fields are our own."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {str(name): self.value(each) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(each) for each in value]
        return value

    def crash(self, log: str) -> str:
        """Of a traceback: places in programs and kinds of errors; no message, no source line."""
        kept = []
        for line in log.splitlines():
            place, kind = _PLACE.match(line), _KIND.match(line)
            if place:
                kept.append(f'  File "{_short(place["path"])}", line {place["line"]}, in {place["name"]}')
            elif line.startswith(_HEADINGS):
                kept.append(line)
            elif kind:
                self.counts["messages of errors"] += ":" in line
                kept.append(kind["kind"])
        return "\n".join(kept) + "\n"

    def _replace(self, pattern: re.Pattern[str], text: str, what: str, stand_in: str) -> str:
        replaced, number = pattern.subn(stand_in, text)
        if number:
            self.counts[what] += number
        return replaced

    def _address(self, found: re.Match[str]) -> str:
        kind = address_class((found[1] or found[2]) if found.re is _IPV6 else found[0])
        if kind == "address":
            return found[0]
        self.counts["addresses"] += 1
        return f"<{kind}>"


def _short(path: str) -> str:
    """The part of a program's path that is the same on every machine."""
    for mark in ("/site-packages/", "/python3"):
        if mark in path:
            return path.rpartition(mark)[2]
    parts = path.replace("\\", "/").split("/")
    start = next((at for at, part in enumerate(parts) if part in ("peer", "signaling")), len(parts) - 1)
    return "/".join(parts[start:])
