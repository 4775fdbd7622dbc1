from __future__ import annotations

import pytest

from reclift.domain.rerank import check_rerank
from reclift.web.pages import lists_form


@pytest.mark.parametrize(("rerank", "typed"), [
    (None, {"balance": "", "category_cap": ""}),
    ({"balance": 0.3, "category_cap": None}, {"balance": "0.3", "category_cap": ""}),
    ({"balance": 0.0, "category_cap": 3}, {"balance": "", "category_cap": "3"}),
    ({"balance": 1.0, "category_cap": 1000}, {"balance": "1", "category_cap": "1000"}),
])  # fmt: skip
def test_variety_shown_and_sent_back_is_the_same(rerank, typed):
    assert lists_form.variety_shown(rerank) == typed
    assert lists_form.variety(typed, "rerank.") == (rerank, [])
    assert check_rerank(rerank, "rerank") == (rerank, [])


def test_variety_names_both_faults():
    rerank, problems = lists_form.variety({"balance": "2", "category_cap": "many"}, "arms.1.rerank.")
    assert rerank is None
    assert [(p["field"], p["value"]) for p in problems] == [
        ("arms.1.rerank.balance", "2"), ("arms.1.rerank.category_cap", "many")]  # fmt: skip


@pytest.mark.parametrize("fallback", [
    [], ["popularity"], ["item_cf", {"strategy": "popularity", "params": {"window_days": 7}}, "popularity"],
])  # fmt: skip
def test_a_chain_shown_and_sent_back_is_the_same(fallback):
    assert lists_form.chain(lists_form.chain_shown(fallback)) == (fallback, [])


@pytest.mark.parametrize(("rows", "field"), [
    ([("", "{}")], "fallback.0.params"), ([("popularity", "{")], "fallback.0.params"),
    ([("popularity", "[1]")], "fallback.0.params"), ([("random", ""), ("random", "")], "fallback.1.strategy"),
])  # fmt: skip
def test_what_is_wrong_with_a_chain_is_named(rows, field):
    _, problems = lists_form.chain([{"strategy": s, "params": p} for s, p in rows])
    assert [p["field"] for p in problems] == [field]


def test_a_strategy_can_stand_in_for_itself_with_other_parameters():
    rows = [{"strategy": "content", "params": '{"a": 1}'}, {"strategy": "content", "params": '{"a": 2}'}]
    found, problems = lists_form.chain(rows)
    assert problems == []
    assert [entry["params"] for entry in found] == [{"a": 1}, {"a": 2}]
