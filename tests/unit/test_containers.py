"""The containers' files agree with the program: commands, options and settings that really exist."""

from __future__ import annotations

import json
import re
from typing import Any

import click
import pytest
import yaml

from reclift.cli import COMMANDS, main
from reclift.settings import Settings
from tests.shared_data import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OURS = [name for name, service in COMPOSE["services"].items() if "build" in service]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def command_of(arguments: list[str]) -> click.Command:
    name, *options = arguments
    assert name in COMMANDS
    command = main.get_command(click.Context(main), name)
    assert command is not None
    command.make_context(name, [re.sub(r"\$\{\w+:-(.*)\}", r"\1", option) for option in options])
    return command


def test_production_mode_has_all_its_processes() -> None:
    assert set(COMPOSE["services"]) == {"migrate", "web", "worker", "beat", "postgres", "redis"}


@pytest.mark.parametrize("name", OURS)
def test_services_run_commands_that_exist(name: str) -> None:
    assert command_of(COMPOSE["services"][name]["command"])


def test_the_image_serves_by_default() -> None:
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE)
    (default,) = re.findall(r"^CMD (.*)$", DOCKERFILE, re.MULTILINE)
    assert json.loads(entry) == ["reclift"]
    assert command_of(json.loads(default)).name == "serve"


@pytest.mark.parametrize("name", OURS)
def test_settings_exist_and_take_their_defaults(name: str) -> None:
    environment = COMPOSE["services"][name]["environment"]
    values = {}
    for variable, value in environment.items():
        setting = variable.removeprefix("RECLIFT_").lower()
        assert setting in Settings.model_fields, variable
        values[setting] = re.sub(r"\$\{\w+:[-?]([^}]*)\}", r"\1", value)
    assert not Settings(**values).embedded
    assert values["database_url"].startswith("postgresql+psycopg://")


def test_the_database_is_migrated_before_anything_else_starts() -> None:
    for name in set(OURS) - {"migrate"}:
        assert COMPOSE["services"][name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}


def test_what_keeps_data_is_checked_and_kept() -> None:
    for name in ("postgres", "redis"):
        service = COMPOSE["services"][name]
        assert service["healthcheck"]["test"]
        assert service["volumes"][0].split(":")[0] in COMPOSE["volumes"]
    redis = COMPOSE["services"]["redis"]["command"]
    assert redis[redis.index("--appendfsync") + 1] == "always"
    assert redis[redis.index("--maxmemory-policy") + 1] == "noeviction"


def test_the_image_runs_without_root_and_is_checked() -> None:
    final = DOCKERFILE.rsplit("\nFROM ", 1)[1]
    assert re.search(r"^USER reclift$", final, re.MULTILINE)
    assert "HEALTHCHECK" in final
    assert "/health/live" in final


def test_what_is_copied_into_the_image_exists_and_is_not_ignored() -> None:
    allowed = re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE):
        for source in line.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert source in allowed, source
