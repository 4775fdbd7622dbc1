"""A person who is erased is nowhere any more; a person behind a pseudonym is nowhere by their own id."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis import Redis
from sqlalchemy import func, select, text

from reclift.domain.events import Facts
from reclift.domain.pseudonym import Pseudonyms
from reclift.flows import report, rollup
from reclift.flows.clock import now_micros
from reclift.flows.dead_letters import Burying
from reclift.settings import SettingsError, load_settings
from reclift.storage import erasures
from reclift.storage.sinks.spool import SpoolSink
from reclift.storage.tables import Base, DeadLetter, Erasure, EventRow, ExposureRow, ImpressionRow
from reclift.web.app import create_app
from reclift.wiring import Runtime
from tests.platform_fixtures import Caller, build_runtime, experiment, make_key, stock
from tests.services import PostgresServer, RedisServer
from tests.unit.storage.rows import event, exposure, impression

KEY = "a key that nobody guesses"
IDS = ("anna-4711", "device-of-4711")


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, redis_server: RedisServer) -> Iterator[dict[str, Any]]:
    """Settings of an empty installation with a Redis."""
    redis_server.flush()
    settings = {"redis_url": redis_server.url(), "stream_fsync": "unchecked", "stream_claim_seconds": 0.05}
    if request.param == "sqlite":
        yield settings
        return
    postgres: PostgresServer = request.getfixturevalue("postgres_server")
    yield {**settings, "database_url": postgres.create_database("test_privacy")}
    postgres.drop_database("test_privacy")


def found(here: Runtime, redis_url: str, needles: tuple[str, ...]) -> list[str]:
    """Every place that holds one of the ids: tables with all their columns, Redis with all its keys, files."""
    places = []
    with here.database.read() as session:
        for table in Base.metadata.sorted_tables:
            for row in session.execute(select(table)):
                content = orjson.dumps([_readable(value) for value in row], default=str).decode()
                places += [f"table {table.name}: {content}" for needle in needles if needle in content]
        if not here.database.is_sqlite:
            tables = "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
            left = session.scalars(text(f"{tables} AND relnamespace = 'public'::regnamespace")).all()
            assert set(left) == {*Base.metadata.tables, "alembic_version"}
    with Redis.from_url(redis_url) as client:
        for key in client.scan_iter():
            dumped = key + repr(_everything(client, key)).encode()
            places += [f"redis {dumped!r}" for needle in needles if needle.encode() in dumped]
    for path in (here.settings.data_dir / "spool").glob("*"):
        places += [f"file {path}" for needle in needles if needle.encode() in path.read_bytes()]
    return places


def _readable(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _everything(client: Redis, key: bytes) -> Any:
    kind = client.type(key)
    readers = {b"hash": client.hgetall, b"stream": client.xrange, b"string": client.get, b"set": client.smembers}
    return readers[kind](key)


def live_a_little(here: Runtime, shop: Caller, manage: Caller) -> None:
    """One person with two ids leaves a trace everywhere; so does another, who stays."""
    stock(here, shop)
    drain = here.stream_drain()
    assert drain is not None
    drain.until_done(10)
    manage.ok("POST", "/api/v1/experiments", experiment(sticky=True), 201)
    manage.ok("POST", "/api/v1/experiments/home-recs/start")
    for user in (*IDS, "bob"):
        shop.ok("PUT", f"/users/{user}", {"attributes": {"country": "CN"}})
        shop.ok("POST", "/assign", {"user_id": user, "expose": True})
        shown = shop.ok("POST", "/recommend", {"user_id": user, "placement": "home"})
        click = {"type": "click", "user_id": user, "recommendation_id": shown["recommendation_id"], "item_id": "i1"}
        shop.ok("POST", "/events", {"events": [click]}, 202)
    drain.until_done(10)
    rollup.roll_up(here.database)
    report.refresh(here.database, "home-recs")
    shop.ok("POST", f"/users/{IDS[0]}/aliases", {"alias": IDS[1]}, 201)
    rollup.roll_up(here.database)
    unit = here.live.current.canonical(IDS[1])
    burying = Burying(here.database, here.direct, "stream")
    burying.append(Facts([event("bad", unit, at=2**63)]))
    burying.bury(orjson.dumps({"nobody": ["reads", unit]}), "not a batch of facts")
    # And what has not reached the tables yet: in the stream, taken by a drain that died, on disk.
    shop.ok("POST", "/events", {"events": [{"type": "click", "user_id": IDS[0], "item_id": "i2"}]}, 202)
    other = here.stream_drain()
    assert other is not None
    assert other._reader.read(0)
    shop.ok("POST", "/events", {"events": [{"type": "click", "user_id": IDS[1], "item_id": "i3"}]}, 202)
    here.spool.append(Facts([event("on disk", unit)]))


@pytest.mark.parametrize("key", ["", KEY])
def test_erased_is_erased_everywhere(where: dict[str, Any], key: str, tmp_path: Path) -> None:
    here = build_runtime(tmp_path / "var", pseudonym_key=key, **where)
    try:
        here.set_up()
        client = create_app(here).test_client()
        shop, manage = Caller(client, make_key(here, "shop")), Caller(client, make_key(here, "manage"))
        live_a_little(here, shop, manage)
        kept_as = tuple(Pseudonyms(key)(name) for name in IDS)
        places = found(here, where["redis_url"], kept_as)
        kinds = {place.split()[0] for place in places}
        assert kinds == {"table", "redis", "file"}
        tables = {place.split()[1] for place in places if place.startswith("table")}
        assert tables >= {f"{name}:" for name in ("events", "impressions", "exposures", "profiles", "aliases")}
        assert tables >= {f"{name}:" for name in ("dead_letters", "experiment_units")}
        if key:
            assert found(here, where["redis_url"], IDS) == []
        stored = manage.ok("GET", "/api/v1/experiments/home-recs/report")
        removed = shop.ok("DELETE", f"/users/{IDS[1]}")["removed"]
        assert removed["events"] == 5
        assert removed["dead_letters"] == 2
        assert found(here, where["redis_url"], (*IDS, *kept_as)) == []
        assert manage.ok("GET", "/api/v1/experiments/home-recs/report") == stored
        rollup.roll_up(here.database)
        assert found(here, where["redis_url"], (*IDS, *kept_as)) == []
        assert found(here, where["redis_url"], (Pseudonyms(key)("bob"),))
    finally:
        here.close()


def test_what_others_still_hold_does_not_bring_an_erased_person_back(where: dict[str, Any], tmp_path: Path) -> None:
    """Another host's spool, and a batch that somebody held in their hands; what comes after the erasure is kept."""
    here = build_runtime(tmp_path / "var", **where)
    elsewhere = SpoolSink(tmp_path / "another host")
    try:
        here.set_up()
        client = create_app(here).test_client()
        shop = Caller(client, make_key(here, "shop"))
        shop.ok("POST", f"/users/{IDS[0]}/aliases", {"alias": IDS[1]}, 201)
        before = now_micros()
        held = [
            Facts([event(f"e-{unit}", unit, before, received_at=before)], [impression(f"r-{unit}", unit, before)])
            for unit in (*IDS, "bob")
        ]
        held += [Facts(exposures=[exposure(unit, at=before)]) for unit in (*IDS, "bob")]
        for facts in held:
            elsewhere.append(facts)
        assert shop.ok("DELETE", f"/users/{IDS[1]}")["removed"]["events"] == 0
        # The person comes back, under both ids again: what was recorded before stays away all the same.
        shop.ok("POST", f"/users/{IDS[0]}/aliases", {"alias": IDS[1]}, 201)
        later = [event(f"later-{unit}", unit, before, received_at=now_micros()) for unit in IDS]
        here.direct.append(Facts(later))
        tables = Burying(here.database, here.direct, "spool")
        assert elsewhere.drain(tables.append, tables.bury) > 0
        assert elsewhere.size() == 0
        here.direct.append(held[0])
        with here.database.read() as session:
            kept = [session.scalars(select(column)).all() for column in (EventRow.event_id, ImpressionRow.unit_id)]
            assert sorted(kept[0]) == ["e-bob", *sorted(f"later-{unit}" for unit in IDS)]
            assert kept[1] == session.scalars(select(ExposureRow.unit_id)).all() == ["bob"]
            assert session.scalar(select(func.count()).select_from(DeadLetter)) == 0
            stones = session.scalars(select(Erasure.digest)).all()
        assert sorted(stones) == sorted(erasures.digest(unit) for unit in IDS)
        with here.database.write() as session:
            day = 86_400_000_000
            assert erasures.forget(session, now_micros() + (erasures.KEPT_DAYS - 1) * day) == 0
            erasures.note(session, [IDS[0]], now_micros() + 2 * day)  # erased once more: the later time counts
            erasures.note(session, [IDS[0]], 5)
            assert erasures.forget(session, now_micros() + (erasures.KEPT_DAYS + 1) * day) == 1
    finally:
        here.close()


def test_a_pseudonym_is_one_person_on_every_road(runtime: Runtime, tmp_path: Path) -> None:
    here = build_runtime(runtime.settings.data_dir, pseudonym_key=KEY)
    client = create_app(here).test_client()
    shop, manage = Caller(client, make_key(here, "shop")), Caller(client, make_key(here, "manage"))
    public = Caller(client, None)
    stock(here, shop)
    manage.ok("POST", "/api/v1/experiments", experiment(overrides={"tester": "item-cf", "other": "control"}), 201)
    manage.ok("POST", "/api/v1/experiments/home-recs/start")
    for user in ("anna", "tester", "other"):
        (assigned,) = shop.ok("POST", "/assign", {"user_id": user})["assignments"]
        flag = shop.ok("POST", "/ofrep/v1/evaluate/flags/home-recs", {"context": {"targetingKey": user}})
        shown = shop.ok("POST", "/recommend", {"user_id": user, "placement": "home"})
        assert assigned["arm"] == flag["variant"] == shown["arm"]
        assert shown["user_id"] == user
        if user != "anna":
            assert (assigned["arm"], assigned["reason"]) == ({"tester": "item-cf"}.get(user, "control"), "override")
    public.refused("GET", f"/api/features/{make_key(here, 'client')}", status=409)
    here.close()


def test_a_key_that_could_be_guessed_is_refused() -> None:
    with pytest.raises(SettingsError, match="RECLIFT_PSEUDONYM_KEY"):
        load_settings(pseudonym_key="short")
    with pytest.raises(ValueError, match="at least 16"):
        Pseudonyms("short")
    assert Pseudonyms()("anna") == "anna"
    assert Pseudonyms(KEY)("anna") == Pseudonyms(KEY)("anna") != Pseudonyms(KEY + ".")("anna")
