"""From photographs to expressions: read, find faces, crop, classify, draw."""
