"""The `reclift` command. Each sub-command lives in its own file and is imported when it is called."""

from __future__ import annotations

import importlib
from typing import Any

import click

from reclift import __version__
from reclift.flows.errors import FlowError
from reclift.settings import SettingsError
from reclift.strategy import StrategyError

COMMANDS = {
    "serve": ("reclift.cli.serve", "serve"),
    "worker": ("reclift.cli.processes", "worker"),
    "drain": ("reclift.cli.processes", "drain_stream"),
    "dead-letters": ("reclift.cli.dead_letters", "dead_letters"),
    "beat": ("reclift.cli.processes", "beat"),
    "migrate": ("reclift.cli.processes", "migrate"),
    "create-user": ("reclift.cli.accounts", "create_user"),
    "create-key": ("reclift.cli.accounts", "create_key"),
    "demo": ("reclift.cli.demo", "demo"),
    "train": ("reclift.cli.work", "train"),
    "analyze": ("reclift.cli.analyze", "analyze"),
    "evaluate": ("reclift.cli.evaluate", "evaluate"),
    "new-strategy": ("reclift.cli.new_strategy", "new_strategy"),
    "import": ("reclift.cli.imports", "import_data"),
    "report": ("reclift.cli.work", "report"),
}


class _Lazy(click.Group):
    """Imports a command's file only when it is called: `reclift --help` is quick and the server stays light."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 (click's signature)
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name]
        command: Any = getattr(importlib.import_module(module), name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{module}.{name} is no command")
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (FlowError, SettingsError, StrategyError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="reclift")
def main() -> None:
    """Experiments on recommenders: serve strategies, split traffic, read lifts that can be trusted."""
