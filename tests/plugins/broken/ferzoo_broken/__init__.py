"""A plugin of ferzoo that does wrong all that a plugin can do wrong."""
