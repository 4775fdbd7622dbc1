"""The snapshot that a process answers from: swapped whole, never broken by one thing, and kept without a database."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.exc import OperationalError

from reclift import wiring
from reclift.domain.events import Facts
from reclift.flows import accounts, catalogue, experiments, models, placements, serving
from reclift.flows.configuration import aliases_changed
from reclift.flows.erase import erase
from reclift.flows.errors import Conflict, FlowError, Invalid
from reclift.flows.serving import Live
from reclift.storage.database import Database
from reclift.storage.migrate import migrate
from reclift.storage.tables import Alias, EventRow, ModelRow, Placement
from reclift.strategy import Registry
from reclift.wiring import Runtime
from tests.unit.flows.conftest import MemoryQueue, start, train_one
from tests.unit.flows.toys import Toy
from tests.unit.storage.rows import event, exposure


def alias(here: Runtime, unit: str, other: str) -> bool:
    with here.database.write() as session:
        return catalogue.add_alias(session, unit, other)


def another(here: Runtime) -> Live:
    """The same in a second process."""
    return Live(here.database, here.registry, here.artifacts, poll_seconds=0.05)


def test_it_is_loaded_at_first_use_and_stays_the_same_until_something_changes(shop: Runtime) -> None:
    live = another(shop)
    assert live.age_seconds is None
    first = live.current
    assert live.current is first
    assert live.refresh() is False
    assert live.current is first
    assert live.age_seconds is not None
    assert live.age_seconds < 60


def test_an_entry_of_the_fallback_chain_answers_with_its_own_parameters(shop: Runtime) -> None:
    train_one(shop, boost=2.0)
    with shop.database.write() as session:
        chain = ["toy", {"strategy": "toy", "params": {"boost": 2.0}}, {"strategy": "toy", "params": {"boost": 3.0}}]
        placements.put(session, shop.registry, "home", {"fallback": chain}, "me")
    shop.live.refresh()
    assert [served.label for served in shop.live.current.placements["home"].fallback] == ["toy@1", "toy@2", None]


def test_a_change_is_taken_whole(shop: Runtime) -> None:
    before = shop.live.current
    assert before.plan.decide("exp", "u1").in_experiment
    assert before.arms["exp", "new"].label == "other@1"
    assert before.phases == {"exp": {"control": 1, "new": 1}}
    with shop.database.write() as session:
        experiments.act(session, shop.registry, shop.queue, "exp", "stop", "me")
        _, secret = accounts.create_key(session, "shop", ["shop"], "me")
    assert shop.live.refresh() is True
    after = shop.live.current
    assert after.version == before.version + 2
    assert not after.plan.decide("exp", "u1").in_experiment
    assert after.arms == {}
    assert after.arms_of("exp") == {"control": 1, "new": 1}  # late exposures still find it
    assert after.keys[accounts.digest(secret)].scopes == frozenset({"shop"})
    assert before.plan.decide("exp", "u1").in_experiment  # whoever holds the old one keeps a whole one


def test_revoked_keys_and_drafts_are_not_in_it(here: Runtime) -> None:
    from tests.unit.flows.toys import draft

    with here.database.write() as session:
        row, secret = accounts.create_key(session, "k", ["read"], "me")
        accounts.revoke_key(session, row.id, "me")
        experiments.create(session, here.registry, draft(), "me")
    here.live.refresh()
    assert accounts.digest(secret) not in here.live.current.keys
    assert here.live.current.arms_of("exp") == {}


def test_models_are_swapped_and_unchanged_ones_kept_in_memory(shop: Runtime) -> None:
    before = shop.live.current
    train_one(shop)
    shop.live.refresh()
    after = shop.live.current
    assert after.placements["home"].default.label == "toy@2"
    assert after.arms["exp", "control"].label == "toy@2"
    assert after.arms["exp", "new"].model is before.arms["exp", "new"].model
    assert before.arms["exp", "control"].label == "toy@1"


def test_the_catalogue_is_swapped_without_reloading_models(shop: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    before = shop.live.current
    monkeypatch.setattr(Live, "_load", None)
    with shop.database.write() as session:
        catalogue.put_items(session, [catalogue.parse_item({"item_id": "i0", "available": False})])
        catalogue.delete_item(session, "i1")
    assert shop.live.refresh() is True
    assert before.items.available - shop.live.current.items.available == {"i0", "i1"}
    assert shop.live.current.placements is before.placements


@pytest.mark.parametrize("broken", ["artifact", "restore"])
def test_a_broken_model_stops_no_other_and_is_tried_again(
    shop: Runtime, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = shop.settings.models_dir / "toy-1" / "state.json"
    whole = manifest.read_bytes()
    if broken == "artifact":
        manifest.write_text("{")
    else:
        monkeypatch.setattr(Toy, "restore", classmethod(lambda cls, state, params: 1 / 0))
        monkeypatch.setattr("tests.unit.flows.toys.Other.restore", Toy.__dict__["restore"])
    live = another(shop)
    assert live.current.arms["exp", "control"].model is None
    assert live.current.placements["home"].default.model is None
    assert live.current.plan.decide("exp", "u1").in_experiment
    if broken == "artifact":
        assert live.current.arms["exp", "new"].label == "other@1"
    assert live.refresh() is False
    monkeypatch.undo()
    manifest.write_bytes(whole)
    assert live.refresh() is False  # not every second
    monkeypatch.setattr(serving, "_RETRY_SECONDS", 0.0)
    assert live.refresh() is True
    assert live.current.arms["exp", "control"].label == "toy@1"
    assert live.refresh() is False


def test_a_strategy_that_is_gone_or_refuses_its_parameters_stops_no_other(shop: Runtime) -> None:
    with shop.database.write() as session:
        session.execute(update(Placement).where(Placement.key == "cart").values(params={"no-longer": 1}))
    live = Live(shop.database, Registry({"toy": Toy}), shop.artifacts, poll_seconds=1)
    assert live.current.arms["exp", "new"].model is None  # `other` is not installed here
    assert live.current.arms["exp", "control"].label == "toy@1"
    assert live.current.placements["cart"].default.model is None


def test_a_pinned_model_is_served_whatever_is_active(shop: Runtime) -> None:
    train_one(shop)
    arms = [{"key": "a", "strategy": "toy", "control": True, "model": 1}, {"key": "b", "strategy": "toy", "model": 2}]
    start(shop, "pinned", placement="cart", arms=arms)
    with shop.database.write() as session:
        session.execute(update(ModelRow).where(ModelRow.version == 2).values(state="removed", active=False))
        models.activate(session, 1, "me")
    shop.live.refresh()
    assert shop.live.current.arms["pinned", "a"].label == "toy@1"
    assert shop.live.current.arms["pinned", "b"].model is None
    assert shop.live.current.placements["cart"].default.label == "toy@1"


def test_what_ended_is_not_kept_in_memory(shop: Runtime) -> None:
    train_one(shop)
    arms = [{"key": "a", "strategy": "toy", "control": True, "model": 1}, {"key": "b", "strategy": "toy"}]
    start(shop, "pinned", placement="cart", arms=arms)
    with shop.database.write() as session:
        experiments.act(session, shop.registry, shop.queue, "pinned", "stop", "me")
    live = another(shop)
    live.refresh()
    assert sorted(live._loaded_models) == ["other-1", "toy-2"]


def test_without_a_database_the_last_good_snapshot_stays(shop: Runtime) -> None:
    live = another(shop)
    good = live.current
    with shop.database.connection() as connection:
        connection.exec_driver_sql("ALTER TABLE configuration RENAME TO away")
    with pytest.raises(OperationalError):
        live.refresh()
    live.start()  # the watching thread lives through it
    threading.Event().wait(0.2)
    assert live.current is good
    with shop.database.connection() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO configuration")
    with shop.database.write() as session:
        catalogue.changed(session)
    for _ in range(200):
        if live.current is not good:
            break
        threading.Event().wait(0.02)
    assert live.current.catalogue_version == good.catalogue_version + 1
    live.stop()


def test_a_database_that_was_never_set_up_is_said_so(tmp_path: Any) -> None:
    database = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    migrate(database)
    runtime = wiring.build(
        wiring.Settings(data_dir=tmp_path, database_url=f"sqlite:///{tmp_path / 'empty.db'}"),
        registry=Registry({"toy": Toy}),
        queue=MemoryQueue(),
    )
    with pytest.raises(FlowError, match="run `reclift migrate`"):
        _ = runtime.live.current
    runtime.close()
    database.dispose()


def test_many_threads_that_refresh_at_once_load_once(shop: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    live = another(shop)
    loads: list[int] = []
    load = Live._load
    monkeypatch.setattr(Live, "_load", lambda self, *rest: loads.append(1) or load(self, *rest))
    threads = [threading.Thread(target=lambda: live.current) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 1


# aliases


def test_aliases_lead_to_the_person(shop: Runtime) -> None:
    before = shop.live.current
    assert alias(shop, "u1", "device-7") is True
    assert alias(shop, "u1", "device-7") is False
    assert alias(shop, "device-7", "device-8") is True  # told of a device: it means the person behind it
    live = another(shop)
    assert [live.current.canonical(unit) for unit in ("u1", "device-7", "device-8", "x")] == ["u1", "u1", "u1", "x"]
    assert live.current.plan.decide("exp", live.current.canonical("device-8")) == live.current.plan.decide("exp", "u1")
    with pytest.raises(Conflict, match="belongs to another"):
        alias(shop, "u2", "device-7")
    with pytest.raises(Conflict, match="itself a user with aliases"):
        alias(shop, "u2", "u1")
    with pytest.raises(Invalid, match="must differ"):
        alias(shop, "u2", "u2")
    shop.live.refresh()
    assert shop.live.current.canonical("device-7") == "u1"
    assert before.canonical("device-7") == "device-7"  # a snapshot does not change under those who hold it


def test_aliases_that_come_later_are_added_and_merged(shop: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_NEW_ALIASES", 3)
    live = another(shop)
    known: dict[str, str] = {}
    for number in range(12):
        alias(shop, f"u{number}", f"d{number}")
        known[f"d{number}"] = f"u{number}"
        live.refresh()
        current = live.current
        assert {name: current.canonical(name) for name in known} == known
        assert len(current.new_aliases) <= 3
        with shop.database.write() as session:
            models.bump(session)  # another configuration keeps the aliases
        live.refresh()
        assert {name: live.current.canonical(name) for name in known} == known


def test_erased_people_are_gone_from_every_process(shop: Runtime) -> None:
    alias(shop, "u1", "device-7")
    alias(shop, "u2", "device-8")
    other = another(shop)
    assert other.current.canonical("device-7") == "u1"
    shop.direct.append(
        Facts(
            [event("e1", "u1"), event("e2", "device-7"), event("e3", "u2")],
            exposures=[exposure("u1"), exposure("u2")],
        )
    )
    shop.spool.append(Facts([event("e4", "u1"), event("e5", "u3")]))
    removed = erase(shop.database, shop.spool, "u1")
    assert (removed["events"], removed["exposures"], removed["aliases"]) == (3, 1, 1)
    with shop.database.read() as session:
        assert sorted(session.scalars(select(EventRow.event_id))) == ["e3", "e5"]
        assert session.scalars(select(Alias.alias)).all() == ["device-8"]
    other.refresh()
    assert other.current.canonical("device-7") == "device-7"
    assert other.current.canonical("device-8") == "u2"
    alias(shop, "u9", "device-7")  # and the device may have a new owner
    other.refresh()
    assert other.current.canonical("device-7") == "u9"


def test_an_alias_that_is_erased_and_given_anew_between_two_looks_is_noticed(shop: Runtime) -> None:
    alias(shop, "u1", "device-7")
    live = another(shop)
    live.refresh()
    with shop.database.write() as session:
        session.execute(delete(Alias))
    alias(shop, "u2", "device-7")
    live.refresh()
    assert live.current.canonical("device-7") == "u2"


def test_an_active_model_of_no_use_is_not_loaded(shop: Runtime) -> None:
    train_one(shop, boost=7.0)
    live = another(shop)
    live.refresh()
    assert sorted(live._loaded_models) == ["other-1", "toy-1"]
    with shop.database.read() as session:
        assert session.scalar(select(ModelRow.active).where(ModelRow.version == 2))


def test_whoever_keeps_something_of_people_is_told_whose_ids_changed(shop: Runtime) -> None:
    told: list[object] = []
    shop.live._persons_changed = lambda units: told.append(units if units is None else set(units))
    shop.live.refresh()
    assert alias(shop, "u1", "device-1")
    assert alias(shop, "u2", "device-2")
    shop.live.refresh()
    shop.live.refresh()
    assert told == [{"u1", "device-1", "u2", "device-2"}]
    with shop.database.write() as session:  # as after a merge or an erasure
        aliases_changed(session)
    assert alias(shop, "u1", "device-3")
    shop.live.refresh()
    assert told[1:] == [None]
