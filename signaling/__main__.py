"""`python -m signaling` is `weft serve` without the rest of Weft."""

from signaling.command import serve

serve(prog_name="python -m signaling")
