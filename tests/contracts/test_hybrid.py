"""Hybrids keep the contract, with each method."""

from typing import Any, ClassVar

from reclift.testing import StrategyContract

COMPONENTS = [
    {"strategy": "popularity"},
    {"strategy": "item_cf", "params": {"k": 10}, "weight": 5, "min_history": 1},
]


class TestHybrid(StrategyContract):
    key = "hybrid"


class TestWeighted(TestHybrid):
    params: ClassVar[dict[str, Any]] = {"method": "weighted", "components": COMPONENTS}
    complete = True

    def test_page_item_leads_to_its_own_kind(self):
        """A page has no history, so the item neighbours are not asked here."""
        fitted = self.fit()
        assert len(fitted.recommend(self.queries()[2])) == 5


class TestSwitch(TestWeighted):
    params: ClassVar[dict[str, Any]] = {"method": "switch", "components": COMPONENTS}
    complete = False
