"""The signaling server: introduces the members of a room and passes on frames that it cannot read."""
