"""The NAT laboratory of the tests, for measurements: network namespaces, which need root on Linux."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from bench.children import BenchSkipped
from tests.netlab.allowed import missing
from tests.netlab.lab import Lab

__all__ = ["laboratory"]


@contextlib.asynccontextmanager
async def laboratory() -> AsyncIterator[Lab]:
    """A new laboratory; use it in threads, because it waits for programs.

    Raises:
        BenchSkipped: there can be none here.
    """
    if reason := missing():
        raise BenchSkipped(f"the NAT laboratory {reason}")
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as place:
        lab = await asyncio.to_thread(Lab(Path(place)).__enter__)
        try:
            yield lab
        finally:
            await asyncio.to_thread(lab.__exit__)
