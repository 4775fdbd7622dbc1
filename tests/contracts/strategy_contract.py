"""What every strategy must keep to. A strategy's test inherits from `StrategyContract` and names its key:

```python
class TestMyStrategy(StrategyContract):
    key = "my_strategy"
```
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from reclift.strategy import Dataset, Item, Query, Registry, Scored, Signal, State, Strategy, parse_parameters

DAY = 86_400.0
Row = tuple[str, str, float, float, float]


def quiet(_share: float, _what: str) -> None:
    """Progress that nobody looks at."""


def load_through_files(state: State, folder: Path) -> State:
    """Save as the platform does, one .npy per array and one JSON, and load memory-mapped and read-only."""
    for name, array in state.arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    (folder / "meta.json").write_text(json.dumps(dict(state.meta), allow_nan=False), encoding="utf-8")
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in state.arrays}
    return State(arrays=arrays, meta=json.loads((folder / "meta.json").read_text(encoding="utf-8")))


class StrategyContract:
    """Inherit, set `key`, and what does not apply to the strategy as it does not personalise, for example."""

    key: ClassVar[str]
    params: ClassVar[dict[str, Any]] = {}
    personal: ClassVar[bool] = True
    """Whether a user's history must lead to items like those in it."""
    cold_items: ClassVar[bool] = False
    """Whether items without any interaction must be recommendable."""
    complete: ClassVar[bool] = False
    """Whether every allowed item of the catalogue is returned where k asks for it."""

    # -- what the tests are made of; override where a strategy needs other data

    def rows(self) -> list[Row]:
        """Twelve even users chose even items, twelve odd users odd ones, each eight of ten; values are ratings."""
        return [
            (f"u{user}", f"i{2 * step + user % 2:02}", 1.0, DAY * (user + step), 5.0 - step % 2)
            for user in range(24)
            for step in range(10)
            if step not in {user // 2 % 10, (user // 2 + 3) % 10}
        ]

    def items(self) -> list[Item]:
        """Twenty items; the title and the category tell the side, too."""
        return [
            Item(
                f"i{number:02}",
                title=f"{'crimson scarf' if number % 2 else 'blue kettle'} number {number}",
                category="odd" if number % 2 else "even",
                price=10.0 + number % 2 * 80 + number,
                attributes={"maker": "north" if number % 2 else "south"},
            )
            for number in range(20)
        ]

    def history(self, *item_ids: str) -> tuple[Signal, ...]:
        """Signals as strong as the rows', one a second."""
        return tuple(Signal(item_id, 1.0, 40 * DAY + at, "click", 5.0) for at, item_id in enumerate(item_ids))

    def fit(self, rows: list[Row] | None = None, items: list[Item] | None = None) -> Strategy:
        data = Dataset.from_rows(self.rows() if rows is None else rows, self.items() if items is None else items)
        return self.fit_data(data)

    def fit_data(self, data: Dataset) -> Strategy:
        strategy = Registry.installed().get(self.key)
        return strategy.fit(data, parse_parameters(self.key, strategy, self.params), quiet)

    def queries(self) -> list[Query]:
        """One of each kind: known user, guest, page, stranger, nothing at all."""
        return [
            Query(5, "u0", self.history("i00", "i02", "i04"), seed=11, now=41 * DAY),
            Query(5, None, self.history("i01"), seed=12, now=41 * DAY),
            Query(5, "u1", context_items=("i03",), seed=13, now=41 * DAY),
            Query(5, "stranger", self.history("no such item"), seed=14, now=41 * DAY),
            Query(5, seed=15, now=41 * DAY),
        ]

    @staticmethod
    def ids(answer: Any) -> list[str]:
        return [scored.item_id for scored in answer]

    @staticmethod
    def check(answer: Any, query: Query) -> None:
        """What holds for every answer."""
        ids = StrategyContract.ids(answer)
        assert all(isinstance(scored, Scored) for scored in answer)
        assert len(set(ids)) == len(ids), "an item twice"
        assert all(type(scored.item_id) is str and type(scored.score) is float for scored in answer)
        assert all(np.isfinite(scored.score) for scored in answer)
        assert all(first.score >= second.score for first, second in pairwise(answer)), "scores must fall"
        assert not set(ids) & query.exclude
        assert not set(ids) & set(query.context_items), "a page's own item"
        assert query.candidates is None or set(ids) <= query.candidates
        assert all(scored.propensity is None or 0 < scored.propensity <= 1 for scored in answer)
        assert all(scored.reason is None or scored.reason for scored in answer)

    # -- the class

    def test_describes_itself(self):
        strategy = Registry.installed().get(self.key)
        assert strategy.title.strip()
        assert strategy.summary.strip().endswith(".")
        assert strategy.__doc__
        assert isinstance(strategy.needs_training, bool)

    def test_every_parameter_can_be_shown_as_a_form(self):
        schema = Registry.installed().get(self.key).Parameters.model_json_schema()
        for name, field in schema.get("properties", {}).items():
            assert field.get("description"), f"{name} has no description"
            assert "default" in field, f"{name} has no default"

    # -- right answers

    def test_checkerboard(self):
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

    def test_page_item_leads_to_its_own_kind(self):
        fitted = self.fit()
        for item_id in ("i04", "i07"):
            query = Query(4, None, context_items=(item_id,), seed=3, now=41 * DAY)
            answer = fitted.recommend(query)
            self.check(answer, query)
            assert len(answer) == 4
            if self.personal:
                assert {int(found[1:]) % 2 for found in self.ids(answer)} == {int(item_id[1:]) % 2}

    def test_a_new_signal_changes_the_next_answer(self):
        if not self.personal:
            fitted = self.fit()
            query = Query(5, "u0", self.history("i00"), seed=3, now=41 * DAY)
            self.check(fitted.recommend(query), query)
            return
        fitted = self.fit()
        before = fitted.recommend(Query(5, "new user", self.history("i00"), seed=3, now=41 * DAY))
        after = fitted.recommend(Query(5, "new user", self.history("i00", "i01", "i03", "i05"), seed=3, now=41 * DAY))
        assert list(before) != list(after)

    # -- what may be in an answer

    def test_answers_keep_the_rules(self):
        fitted = self.fit()
        for query in self.queries():
            self.check(fitted.recommend(query), query)

    def test_excluded_items_never_appear(self):
        """Seen, unavailable and otherwise forbidden items all come as `exclude`."""
        fitted = self.fit()
        for query in self.queries():
            free = self.ids(fitted.recommend(query))
            barred = frozenset(free[:2]) | {"i00", "i05", "no such item"}
            narrowed = replace(query, exclude=barred)
            self.check(fitted.recommend(narrowed), narrowed)
            everything = replace(query, exclude=frozenset(item.item_id for item in self.items()))
            assert list(fitted.recommend(everything)) == []

    def test_only_candidates_appear(self):
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

    def test_k(self):
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

    def test_a_longer_list_starts_with_the_shorter(self):
        fitted = self.fit()
        for query in self.queries():
            short, long = self.ids(fitted.recommend(query)), self.ids(fitted.recommend(replace(query, k=10)))
            assert long[: len(short)] == short

    # -- the same question, the same answer

    def test_deterministic(self):
        fitted, again = self.fit(), self.fit()
        for query in self.queries():
            answer = fitted.recommend(query)
            assert list(fitted.recommend(query)) == list(answer)
            assert self.ids(again.recommend(query)) == self.ids(answer)
            np.testing.assert_allclose([s.score for s in again.recommend(query)], [s.score for s in answer], rtol=1e-4)

    def test_order_of_questions_does_not_matter(self):
        fitted = self.fit()
        queries = self.queries()
        forwards = [list(fitted.recommend(query)) for query in queries]
        backwards = [list(fitted.recommend(query)) for query in reversed(queries)]
        assert forwards == backwards[::-1]

    def test_safe_in_threads(self):
        fitted = self.fit()
        queries = self.queries() * 40
        expected = [list(fitted.recommend(query)) for query in queries]
        with ThreadPoolExecutor(8) as threads:
            assert [list(answer) for answer in threads.map(fitted.recommend, queries)] == expected

    # -- saving and loading

    def test_saving_and_loading_changes_nothing(self, tmp_path):
        fitted = self.fit()
        params = parse_parameters(self.key, type(fitted), self.params)
        loaded = type(fitted).restore(load_through_files(fitted.state(), tmp_path), params)
        for query in (*self.queries(), replace(self.queries()[0], k=1000)):
            before, after = fitted.recommend(query), loaded.recommend(query)
            assert self.ids(before) == self.ids(after)
            assert [(s.propensity, s.reason) for s in before] == [(s.propensity, s.reason) for s in after]
            np.testing.assert_allclose([s.score for s in before], [s.score for s in after], rtol=1e-6)

    def test_a_loaded_model_can_be_saved_again(self, tmp_path):
        fitted = self.fit()
        params = parse_parameters(self.key, type(fitted), self.params)
        loaded = type(fitted).restore(load_through_files(fitted.state(), tmp_path), params)
        first, second = fitted.state(), loaded.state()
        assert set(first.arrays) == set(second.arrays)
        for name, array in first.arrays.items():
            np.testing.assert_array_equal(array, second.arrays[name])
        assert json.dumps(dict(first.meta), sort_keys=True) == json.dumps(dict(second.meta), sort_keys=True)

    def test_state_is_plain_data(self):
        state = self.fit().state()
        for name, array in state.arrays.items():
            assert array.dtype.kind in "biufU", f"{name} is {array.dtype}"
            assert name.isidentifier(), f"{name!r} is no file name"

    def test_refitting_forgets_the_old(self):
        self.fit()
        rows = [(user, f"new-{item_id}", *rest) for user, item_id, *rest in self.rows()]
        items = [replace(item, item_id=f"new-{item.item_id}") for item in self.items()]
        refitted = self.fit(rows, items)
        for query in self.queries():
            fresh = replace(query, history=self.history("new-i00", "i02"))
            answer = refitted.recommend(fresh)
            assert all(item_id.startswith("new-") for item_id in self.ids(answer))
            if self.personal:
                assert answer

    def test_leaves_the_data_alone(self):
        data = Dataset.from_rows(self.rows(), self.items())
        before = {
            name: getattr(data, name).copy() for name in ("users", "columns", "weights", "values", "times", "item_ids")
        }
        matrix = data.matrix.copy()
        self.fit_data(data)
        for name, array in before.items():
            np.testing.assert_array_equal(getattr(data, name), array)
        assert (data.matrix != matrix).nnz == 0

    # -- edges

    def edge(self, rows: list[Row], items: list[Item], tmp_path: Path) -> Strategy:
        """Fit on odd data, through files, and ask everything."""
        fitted = self.fit(rows, items)
        params = parse_parameters(self.key, type(fitted), self.params)
        loaded = type(fitted).restore(load_through_files(fitted.state(), tmp_path), params)
        for query in (*self.queries(), Query(3, "a", self.history("x"), candidates=frozenset({"x", "y"}))):
            self.check(loaded.recommend(query), query)
        return loaded

    def test_no_data(self, tmp_path):
        fitted = self.edge([], [], tmp_path)
        assert list(fitted.recommend(self.queries()[0])) == []

    def test_items_without_interactions(self, tmp_path):
        fitted = self.edge([], self.items(), tmp_path)
        if self.cold_items:
            assert fitted.recommend(self.queries()[0])

    def test_one_user(self, tmp_path):
        self.edge([row for row in self.rows() if row[0] == "u0"], self.items(), tmp_path)

    def test_one_item(self, tmp_path):
        self.edge([(f"u{n}", "x", 1.0, float(n), 3.0 + n % 2) for n in range(4)], [], tmp_path)

    def test_one_interaction(self, tmp_path):
        self.edge([("a", "x", 1.0, 0.0, 4.0)], [], tmp_path)

    def test_two_items_one_of_them_chosen(self, tmp_path):
        fitted = self.edge([("a", "x", 1.0, 0.0, 4.0)], [Item("x"), Item("y")], tmp_path)
        if self.complete or self.cold_items:
            assert "y" in self.ids(fitted.recommend(Query(5, "a", self.history("x"), exclude=frozenset({"x"}))))

    def test_repeated_interactions(self, tmp_path):
        self.edge([row for row in self.rows() for _ in range(3)], self.items(), tmp_path)

    def test_bare_items(self, tmp_path):
        self.edge(self.rows(), [], tmp_path)

    def test_a_very_uneven_shop(self, tmp_path):
        rows = self.rows() + [("robot", f"i{n % 20:02}", 1e6, float(n), 3.0) for n in range(500)]
        self.edge(rows, self.items(), tmp_path)

    def test_unknown_user_and_items(self):
        fitted = self.fit()
        for query in (
            Query(5, "nobody"),
            Query(5, "nobody", self.history("nothing", "nowhere")),
            Query(5, None, context_items=("nothing",)),
            Query(5, "nobody", exclude=frozenset({"nothing"}), candidates=frozenset({"nothing"})),
        ):
            self.check(fitted.recommend(query), query)

    def test_unicode_ids(self, tmp_path):
        def fancy(text: str) -> str:
            return f"商品 «{text}» 🧣é"

        rows = [(fancy(user), fancy(item_id), *rest) for user, item_id, *rest in self.rows()]
        items = [replace(item, item_id=fancy(item.item_id), title=fancy(item.title)) for item in self.items()]
        fitted = self.fit(rows, items)
        params = parse_parameters(self.key, type(fitted), self.params)
        loaded = type(fitted).restore(load_through_files(fitted.state(), tmp_path), params)
        history = self.history(*(fancy(f"i{n:02}") for n in (0, 2, 4)))
        query = Query(5, fancy("u0"), history, exclude=frozenset(signal.item_id for signal in history))
        answer = loaded.recommend(query)
        self.check(answer, query)
        assert set(self.ids(answer)) <= {item.item_id for item in items}
        if self.personal:
            even = {fancy(f"i{n:02}") for n in range(0, 20, 2)}
            assert len(answer) == 5
            assert set(self.ids(answer)) <= even

    def test_signals_without_weight_or_value(self):
        fitted = self.fit()
        for signal in (Signal("i00", 0.0, 1.0), Signal("i00", 1.0, 1.0, value=float("nan")), Signal("i02", -1.0, 1.0)):
            query = Query(5, "u0", (signal,), seed=1, now=2.0)
            self.check(fitted.recommend(query), query)

    def test_progress_ends_at_most_at_one(self):
        told: list[float] = []
        strategy = Registry.installed().get(self.key)
        data = Dataset.from_rows(self.rows(), self.items())
        strategy.fit(data, parse_parameters(self.key, strategy, self.params), lambda share, _what: told.append(share))
        assert all(0 <= share <= 1 for share in told)
        assert told == sorted(told)

    def test_wrong_parameters_are_named(self):
        from reclift.strategy import StrategyError

        strategy = Registry.installed().get(self.key)
        with pytest.raises(StrategyError, match="no_such_parameter"):
            parse_parameters(self.key, strategy, {"no_such_parameter": 1})
