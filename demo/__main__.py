"""Run the demo: `python -m demo [--keep]`."""

import sys

from demo.story import main

__all__: list[str] = []

sys.exit(main(keep="--keep" in sys.argv[1:]))
