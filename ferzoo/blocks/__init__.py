"""The building blocks, one file each."""
