from __future__ import annotations

from reclift.web.charts_novelty import novelty

COLOURS = {"control": "control", "a": "1"}


def day(number: int, lift: float | None, interval: list[float] | None) -> dict:
    return {"day": number, "units": 100, "lift": lift, "lift_ci": interval}


def drawn(*days: dict) -> dict | None:
    return novelty({"novelty": {"metric": "ctr", "arms": [{"arm": "a", "days": list(days)}]}}, COLOURS)


def test_only_days_with_an_interval_are_drawn():
    figure = drawn(day(0, 0.2, [0.1, 0.3]), day(1, 3.0, None), day(2, None, None), day(3, 0.1, [-0.1, 0.3]))
    (trace,) = figure["data"]
    assert (trace["x"], trace["y"]) == ([0, 3], [20.0, 10.0])
    assert [round(v, 6) for v in trace["error_y"]["array"]] == [10.0, 20.0]
    assert [round(v, 6) for v in trace["error_y"]["arrayminus"]] == [10.0, 20.0]
    assert "100 users" in trace["text"][0]


def test_a_wild_day_does_not_crush_the_others():
    low, high = drawn(day(0, 0.2, [0.1, 0.3]), day(1, 0.1, [-9.0, 9.0]))["layout"]["yaxis"]["range"]
    assert -80 < low < 0
    assert 30 < high < 100


def test_nothing_to_draw_is_none():
    assert drawn() is None
    assert drawn(day(0, 0.2, None)) is None
    assert novelty({}, COLOURS) is None
    assert novelty({"novelty": None}, COLOURS) is None
