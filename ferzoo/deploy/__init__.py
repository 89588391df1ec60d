"""How networks get fast, and how fast they are."""
