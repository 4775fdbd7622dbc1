from __future__ import annotations

from reclift.domain.analysis import Analysis
from reclift.web.pages.check_list import checks
from tests.fake_shop import shop

SHOP = shop()
STRATEGIES = {s["key"]: s for s in SHOP["strategies"]}
HOME = {"key": "home", "fallback": ["popularity"]}


def arm(key, strategy, weight=0.5, **more):
    return {"key": key, "strategy": strategy, "params": {}, "weight": weight, "model": None, "rerank": None, **more}


def said(payload=None, problems=(), power=None, placement=HOME, others=(), models=None):
    whole = {"placement": "home", "layer": None, "audience": {}, "exclude": {}, "ramp": [],
             "planned_days": 14,
             "arms": [arm("control", "popularity"), arm("item-cf", "item_cf")],
             "metrics": {"primary": "ctr", "secondary": [], "guardrails": ["latency"]}, **(payload or {})}  # fmt: skip
    whole["analysis"] = {**Analysis().to_dict(), **whole.get("analysis", {})}
    ready = [{"strategy": s, "status": "ready"} for s in ("popularity", "item_cf")] if models is None else models
    return [
        (c.state, c.text.replace("\xa0", " "))
        for c in checks(whole, problems, power, placement, others, ready, STRATEGIES)
    ]


def thoughts(**given):
    return [text for state, text in said(**given) if state == "look"]


def power(days, by_days=()):
    return {"effect": 0.05, "days": days, "by_days": [{"days": n, "effect": e} for n, e in by_days]}


def test_a_plain_plan_is_well():
    assert {state for state, _ in said(power=power(9))} == {"good"}
    assert ("good", "14 days are enough to find a lift of +5.0 %.") in said(power=power(9))


def test_what_is_wrong_is_named_in_words():
    problems = [{"field": "arms.1.weight"}, {"field": "analysis.minimum_effect"}, {"field": "name"}, {"field": "name"}]
    assert said(problems=problems)[0] == ("bad", "To be put right: weight of arm 2, minimum effect, name.")


def test_too_short_a_plan_says_what_it_would_find():
    assert thoughts(power=power(33, [(7, 0.1), (14, 0.08)])) == [
        "A lift of +5.0 % needs about 33 days; 14 days find lifts from +8.0 %."]  # fmt: skip
    assert "some weekdays" in thoughts(payload={"planned_days": 10})[0]
    assert "always-valid intervals only" in thoughts(payload={"planned_days": None})[0]
    assert thoughts(payload={"planned_days": None, "analysis": {"regime": "sequential"}}) == []
    assert thoughts(power={"effect": 0.05, "days": None, "by_days": []}) == []


def test_arms_that_are_alike_untrained_or_uneven_are_named():
    alike = [arm("a", "item_cf"), arm("b", "item_cf")]
    assert "a and b are alike" in thoughts(payload={"arms": alike})[0]
    alike[1]["rerank"] = {"balance": 0.3, "category_cap": None}
    assert thoughts(payload={"arms": alike}) == []
    assert "Item to item has no model yet" in thoughts(models=[{"strategy": "popularity", "status": "ready"}])[0]
    assert thoughts(payload={"arms": [arm("a", "popularity"), arm("b", "random")]}) == []  # nothing to train
    uneven = [arm("a", "popularity", 0.9), arm("b", "item_cf", 0.1)]
    assert "different sizes" in thoughts(payload={"arms": uneven})[0]


def test_what_sizes_do_not_know_is_said():
    assert "twice the days" in thoughts(payload={"audience": {"country": "CN"}})[0]
    assert "end of the ramp" in thoughts(payload={"ramp": [{"traffic": 1.0, "after_hours": 0}]})[0]


def test_missing_guardrails_fallbacks_and_neighbours_are_named():
    assert "No guardrail" in thoughts(payload={"metrics": {"primary": "ctr", "guardrails": []}})[0]
    assert "home has no fallback" in thoughts(placement={"key": "home", "fallback": []})[0]
    others = [{"key": "one", "layer": "shop"}, {"key": "two", "layer": None}]
    assert thoughts(others=others)[0].startswith("one, two run on home already: a user in several")
    assert thoughts(others=others, payload={"layer": "shop"})[0].startswith("two runs on home already: a user in both")
    assert thoughts(others=others[:1], payload={"layer": "shop"}) == []


def test_sizes_that_know_the_audience_say_so_and_others_warn():
    of_china = {"audience": {"country": "CN"}}
    known = power(9) | {"audience": {"share": 0.25, "known": 8_000, "reasons": {}}}
    assert ("good", "Sizes count only users whom the audience lets in, as far as attributes are known.") in said(
        payload=of_china, power=known
    )
    unknown = power(9) | {"audience": {"share": None, "known": 0, "reasons": {}}}
    for answer in (unknown, None):
        assert "Sizes count all users" in thoughts(payload=of_china, power=answer)[0]


def test_several_arms_without_a_correction_are_worth_a_thought():
    uncorrected = {"analysis": {"correction_primary": "none"}}
    three = [arm("control", "popularity"), arm("item-cf", "item_cf"), arm("other", "random")]
    assert "without a correction" in thoughts(payload={**uncorrected, "arms": three})[0]
    assert thoughts(payload={"arms": three}) == []
    assert thoughts(payload=uncorrected) == []
