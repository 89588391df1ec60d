"""How weights are published and fetched."""
