"""Shares, ramps, weights and testers as typed, and what they mean."""

from __future__ import annotations

import pytest
from werkzeug.datastructures import MultiDict

from reclift.web.pages import traffic_form


def steps(*pairs):
    return [{"traffic": traffic, "hours": hours} for traffic, hours in pairs]


def test_a_ramp_grows_from_the_start():
    ramp, problems = traffic_form.ramp(steps(("1", "0"), ("", ""), ("12.5", "24"), ("100", "72,5")))
    assert problems == []
    assert ramp == [
        {"traffic": 0.01, "after_hours": 0.0}, {"traffic": 0.125, "after_hours": 24.0},
        {"traffic": 1.0, "after_hours": 72.5},
    ]  # fmt: skip
    assert traffic_form.ramp_rows(ramp) == steps(("1", "0"), ("12.5", "24"), ("100", "72.5"))


@pytest.mark.parametrize(("pairs", "field", "rule"), [
    ([("1", "0"), ("1", "24")], "ramp.1.traffic", "more than the step before (1 %)"),
    ([("1", "0"), ("2", "0")], "ramp.1.hours", "more than the step before (0 hours)"),
    ([("1", "3")], "ramp.0.hours", "must be 0"), ([("0", "0")], "ramp.0.traffic", "above 0"),
    ([("101", "0")], "ramp.0.traffic", "up to 100"), ([("half", "0")], "ramp.0.traffic", "up to 100"),
    ([("1", "0"), ("2", "9000")], "ramp.1.hours", "0 to 8760"), ([("1", "0"), ("2", "soon")], "ramp.1.hours", "hours"),
    ([(str(n + 1), str(n)) for n in range(21)], "ramp", "at most 20"),
])  # fmt: skip
def test_what_is_wrong_with_a_ramp_is_named(pairs, field, rule):
    _, problems = traffic_form.ramp(steps(*pairs))
    assert [(p["field"], rule in p["rule"]) for p in problems] == [(field, True)]


def test_who_tests_sees_an_arm_that_is_there():
    rows = [{"unit": "u1", "arm": "a"}, {"unit": "", "arm": ""}, {"unit": "u2", "arm": "b"}]
    assert traffic_form.overrides(rows, ["a", "b"]) == ({"u1": "a", "u2": "b"}, [])
    wrong = [
        {"unit": "u1", "arm": "c"},
        {"unit": "u1", "arm": "a"},
        {"unit": "", "arm": "a"},
        {"unit": "u3", "arm": ""},
    ]
    _, problems = traffic_form.overrides(wrong, ["a", "b"])
    fields = ["overrides.0.arm", "overrides.1.unit", "overrides.2.unit", "overrides.3.arm"]
    assert [p["field"] for p in problems] == fields


@pytest.mark.parametrize(("typed", "fields"), [
    (("60", "40"), []), (("33.33", "66.67"), []), (("60", "30"), ["weights"]), (("0", "100"), ["weights.a"]),
    (("x", ""), ["weights.a", "weights.b"]),
])  # fmt: skip
def test_weights_add_up(typed, fields):
    form = MultiDict([("weights-a", typed[0]), ("weights-b", typed[1])])
    shares, kept, problems = traffic_form.weights(form, ["a", "b"])
    assert [p["field"] for p in problems] == fields
    assert tuple(kept.values()) == typed
    assert fields or sum(shares.values()) == pytest.approx(1)
