from __future__ import annotations

import json
import re
from copy import deepcopy

import pytest
from plotly import graph_objects

from reclift.web import charts
from reclift.web.pages.present import arm_colours
from reclift.web.pages.report import script_json
from tests.fake_experiments import samples

PAIRS = {key: pair for key, pair in samples().items() if pair[1] is not None}


@pytest.fixture
def report():
    return deepcopy(PAIRS["home-recs"][1])


@pytest.fixture
def colours(report):
    return arm_colours(report["arms"])


@pytest.mark.parametrize("key", PAIRS)
def test_every_figure_is_one_that_plotly_takes(key):
    report = PAIRS[key][1]
    figures = charts.report_figures(report, arm_colours(report["arms"]))
    assert "forest-fixed" in figures
    concrete = re.sub(r'"var\(--rl-[\w-]+\)"', '"#123456"', json.dumps(figures, allow_nan=False))
    for figure in json.loads(concrete).values():
        graph_objects.Figure(figure)  # checks every property's name and value


def test_a_forest_draws_each_lift_where_it_is(report, colours):
    figure = charts.forest(report, colours)
    points = [t for t in figure["data"] if t["meta"] == "point"]
    lifts = [c["lift"] * 100 for m in report["metrics"] for c in m["comparisons"]]
    assert len(points) == len(lifts) == 8
    low, high = figure["layout"]["xaxis"]["range"]
    assert [p["x"][0] for p in points] == pytest.approx([min(max(v, low), high) for v in lifts])
    thick = [t["x"] for t in figure["data"] if t["meta"] == "thick"]
    assert thick[0] == pytest.approx([b * 100 for b in report["metrics"][0]["comparisons"][0]["lift_ci"]])


def test_a_guardrail_that_moves_a_lot_does_not_crush_the_rest(report, colours):
    figure = charts.forest(report, colours)
    primary = report["metrics"][0]["comparisons"][0]["lift_ci"]
    low, high = figure["layout"]["xaxis"]["range"]
    assert high < 100  # the guardrail's +171 % is off the axis
    assert low < primary[0] * 100 < primary[1] * 100 < high
    assert [note["text"].replace("\u00a0", " ") for note in figure["layout"]["annotations"]] == ["+87.1 %", "+171.0 %"]


def test_the_sequential_reading_draws_the_wider_interval_thick(report, colours):
    figure = charts.forest(report, colours, "sequential")
    thick = [t["x"] for t in figure["data"] if t["meta"] == "thick"]
    always = report["metrics"][0]["comparisons"][0]["sequential"]["lift_ci"]
    assert thick[0] == pytest.approx([b * 100 for b in always])
    assert not [t for t in figure["data"] if t["meta"] == "thin"]


def test_the_bayesian_reading_draws_chances(report, colours):
    bars, numbers = charts.forest(report, colours, "bayesian")["data"]
    chances = [c["bayesian"]["chance_to_win"] * 100 for m in report["metrics"] for c in m["comparisons"]]
    assert bars["x"] == pytest.approx(chances)
    assert numbers["text"][0].replace("\u00a0", " ") == "98.7 %"


def test_what_could_not_be_computed_is_not_drawn(report, colours):
    comparison = report["metrics"][0]["comparisons"][0]
    comparison.update(lift=None, lift_ci=None, reasons={"lift": "the control has no clicks"})
    assert len([t for t in charts.forest(report, colours)["data"] if t["meta"] == "point"]) == 7
    for metric in report["metrics"]:
        for one in metric["comparisons"]:
            one.update(lift=None, sequential=None, bayesian=None)
    assert all(charts.forest(report, colours, reading) is None for reading in ("fixed", "sequential", "bayesian"))


def test_an_open_interval_is_not_drawn_as_a_closed_one(report, colours):
    report["metrics"][0]["comparisons"][0]["lift_ci"] = [None, 0.3]
    assert len([t for t in charts.forest(report, colours)["data"] if t["meta"] == "point"]) == 7


def test_an_arm_has_one_colour_on_every_plot(report, colours):
    expected = charts.arm_colour(colours["item-cf"])
    time = charts.cumulative(report, "ctr", colours)
    assert next(t for t in time["data"] if t.get("name") == "item-cf")["line"]["color"] == expected
    where = charts.positions(report, colours)
    assert next(t for t in where["data"] if t["name"] == "item-cf")["line"]["color"] == expected
    assert charts.forest(report, colours)["data"][0]["line"]["color"] == expected
    assert colours["control"] == "control"


def test_time_has_a_line_and_a_band_for_each_arm_and_a_mark_for_each_change(report, colours):
    day = report["series"]["ctr"][2]["day"]
    figure = charts.cumulative(report, "ctr", colours, [(day, "traffic 50 %")])
    assert [t["meta"] for t in figure["data"]] == ["band", "lift", "band", "lift"]
    line = figure["data"][1]
    assert line["y"] == pytest.approx([r["lift"] * 100 for r in report["series"]["ctr"] if r["arm"] == "item-cf"])
    assert figure["layout"]["annotations"][0]["x"] == day


def test_a_day_without_a_lift_is_left_out_and_no_days_are_no_figure(report, colours):
    report["series"]["ctr"][0]["lift"] = None
    assert len(charts.cumulative(report, "ctr", colours)["data"][1]["x"]) == 5
    assert charts.cumulative(report, "no-such-metric", colours) is None
    assert charts.positions({"positions": []}, colours) is None


def test_colours_are_tokens_so_that_themes_can_change_them(report, colours):
    text = json.dumps(charts.report_figures(report, colours))
    assert "#" not in text
    assert "var(--rl-arm-1)" in text


def test_json_in_a_page_cannot_end_its_element():
    assert "</script>" not in script_json({"name": "</script><script>alert(1)</script>"})
    assert json.loads(script_json({"a": "<&>"})) == {"a": "<&>"}
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json({"a": float("nan")})


def test_what_is_too_small_to_be_found_is_a_pale_band(report, colours):
    bands = [s for s in charts.forest(report, colours)["layout"]["shapes"] if s["type"] == "rect"]
    reach = report["metrics"][0]["comparisons"][0]["detectable_lift"] * 100
    assert (bands[0]["x0"], bands[0]["x1"]) == pytest.approx((-reach, reach))
    assert len(bands) == 8


def test_fiellers_interval_is_drawn_where_it_is_given(report, colours):
    report["metrics"][0]["comparisons"][0]["lift_ci_fieller"] = [0.05, 0.4]
    thick = [t["x"] for t in charts.forest(report, colours)["data"] if t["meta"] == "thick"]
    assert thick[0] == pytest.approx([5, 40])
