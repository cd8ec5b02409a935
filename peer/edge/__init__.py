"""Everything that touches the world for the core: sockets, disks, clocks, threads; no decisions."""

__all__: list[str] = []
