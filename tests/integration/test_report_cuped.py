"""CUPED in the report: as much variance goes as the design says, the lift stays, and the series ends in the report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reclift.domain.events import Facts
from reclift.flows import experiments, report, rollup
from reclift.flows.errors import Invalid
from reclift.storage.database import Database
from reclift.storage.facts import write_facts
from reclift.storage.migrate import migrate
from tests.integration import report_world as world
from tests.integration.report_rows import write_units
from tests.integration.report_world import DAY, HOUR, T0
from tests.unit.storage.rows import event, exposure, impression

N = 3_000
RHO = 0.8


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    migrate(database)
    yield database
    database.dispose()


def compare(database: Database) -> dict[str, Any]:
    with database.read() as session:
        body = report.compute(session, experiments.find(session, "sim"))
    found: dict[str, Any] = body["metrics"][0]["comparisons"][0]
    return found


@pytest.mark.parametrize("metric", ["revenue_per_user", "ctr"])
def test_the_variance_that_goes_is_the_squared_correlation(database: Database, metric: str) -> None:
    """x = mean + RHO z + sqrt(1 - RHO**2) e with u = mean + z: the reduction is RHO**2; a ratio's over equal lists."""
    random = np.random.default_rng(6)
    z, e = random.normal(size=(2, N))
    x, u = 20.0 + RHO * z + np.sqrt(1 - RHO**2) * e, 20.0 + z
    arms = ["control", "new"] * (N // 2)
    x[1::2] += 0.1
    ten = np.full(N, 10.0)
    world.set_up(database, analysis={"cuped": True}, metrics={"primary": metric})
    write_units(database, arms, metrics={metric: {"x": x, "u": u, "y": ten, "v": ten}})
    found = compare(database)
    assert found["variance_reduction"] == pytest.approx(RHO**2, abs=0.03)
    scale = 10.0 if metric == "ctr" else 1.0
    plain_error = float(np.sqrt(x[::2].var(ddof=1) / (N / 2) + x[1::2].var(ddof=1) / (N / 2))) / scale
    assert found["std_error"] == pytest.approx(plain_error * np.sqrt(1 - RHO**2), rel=0.05)
    theta = np.polyfit(u, x, 1)[0]
    by_hand = (x[1::2].mean() - x[::2].mean() - theta * (u[1::2].mean() - u[::2].mean())) / scale
    assert found["difference"] == pytest.approx(by_hand, rel=0.02)


def test_without_the_choice_nothing_is_adjusted(database: Database) -> None:
    x = np.random.default_rng(6).normal(20.0, 1.0, 200)
    world.set_up(database, metrics={"primary": "revenue_per_user"})
    write_units(database, ["control", "new"] * 100, metrics={"revenue_per_user": {"x": x, "u": x}})
    found = compare(database)
    assert found["variance_reduction"] is None
    assert found["difference"] == pytest.approx(x[1::2].mean() - x[::2].mean())


def test_without_a_past_the_plain_reading_stands_with_the_reason(database: Database) -> None:
    x = np.random.default_rng(6).normal(20.0, 1.0, 200)
    world.set_up(database, analysis={"cuped": True}, metrics={"primary": "revenue_per_user"})
    write_units(database, ["control", "new"] * 100, metrics={"revenue_per_user": {"x": x}})
    found = compare(database)
    assert found["variance_reduction"] is None
    assert found["difference"] == pytest.approx(x[1::2].mean() - x[::2].mean())
    assert "before the experiment" in found["reasons"]["variance_reduction"]["text"]


def test_the_chosen_past_is_what_reports_use_say_and_hold_to(database: Database) -> None:
    """Purchases 20 days before the exposure explain all that is bought after; the window of 7 days has noise only."""
    world.ensure_defaults(database, "none")
    arms = [{"key": arm, "strategy": "none", "control": arm == "control"} for arm in ("control", "new")]
    payload = {"key": "sim", "placement": "home", "arms": arms, "metrics": {"primary": "revenue_per_user"}}
    with database.write() as session:
        experiments.create(session, world.REGISTRY, {**payload, "analysis": {"cuped": True}}, "test")
    random, together = np.random.default_rng(2), Facts()
    for number in range(400):
        unit, start = f"u{number}", T0 + number * HOUR
        wealth = float(random.gamma(2.0, 10.0))
        together.exposures.append(exposure(unit, ("control", "new")[number % 2], start, experiment="sim"))
        for name, at, value in (
            ("far", start - 20 * DAY, wealth), ("near", start - DAY, float(random.gamma(2.0, 1.0))),
            ("now", start + HOUR, wealth),
        ):  # fmt: skip
            together.events.append(event(f"{unit}-{name}", unit, at, type="purchase", value=value))
    with database.connection() as connection:
        write_facts(connection, together)
    with database.write() as session:
        experiments.act(session, world.REGISTRY, world._NoQueue(), "sim", "start", "test")
    rollup.roll_up(database)
    near = compare(database)["variance_reduction"]
    assert near < 0.1
    with database.write() as session, pytest.raises(Invalid, match="cannot change while the experiment is running"):
        experiments.change(session, world.REGISTRY, "sim", {"analysis": {"cuped": True, "cuped_days": 28}}, "test")
    # As if it was still a draft: what has been computed by then is computed anew.
    with database.write() as session:
        experiments.find(session, "sim").status = "draft"
        session.flush()
        experiments.change(session, world.REGISTRY, "sim", {"analysis": {"cuped": True, "cuped_days": 28}}, "test")
        experiments.find(session, "sim").status = "running"
        assert rollup.waiting(session) == 400
    rollup.roll_up(database)
    assert compare(database)["variance_reduction"] > 0.95
    with database.read() as session:
        method = report.compute(session, experiments.find(session, "sim"))["method"]
    assert method["past"] == "28 days before the exposure: CUPED adjusts by it"


def test_what_units_clicked_before_their_exposure_adjusts_the_ctr(database: Database) -> None:
    """From raw facts: lists of the placement before the exposure are the past of an attributed ratio."""
    random = np.random.default_rng(9)
    world.set_up(database, analysis={"cuped": True}, metrics={"primary": "ctr"})
    together = Facts()
    past, now = np.zeros((2, 300)), np.zeros((2, 300))
    for number in range(300):
        unit, arm, start = f"u{number}", ("control", "new")[number % 2], T0 + int(random.integers(0, 3 * DAY))
        together.exposures.append(exposure(unit, arm, start, experiment="sim"))
        taste = random.beta(1.0, 3.0)
        for visit in range(8):
            before = visit < 4
            at = start - 4 * HOUR + visit * HOUR if before else start + (visit - 4) * HOUR
            name = f"{unit}-{visit}"
            where = {} if before else {"experiment": "sim", "phase": 1, "arm": arm}
            together.impressions.append(impression(name, unit, at, **where))
            counts = past if before else now
            counts[1, number] += 1
            if random.random() < taste:
                counts[0, number] += 1
                together.events.append(event(f"{name}-c", unit, at + 5, recommendation_id=name))
        other = f"{unit}-elsewhere"
        together.impressions.append(impression(other, unit, start - HOUR, placement="cart"))
        together.events.append(event(f"{other}-c", unit, start - HOUR + 5, recommendation_id=other))
    with database.connection() as connection:
        write_facts(connection, together)
    rollup.roll_up(database)
    found = compare(database)
    a, b = now[0] / 4, past[0] / 4
    theta = np.cov(a, b)[0, 1] / b.var(ddof=1)
    by_hand = a[1::2].mean() - a[::2].mean() - theta * (b[1::2].mean() - b[::2].mean())
    assert found["difference"] == pytest.approx(by_hand, abs=1e-6)
    assert found["variance_reduction"] == pytest.approx(np.corrcoef(a, b)[0, 1] ** 2, abs=0.03)
    with database.read() as session:
        body = report.compute(session, experiments.find(session, "sim"))
    last = body["series"]["ctr"][-1]
    assert last["lift"] == pytest.approx(found["lift"])
    assert last["lift_ci"] == pytest.approx(found["lift_ci"])
    assert last["sequential_ci"] == pytest.approx(found["sequential"]["lift_ci"])
