"""Whether there can be a laboratory here at all."""

import os
import shutil
import subprocess
from typing import Final

__all__ = ["PROGRAMS", "missing"]

PROGRAMS: Final = ("unshare", "nsenter", "ip", "nft", "conntrack", "turnserver")
_TRIED: Final = [
    *("unshare", "--mount", "--net", "--", "sh", "-c"),
    "mount -t tmpfs tmpfs /run && ip netns add x && nft list ruleset",
]


def missing() -> str:
    """Why there can be no laboratory here, as the rest of a sentence; empty if there can."""
    if absent := [program for program in PROGRAMS if shutil.which(program) is None]:
        return f"needs {', '.join(absent)}, which is not installed here"
    if os.geteuid() != 0:
        return "needs root, because it makes network namespaces"
    tried = subprocess.run(_TRIED, capture_output=True, text=True, check=False)
    return f"may not make network namespaces here: {tried.stderr.strip()}" if tried.returncode else ""
