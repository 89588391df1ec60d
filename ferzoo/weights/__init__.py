"""Names to tensors: where weights come from and how they are checked."""
