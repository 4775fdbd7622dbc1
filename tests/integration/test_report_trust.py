"""What the report says before any lift: the plan as chosen, the split by day and segment, outliers, the time before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reclift.domain.analysis import Analysis
from reclift.flows import experiments, report
from reclift.flows.errors import Invalid
from reclift.storage.database import Database
from reclift.storage.migrate import migrate
from reclift.storage.tables import ExperimentRow
from tests.integration import report_world as world
from tests.integration.report_rows import differ, write_units

REVENUE = {"primary": "revenue_per_user", "secondary": [], "guardrails": []}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    migrate(database)
    yield database
    database.dispose()


def set_up(database: Database, **more: Any) -> None:
    world.set_up(database, **{"metrics": REVENUE, **more})


def compute(database: Database) -> dict[str, Any]:
    with database.read() as session:
        return report.compute(session, experiments.find(session, "sim"))


def check(body: dict[str, Any], name: str) -> dict[str, Any] | None:
    return next((one for one in body["trust"] if one["check"] == name), None)


def change(database: Database, **fields: Any) -> None:
    with database.write() as session:
        experiments.change(session, world.REGISTRY, "sim", fields, "test")


def arms_of(control: int, new: int) -> list[str]:
    return ["control"] * control + ["new"] * new


# as planned


def test_the_choices_stand_in_the_report_and_cannot_change_once_it_runs(database: Database) -> None:
    chosen = {"regime": "group_sequential", "looks": 3, "family": "power", "level": 0.9, "minimum_effect": 0.02}
    set_up(database, analysis=chosen, planned_days=21)
    with pytest.raises(Invalid, match="cannot change while the experiment is running"):
        change(database, analysis={**chosen, "level": 0.8})
    body = compute(database)
    assert body["method"]["analysis"] == {**Analysis().to_dict(), **chosen}
    assert (body["method"]["regime"], body["method"]["level"], body["planned_days"]) == ("group_sequential", 0.9, 21)
    assert check(body, "plan") is None
    assert check(body, "primary") is None


def test_intervals_have_the_chosen_level(database: Database) -> None:
    random = np.random.default_rng(1)
    set_up(database, analysis={"level": 0.8})
    write_units(database, arms_of(300, 300), metrics={"revenue_per_user": {"x": random.gamma(2.0, 3.0, 600)}})
    (shown,) = compute(database)["metrics"]
    (comparison,) = shown["comparisons"]
    low, high = comparison["difference_ci"]
    assert comparison["ci_level"] == 0.8
    assert (high - low) / 2 / comparison["std_error"] == pytest.approx(1.2827, abs=1e-3)  # t of 80 %, 598 df


def test_a_length_that_is_changed_on_the_way_leaves_only_the_always_valid_reading(database: Database) -> None:
    set_up(database, planned_days=14)
    assert compute(database)["method"]["regime"] == "fixed"
    change(database, planned_days=7)
    body = compute(database)
    assert body["planned_days"] == 14
    assert body["method"]["regime"] == "sequential"
    found = check(body, "plan")
    assert found is not None
    assert found["ok"] is False
    assert "(14 days, now 7 days)" in found["text"]
    change(database, planned_days=14)
    assert check(compute(database), "plan") is None


def test_looks_of_a_group_sequential_design_keep_to_the_first_plan(database: Database) -> None:
    set_up(database, planned_days=10, analysis={"regime": "group_sequential", "looks": 5})
    change(database, planned_days=100)
    body = compute(database)
    assert body["method"]["regime"] == "group_sequential"
    assert body["planned_days"] == 10
    assert check(body, "plan") is not None


def test_a_primary_metric_that_is_picked_later_is_told(database: Database) -> None:
    set_up(database)
    change(database, metrics={"primary": "ctr", "secondary": [], "guardrails": []})
    found = check(compute(database), "primary")
    assert found is not None
    assert found["ok"] is False
    assert "it was revenue_per_user" in found["text"]


def test_a_new_phase_is_a_new_plan(database: Database) -> None:
    from reclift.flows import phases

    set_up(database, planned_days=14)
    change(database, planned_days=28)
    with database.write() as session:
        phases.start_phase(session, "sim", {"weights": {"control": 1, "new": 3}}, "test")
    body = compute(database)
    assert body["planned_days"] == 28
    assert check(body, "plan") is None


def test_a_guardrail_without_a_margin_is_read_for_harm(database: Database) -> None:
    from reclift.flows import metrics

    definition = {"key": "spent", "kind": "sum", "numerator": {"event": "purchase", "value": "value"}, "margin": 0}
    world.set_up(database, key="first")
    with database.write() as session:
        metrics.create(session, definition, "test")
    set_up(database, placement="cart", metrics={"primary": "revenue_per_user", "guardrails": ["spent"]})
    differ(database)
    random = np.random.default_rng(8)
    x = random.gamma(2.0, 3.0, 800)
    x[400:] *= 0.2
    write_units(database, arms_of(400, 400), metrics={"spent": {"x": x}})
    assert any("harmed" in sentence for sentence in compute(database)["decision"]["because"])


# the split


def test_a_split_that_breaks_on_one_day_is_found_and_the_day_is_named(database: Database) -> None:
    set_up(database)
    arms, days = [], []
    for day in range(6):
        part = arms_of(400, 400) if day != 2 else arms_of(400, 150)
        arms += part
        days += [day] * len(part)
    write_units(database, arms, metrics={}, days_ago=days)
    body = compute(database)
    assert body["srm"]["ok"] is False
    assert check(body, "sample_ratio_daily") is not None
    where = check(body, "sample_ratio_where")
    assert where is not None
    from datetime import timedelta

    from reclift.flows.clock import now

    assert (now() - timedelta(days=2, minutes=5)).date().isoformat() in where["text"]
    assert "without it the units split as planned" in where["text"]


def test_a_split_that_breaks_for_one_browser_names_it_among_all_that_was_looked_at(database: Database) -> None:
    set_up(database)
    random = np.random.default_rng(3)
    arms, attributes = [], []
    for browser, control, new in (("chrome", 900, 900), ("safari", 500, 200), ("firefox", 300, 300)):
        arms += arms_of(control, new)
        attributes += [
            {"browser": browser, "country": str(random.choice(["CN", "US"])), "id": f"{browser}{number}"}
            for number in range(control + new)
        ]
    write_units(database, arms, metrics={}, attributes=attributes)
    found = check(compute(database), "sample_ratio_segments")
    assert found is not None
    assert "broken in browser safari; without it the units split as planned" in found["text"]
    assert "2 attributes looked at" in found["text"]  # an id is none: it has too many values
    assert "country" not in found["text"]


def test_values_whose_split_is_right_are_said_to_be(database: Database) -> None:
    set_up(database)
    write_units(database, arms_of(500, 500), metrics={}, attributes=[{"browser": "a"}, {"browser": "b"}] * 500)
    found = check(compute(database), "sample_ratio_segments")
    assert found == {
        "check": "sample_ratio_segments",
        "ok": True,
        "text": "No value of an attribute stands out. (1 attribute looked at)",
    }


def test_faults_that_hide_each_other_are_found(database: Database) -> None:
    """One browser loses units in one arm, the other in the other; together they are as planned."""
    set_up(database)
    browsers = [{"browser": "a"}] * 350 + [{"browser": "b"}] * 150
    others = [{"browser": "a"}] * 150 + [{"browser": "b"}] * 350
    write_units(database, arms_of(500, 500), metrics={}, attributes=[*browsers, *others])
    body = compute(database)
    assert body["srm"]["ok"] is True
    found = check(body, "sample_ratio_segments")
    assert found is not None
    assert found["ok"] is False
    assert found["breakdown"]["by"] == "browser"
    parts = {part["name"]: (part["observed"], part["suspect"]) for part in found["breakdown"]["parts"]}
    assert parts == {"a": ([350, 150], True), "b": ([150, 350], True)}


# influence, and the time before


def test_a_lift_that_rests_on_one_unit_is_told(database: Database) -> None:
    random = np.random.default_rng(2)
    x = random.gamma(4.0, 2.0, 600)
    x[599] = 1_500.0
    set_up(database)
    write_units(database, arms_of(300, 300), metrics={"revenue_per_user": {"x": x}})
    found = check(compute(database), "outliers")
    assert found is not None
    x[:] = random.gamma(4.0, 2.0, 600)
    x[300:] += 3.0
    assert found["ok"] is True  # one unit cannot make a difference significant: it makes the error as large
    x[10] = 2_500.0  # … but it can hide one
    _overwrite(database, x)
    hidden = check(compute(database), "outliers")
    assert hidden is not None
    assert hidden["ok"] is False
    assert "changes the result" in hidden["text"]


def _overwrite(database: Database, x: Any) -> None:
    from sqlalchemy import delete

    from reclift.storage.tables import ExperimentUnit, UnitTotal

    with database.write() as session:
        session.execute(delete(ExperimentUnit))
        session.execute(delete(UnitTotal))
    write_units(database, arms_of(300, 300), metrics={"revenue_per_user": {"x": x}})


@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_arms_that_differed_before_the_exposure_are_told(database: Database, shift: float) -> None:
    random = np.random.default_rng(4)
    u = random.gamma(4.0, 2.0, 600)
    u[300:] += shift
    set_up(database)
    write_units(database, arms_of(300, 300), metrics={"revenue_per_user": {"x": random.gamma(4.0, 2.0, 600), "u": u}})
    found = check(compute(database), "before")
    assert found is not None
    assert found["ok"] is (shift == 0.0)
    assert ("differed already, on Revenue per user" in found["text"]) is (shift > 0)


def test_without_a_past_there_is_no_such_check(database: Database) -> None:
    set_up(database)
    write_units(database, arms_of(30, 30), metrics={"revenue_per_user": {"x": np.arange(60.0)}})
    assert check(compute(database), "before") is None


def test_the_record_of_what_was_chosen_is_made_at_the_start(database: Database) -> None:
    set_up(database, planned_days=9)
    with database.read() as session:
        row = session.query(ExperimentRow).filter_by(key="sim").one()
        assert row.data["chosen"] == {"planned_days": 9, "primary": "revenue_per_user"}
