"""docs/strategies.md keeps up with the code: every built-in is described, and its example is a working strategy."""

from __future__ import annotations

import re
from importlib.metadata import entry_points

from reclift.strategy import Dataset, Item, Query, State
from tests.shared_data import ROOT

PAGE = (ROOT / "docs" / "strategies.md").read_text(encoding="utf-8")


def test_every_built_in_is_described():
    built_in = [
        point.name for point in entry_points(group="reclift.strategies") if point.value.startswith("strategies.")
    ]
    assert len(built_in) >= 8
    for key in built_in:
        assert f"- **`{key}`**" in PAGE or f"**`{key}`**" in PAGE, f"{key} is not described"


def test_the_example_works():
    source = next(block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "class Cheapest:" in block)
    names: dict = {"__name__": "example"}
    exec(compile(source, "docs/strategies.md", "exec"), names)  # noqa: S102 (our own page)
    cheapest = names["Cheapest"]
    items = [Item("a", price=9.0), Item("b", price=2.0), Item("c", price=5.0), Item("d")]
    fitted = cheapest.fit(Dataset.from_rows([], items), cheapest.Parameters(floor=3.0), lambda _share, _what: None)
    loaded = cheapest.restore(State(arrays=fitted.state().arrays), None)
    assert [s.item_id for s in loaded.recommend(Query(2))] == ["c", "a"]
    assert [s.item_id for s in loaded.recommend(Query(2, exclude=frozenset({"c"})))] == ["a"]
