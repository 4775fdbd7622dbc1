from __future__ import annotations

import pytest
from werkzeug.datastructures import MultiDict

from reclift.domain.analysis import Analysis
from reclift.web.pages import experiment_form
from tests.fake_experiments import samples
from tests.fake_shop import shop

STRATEGIES = shop()["strategies"]


def form(**changes):
    fields = {
        "name": "Home: New lists!", "key": "", "placement": "home", "traffic": "50", "planned_days": "14",
        "primary": "ctr",
        "arms-0-key": "control", "arms-0-strategy": "popularity", "arms-0-weight": "50",
        "arms-3-key": "", "arms-3-strategy": "item_cf", "arms-3-weight": "50", "arms-3-params-k": "200", "control": "0",
    }  # fmt: skip
    fields.update(changes)
    return MultiDict([(k, v) for k, v in fields.items() if v is not None])


def build(**changes):
    return experiment_form.payload(experiment_form.from_form(form(**changes)), STRATEGIES)


def test_a_form_becomes_an_experiment():
    payload, problems = build()
    assert problems == []
    assert payload == {
        "key": "home-new-lists", "name": "Home: New lists!", "hypothesis": "", "placement": "home", "traffic": 0.5,
        "layer": None, "sticky": False, "ramp": [], "exclude": {}, "overrides": {},
        "audience": {}, "planned_days": 14, "note": "",
        "arms": [{"key": "control", "strategy": "popularity", "params": {}, "weight": 0.5, "control": True,
                  "model": None, "rerank": None},
                 {"key": "item-cf", "strategy": "item_cf", "params": {"k": 200}, "weight": 0.5, "control": False,
                  "model": None, "rerank": None}],
        "metrics": {"primary": "ctr", "secondary": [], "guardrails": []}, "analysis": Analysis().to_dict(),
    }  # fmt: skip


def test_a_metric_has_one_role():
    fields = form()
    fields.setlist("secondary", ["ctr", "conversion"])
    fields.setlist("guardrails", ["conversion", "latency"])
    payload, _ = experiment_form.payload(experiment_form.from_form(fields), STRATEGIES)
    assert payload["metrics"] == {"primary": "ctr", "secondary": ["conversion"], "guardrails": ["latency"]}


@pytest.mark.parametrize(("changes", "field"), [
    ({"name": "", "key": "x"}, "name"), ({"key": "Not A Key"}, "key"), ({"placement": ""}, "placement"),
    ({"traffic": "0"}, "traffic"), ({"traffic": "101"}, "traffic"), ({"traffic": "all"}, "traffic"),
    ({"traffic": "nan"}, "traffic"), ({"planned_days": "1.5"}, "planned_days"), ({"planned_days": "0"}, "planned_days"),
    ({"primary": ""}, "metrics.primary"), ({"arms-3-strategy": ""}, "arms.1.strategy"),
    ({"arms-3-strategy": "magic"}, "arms.1.strategy"), ({"arms-3-key": "control"}, "arms.1.key"),
    ({"arms-3-weight": "-1"}, "arms.1.weight"), ({"arms-3-weight": "40"}, "arms"), ({"control": "9"}, "control"),
    ({"arms-3-model": "newest"}, "arms.1.model"), ({"arms-3-model": "0"}, "arms.1.model"),
    ({"arms-3-balance": "1.2"}, "arms.1.rerank.balance"), ({"arms-3-balance": "nan"}, "arms.1.rerank.balance"),
    ({"arms-3-category_cap": "0"}, "arms.1.rerank.category_cap"),
    ({"arms-3-category_cap": "2.5"}, "arms.1.rerank.category_cap"),
    ({"analysis-regime": "group_sequential", "planned_days": ""}, "planned_days"),
    ({"arms-3-params-k": "0"}, "arms.1.params.k"), ({"arms-3-key": None}, "arms"), ({"audience_json": "{"}, "audience"),
])  # fmt: skip
def test_what_is_wrong_is_named_by_its_field(changes, field):
    _, problems = build(**changes)
    assert field in [p["field"] for p in problems]


def test_weights_may_be_thirds():
    payload, problems = build(**{
        "arms-0-weight": "33.34", "arms-3-weight": "33.33", "arms-5-key": "als",
        "arms-5-strategy": "matrix_factorization",
        "arms-5-weight": "33.33",
    })  # fmt: skip
    assert problems == []
    assert [arm["weight"] for arm in payload["arms"]] == [0.3334, 0.3333, 0.3333]


@pytest.mark.parametrize("key", [key for key, (e, _) in samples().items() if e["kind"] != "holdout"])
def test_an_experiment_shown_and_sent_back_is_the_same(key):
    experiment = samples()[key][0]
    typed = experiment_form.from_experiment(experiment)
    known = [*STRATEGIES, {"key": "bernoulli_ts", "schema": {"properties": {}}}]
    for arm in typed["arms"]:
        arm["params"] = {k: str(v) for k, v in arm["params"].items()}
    payload, problems = experiment_form.payload(typed, known)
    assert problems == []
    fields = ["key", "name", "placement", "audience", "arms", "metrics", "planned_days", "note", "layer", "sticky",
              "exclude", "overrides", "ramp", "analysis"]  # fmt: skip
    for field in fields:
        assert payload[field] == experiment[field], field
    start = experiment["ramp"][0]["traffic"] if experiment["ramp"] else experiment["traffic"]
    assert payload["traffic"] == start  # a ramp decides where traffic starts


@pytest.mark.parametrize(("name", "key"), [
    ("Home: new lists!", "home-new-lists"), ("  Ünï  ", "n"), ("日本", ""), ("a" * 80, "a" * 64), ("--x--", "x"),
])  # fmt: skip
def test_keys_made_from_names(name, key):
    assert experiment_form.slug(name) == key


def test_variety_and_a_pinned_model_are_the_arms():
    payload, problems = build(**{"arms-3-balance": "0,3", "arms-3-category_cap": "3", "arms-3-model": "7"})
    assert problems == []
    assert payload["arms"][1]["rerank"] == {"balance": 0.3, "category_cap": 3}
    assert payload["arms"][1]["model"] == 7
    assert payload["arms"][0]["rerank"] is None


def test_only_a_version_that_is_there_can_be_pinned():
    models = [{"strategy": "item_cf", "version": 3, "status": "ready"},
              {"strategy": "item_cf", "version": 4, "status": "failed"},
              {"strategy": "popularity", "version": 4, "status": "ready"}]  # fmt: skip
    for version, right in (("3", True), ("4", False)):
        typed = experiment_form.from_form(form(**{"arms-3-model": version}))
        _, problems = experiment_form.payload(typed, STRATEGIES, models)
        assert (problems == []) is right
    rule = "is no ready version of item_cf; there are 3"
    assert problems == [{"field": "arms.1.model", "value": "4", "rule": rule}]
