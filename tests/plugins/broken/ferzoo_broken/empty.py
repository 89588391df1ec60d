"""Registers nothing of what the entry points promise."""
