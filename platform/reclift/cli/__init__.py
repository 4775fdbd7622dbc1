"""The `reclift` command."""
