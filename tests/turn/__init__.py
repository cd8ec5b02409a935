"""Against a real coturn, started by each test with what `weft turn-config` writes."""
