"""What a strategy's answers must be: right, allowed, and the same for the same question."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from reclift.strategy import Query
from reclift.testing.shop import DAY, Shop


class Answers(Shop):
    """Part of `StrategyContract`."""

    # -- the class

    def test_describes_itself(self) -> None:
        strategy = self.strategy()
        assert strategy.title.strip()
        assert strategy.summary.strip().endswith(".")
        assert strategy.__doc__
        assert isinstance(strategy.needs_training, bool)

    def test_every_parameter_can_be_shown_as_a_form(self) -> None:
        schema = self.strategy().Parameters.model_json_schema()
        for name, field in schema.get("properties", {}).items():
            assert field.get("description"), f"{name} has no description"
            assert "default" in field, f"{name} has no default"

    # -- right answers

    def test_checkerboard(self) -> None:
        fitted = self.fit()
        for side in (0, 1):
            history = self.history(*(f"i{2 * step + side:02}" for step in (0, 2, 4)))
            seen = frozenset(signal.item_id for signal in history)
            query = Query(5, "new user", history, exclude=seen, seed=3, now=41 * DAY)
            answer = fitted.recommend(query)
            self.check(answer, query)
            assert len(answer) == 5
            if self.personal:
                assert {int(item_id[1:]) % 2 for item_id in self.ids(answer)} == {side}

    def test_page_item_leads_to_its_own_kind(self) -> None:
        fitted = self.fit()
        for item_id in ("i04", "i07"):
            query = Query(4, None, context_items=(item_id,), seed=3, now=41 * DAY)
            answer = fitted.recommend(query)
            self.check(answer, query)
            assert len(answer) == 4
            if self.personal:
                assert {int(found[1:]) % 2 for found in self.ids(answer)} == {int(item_id[1:]) % 2}

    def test_a_new_signal_changes_the_next_answer(self) -> None:
        if not self.personal:
            fitted = self.fit()
            query = Query(5, "u0", self.history("i00"), seed=3, now=41 * DAY)
            self.check(fitted.recommend(query), query)
            return
        fitted = self.fit()
        before = fitted.recommend(Query(5, "new user", self.history("i00"), seed=3, now=41 * DAY))
        after = fitted.recommend(Query(5, "new user", self.history("i00", "i01", "i03", "i05"), seed=3, now=41 * DAY))
        assert list(before) != list(after)

    def test_what_is_called_repeatable_is(self) -> None:
        """Neither chance, nor the clock, nor the name of the user may matter; asked in another order as well."""
        if not getattr(self.strategy(), "repeatable", False):
            return
        fitted = self.fit()
        first = [list(fitted.recommend(query)) for query in self.queries()]
        for query, before in reversed(list(zip(self.queries(), first, strict=True))):
            other = replace(query, user_id="somebody else", seed=query.seed + 12_345, now=query.now + 99 * DAY)
            assert list(fitted.recommend(other)) == before

    # -- what may be in an answer

    def test_answers_keep_the_rules(self) -> None:
        fitted = self.fit()
        for query in self.queries():
            self.check(fitted.recommend(query), query)

    def test_excluded_items_never_appear(self) -> None:
        """Seen, unavailable and otherwise forbidden items all come as `exclude`."""
        fitted = self.fit()
        for query in self.queries():
            free = self.ids(fitted.recommend(query))
            barred = frozenset(free[:2]) | {"i00", "i05", "no such item"}
            narrowed = replace(query, exclude=barred)
            self.check(fitted.recommend(narrowed), narrowed)
            everything = replace(query, exclude=frozenset(item.item_id for item in self.items()))
            assert list(fitted.recommend(everything)) == []

    def test_only_candidates_appear(self) -> None:
        fitted = self.fit()
        for candidates in (
            frozenset({"i02", "i06", "i07"}),
            frozenset({"no such item"}),
            frozenset(),
            frozenset(f"i{number:02}" for number in range(3, 20)),
        ):
            for query in self.queries():
                narrowed = replace(query, candidates=candidates, exclude=frozenset({"i06"}))
                self.check(fitted.recommend(narrowed), narrowed)
        if self.personal:
            narrowed = replace(self.queries()[0], candidates=frozenset({"i06", "i07", "i08"}), k=2)
            assert set(self.ids(fitted.recommend(narrowed))) == {"i06", "i08"}

    def test_k(self) -> None:
        fitted = self.fit()
        for query in self.queries():
            assert list(fitted.recommend(replace(query, k=0))) == []
            assert len(fitted.recommend(replace(query, k=1))) <= 1
            large = replace(query, k=1000)
            answer = fitted.recommend(large)
            self.check(answer, large)
            assert len(answer) <= 20
            if self.complete:
                own = set(query.context_items)
                assert set(self.ids(answer)) == {item.item_id for item in self.items()} - own

    def test_a_longer_list_starts_with_the_shorter(self) -> None:
        fitted = self.fit()
        for query in self.queries():
            short, long = self.ids(fitted.recommend(query)), self.ids(fitted.recommend(replace(query, k=10)))
            assert long[: len(short)] == short

    # -- the same question, the same answer

    def test_deterministic(self) -> None:
        fitted, again = self.fit(), self.fit()
        for query in self.queries():
            answer = fitted.recommend(query)
            assert list(fitted.recommend(query)) == list(answer)
            assert self.ids(again.recommend(query)) == self.ids(answer)
            np.testing.assert_allclose([s.score for s in again.recommend(query)], [s.score for s in answer], rtol=1e-4)

    def test_order_of_questions_does_not_matter(self) -> None:
        fitted = self.fit()
        queries = self.queries()
        forwards = [list(fitted.recommend(query)) for query in queries]
        backwards = [list(fitted.recommend(query)) for query in reversed(queries)]
        assert forwards == backwards[::-1]

    def test_safe_in_threads(self) -> None:
        fitted = self.fit()
        queries = self.queries() * 40
        expected = [list(fitted.recommend(query)) for query in queries]
        with ThreadPoolExecutor(8) as threads:
            assert [list(answer) for answer in threads.map(fitted.recommend, queries)] == expected
