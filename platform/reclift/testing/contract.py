"""The contract suite: what every strategy must keep to, built in or not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reclift.strategy import Dataset, Item, Query, Signal, Strategy, StrategyError, parse_parameters
from reclift.testing.answers import Answers
from reclift.testing.shop import Row, load_through_files


class StrategyContract(Answers):
    """Inherit, set `key` (or `cls`), and say what does not apply, as that the strategy does not personalise."""

    # -- saving and loading

    def test_saving_and_loading_changes_nothing(self, tmp_path: Path) -> None:
        fitted = self.fit()
        params = parse_parameters(self.key, type(fitted), self.params)
        loaded = type(fitted).restore(load_through_files(fitted.state(), tmp_path), params)
        for query in (*self.queries(), replace(self.queries()[0], k=1000)):
            before, after = fitted.recommend(query), loaded.recommend(query)
            assert self.ids(before) == self.ids(after)
            assert [(s.propensity, s.reason) for s in before] == [(s.propensity, s.reason) for s in after]
            np.testing.assert_allclose([s.score for s in before], [s.score for s in after], rtol=1e-6)

    def test_a_loaded_model_can_be_saved_again(self, tmp_path: Path) -> None:
        fitted = self.fit()
        params = parse_parameters(self.key, type(fitted), self.params)
        loaded = type(fitted).restore(load_through_files(fitted.state(), tmp_path), params)
        first, second = fitted.state(), loaded.state()
        assert set(first.arrays) == set(second.arrays)
        for name, array in first.arrays.items():
            np.testing.assert_array_equal(array, second.arrays[name])
        assert json.dumps(dict(first.meta), sort_keys=True) == json.dumps(dict(second.meta), sort_keys=True)

    def test_state_is_plain_data(self) -> None:
        state = self.fit().state()
        for name, array in state.arrays.items():
            assert array.dtype.kind in "biufU", f"{name} is {array.dtype}"
            assert name.isidentifier(), f"{name!r} is no file name"

    def test_refitting_forgets_the_old(self) -> None:
        self.fit()
        rows = [(user, f"new-{item_id}", weight, at, value) for user, item_id, weight, at, value in self.rows()]
        items = [replace(item, item_id=f"new-{item.item_id}") for item in self.items()]
        refitted = self.fit(rows, items)
        for query in self.queries():
            fresh = replace(query, history=self.history("new-i00", "i02"))
            answer = refitted.recommend(fresh)
            assert all(item_id.startswith("new-") for item_id in self.ids(answer))
            if self.personal:
                assert answer

    def test_leaves_the_data_alone(self) -> None:
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

    def test_no_data(self, tmp_path: Path) -> None:
        fitted = self.edge([], [], tmp_path)
        assert list(fitted.recommend(self.queries()[0])) == []

    def test_items_without_interactions(self, tmp_path: Path) -> None:
        fitted = self.edge([], self.items(), tmp_path)
        if self.cold_items:
            assert fitted.recommend(self.queries()[0])

    def test_one_user(self, tmp_path: Path) -> None:
        self.edge([row for row in self.rows() if row[0] == "u0"], self.items(), tmp_path)

    def test_one_item(self, tmp_path: Path) -> None:
        self.edge([(f"u{n}", "x", 1.0, float(n), 3.0 + n % 2) for n in range(4)], [], tmp_path)

    def test_one_interaction(self, tmp_path: Path) -> None:
        self.edge([("a", "x", 1.0, 0.0, 4.0)], [], tmp_path)

    def test_two_items_one_of_them_chosen(self, tmp_path: Path) -> None:
        fitted = self.edge([("a", "x", 1.0, 0.0, 4.0)], [Item("x"), Item("y")], tmp_path)
        if self.complete or self.cold_items:
            assert "y" in self.ids(fitted.recommend(Query(5, "a", self.history("x"), exclude=frozenset({"x"}))))

    def test_repeated_interactions(self, tmp_path: Path) -> None:
        self.edge([row for row in self.rows() for _ in range(3)], self.items(), tmp_path)

    def test_bare_items(self, tmp_path: Path) -> None:
        self.edge(self.rows(), [], tmp_path)

    def test_a_very_uneven_shop(self, tmp_path: Path) -> None:
        rows = self.rows() + [("robot", f"i{n % 20:02}", 1e6, float(n), 3.0) for n in range(500)]
        self.edge(rows, self.items(), tmp_path)

    def test_unknown_user_and_items(self) -> None:
        fitted = self.fit()
        for query in (
            Query(5, "nobody"),
            Query(5, "nobody", self.history("nothing", "nowhere")),
            Query(5, None, context_items=("nothing",)),
            Query(5, "nobody", exclude=frozenset({"nothing"}), candidates=frozenset({"nothing"})),
        ):
            self.check(fitted.recommend(query), query)

    def test_unicode_ids(self, tmp_path: Path) -> None:
        def fancy(text: str) -> str:
            return f"商品 «{text}» 🧣é"

        rows = [(fancy(user), fancy(item), weight, at, value) for user, item, weight, at, value in self.rows()]
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

    def test_signals_without_weight_or_value(self) -> None:
        fitted = self.fit()
        for signal in (Signal("i00", 0.0, 1.0), Signal("i00", 1.0, 1.0, value=float("nan")), Signal("i02", -1.0, 1.0)):
            query = Query(5, "u0", (signal,), seed=1, now=2.0)
            self.check(fitted.recommend(query), query)

    def test_progress_ends_at_most_at_one(self) -> None:
        told: list[float] = []
        strategy = self.strategy()
        data = Dataset.from_rows(self.rows(), self.items())
        strategy.fit(data, parse_parameters(self.key, strategy, self.params), lambda share, _what: told.append(share))
        assert all(0 <= share <= 1 for share in told)
        assert told == sorted(told)

    def test_wrong_parameters_are_named(self) -> None:
        strategy = self.strategy()
        with pytest.raises(StrategyError, match="no_such_parameter"):
            parse_parameters(self.key, strategy, {"no_such_parameter": 1})
