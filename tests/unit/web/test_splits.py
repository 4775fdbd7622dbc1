"""Layers and ramps in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from reclift.web.pages import splits

START = datetime(2026, 3, 1, tzinfo=UTC)
RAMP = [{"traffic": t, "after_hours": h} for t, h in ((0.01, 0.0), (0.1, 24.0), (1.0, 120.0))]


def steps(status="running", traffic=0.1, hours=30.0, started=True, **more):
    experiment = {"status": status, "traffic": traffic, "ramp": RAMP, "ramp_stopped": None, **more}
    experiment["started_at"] = START.isoformat() if started else None
    return [(s["state"], s["text"]) for s in splits.ramp_steps(experiment, START + timedelta(hours=hours))]


def test_a_ramp_says_where_it_is_and_what_comes():
    assert steps() == [("done", "at the start"), ("now", "now"), ("next", "in 3.8 days")]
    assert steps(hours=110.0)[2] == ("next", "in 10 h")
    assert steps(hours=130.0)[2] == ("next", "is due")


def test_before_the_start_it_says_after_how_long():
    assert steps("draft", 0.01, started=False) == [
        ("next", "at the start"), ("next", "after 24 h"), ("next", "after 5 days"),
    ]  # fmt: skip


def test_where_it_stopped_itself_is_marked():
    stopped = {"at": START.isoformat(), "reason": "a guardrail"}
    assert steps("paused", ramp_stopped=stopped)[1:] == [("now", "stopped here"), ("next", "after 5 days")]


@pytest.mark.parametrize(("ramp", "reserved"), [([], 0.2), (RAMP, 1.0)])
def test_a_layer_keeps_room_for_the_end_of_a_ramp(ramp, reserved):
    assert splits.reserved({"traffic": 0.2, "ramp": ramp}) == reserved


def test_the_largest_piece_counts_not_the_sum():
    assert splits.largest_piece({"free": [[0.1, 0.3], [0.5, 0.6]]}) == 0.2
    assert splits.largest_piece({"free": []}) == 0
