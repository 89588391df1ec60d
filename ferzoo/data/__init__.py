"""Readers, preprocessing and metrics."""
