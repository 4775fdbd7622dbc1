"""The offline page: all metrics by length of list, who differs, by history, beside online."""

from __future__ import annotations

import copy

from reclift.web.charts_offline import against_online, by_history, history_label
from reclift.web.pages import offline
from tests.fake_shop import shop
from tests.unit.web.test_pages_report import part, text_of

PATH = "/app/strategies/offline"


def evaluation() -> dict:
    return copy.deepcopy(shop()["offline"][0])


def test_every_metric_stands_there_for_the_chosen_length(manager):
    page = text_of(manager, PATH)
    text = part(page, "metrics")
    for words in ("nDCG", "Precision", "Recall", "MAP", "MRR", "Hit rate", "Coverage", "Gini", "Novelty", "Diversity",
                  "[0.2250, 0.2750]", "no list has what this is computed from"):  # fmt: skip
        assert words in text
    assert "aria-current=true>k = 10" in page
    longer = text_of(manager, PATH + "?k=20")
    assert "aria-current=true>k = 20" in longer
    assert "for lists of 20" in longer
    assert "aria-current=true>k = 10" in text_of(manager, PATH + "?k=7")


def test_who_really_differs_is_said_from_the_one_ahead(manager):
    (pair,) = offline.pairs(evaluation()["comparisons"], 0.95)
    assert (pair["ahead"], pair["behind"], pair["by"], pair["bounds"], pair["significant"]) == (
        "item_cf", "popularity", 0.05, [0.02, 0.08], True)  # fmt: skip
    assert "a real difference" in text_of(manager, PATH)
    one = evaluation()["comparisons"][0] | {"p_value_adjusted": 0.2}
    assert not offline.pairs([one], 0.95)[0]["significant"]


def test_one_leads_where_one_way_is_better_and_nobody_is_level():
    results = evaluation()["results"]
    columns = offline.columns_of(results, "10")
    assert [column.key for column in columns][:3] == ["ndcg", "precision", "recall"]
    best = offline.best_of(results, "10", columns)
    assert best["ndcg"] == "item_cf"
    assert not {"coverage", "gini", "novelty", "diversity"} & set(best)
    results[0]["metrics"]["10"]["gini"]["value"] = 0.5
    assert offline.best_of(results, "10", columns)["gini"] == "popularity"


def test_a_metric_without_words_stands_at_the_end():
    results = evaluation()["results"]
    results[0]["metrics"]["10"]["serendipity_rate"] = {"value": 1.0}
    assert offline.columns_of(results, "10")[-1].label == "serendipity rate"


def test_figures_by_history_and_against_online():
    found = evaluation()
    figure = by_history(found, "nDCG")
    assert [trace["name"] for trace in figure["data"]] == ["popularity", "item_cf"]
    assert figure["data"][0]["x"] == ["1\u20134", "5\u201319", "20 and more"]
    (trace,) = against_online(found)["data"]
    assert (trace["x"], trace["y"]) == ([25.0], [12.3])
    for result in found["results"]:
        result["online"] = result["by_history"] = []
    assert by_history(found, "nDCG") is None
    assert against_online(found) is None
    assert history_label([3, 3]) == "3"


def test_agreement_is_said_only_where_both_are_known():
    found = evaluation()
    assert offline.beside(found, "home-recs")["rows"][0]["agree"] is True
    found["results"][1]["online"][0]["offline_lift"] = None
    assert offline.beside(found, "home-recs")["rows"][0]["agree"] is None
    assert offline.beside(found, "other")["rows"] == []
    assert offline.beside(None, "home-recs") is None


def test_nothing_was_evaluated(manager_of_nothing):
    assert "Nothing has been evaluated yet" in text_of(manager_of_nothing, PATH)
