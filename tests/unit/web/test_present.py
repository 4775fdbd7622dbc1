from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime, timedelta

import pytest

from reclift.web.pages import present
from tests.fake_experiments import samples

ENTRIES = {key: {**experiment, "report": report} for key, (experiment, report) in samples().items()}


def test_arms_take_colours_in_order_and_the_control_none():
    arms = [{"key": "b"}, {"key": "c", "control": True}, {"key": "a"}, *({"key": f"x{n}"} for n in range(7))]
    colours = present.arm_colours(arms)
    assert (colours["b"], colours["c"], colours["a"], colours["x4"], colours["x5"]) == ("1", "control", "2", "7", "1")


@pytest.mark.parametrize(("bounds", "direction", "tone"), [
    ([0.01, 0.2], "up", "better"), ([-0.2, -0.01], "up", "worse"), ([-0.1, 0.1], "up", "undecided"),
    ([0.01, 0.2], "down", "worse"), ([-0.2, -0.01], "down", "better"), (None, "up", "undecided"),
    ([None, 0.1], "up", "undecided"), ([0.0, 0.1], "up", "undecided"),
])  # fmt: skip
def test_tone_follows_the_interval_and_the_direction(bounds, direction, tone):
    assert present.tone({"lift_ci": bounds}, direction) == tone


def test_a_headline_names_the_best_arm_of_the_primary_metric():
    line = present.headline(ENTRIES["home-recs"])
    assert (line["metric"], line["arm"], line["state"], line["users"]) == ("CTR", "item-cf", "better", 12431)
    assert line["guardrails"] == "worse: Latency"
    assert len(line["trend"]) == 6


def test_a_failed_sample_ratio_withholds_the_headline():
    line = present.headline(ENTRIES["cart-addons"])
    assert line["state"] == "alarm"
    assert "lift" not in line
    assert "Do not read" in line["text"]


def test_no_report_and_no_lift_are_said_in_words():
    assert present.headline(ENTRIES["home-ease"])["text"] == "No report yet"
    report = {**ENTRIES["zozotown-men"]["report"]}
    bare = {"arm": "bts", "lift": None, "reasons": {"lift": "no clicks in the control"}}
    report["metrics"] = [{**report["metrics"][0], "comparisons": [bare]}]
    line = present.headline({**ENTRIES["zozotown-men"], "report": report})
    assert line["text"] == "no clicks in the control"


@pytest.mark.parametrize(("comparison", "text"), [
    ({"reasons": {"lift": "a"}}, "a"), ({"reasons": {"p_value": "b"}}, "b"), ({"reasons": ["c"]}, "c"),
    ({"warnings": ["d"]}, "d"), ({}, "not part of this report"),
])  # fmt: skip
def test_reasons_come_as_the_report_gives_them(comparison, text):
    assert present.reason(comparison, "lift") == text


def test_a_lower_metric_is_led_by_the_lowest():
    metric = {"direction": "down", "comparisons": [{"arm": "a", "lift": 0.2}, {"arm": "b", "lift": -0.1}]}
    assert present.leading(metric)["arm"] == "b"


def test_progress_and_age():
    now = datetime(2026, 11, 25, tzinfo=UTC)
    running = {"status": "running", "started_at": (now - timedelta(days=5, hours=1)).isoformat(), "planned_days": 14}
    along = present.progress(running, now)
    assert (along["day"], along["planned"]) == (6, 14)
    assert along["share"] == pytest.approx(121 / 24 / 14)
    ended = {"status": "stopped", "started_at": "2026-01-01T00:00:00Z", "stopped_at": "2026-01-08T00:00:00Z"}
    assert present.age(ended) == "ran 7 days"
    assert present.age({"status": "draft", "started_at": None}) == "not started"


def test_a_sparkline_keeps_zero_in_sight():
    line = present.sparkline([0.1, 0.2, None, 0.05])
    assert len(line["points"].split()) == 3
    assert line["zero"] == 26  # the bottom: all values are above
    assert present.sparkline([0.1]) is None
    assert present.sparkline([0.0, 0.0])["zero"] == 2


def test_an_audience_in_words():
    audience = {"country": {"$in": ["CN", "US"]}, "age": {"$gte": 18}, "staff": False, "email": {"$exists": True}}
    assert present.audience_text(audience) == [
        "country is one of CN, US", "age is at least 18", "staff is false", "email is known",
    ]  # fmt: skip
    assert present.audience_text({"$nor": [{"a": 1}]}) == ["$nor: [{'a': 1}]"]
    assert present.audience_text({"tags": {"$size": 2}}) == ["tags: {'$size': 2}"]


def test_groups_and_alternatives_in_words():
    left_out = {"$or": [{"$savedGroup": {"id": "bots"}}, {"is_staff": True}, {"country": {"$inGroup": "eu"}}]}
    assert present.audience_text(left_out) == ["in the group bots or is_staff is true or country is in the group eu"]
    assert present.audience_text({"$not": {"$savedGroup": {"id": "bots"}}}) == ["not in the group bots"]


def test_where_the_control_is_uncertain_fiellers_interval_is_the_one_shown():
    entry = {**ENTRIES["zozotown-men"], "report": deepcopy(ENTRIES["zozotown-men"]["report"])}
    comparison = entry["report"]["metrics"][0]["comparisons"][0]
    comparison["lift_ci"], comparison["difference_ci"] = [-0.06, 1.06], [0.0002, 0.0044]
    comparison["lift_ci_fieller"] = [0.037, 1.23]
    line = present.headline(entry)
    assert line["state"] == "better"  # as p says, and as the difference does
    assert line["lift_ci"] == [0.037, 1.23]
    assert "Fieller" in present.interval_title(comparison)


@pytest.mark.parametrize(("decision", "title", "tone"), [
    ({"call": "ship", "arm": "bts"}, "Ship bts", "better"), ({"call": "ship"}, "Ship it", "better"),
    ({"call": "keep_control"}, "Keep the control", "undecided"), ({"call": "invalid"}, "Do not read this", "alarm"),
])  # fmt: skip
def test_a_verdict_names_its_arm(decision, title, tone):
    said = present.verdict(decision)
    assert (said["title"], said["tone"]) == (title, tone)


def test_weights_are_shown_as_shares():
    assert present.weight_shares([{"key": "a", "weight": 1}, {"key": "b", "weight": 3}]) == {"a": 0.25, "b": 0.75}


def test_only_parameters_that_were_chosen_are_shown():
    schema = {"properties": {"k": {"default": 100}, "days": {"default": None}, "needed": {}}}
    assert present.chosen_params({"k": 100, "days": None, "needed": 1}, schema) == {"needed": 1}
    assert present.chosen_params({"k": 5}, schema) == {"k": 5}
    assert present.chosen_params({"k": 5}, None) == {"k": 5}


def test_a_plan_that_is_over_is_said_to_be():
    started = (datetime.now(UTC) - timedelta(days=15)).isoformat()
    assert present.age({"status": "running", "started_at": started, "planned_days": 14}) == "14-day plan is over"


def test_methods_and_reasons_come_in_two_shapes():
    assert present.methods({"means": "Welch", "level": 0.95}) == ["Means: Welch", "Level: 0.95"]
    assert present.methods(["a"]) == ["a"]
    assert present.methods(None) == []
    assert present.reason({"reasons": {"lift": {"code": "no_units", "text": "no unit yet"}}}, "lift") == "no unit yet"
    assert present.is_down("decrease")
    assert not present.is_down("increase")
