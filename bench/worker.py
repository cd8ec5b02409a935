"""One side of a measurement, in a process of its own.

    python -m bench.worker bench.weft_side [asyncio|uvloop]

Commands come as JSON lines on the standard input, `{"id": 1, "do": "type", "with": {…}}`, and are answered
in any order: a side waits for what arrives while it does something else.  The module named has a class
`Side` whose methods `do_…` are the commands.
"""

import asyncio
import importlib
import json
import os
import sys
import traceback
from typing import Any, Final

__all__ = ["LINE_LIMIT", "main"]

LINE_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of a command or an answer: a million time stamps."""


async def main(module: str) -> None:
    """Do what the standard input asks until it ends."""
    side = importlib.import_module(module).Side()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LINE_LIMIT)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    tasks = set()
    while line := await reader.readline():
        task = asyncio.create_task(_answer(side, json.loads(line)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    # nobody is there any more; what is still open goes with the process
    os._exit(0)


async def _answer(side: object, command: dict[str, Any]) -> None:
    try:
        value = await getattr(side, f"do_{command['do']}")(**command["with"])
        answer = {"id": command["id"], "value": value}
    except Exception:
        answer = {"id": command["id"], "error": traceback.format_exc()}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    if sys.argv[2:] == ["asyncio"]:
        asyncio.run(main(sys.argv[1]))
    else:
        import uvloop

        uvloop.run(main(sys.argv[1]))
