"""Whether another process runs on this machine: a value that tells it, and nothing else."""

import hashlib
import os
from pathlib import Path

__all__ = ["host_tag"]


def host_tag(secret: bytes) -> bytes:
    """Equal for two processes that share one kernel and one network, meaningless to anybody else."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text() + os.readlink("/proc/self/ns/net")
    except OSError:
        # a system without these: loopback is then used only when nothing else is there
        boot = os.urandom(16).hex()
    return hashlib.sha256(secret + boot.encode()).digest()[:16]
