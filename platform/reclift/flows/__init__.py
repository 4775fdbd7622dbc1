"""What the platform does, one file for each thing it does. A flow owns its transaction."""
