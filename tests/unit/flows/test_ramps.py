"""When a ramp goes on, and what stops it; whole rounds are in tests/integration/test_traffic_ramps.py."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from reclift.flows.ramps import alarm, due_traffic
from reclift.storage.tables import ExperimentRow

START = datetime(2026, 1, 1, tzinfo=UTC)
STEPS = [{"traffic": 0.01, "after_hours": 0}, {"traffic": 0.1, "after_hours": 24}]


def row(**data):
    return ExperimentRow(key="e", started_at=START, data=data)


@pytest.mark.parametrize(("hours", "traffic"), [(0, 0.01), (23.99, 0.01), (24, 0.1), (9_999, 0.1)])
def test_the_last_step_that_was_reached_counts(hours, traffic):
    assert due_traffic(row(ramp=STEPS), START + timedelta(hours=hours)) == traffic


def test_a_new_phase_begins_the_ramp_anew():
    one = row(ramp=STEPS, phase_at=(START + timedelta(hours=100)).isoformat())
    assert due_traffic(one, START + timedelta(hours=110)) == 0.01
    assert due_traffic(one, START + timedelta(hours=124)) == 0.1


def test_nothing_is_due_without_a_ramp_or_a_start():
    assert due_traffic(row(), START) is None
    assert due_traffic(row(ramp=[]), START) is None
    assert due_traffic(ExperimentRow(key="e", started_at=None, data={"ramp": STEPS}), START) is None


def a_report(interval, *, direction="increase", role="guardrail", ok=True):
    comparison = {"arm": "b", "lift": -0.1, "sequential": {"lift_ci": interval} if interval != "none" else None}
    metric = {"name": "Latency", "role": role, "direction": direction, "comparisons": [comparison]}
    return {"srm": {"ok": ok, "p_value": 0.00001}, "metrics": [metric]}


@pytest.mark.parametrize(
    ("report", "why"),
    [
        (None, None),
        (a_report([-0.2, 0.1]), None),
        (a_report([-0.2, -0.1]), "Latency is worse in b"),
        (a_report([0.1, 0.2]), None),
        (a_report([0.1, 0.2], direction="decrease"), "Latency is worse in b"),
        (a_report([-0.2, -0.1], direction="decrease"), None),
        (a_report([-0.2, -0.1], role="secondary"), None),
        (a_report("none"), None),
        (a_report(None), None),
        (a_report([-0.2, 0.1], ok=False), "sample ratio"),
        (a_report([-0.2, 0.1], ok=None), None),
    ],
)
def test_only_a_failed_sample_ratio_and_a_harmed_guardrail_are_alarms(report, why):
    found = alarm(report)
    assert found is None if why is None else why in found
