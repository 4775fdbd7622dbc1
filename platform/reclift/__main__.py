"""`python -m reclift` is the `reclift` command."""

from reclift.cli import main

main(prog_name="reclift")
