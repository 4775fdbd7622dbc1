import copy

import pytest

from reclift.domain.validation import parse_experiment

GOOD = {
    "key": "home-recs",
    "name": "Better home",
    "hypothesis": "More clicks",
    "placement": "home",
    "layer": None,
    "traffic": 1.0,
    "audience": {"country": {"$in": ["CN", "US"]}},
    "arms": [
        {"key": "control", "strategy": "popularity", "params": {}, "weight": 0.5, "control": True},
        {"key": "item-cf", "strategy": "item_cf", "params": {"k": 200}, "weight": 0.5},
    ],
    "metrics": {"primary": "ctr", "secondary": ["conversion", "revenue_per_user"], "guardrails": ["latency"]},
}


def with_(path, value):
    payload = copy.deepcopy(GOOD)
    *steps, last = path
    node = payload
    for step in steps:
        node = node[step]
    node[last] = value
    return payload


def test_the_example_of_the_api_is_good_and_gets_its_defaults():
    shape, problems = parse_experiment(GOOD)
    assert problems == []
    assert shape == GOOD | {
        "exclude": {}, "overrides": {}, "sticky": False, "kind": "ab",
        "arms": [
            {**GOOD["arms"][0], "model": None, "rerank": None},
            {**GOOD["arms"][1], "control": False, "model": None, "rerank": None},
        ],
    }  # fmt: skip


def test_the_least_that_must_be_there():
    shape, problems = parse_experiment({"key": "a", "placement": "home", "arms": GOOD["arms"]})
    assert problems == []
    assert (shape["name"], shape["traffic"], shape["layer"]) == ("a", 1.0, None)
    assert shape["metrics"] == {"primary": None, "secondary": [], "guardrails": []}


def test_nothing_at_all_names_what_is_required():
    assert [problem.field for problem in parse_experiment({})[1]] == ["key", "placement", "arms"]


def test_a_part_requires_nothing_and_defaults_nothing():
    assert parse_experiment({"traffic": 0.5}, partial=True) == ({"traffic": 0.5}, [])
    assert parse_experiment({}, partial=True) == ({}, [])


def test_what_the_server_adds_may_come_back():
    assert parse_experiment({**GOOD, "status": "draft", "created_at": "2024-01-01T00:00:00Z"})[1] == []


@pytest.mark.parametrize(
    ("payload", "field", "rule"),
    [
        ([], "body", "JSON object"),
        (with_(["key"], "Home"), "key", "1 to 64 of a-z"),
        (with_(["key"], "a" * 65), "key", "1 to 64"),
        (with_(["key"], "a\n"), "key", "1 to 64"),
        (with_(["key"], 5), "key", "1 to 64"),
        (with_(["name"], 5), "name", "must be text"),
        (with_(["name"], "x" * 201), "name", "at most 200 characters, not 201"),
        (with_(["placement"], None), "placement", "1 to 64"),
        (with_(["layer"], 5), "layer", "1 to 64"),
        (with_(["traffic"], 1.01), "traffic", "between 0 and 1"),
        (with_(["traffic"], float("nan")), "traffic", "between 0 and 1"),
        (with_(["traffic"], True), "traffic", "between 0 and 1"),
        (with_(["audience"], {"country": {"$in": "CN"}}), "audience.country.$in", "must be a list"),
        (with_(["exclude"], {"ua": {"$regex": "(a+)+"}}), "exclude.ua.$regex", "several ways"),
        (with_(["audience"], []), "audience", "must be an object"),
        (with_(["sticky"], 1), "sticky", "true or false"),
        (with_(["kind"], "abc"), "kind", "must be one of ab"),
        (with_(["kind"], []), "kind", "one of ab"),
        (with_(["overrides"], []), "overrides", "object of user id"),
        (with_(["overrides"], {"u": "gone"}), "overrides.u", "must be an arm's key: control, item-cf"),
        (with_(["overrides"], {"u": ["control"]}), "overrides.u", "must be an arm's key"),
        (with_(["overrides"], {"": "control"}), "overrides", "user ids must be text"),
        (with_(["overrides"], {str(i): "control" for i in range(1001)}), "overrides", "at most 1000"),
        (with_(["audiance"], {}), "audiance", "is no field"),
        (with_(["arms"], {}), "arms", "must be a list"),
        (with_(["arms", 0], 5), "arms.0", "must be an object"),
        (with_(["arms", 0, "key"], "A"), "arms.0.key", "1 to 64"),
        (with_(["arms", 1, "key"], "control"), "arms.1.key", "must differ"),
        (with_(["arms", 1, "strategy"], ""), "arms.1.strategy", "strategy's key"),
        (with_(["arms", 1, "params"], []), "arms.1.params", "object of parameters"),
        (with_(["arms", 1, "weight"], 0), "arms.1.weight", "greater than 0"),
        (with_(["arms", 1, "weight"], float("inf")), "arms.1.weight", "greater than 0"),
        (with_(["arms", 1, "weight"], 10**400), "arms.1.weight", "greater than 0"),
        (with_(["arms", 1, "weight"], "1"), "arms.1.weight", "greater than 0"),
        (with_(["arms", 1, "weight"], 0.0001), "arms.1.weight", "at least 0.1% of all"),
        (with_(["arms", 1, "control"], True), "arms", "exactly one arm with control"),
        (with_(["arms", 0, "control"], False), "arms", "exactly one arm with control"),
        (with_(["arms", 0, "control"], "yes"), "arms.0.control", "true or false"),
        (with_(["arms", 1, "model"], 0), "arms.1.model", "version number"),
        (with_(["arms", 1, "model"], True), "arms.1.model", "version number"),
        (with_(["arms", 1, "colour"], 1), "arms.1.colour", "is no field of an arm"),
        (with_(["metrics"], []), "metrics", "must be an object"),
        (with_(["metrics"], {"secondary": []}), "metrics.primary", "is required"),
        (with_(["metrics", "primary"], None), "metrics.primary", "metric's key"),
        (with_(["metrics", "secondary"], "ctr"), "metrics.secondary", "list of metrics"),
        (with_(["metrics", "secondary"], [1]), "metrics.secondary.0", "metric's key"),
        (with_(["metrics", "secondary"], ["ctr"]), "metrics.secondary.0", "already metrics.primary"),
        (with_(["metrics", "guardrails"], ["conversion"]), "metrics.guardrails.0", "already metrics.secondary.0"),
        (with_(["metrics", "tertiary"], []), "metrics.tertiary", "no role"),
    ],
)
def test_each_rule_names_field_and_value(payload, field, rule):
    problems = parse_experiment(payload)[1]
    assert rule in next(problem for problem in problems if problem.field == field).rule


@pytest.mark.parametrize("count", [0, 1, 21])
def test_an_experiment_has_two_to_twenty_arms(count):
    arms = [{"key": f"a{i}", "strategy": "s", "control": i == 0} for i in range(count)]
    assert "2 to 20 arms" in next(p for p in parse_experiment(with_(["arms"], arms))[1] if p.field == "arms").rule


def test_everything_wrong_is_told_at_once():
    payload = {"key": "", "traffic": 2, "arms": [{"key": "a", "weight": -1}, 3], "metrics": {}, "foo": 1}
    assert [problem.field for problem in parse_experiment(payload)[1]] == [
        "key", "traffic", "arms.0.strategy", "arms.0.weight", "arms.1", "arms", "metrics.primary", "foo", "placement",
    ]  # fmt: skip


def test_groups_that_are_named_must_exist_where_they_are_known():
    payload = with_(["audience"], {"id": {"$inGroup": "beta"}})
    assert parse_experiment(payload)[1] == []
    assert parse_experiment(payload, groups={})[1][0].field == "audience.id.$inGroup"
