"""Names to code: entry points, checked registration, factories."""
