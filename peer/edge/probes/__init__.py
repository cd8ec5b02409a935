"""What `weft doctor` looks at: one probe a module, each a coroutine that returns findings and never fails."""
