"""The built-in strategies, one file each. They enter by entry point like anyone else's."""
