"""The command `weft`: reads arguments, runs one session, shows what happens to people or to programs."""
