"""A network, a block and a loss for ferzoo, defined outside of it."""
