"""A check of a coturn in the network that this process is in; its steps are printed as JSON."""

import asyncio
import json
import sys
from dataclasses import asdict
from pathlib import Path

from peer.edge.turn_check import check_turn
from tests.turn.coturn import coturn, credential


async def main(folder: Path) -> None:
    """Start the server, check it over UDP, and say what was found."""
    async with coturn(folder) as server:
        steps = await check_turn(
            f"{server.url}?transport=udp", *credential(), policy=False, answer_seconds=0.5
        )
    print(json.dumps([asdict(step) for step in steps]))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
