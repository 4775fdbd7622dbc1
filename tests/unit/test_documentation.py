"""Documentation as a promise: what exists is described, what is described exists."""

from __future__ import annotations

import re

import click
import pytest

from reclift.cli import main
from reclift.domain.metric import BUILT_IN
from reclift.flows.accounts import SCOPES
from reclift.settings import Settings
from reclift.strategy import Registry
from tests.shared_data import ROOT

DOCS = ROOT / "docs"


def text(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented_with_its_help(name: str) -> None:
    row = next((line for line in text("operator.md").splitlines() if f"| `RECLIFT_{name.upper()}` |" in line), "")
    assert (Settings.model_fields[name].description or "?") in row


def test_no_setting_is_documented_that_does_not_exist() -> None:
    named = set(re.findall(r"^\| `RECLIFT_(\w+)` \|", text("operator.md"), re.MULTILINE))
    assert named == {name.upper() for name in Settings.model_fields}


def test_every_command_is_documented() -> None:
    named = set(re.findall(r"^\| `reclift ([\w-]+)` \|", text("operator.md"), re.MULTILINE))
    assert named == set(main.list_commands(click.Context(main)))


def test_every_command_of_the_contract_exists() -> None:
    assert {"serve", "worker", "beat", "migrate", "demo", "import", "train", "evaluate", "report", "analyze"} <= set(
        main.list_commands(click.Context(main))
    )


@pytest.mark.parametrize("metric", BUILT_IN, ids=lambda metric: metric.key)
def test_every_built_in_metric_is_documented(metric) -> None:
    assert f"| `{metric.key}` |" in text("analyst.md")


@pytest.mark.parametrize("scope", SCOPES)
def test_every_scope_is_documented(scope: str) -> None:
    assert f"`{scope}`" in text("operator.md")


@pytest.mark.parametrize("key", Registry.installed().keys())
def test_every_installed_strategy_is_documented(key: str) -> None:
    assert f"`{key}`" in text("strategies.md")


@pytest.mark.parametrize("path", sorted([ROOT / "README.md", *DOCS.glob("**/*.md")]), ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), f"{path.name} links to {target}"
