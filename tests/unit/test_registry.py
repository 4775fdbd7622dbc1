"""Plug-ins that are broken in every way there is: each says what is wrong, and none hides the others."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import field_validator

from reclift.strategy import NoParameters, NullStrategy, Parameters, Registry, StrategyError, parse_parameters


class Picky(Parameters):
    """Its validator has a fault of its own."""

    words: str = ""

    @field_validator("words")
    @classmethod
    def _check(cls, value: str) -> str:
        return {"good": value}[value]


class PickyStrategy(NullStrategy):
    Parameters: ClassVar[type[Parameters]] = Picky


class NoForm(NullStrategy):
    Parameters: ClassVar[Any] = dict


class NoTitle(NullStrategy):
    title: ClassVar[Any] = None


class NoSummary(NullStrategy):
    summary: ClassVar[Any] = ("a", "b")


class Maybe(NullStrategy):
    needs_training: ClassVar[Any] = "yes"


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (NoForm, "Parameters=<class 'dict'> must be a pydantic model"),
        (NoTitle, "title=None must be text"),
        (NoSummary, "summary=.* must be text"),
        (Maybe, "needs_training='yes' must be True or False"),
        (object, "lacks title, summary"),
    ],
)
def test_what_does_not_keep_the_contract_is_named(broken: Any, says: str) -> None:
    with pytest.raises(StrategyError, match=f"'broken'.*{says}"):
        Registry({"broken": broken}).get("broken")


def test_a_fault_in_a_validator_is_the_strategy_s() -> None:
    with pytest.raises(StrategyError, match="picky: parameters cannot be checked: KeyError: 'bad'"):
        parse_parameters("picky", PickyStrategy, {"words": "bad"})


@pytest.mark.parametrize(
    "code", ["raise RuntimeError('no')", "import sys; sys.exit(3)", "import no_such_module", "x ="]
)
def test_whatever_happens_at_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    (tmp_path / "broken_plugin.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    sys.modules.pop("broken_plugin", None)
    point = EntryPoint("broken", "broken_plugin:Strategy", "reclift.strategies")
    registry = Registry({"broken": point, "null": NullStrategy})
    with pytest.raises(StrategyError, match="'broken' cannot be imported"):
        registry.get("broken")
    assert registry.get("null").Parameters is NoParameters


def test_a_key_that_two_packages_claim_belongs_to_none(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("mine", "reclift.strategy:NullStrategy", "reclift.strategies"),
        EntryPoint("mine", "other.package:Mine", "reclift.strategies"),
        EntryPoint("twice", "reclift.strategy:NullStrategy", "reclift.strategies"),
        EntryPoint("twice", "reclift.strategy:NullStrategy", "reclift.strategies"),
    ]
    monkeypatch.setattr("reclift.strategy.entry_points", lambda group: points)
    registry = Registry.installed()
    assert registry.keys() == ["mine", "twice"]
    with pytest.raises(
        StrategyError, match=r"'mine' is claimed by reclift.strategy:NullStrategy .* other.package:Mine"
    ):
        registry.get("mine")
    assert registry.get("twice") is NullStrategy
