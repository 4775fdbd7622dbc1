"""Content keeps the contract, also from single fields, and knows items that nobody chose."""

from dataclasses import replace
from typing import Any, ClassVar

import pytest

from reclift.strategy import Item, Query
from reclift.testing import StrategyContract
from strategies import search_effort

NONE = dict.fromkeys(
    ("title_weight", "description_weight", "category_weight", "attributes_weight", "price_weight"), 0.0
)


class TestContent(StrategyContract):
    key = "content"
    cold_items = True

    def test_bare_items(self, tmp_path):
        """Of an item without any description nothing can be said."""
        fitted = self.edge(self.rows(), [], tmp_path)
        assert list(fitted.recommend(self.queries()[0])) == []

    @pytest.mark.parametrize("side", ["even", "odd"])
    def test_a_new_item_of_the_right_kind_comes_first(self, side):
        items = self.items()
        new = [replace(items[n], item_id=f"new{n}") for n in (0, 1)]
        history = self.history(*(f"i{2 * n + (side == 'odd'):02}" for n in range(10)))
        seen = frozenset(signal.item_id for signal in history)
        fitted = self.fit(self.rows(), items + new)
        answer = fitted.recommend(Query(1, "u", history, exclude=seen))
        assert self.ids(answer) == [f"new{int(side == 'odd')}"]
        assert (
            side in answer[0].reason
            or "scarf" in answer[0].reason
            or "kettle" in answer[0].reason
            or ":" in answer[0].reason
        )

    def test_two_items_one_of_them_chosen(self, tmp_path):
        described = [Item("x", title="red tea cup"), Item("y", title="red tea pot")]
        fitted = self.edge([("a", "x", 1.0, 0.0, 4.0)], described, tmp_path)
        assert self.ids(fitted.recommend(Query(5, "a", self.history("x"), exclude=frozenset({"x"})))) == ["y"]


class TestTitleOnly(TestContent):
    params: ClassVar[dict[str, Any]] = NONE | {"title_weight": 1.0}


class TestAttributesOnly(TestContent):
    params: ClassVar[dict[str, Any]] = NONE | {"attributes_weight": 1.0}

    def test_two_items_one_of_them_chosen(self, tmp_path):
        """These have none."""
        self.edge([("a", "x", 1.0, 0.0, 4.0)], [Item("x", title="red"), Item("y", title="red")], tmp_path)


class TestThroughAnIndex(TestContent):
    """As with catalogues of more items than `exact_up_to`."""

    params: ClassVar[dict[str, Any]] = {"exact_up_to": 0}

    @pytest.fixture(autouse=True)
    def an_index_at_any_price(self, monkeypatch):
        monkeypatch.setattr(search_effort, "MOST_LOOKED_AT", 1.0)
        monkeypatch.setattr(search_effort, "FEWEST_QUESTIONS", 8)

    def test_has_an_index(self):
        assert self.fit().index is not None
