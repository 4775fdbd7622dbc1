"""Old facts go when nothing needs them; totals of what ended long ago stay as they were."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from reclift.domain.events import MICROS, Facts
from reclift.flows import catalogue, experiments, rollup
from reclift.flows.clock import now
from reclift.flows.retention import Dropped, drop_old
from reclift.storage.tables import EventRow, ExperimentRow, ExperimentUnit, ExposureRow, ImpressionRow, UnitTotal
from reclift.wiring import Runtime
from reclift.worker import scheduled
from tests.platform_fixtures import experiment
from tests.unit.storage.rows import event, exposure, impression

DAY = 86_400 * MICROS


def ago(days: float) -> int:
    return round((now() - timedelta(days=days)).timestamp() * MICROS)


def make(runtime: Runtime, key: str, *, started: float, stopped: float | None) -> None:
    """An experiment that ran from `started` to `stopped` days ago, with one exposed unit that clicked twice."""
    with runtime.database.write() as session:
        experiments.create(session, runtime.registry, experiment(key), "tests")
        row = session.scalars(select(ExperimentRow).where(ExperimentRow.key == key)).one()
        row.status = "running" if stopped is None else "stopped"
        row.started_at = now() - timedelta(days=started)
        row.stopped_at = None if stopped is None else now() - timedelta(days=stopped)
    unit, at = f"u-{key}", ago(started - 0.5)
    shown = {"experiment": key, "phase": 1, "arm": "control", "items": [{"item_id": "i1", "position": 1}]}
    runtime.direct.append(
        Facts(
            [event(f"{key}{n}", unit, at + n, recommendation_id=f"r-{key}", type="click") for n in (1, 2)],
            [impression(f"r-{key}", unit, at, **shown)],
            [exposure(unit, "control", at, experiment=key)],
        )
    )
    rollup.roll_up(runtime.database)


def totals(runtime: Runtime) -> Any:
    with runtime.database.read() as session:
        query = select(UnitTotal.__table__).order_by(UnitTotal.experiment, UnitTotal.metric, UnitTotal.unit_id)
        units = select(ExperimentUnit.__table__).order_by(ExperimentUnit.experiment, ExperimentUnit.unit_id)
        return [tuple(row) for row in session.execute(query)], [tuple(row) for row in session.execute(units)]


def count(runtime: Runtime, table: Any) -> int:
    with runtime.database.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_old_facts_go_and_totals_stay_even_when_their_units_come_back(runtime: Runtime) -> None:
    make(runtime, "old", started=200, stopped=190)
    before = totals(runtime)
    assert before[0]
    assert before[1]
    assert drop_old(runtime.database, 90, portion=1) == Dropped(2, 1, ["old"])
    assert (count(runtime, EventRow), count(runtime, ImpressionRow), count(runtime, ExposureRow)) == (0, 0, 1)
    runtime.direct.append(Facts([event("new", "u-old", ago(0))]))
    with runtime.database.write() as session:
        rollup.mark_all(session, "old")
    rollup.roll_up(runtime.database)
    assert totals(runtime) == before
    assert count(runtime, EventRow) == 1
    assert drop_old(runtime.database, 90) == Dropped(0, 0, [])


def test_a_chosen_past_is_kept_with_its_experiment(runtime: Runtime) -> None:
    runtime.direct.append(Facts([event("past", "u-far", ago(240)), event("before that", "u-far", ago(300))]))
    make(runtime, "far", started=200, stopped=None)
    with runtime.database.write() as session:
        row = session.scalars(select(ExperimentRow).where(ExperimentRow.key == "far")).one()
        row.data = {**row.data, "analysis": {"cuped_days": 60}}
    assert drop_old(runtime.database, 90).events == 1
    with runtime.database.read() as session:
        assert session.get(EventRow, "past") is not None
        assert session.get(EventRow, "before that") is None


@pytest.mark.parametrize("stopped", [None, 80.0, 95.0])
def test_an_experiment_that_runs_or_ended_lately_holds_its_facts_and_those_before(
    runtime: Runtime, stopped: float | None
) -> None:
    runtime.direct.append(Facts([event("before", "u-live", ago(203)), event("long before", "u-live", ago(300))]))
    make(runtime, "live", started=200, stopped=stopped)
    before = totals(runtime)
    assert drop_old(runtime.database, 90) == Dropped(1, 0, [])
    runtime.direct.append(Facts([event("late", "u-live", ago(199), type="other")]))
    rollup.roll_up(runtime.database)
    assert totals(runtime) == before


def test_a_click_of_a_clock_far_behind_stays_as_long_as_its_list(runtime: Runtime) -> None:
    make(runtime, "live", started=20, stopped=None)
    for number, arrived in enumerate((ago(18), ago(300))):
        click = event(f"behind{number}", "u-live", DAY, recommendation_id="r-live", received_at=arrived)
        runtime.direct.append(Facts([click]))
    rollup.roll_up(runtime.database)
    before = totals(runtime)
    assert drop_old(runtime.database, 90) == Dropped(1, 0, [])
    with runtime.database.write() as session:
        rollup.mark_all(session, "live")
    rollup.roll_up(runtime.database)
    assert totals(runtime) == before


def test_a_merge_of_two_ids_leaves_final_totals_alone(runtime: Runtime) -> None:
    make(runtime, "old", started=200, stopped=190)
    drop_old(runtime.database, 90)
    before = totals(runtime)
    with runtime.database.write() as session:
        catalogue.add_alias(session, "anna", "u-old")
    rollup.roll_up(runtime.database)
    assert totals(runtime) == before


def test_the_scheduled_task_does_nothing_unless_it_is_asked_to(runtime: Runtime) -> None:
    make(runtime, "old", started=200, stopped=190)
    assert scheduled(runtime, "retention") == 0
    assert count(runtime, EventRow) == 2
    runtime.settings = runtime.settings.model_copy(update={"keep_facts_days": 90})
    assert scheduled(runtime, "retention") == 3
    assert count(runtime, EventRow) == 0
