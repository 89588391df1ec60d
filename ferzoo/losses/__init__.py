"""Losses, one file each; a loss knows no network, only the outputs that it takes."""
