"""The queries of trust, segments and power that SQLite's tests use, on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reclift.flows import experiments, power, report
from reclift.storage.database import Database
from reclift.storage.migrate import migrate
from tests.integration import report_world as world
from tests.integration.report_rows import write_units
from tests.services import PostgresServer


@pytest.fixture
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    database = Database(postgres_server.create_database("test_report_parts"))
    migrate(database)
    world.set_up(database)
    yield database
    database.dispose()
    postgres_server.drop_database("test_report_parts")


def test_the_split_by_attribute_segments_and_an_empty_past(database: Database) -> None:
    arms = ["control"] * 900 + ["new"] * 500
    browsers = ["a", "b"] * 450 + ["a"] * 450 + ["b"] * 50
    ages = [number % 2 for number in range(1_400)]
    write_units(
        database, arms, metrics={"ctr": {"x": [1.0] * 1_400, "y": [2.0] * 1_400}},
        attributes=[{"browser": browser, "age": age} for browser, age in zip(browsers, ages, strict=True)],
    )  # fmt: skip
    with database.read() as session:
        body = report.compute(session, experiments.find(session, "sim"))
        planned = power.plan(session, "home", "ctr", power.Question())
    (found,) = [check for check in body["trust"] if check["check"] == "sample_ratio_segments"]
    assert "browser b" in found["text"]
    assert "2 attributes looked at" in found["text"]
    assert report.latest_or_now(database, "sim", segment="age")["segment_test"]["looked_at"] == 2
    assert planned["reasons"]["units"]["code"] == "no_units"
