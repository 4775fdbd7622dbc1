"""How PostgreSQL answers the frequent questions with events of more than a year in partitions: by index probes only."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import text

from reclift.domain.events import MICROS
from reclift.flows import catalogue, identity, models, train
from reclift.flows.clock import now_micros
from reclift.storage import partitions, placement_history, unit_facts
from reclift.storage.histories import Histories
from reclift.storage.partitions import Month
from reclift.wiring import Runtime
from tests.integration.test_partitions import fill
from tests.platform_fixtures import build_runtime
from tests.services import PostgresServer

MONTHS = 14
DAY = 86_400 * MICROS


@pytest.fixture(scope="module")
def here(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """A platform with 42,000 events of 14 months, a partition each."""
    url = postgres_server.create_database("test_plans")
    runtime = build_runtime(tmp_path_factory.mktemp("plans"), database_url=url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partitions, "WORTH", 1_000)
        runtime.set_up()
        this = Month.of(now_micros()).number
        for back in range(MONTHS):
            fill(runtime.database, f"m{back}-", Month(this - back).start - 10 * DAY, 3_000)
        partitions.ensure(runtime.database, now_micros())
    with runtime.database.connection() as connection:
        connection.execute(text("UPDATE events SET unit_id = 'u' || right(event_id, 3), item_id = 'i1'"))
    with runtime.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    yield runtime
    runtime.close()
    postgres_server.drop_database("test_plans")


@contextmanager
def explained(here: Runtime) -> Iterator[list[Any]]:
    """Plans of the statements about events that are executed in the block."""
    plans: list[Any] = []
    busy = [False]

    def explain(connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if busy[0] or "events" not in statement or statement.startswith("EXPLAIN"):
            return
        busy[0] = True
        try:
            # The driver's own, since the parameters are in its form already.
            with connection.connection.driver_connection.cursor() as cursor:
                cursor.execute("SAVEPOINT plan")  # ANALYZE really does what it explains
                cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
                plans.append(cursor.fetchone()[0][0]["Plan"])
                cursor.execute("ROLLBACK TO SAVEPOINT plan")
        finally:
            busy[0] = False

    sqlalchemy_event.listen(here.database.engine, "before_cursor_execute", explain)
    try:
        yield plans
    finally:
        sqlalchemy_event.remove(here.database.engine, "before_cursor_execute", explain)


def scans(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Nodes that read a partition of events, or their ids, and were really executed."""
    if plan.get("Relation Name", "").startswith("event") and plan.get("Actual Loops", 0) > 0:
        yield plan
    for inner in plan.get("Plans", ()):
        yield from scans(inner)


def is_probe(node: dict[str, Any]) -> bool:
    """By an index; a partition without a row may be read as it likes."""
    return bool(node["Node Type"] != "Seq Scan" or node["Actual Rows"] + node.get("Rows Removed by Filter", 0) == 0)


def read(plans: list[Any]) -> set[str]:
    return {node["Relation Name"] for plan in plans for node in scans(plan)}


def histories(here: Runtime) -> None:
    found = Histories(here.database, {"click": 1.0}, length=200, ttl=0).get("u123")
    assert len(found) == 3 * MONTHS


def merge(here: Runtime) -> None:
    with here.database.write() as session:
        identity.merge(session, "u777", "u778")
        session.rollback()


def newest(here: Runtime) -> None:
    from reclift.storage.tables import ItemRow

    with here.database.write() as session:
        catalogue.put_items(session, [catalogue.parse_item({"item_id": "i1", "title": "t"}, "item")])
        assert session.query(ItemRow).count() == 1
        assert models.due(session, here.registry, hours=1.0) is not None


def erased(here: Runtime) -> None:
    from reclift.flows.erase import erase

    assert erase(here.database, here.spool, "u555")["events"] == 3 * MONTHS


def pages(here: Runtime) -> None:
    from reclift.web.backing import PlatformPages

    assert PlatformPages(here).home()["health"][0]["ok"]
    assert PlatformPages(here).event_types() == ["click"]


@pytest.mark.parametrize("ask", [histories, merge, newest, erased, pages], ids=lambda ask: ask.__name__)
def test_frequent_questions_are_index_probes(here: Runtime, ask: Callable[[Runtime], None]) -> None:
    with explained(here) as plans:
        ask(here)
    assert len(read(plans)) >= 1
    for plan in plans:
        for node in scans(plan):
            assert is_probe(node), json.dumps(plan, indent=1)


def test_the_rollup_reads_only_the_months_that_matter(here: Runtime) -> None:
    this = Month.of(now_micros())
    since = this.start - 40 * DAY
    with here.database.read() as session, explained(here) as plans:
        found = unit_facts.facts(session, {"u123": since, "u124": since + DAY})
        assert found["u123"].events
    assert read(plans[:1]) <= {Month(this.number - back).table for back in range(-3, 3)} | {"events_default"}
    # The second asks every month for events whose client's clock was far behind, of which there are none.
    for plan in plans:
        for node in scans(plan):
            assert is_probe(node), json.dumps(plan, indent=1)
            assert node.get("Rows Removed by Filter", 0) == 0


def test_a_bound_on_time_prunes(here: Runtime) -> None:
    this = Month.of(now_micros())
    with explained(here) as plans:
        train.load_dataset(here.database, {"click": 1.0}, since=this.start)
        with here.database.read() as session:
            list(placement_history.facts_of(session, [("u1", this.start)], Month(this.number - 12).start, "e"))
    assert Month(this.number - 5).table not in read(plans[:1])
    assert this.table in read(plans[:1])
    assert this.table not in read(plans[1:])
