"""Reports: the numbers are those of the raw facts, and what cannot be said has a reason."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from sqlalchemy import delete, func, select

from reclift.domain.events import Facts
from reclift.flows import experiments, report, report_parts, rollup
from reclift.flows.errors import Conflict, NotFound
from reclift.storage.database import Database
from reclift.storage.facts import write_facts
from reclift.storage.migrate import migrate
from reclift.storage.tables import DirtyUnit, ExperimentRow, ReportRow, UnitTotal
from tests.integration import report_world as world
from tests.integration.report_world import DAY, HOUR, T0, Level, of_mean, of_ratio, of_share, welch
from tests.services import PostgresServer
from tests.unit.storage.rows import event, exposure, impression


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
def simulated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """400 simulated users, rolled up."""
    server: PostgresServer | None = None
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path_factory.mktemp('report') / 'test.db'}")
    else:
        server = request.getfixturevalue("postgres_server")
        database = Database(server.create_database("test_report"))
    migrate(database)
    world.set_up(database)
    world.simulate(database)
    rollup.roll_up(database)
    yield database
    database.dispose()
    if server is not None:
        server.drop_database("test_report")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A running experiment without any data."""
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    migrate(database)
    world.set_up(database)
    yield database
    database.dispose()


def compute(database: Database, key: str = "sim") -> dict[str, Any]:
    rollup.roll_up(database)
    body = report.refresh(database, key)
    sound(body)
    return body


def send(database: Database, facts: Facts) -> None:
    with database.connection() as connection:
        write_facts(connection, facts)


def sound(value: Any, place: str = "report") -> None:
    """No number that JSON does not have, anywhere."""
    if isinstance(value, float):
        assert math.isfinite(value), place
    elif isinstance(value, Mapping):
        for name, part in value.items():
            assert isinstance(name, str), place
            sound(part, f"{place}.{name}")
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            sound(part, f"{place}.{number}")
    else:
        assert value is None or isinstance(value, str | bool | int), (place, value)


def metric(body: dict[str, Any], key: str) -> dict[str, Any]:
    return next(one for one in body["metrics"] if one["metric"] == key)


def levels(raw: world.Raw) -> dict[str, tuple[Level, Level]]:
    """Control and new arm of each metric."""
    arms = [raw.arm == "control", raw.arm == "new"]
    cap = np.quantile(raw.spent, 0.97)
    return {
        "ctr": tuple(of_ratio(raw.clicks[a], raw.lists[a]) for a in arms),
        "conversion": tuple(of_share(raw.bought[a]) for a in arms),
        "revenue_per_user": tuple(of_mean(raw.spent[a]) for a in arms),
        "capped": tuple(of_mean(np.minimum(raw.spent[a], cap)) for a in arms),
        "clicks_per_user": tuple(of_mean(raw.clicks[a]) for a in arms),
        "latency": tuple(of_ratio(raw.latency[a], raw.lists[a]) for a in arms),
    }  # type: ignore[return-value]


def test_all_numbers_equal_a_recomputation_from_the_raw_tables(simulated: Database) -> None:
    body = compute(simulated)
    raw = world.read(simulated)
    assert raw.several > 2
    assert body["multi_arm_units"] == raw.several
    assert [(arm["arm"], arm["units"], arm["impressions"]) for arm in body["arms"]] == [
        (arm, int((raw.arm == arm).sum()), int(raw.lists[raw.arm == arm].sum())) for arm in ("control", "new")
    ]
    expected = levels(raw)
    assert [one["metric"] for one in body["metrics"]] == list(expected)
    for key, (control, new) in expected.items():
        shown = metric(body, key)
        for arm, level in zip(shown["arms"], (control, new), strict=True):
            assert arm["units"] == level.units
            assert arm["mean"] == pytest.approx(level.mean, rel=1e-9), key
            assert arm["std_error"] == pytest.approx(math.sqrt(level.variance), rel=1e-9), key
        (comparison,) = shown["comparisons"]
        for name, value in welch(control, new).items():
            assert comparison[name] == pytest.approx(value, rel=1e-7), (key, name)


def test_the_split_is_checked_against_the_weights(simulated: Database) -> None:
    raw = world.read(simulated)
    observed = [int((raw.arm == arm).sum()) for arm in ("control", "new")]
    half = sum(observed) / 2
    chi2 = sum((count - half) ** 2 / half for count in observed)
    shown = compute(simulated)["srm"]
    assert shown["observed"] == observed
    assert shown["expected"] == [half, half]
    assert shown["p_value"] == pytest.approx(math.erfc(math.sqrt(chi2 / 2)), rel=1e-9)  # chi-square of one degree
    assert shown["ok"] is True


def test_the_series_ends_with_the_report_and_each_day_is_as_of_its_end(simulated: Database) -> None:
    body = compute(simulated)
    for key in ("ctr", "conversion", "revenue_per_user", "capped"):
        days = body["series"][key]
        (comparison,) = metric(body, key)["comparisons"]
        last = days[-1]
        assert last["units"] == metric(body, key)["arms"][1]["units"]
        assert last["lift"] == pytest.approx(comparison["lift"], rel=1e-9)
        assert last["lift_ci"] == pytest.approx(comparison["lift_ci"], rel=1e-9)
        assert last["sequential_ci"] == pytest.approx(comparison["sequential"]["lift_ci"], rel=1e-9)
        assert [day["day"] for day in days] == sorted({day["day"] for day in days})
    days = {day["day"]: day for day in body["series"]["ctr"]}
    for number in (3, 7):
        date = np.datetime64("1970-01-01") + np.timedelta64(T0 // DAY + number, "D")
        raw = world.read(simulated, until=(T0 // DAY + number + 1) * DAY)
        arms = [raw.arm == "control", raw.arm == "new"]
        control, new = (of_ratio(raw.clicks[arm], raw.lists[arm]) for arm in arms)
        assert days[str(date)]["lift"] == pytest.approx(new.mean / control.mean - 1, rel=1e-9)
        assert days[str(date)]["units"] == new.units


def test_positions_and_lists_are_counted(simulated: Database) -> None:
    body = compute(simulated)
    raw = world.read(simulated)
    by_arm: dict[str, list[dict[str, Any]]] = {}
    for entry in body["positions"]:
        by_arm.setdefault(entry["arm"], []).append(entry)
    for arm, entries in by_arm.items():
        assert [entry["position"] for entry in entries] == [1, 2, 3]
        assert {entry["impressions"] for entry in entries} == {int(raw.lists[raw.arm == arm].sum())}
        assert sum(entry["clicks"] for entry in entries) == raw.clicks[raw.arm == arm].sum()
        assert entries[0]["ctr"] > entries[2]["ctr"]
    for entry in body["lists"]:
        assert entry["items_shown"] == 3
        assert 5 < entry["latency_ms"] < 20
        assert (entry["novelty"], entry["diversity"]) == (None, None)


@pytest.mark.parametrize(("attribute", "values"), [("country", {"CN", "US", "DE"}), ("age", {"0", "1", "2"})])
def test_segments_share_the_units_out(simulated: Database, attribute: str, values: set[str]) -> None:
    body = report.latest_or_now(simulated, "sim", segment=attribute)
    sound(body)
    assert {one["value"] for one in body["segments"]} == values
    raw = world.read(simulated)
    assert sum(one["units"] for one in body["segments"]) == len(raw.unit)
    for one in body["segments"]:
        (shown,) = one["metrics"]
        assert shown["metric"] == "ctr"
        assert sum(arm["units"] for arm in shown["arms"]) == one["units"] > 50
    if attribute == "age":
        mine = np.array([int(unit.split("u")[-1]) % 3 == 1 for unit in raw.unit])
        one = next(one for one in body["segments"] if one["value"] == "1")
        level = of_ratio(raw.clicks[mine & (raw.arm == "new")], raw.lists[mine & (raw.arm == "new")])
        assert one["metrics"][0]["arms"][1]["mean"] == pytest.approx(level.mean)


@pytest.mark.parametrize("attribute", ["nobody-has-it", "a.b", "$", "ü", "x' OR 1=1"])
def test_a_segment_of_any_name_is_no_trouble(simulated: Database, attribute: str) -> None:
    assert report.latest_or_now(simulated, "sim", segment=attribute)["segments"] == []


def test_a_report_is_of_one_moment_while_others_write(simulated: Database) -> None:
    """Counts and sums belong together: a rollup in the middle must not show."""
    with simulated.read() as session:
        row = experiments.find(session, "sim")
        before = report.compute(session, row)
        with simulated.write() as other:
            other.execute(delete(UnitTotal).where(UnitTotal.metric == "conversion"))
        again = report.compute(session, row)
    assert again["metrics"] == before["metrics"]
    with simulated.read() as session:
        assert report.compute(session, experiments.find(session, "sim"))["metrics"] != before["metrics"]
    with simulated.write() as session:
        units = session.scalars(select(UnitTotal.unit_id).distinct()).all()
        session.add_all(DirtyUnit(unit_id=unit) for unit in units)
    assert compute(simulated)["metrics"] == before["metrics"]


def test_the_table_has_the_same_numbers(simulated: Database) -> None:
    body = compute(simulated)
    lines = list(csv.DictReader(io.StringIO(report_parts.to_csv(body))))
    assert [(line["metric"], line["arm"]) for line in lines] == [
        (one["metric"], arm) for one in body["metrics"] for arm in ("control", "new")
    ]
    for line in lines:
        shown = metric(body, line["metric"])
        (comparison,) = shown["comparisons"]
        arm = next(arm for arm in shown["arms"] if arm["arm"] == line["arm"])
        assert float(line["mean"]) == arm["mean"]
        assert int(line["units"]) == arm["units"]
        if line["arm"] == "control":
            assert line["lift"] == line["p_value"] == ""
        else:
            assert float(line["lift"]) == comparison["lift"]
            assert [float(line["lift_low"]), float(line["lift_high"])] == comparison["lift_ci"]
            assert float(line["p_value_adjusted"]) == comparison["p_value_adjusted"]


def test_cells_are_never_formulas() -> None:
    body = {
        "experiment": "=cmd()",
        "computed_at": "@x",
        "data_until": None,
        "metrics": [
            {
                "metric": "+m",
                "role": "primary",
                "kind": "mean",
                "arms": [{"arm": "-a", "units": 1, "mean": -2.0, "std_error": None}],
                "comparisons": [],
            }
        ],
    }
    (line,) = csv.DictReader(io.StringIO(report_parts.to_csv(body)))
    assert (line["experiment"], line["metric"], line["arm"], line["computed_at"]) == ("'=cmd()", "'+m", "'-a", "'@x")
    assert line["mean"] == "-2.0"


def test_adjusted_p_values_by_role(simulated: Database) -> None:
    body = compute(simulated)
    secondary = [one["comparisons"][0] for one in body["metrics"] if one["role"] == "secondary"]
    raw = np.array([one["p_value"] for one in secondary])
    order = np.argsort(raw)
    stepped = raw[order] * len(raw) / np.arange(1, len(raw) + 1)
    expected = np.empty(len(raw))
    expected[order] = np.minimum(1.0, np.minimum.accumulate(stepped[::-1])[::-1])
    assert [one["p_value_adjusted"] for one in secondary] == pytest.approx(expected)
    (primary,) = metric(body, "ctr")["comparisons"]
    assert primary["p_value_adjusted"] == primary["p_value"]


# what cannot be computed


def test_without_data_there_are_reasons(database: Database) -> None:
    body = compute(database)
    assert body["data_until"] is None
    assert body["srm"]["p_value"] is None
    assert body["series"] == {}
    for one in body["metrics"]:
        for arm in one["arms"]:
            assert (arm["units"], arm["mean"]) == (0, None)
            assert arm["reasons"]["mean"]["text"]
        (comparison,) = one["comparisons"]
        assert comparison["lift"] is comparison["p_value"] is comparison["lift_ci"] is None
        assert comparison["reasons"]["lift"]["text"]
    assert body["decision"]["call"] == "keep_running"
    assert len(list(csv.DictReader(io.StringIO(report_parts.to_csv(body))))) == 12


@pytest.mark.parametrize("full", ["control", "new"])
def test_one_empty_arm(database: Database, full: str) -> None:
    for number in range(50):
        unit = f"u{number}"
        send(
            database,
            Facts(
                [event(f"c{number}", unit, T0 + 5, recommendation_id=f"r{number}")] if number % 3 else [],
                [impression(f"r{number}", unit, T0, experiment="sim", phase=1, arm=full)],
                [exposure(unit, full, T0, experiment="sim")],
            ),
        )
    body = compute(database)
    assert sorted(arm["units"] for arm in body["arms"]) == [0, 50]
    assert body["srm"]["ok"] is False
    assert body["decision"]["call"] == "invalid"
    for one in body["metrics"]:
        assert one["comparisons"][0]["lift"] is None


def test_no_variance_at_all(database: Database) -> None:
    together = Facts()
    for number in range(40):
        unit, arm = f"u{number}", "control" if number % 2 else "new"
        together.exposures.append(exposure(unit, arm, T0, experiment="sim"))
        together.impressions.append(
            impression(f"r{number}", unit, T0, experiment="sim", phase=1, arm=arm, latency_ms=5.0)
        )
        together.events.append(event(f"c{number}", unit, T0 + 5, recommendation_id=f"r{number}"))
    send(database, together)
    body = compute(database)
    (comparison,) = metric(body, "ctr")["comparisons"]
    assert comparison["lift"] == 0.0
    assert comparison["p_value"] is None
    assert comparison["reasons"]["p_value"]["text"]
    (comparison,) = metric(body, "conversion")["comparisons"]
    assert comparison["lift"] is None
    assert "0" in comparison["reasons"]["lift"]["text"]


def test_a_single_unit(database: Database) -> None:
    send(
        database,
        Facts([event("p", "u", T0 + 5, type="purchase", value=3.0)], [], [exposure("u", "new", T0, experiment="sim")]),
    )
    body = compute(database)
    assert metric(body, "revenue_per_user")["arms"][1]["mean"] == 3.0
    assert metric(body, "revenue_per_user")["arms"][1]["std_error"] is None


def test_extreme_amounts_do_not_crash_it(database: Database) -> None:
    together = Facts()
    for number in range(20):
        unit, arm = f"u{number}", "control" if number % 2 else "new"
        together.exposures.append(exposure(unit, arm, T0, experiment="sim"))
        value = [1e15, -1e15, 1e-300, 0.0, 5.0][number % 5]
        together.events.append(event(f"p{number}", unit, T0 + 5, type="purchase", value=value))
    send(database, together)
    assert metric(compute(database), "revenue_per_user")["arms"][0]["units"] == 10


def test_an_exposure_dated_to_the_dawn_of_time_does_not_make_an_endless_series(database: Database) -> None:
    together = Facts()
    for number in range(40):
        unit, arm = f"u{number}", "control" if number % 2 else "new"
        at = 0 if number == 0 else T0
        together.exposures.append(exposure(unit, arm, at, experiment="sim"))
        together.events.append(event(f"p{number}", unit, at + 5, type="purchase", value=1.0 + number))
    send(database, together)
    body = compute(database)
    days = body["series"]["revenue_per_user"]
    assert len(days) <= report_parts.MOST_DAYS
    assert days[-1]["lift"] == pytest.approx(metric(body, "revenue_per_user")["comparisons"][0]["lift"])
    assert days[0]["units"] == 1  # who came earlier is in it


def test_a_split_that_is_off_withholds_the_verdict(database: Database) -> None:
    world.simulate(database, users=400, second_arm=0.8)
    body = compute(database)
    assert body["srm"]["ok"] is False
    assert body["srm"]["p_value"] < 1e-6
    assert body["decision"]["call"] == "invalid"
    assert any(check["check"] == "sample_ratio" and check["ok"] is False for check in body["trust"])


def test_three_arms_each_against_the_control(database: Database) -> None:
    world.set_up(database, "three", ("a", "b", "c"), placement="cart")
    together = Facts()
    for number in range(90):
        unit, arm = f"t{number}", "abc"[number % 3]
        together.exposures.append(exposure(unit, arm, T0, experiment="three"))
        if number % (2 + number % 3) == 0:
            together.events.append(event(f"t{number}", unit, T0 + HOUR, type="purchase", value=1.0 + number))
    send(database, together)
    body = compute(database, "three")
    for one in body["metrics"]:
        assert [(entry["arm"], entry["control"]) for entry in one["comparisons"]] == [("b", "a"), ("c", "a")]


# storing


def test_only_started_experiments_have_reports(database: Database) -> None:
    with database.write() as session:
        payload = {
            "key": "draft",
            "placement": "home",
            "arms": [{"key": "a", "strategy": "none", "control": True}, {"key": "b", "strategy": "none"}],
        }
        experiments.create(session, world.REGISTRY, payload, "test")
    with pytest.raises(Conflict, match="'draft' has not been started"):
        report.refresh(database, "draft")
    with pytest.raises(NotFound, match="no experiment 'nope'"):
        report.latest_or_now(database, "nope")
    with database.read() as session, pytest.raises(NotFound, match="no report of experiment 'sim'"):
        report.find_report(session, "sim")


def test_the_newest_are_kept_and_come_back_as_they_were(database: Database) -> None:
    bodies = [report.refresh(database, "sim", keep=3) for _ in range(5)]
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(ReportRow)) == 3
        assert report.find_report(session, "sim") == orjson.loads(orjson.dumps(bodies[-1]))


def test_the_first_look_computes_but_waits_for_no_long_rollup(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "_MOST_UNITS_NOW", 100)
    monkeypatch.setattr(rollup, "BATCH", 100)
    world.simulate(database, users=700)
    body = report.latest_or_now(database, "sim")
    assert sum(arm["units"] for arm in body["arms"]) > 0
    assert any("wait for the worker" in check["text"] for check in body["trust"])
    assert report.latest_or_now(database, "sim")["computed_at"] == body["computed_at"]


def test_what_is_due(database: Database) -> None:
    world.set_up(database, "done", placement="cart")
    with database.write() as session:
        experiments.act(session, world.REGISTRY, world._NoQueue(), "done", "stop", "test")
    with database.read() as session:
        assert sorted(report.due(session)) == ["done", "sim"]
    report.refresh(database, "done")
    with database.read() as session:
        assert sorted(report.due(session)) == ["done", "sim"]  # conversions still come in
    with database.write() as session:
        row = session.scalars(select(ExperimentRow).where(ExperimentRow.key == "done")).one()
        from datetime import timedelta

        assert row.stopped_at is not None
        row.stopped_at -= timedelta(days=9)
    with database.read() as session:
        assert report.due(session) == ["sim"]
