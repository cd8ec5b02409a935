"""`make demo`: a server and two people as three real processes on one machine."""

__all__: list[str] = []
