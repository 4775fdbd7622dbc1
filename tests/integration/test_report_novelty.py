"""Lifts by days since exposure, A/A tests and segments, on data whose truth is known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reclift.flows import experiments, report
from reclift.flows.clock import now_micros
from reclift.flows.report_segments import read_segments
from reclift.storage.database import Database
from reclift.storage.migrate import migrate
from tests.integration import report_world as world
from tests.integration.report_rows import DAY, differ, write_units

N = 2_000
CLICKS = {"primary": "clicks_per_user", "secondary": [], "guardrails": []}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    migrate(database)
    world.set_up(database, metrics=CLICKS)
    yield database
    database.dispose()


def compute(database: Database) -> dict[str, Any]:
    with database.read() as session:
        return report.compute(session, experiments.find(session, "sim"))


def checks(body: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [one for one in body["trust"] if one["check"] == name]


def clicks_by_day(database: Database, fade: float) -> list[tuple[int, int, float, float]]:
    """Units join on ten days; the new arm's mean starts at 1.6 of the control's and loses `fade` each day."""
    random = np.random.default_rng(7)
    today = (now_micros() - 300_000_000) // DAY
    ago = [number % 10 for number in range(N)]
    rows = []
    for number in range(N):
        for since in range(ago[number] + 1):
            mean = 4.0 * (1.0 if number % 2 == 0 else 1.6 - fade * since)
            rows.append((number, today - ago[number] + since, float(random.poisson(mean)), 0.0))
    total = np.zeros(N)
    for number, _, x, _ in rows:
        total[number] += x
    write_units(
        database, ["control", "new"] * (N // 2), metrics={"clicks_per_user": {"x": total}}, days_ago=ago,
        by_day={"clicks_per_user": rows},
    )  # fmt: skip
    return rows


def test_a_lift_that_fades_is_told_as_novelty_with_each_days_own_lift(database: Database) -> None:
    differ(database)
    rows = clicks_by_day(database, fade=0.07)
    body = compute(database)
    (arm,) = body["novelty"]["arms"]
    assert body["novelty"]["metric"] == "clicks_per_user"
    assert [one["day"] for one in arm["days"]] == list(range(len(arm["days"])))
    assert len(arm["days"]) >= 8
    today = max(day for _, day, _, _ in rows)
    joined = {number: min(day for one, day, _, _ in rows if one == number) for number in range(N)}
    for shown in arm["days"]:
        # units whose day is over, by hand
        there = [(number, x) for number, day, x, _ in rows if day - joined[number] == shown["day"] and day < today]
        control = np.mean([x for number, x in there if number % 2 == 0])
        new = np.mean([x for number, x in there if number % 2])
        assert shown["units"] == len(there)
        assert shown["lift"] == pytest.approx(new / control - 1)
    assert arm["trend"]["slope"] == pytest.approx(-0.07, abs=0.02)
    assert arm["trend"]["shape"] == "novelty"
    (check,) = checks(body, "novelty")
    assert check["ok"] is False
    assert "fades" in check["text"]


def test_a_lift_that_stays_is_steady(database: Database) -> None:
    differ(database)
    clicks_by_day(database, fade=0.0)
    (check,) = checks(compute(database), "novelty")
    assert check["ok"] is True


def test_with_few_days_nothing_is_said_of_novelty(database: Database) -> None:
    write_units(database, ["control", "new"] * 50, metrics={"clicks_per_user": {"x": np.arange(100.0)}})
    body = compute(database)
    assert body["novelty"]["arms"][0]["trend"]["shape"] == "unknown"
    assert checks(body, "novelty") == []


@pytest.mark.parametrize(("shift", "call"), [(0.0, "keep_running"), (1.0, "invalid")])
def test_arms_that_do_the_same_test_the_platform_and_never_ship(database: Database, shift: float, call: str) -> None:
    x = np.random.default_rng(5).normal(10.0, 1.0, 1_000)
    x[1::2] += shift
    write_units(database, ["control", "new"] * 500, metrics={"clicks_per_user": {"x": x}})
    body = compute(database)
    assert body["method"]["same_arms"] is True
    assert body["decision"]["call"] == call
    differ(database)
    body = compute(database)
    assert body["method"]["same_arms"] is False
    assert "arms are the same" not in " ".join(body["decision"]["because"])


def segmented(database: Database, effect: dict[str, float], values: list[str]) -> dict[str, Any]:
    random = np.random.default_rng(11)
    where = [values[number // 2 % len(values)] for number in range(N)]
    x = random.normal(10.0, 2.0, N)
    for number in range(1, N, 2):
        x[number] += effect.get(where[number], 0.0)
    write_units(
        database, ["control", "new"] * (N // 2), metrics={"clicks_per_user": {"x": x}},
        attributes=[{"country": country} for country in where],
    )  # fmt: skip
    return report.latest_or_now(database, "sim", segment="country")


def test_a_lift_that_differs_between_segments_is_found(database: Database) -> None:
    body = segmented(database, {"CN": 2.0}, ["CN", "US", "DE"])
    (arm,) = body["segment_test"]["arms"]
    assert (arm["arm"], arm["df"], arm["scale"]) == ("new", 2, "lift")
    assert arm["p_value"] < 1e-6
    assert "3 values of country looked at" in body["segment_test"]["text"]
    assert "differs between values" in body["segment_test"]["text"]


def test_no_difference_points_at_the_overall_lift_and_p_values_are_corrected(database: Database) -> None:
    body = segmented(database, {}, ["CN", "US", "DE", "FR"])
    (arm,) = body["segment_test"]["arms"]
    assert arm["p_value"] > 0.01
    assert "read the overall one" in body["segment_test"]["text"]
    found = [one["metrics"][0]["comparisons"][0] for one in body["segments"]]
    raw = sorted(one["p_value"] for one in found)
    stepped = [min(1.0, *(p * len(raw) / (rank + 1) for rank, p in list(enumerate(raw))[i:])) for i in range(4)]
    assert sorted(one["p_value_adjusted"] for one in found) == pytest.approx(stepped)


def test_rarer_values_are_not_read_and_that_is_told(database: Database) -> None:
    segmented(database, {}, [f"c{number}" for number in range(13)])
    with database.read() as session:
        read = read_segments(session, experiments.find(session, "sim"), "country")
    assert (len(read.values), read.test["looked_at"], read.test["not_looked_at"]) == (10, 10, 3)
    assert "10 values of country looked at, 3 rarer ones not" in read.test["text"]


def test_one_value_cannot_be_compared_and_says_so(database: Database) -> None:
    body = segmented(database, {}, ["CN"])
    (arm,) = body["segment_test"]["arms"]
    assert arm["p_value"] is None
    assert arm["reasons"]["interaction_p"]["text"]
