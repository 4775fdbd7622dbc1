"""Coverage as a metric: from lists shown to the report, against leaving each unit out by hand from the raw facts."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from math import comb, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select, text, update
from sqlalchemy.event import listens_for

from reclift.domain.events import Facts
from reclift.flows import experiments, metrics, power, report, rollup
from reclift.flows.clock import now
from reclift.flows.errors import Invalid
from reclift.flows.report_coverage import read_coverage
from reclift.flows.report_parts import to_csv
from reclift.storage.aggregates import arm_counts
from reclift.storage.database import Database
from reclift.storage.facts import write_facts
from reclift.storage.migrate import migrate
from reclift.storage.tables import ExperimentRow, ExposureRow, ImpressionRow, ItemRow
from tests.integration import report_world as world
from tests.integration.report_rows import differ
from tests.unit.storage.rows import event, exposure, impression

ITEMS = 60
GONE = 5
"""The last ones are not available."""
FIRST_PLACE = {
    "key": "coverage_top", "kind": "coverage", "numerator": {"event": "impression", "position": 1},
    "window_hours": 24, "margin": 0,
}  # fmt: skip


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    else:
        server = request.getfixturevalue("postgres_server")
        database = Database(server.create_database("test_coverage"))
    migrate(database)
    yield database
    database.dispose()
    if request.param == "postgresql":
        server.drop_database("test_coverage")


def set_up(database: Database, items: int = ITEMS, **more: Any) -> None:
    world.ensure_defaults(database, "none")
    with database.write() as session:
        metrics.create(session, FIRST_PLACE, "test")
        session.add_all(
            ItemRow(item_id=f"i{one}", available=one < ITEMS - GONE, updated_at=now()) for one in range(items)
        )
    chosen = {"primary": "ctr", "secondary": ["coverage_top"], "guardrails": ["coverage"]}
    world.set_up(database, **{"metrics": chosen, **more})


def show(database: Database, users: int, *, breadth: tuple[float, float] = (8.0, 14.0), new: float = 0.5) -> None:
    """Users who come some times and are shown four items each time, the new arm's from more of the catalogue."""
    random = np.random.default_rng(3)
    facts = Facts()
    for number in range(users):
        unit, arm = f"u{number}", "new" if random.random() < new else "control"
        start = world.T0 + int(random.integers(0, 9 * world.DAY))
        facts.exposures.append(exposure(unit, arm, start, experiment="sim"))
        if number % 50 == 0:
            facts.exposures.append(exposure(unit, "control" if arm == "new" else "new", start + 9, experiment="sim"))
        for visit in range(int(random.integers(0, 4))):
            at = start + visit * 15 * world.HOUR
            chosen = np.unique(random.exponential(breadth[arm == "new"], 4).astype(int))
            shown = [{"item_id": f"i{one}", "position": place} for place, one in enumerate(chosen, 1)]
            name = f"{unit}-{visit}"
            facts.impressions.append(impression(name, unit, at, experiment="sim", phase=1, arm=arm, items=shown))
            if random.random() < 0.3:
                facts.events.append(event(f"{name}-c", unit, at + 9, item_id=f"i{chosen[0]}", recommendation_id=name))
    with database.connection() as connection:
        write_facts(connection, facts)
    rollup.roll_up(database)


def compute(database: Database) -> dict[str, Any]:
    with database.read() as session:
        body = report.compute(session, experiments.find(session, "sim"))
    json.dumps(body, allow_nan=False)
    return body


def of(body: dict[str, Any], key: str) -> dict[str, Any]:
    return next(metric for metric in body["metrics"] if metric["metric"] == key)


def raw(database: Database, *, top: bool = False) -> dict[str, list[set[str]]]:
    """Arm -> what each of its units was shown that is available, straight from the facts."""
    with database.read() as session:
        met: dict[str, list[tuple[int, str]]] = {}
        for row in session.scalars(select(ExposureRow)):
            met.setdefault(row.unit_id, []).append((row.at, row.arm))
        there = set(session.scalars(select(ItemRow.item_id).where(ItemRow.available)))
        shown: dict[str, set[str]] = {unit: set() for unit, pairs in met.items() if len(pairs) == 1}
        for row in session.scalars(select(ImpressionRow)):
            if row.unit_id not in shown:
                continue
            start = met[row.unit_id][0][0]
            if row.at >= start and not (top and row.at >= start + world.DAY):
                shown[row.unit_id] |= {
                    item["item_id"] for item in row.items if not top or item["position"] == 1
                } & there
    found: dict[str, list[set[str]]] = {"control": [], "new": []}
    for unit, items in shown.items():
        found[met[unit][0][1]].append(items)
    return found


def on_average(units: list[set[str]], drawn: int) -> float:
    """Different items that `drawn` of the units are shown, on average over all ways to draw them."""
    met: dict[str, int] = {}
    for items in units:
        for item in items:
            met[item] = met.get(item, 0) + 1
    n = len(units)
    return sum(1 - comb(n - f, drawn) / comb(n, drawn) for f in met.values())


def jackknife(units: list[set[str]], drawn: int) -> float:
    """The variance, by leaving out each unit in turn."""
    n = len(units)
    without = np.array([on_average(units[:one] + units[one + 1 :], drawn) for one in range(n)])
    return float((n - 1) / n * ((without - without.mean()) ** 2).sum())


@pytest.mark.parametrize(("key", "top"), [("coverage", False), ("coverage_top", True)])
def test_coverage_is_that_of_the_raw_lists_with_each_unit_left_out_in_turn(
    database: Database, key: str, top: bool
) -> None:
    set_up(database, analysis={"cuped": True, "bootstrap": 200})
    show(database, 240, new=0.35)
    shown = of(compute(database), key)
    facts = raw(database, top=top)
    drawn = min(len(units) for units in facts.values()) // 4
    assert len(facts["new"]) < len(facts["control"])
    assert (shown["kind"], shown["quantile"]) == ("coverage", None)
    assert shown["coverage"] == {"units": drawn, "catalogue": ITEMS - GONE}
    levels = {}
    for level in shown["arms"]:
        units = facts[level["arm"]]
        value, error = on_average(units, drawn) / (ITEMS - GONE), sqrt(jackknife(units, drawn)) / (ITEMS - GONE)
        levels[level["arm"]] = value, error
        assert level["mean"] == pytest.approx(value, rel=1e-9)
        assert level["std_error"] == pytest.approx(error, rel=1e-6)
        assert (level["units"], level["denominator"]) == (len(units), ITEMS - GONE)
        assert level["total"] == len(set().union(*units))
    (comparison,) = shown["comparisons"]
    (control, its_error), (new, error) = levels["control"], levels["new"]
    spreads = [its_error**2 * len(facts["control"]), error**2 * len(facts["new"])]
    expected = world.welch(
        world.Level(len(facts["control"]), control, its_error**2, spreads[0]),
        world.Level(len(facts["new"]), new, error**2, spreads[1]),
    )
    for name, value in expected.items():
        assert comparison[name] == pytest.approx(value, rel=1e-4), name
    assert comparison["reasons"] == {}
    assert comparison["variance_reduction"] is None
    assert comparison["bootstrap"] is None
    assert comparison["sequential"]["p_value"] is None
    assert comparison["sequential"]["reasons"]["lift_ci"]["code"] == "not_sequential"
    assert 0.5 < comparison["bayesian"]["chance_to_win"] <= 1


def test_a_late_list_counts_once_and_moves_only_its_arm(database: Database) -> None:
    set_up(database)
    show(database, 120)
    before = of(compute(database), "coverage")["arms"]
    with database.read() as session:
        own = next(one for one in session.scalars(select(ImpressionRow)) if one.arm == "new")
        late = impression("late", own.unit_id, own.at + 9, experiment="sim", phase=1, arm="new",
                          items=[{"item_id": "i50", "position": 1}, {"item_id": "i59", "position": 2}])  # fmt: skip
    for _ in range(2):  # sent twice
        with database.connection() as connection:
            write_facts(connection, Facts(impressions=[late]))
        rollup.roll_up(database)
    after = of(compute(database), "coverage")["arms"]
    assert after[0] == before[0]
    assert after[1]["mean"] > before[1]["mean"]
    assert after[1]["total"] == before[1]["total"] + 1  # i59 is not available


def test_of_very_many_units_a_random_part_is_read_always_the_same(database: Database) -> None:
    set_up(database)
    show(database, 900)

    def read(most: int) -> Any:
        with database.read() as session:
            row = experiments.find(session, "sim")
            return read_coverage(session, row, metrics.all_metrics(session)["coverage"],
                                 arm_counts(session, "sim", 1), most=most)  # fmt: skip

    everybody, part, again = read(20_000), read(200), read(200)
    assert part.levels == again.levels
    for arm, level in part.levels.items():
        assert 150 < level.units < 250
        assert everybody.levels[arm].units > 350
        assert part.shown[arm] <= everybody.shown[arm]
    assert part.units == min(level.units for level in part.levels.values()) // 4


def test_sqlite_looks_each_item_up_instead_of_going_through_the_catalogue_for_each_unit(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    migrate(database)
    set_up(database)
    show(database, 200)
    asked: list[tuple[str, Any]] = []

    @listens_for(database.engine, "before_cursor_execute")
    def note(_connection: Any, _cursor: Any, statement: str, given: Any, *_: Any) -> None:
        asked.append((statement, given))

    compute(database)
    spreading = [(statement, given) for statement, given in asked if "json_each" in statement]
    assert len(spreading) == 8  # two metrics' spreads and losses, of two arms
    with database.engine.connect() as connection:
        for statement, given in spreading:
            plan = [str(row[3]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given)]
            assert "SEARCH items USING INDEX sqlite_autoindex_items_1 (item_id=?)" in plan
            assert not any("ix_items_unavailable" in one for one in plan)
    database.dispose()


def test_a_guardrail_holds_at_the_end_and_is_not_read_before(database: Database) -> None:
    set_up(database, planned_days=7)
    differ(database)
    show(database, 3000, breadth=(12.0, 12.0))
    with database.write() as session:
        session.execute(update(ExperimentRow).values(source="replay"))  # its time is that of its data: over
    over = compute(database)
    (sentence,) = [one for one in over["decision"]["because"] if "Catalogue coverage" in one]
    assert sentence.startswith("Guardrail Catalogue coverage holds for new")
    assert "within 10.0 % of loss" in sentence
    with database.write() as session:
        session.execute(update(ExperimentRow).values(source="live"))
    running = compute(database)
    (sentence,) = [one for one in running["decision"]["because"] if "Catalogue coverage" in one]
    assert "is read for new once the plan is over or the experiment stopped" in sentence
    assert [one["kind"] for one in running["alerts"]] == ["stale"]


def test_a_guardrail_that_is_harmed_keeps_the_control(database: Database) -> None:
    set_up(database, planned_days=7)
    differ(database)
    show(database, 1500, breadth=(14.0, 5.0))
    with database.write() as session:
        session.execute(update(ExperimentRow).values(source="replay"))
    decision = compute(database)["decision"]
    assert decision["call"] == "keep_control"
    assert any(one.startswith("Guardrail Catalogue coverage is harmed by new") for one in decision["because"])


def test_planned_looks_have_no_interval_of_it(database: Database) -> None:
    set_up(database, planned_days=7, analysis={"regime": "group_sequential", "looks": 3})
    show(database, 100)
    (comparison,) = of(compute(database), "coverage")["comparisons"]
    assert comparison["group_sequential"]["lift_ci"] is None
    assert comparison["group_sequential"]["reasons"]["lift_ci"]["code"] == "not_sequential"


def test_what_cannot_be_read_is_a_reason(database: Database) -> None:
    set_up(database, items=0)
    assert of(compute(database), "coverage")["arms"][0]["reasons"]["mean"]["code"] == "no_catalogue"
    with database.write() as session:
        session.add(ItemRow(item_id="i0", available=True, updated_at=now()))
    nobody = of(compute(database), "coverage")
    assert nobody["coverage"] == {"units": None, "catalogue": 1}
    assert nobody["comparisons"][0]["reasons"]["lift"] == {"code": "no_units", "text": "control: The arm has no units."}
    facts = Facts()
    for number in range(12):
        facts.exposures.append(exposure(f"u{number}", "control" if number else "new", world.T0, experiment="sim"))
        if number in {0, 1}:
            arm = "control" if number else "new"
            facts.impressions.append(impression(f"r{number}", f"u{number}", world.T0, experiment="sim", phase=1,
                                                arm=arm, items=[{"item_id": "i0", "position": 1}]))  # fmt: skip
    with database.connection() as connection:
        write_facts(connection, facts)
    rollup.roll_up(database)
    few = of(compute(database), "coverage")
    assert few["coverage"]["units"] == 2  # a quarter of the control's 11: the other arm cannot be read
    assert few["arms"][0]["mean"] == pytest.approx(2 / 11)
    assert few["arms"][1]["reasons"]["mean"]["code"] == "too_few_units"
    assert few["comparisons"][0]["reasons"]["p_value"]["code"] == "too_few_units"
    with database.connection() as connection:
        connection.execute(text("DELETE FROM impressions WHERE unit_id = 'u1'"))
        connection.execute(text("INSERT INTO dirty_units (unit_id) VALUES ('u1')"))
    rollup.roll_up(database)
    assert of(compute(database), "coverage")["arms"][0]["reasons"]["mean"]["code"] == "no_lists"


def test_imported_experiments_showed_anothers_items(database: Database) -> None:
    set_up(database)
    show(database, 100)
    with database.write() as session:
        session.execute(update(ExperimentRow).values(source="imported"))
    (comparison,) = of(compute(database), "coverage")["comparisons"]
    assert comparison["reasons"]["difference"]["code"] == "no_catalogue"


def test_the_csv_has_it(database: Database) -> None:
    set_up(database)
    show(database, 100)
    body = compute(database)
    lines = [line for line in csv.DictReader(io.StringIO(to_csv(body))) if line["metric"] == "coverage"]
    assert [(line["kind"], line["role"], line["arm"]) for line in lines] == [
        ("coverage", "guardrail", "control"), ("coverage", "guardrail", "new"),
    ]  # fmt: skip
    assert float(lines[1]["mean"]) == of(body, "coverage")["arms"][1]["mean"]
    assert float(lines[1]["lift_low"]) == of(body, "coverage")["comparisons"][0]["lift_ci"][0]


def test_coverage_is_neither_primary_nor_planned_for(database: Database) -> None:
    world.ensure_defaults(database, "none")
    with database.write() as session, pytest.raises(Invalid, match="cannot be coverage"):
        payload = {"key": "q", "placement": "home", "metrics": {"primary": "coverage"}}
        arms = [{"key": arm, "strategy": "none", "control": arm == "a"} for arm in "ab"]
        experiments.create(session, world.REGISTRY, {**payload, "arms": arms}, "test")
    with database.read() as session, pytest.raises(Invalid, match="is coverage: its power cannot be planned"):
        power.plan(session, "home", "coverage", power.Question())
