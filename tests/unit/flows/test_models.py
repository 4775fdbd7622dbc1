"""Training, activation, what is due and what is removed."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select, update

from reclift.domain.events import MICROS, Facts
from reclift.flows import catalogue, heartbeat, models, train
from reclift.flows.clock import now, now_micros
from reclift.flows.errors import Conflict, NotFound
from reclift.storage.tables import AuditEntry, ExperimentRow, ItemRow, ModelRow, Placement
from reclift.strategy import Registry, Scored, State, StrategyError
from reclift.wiring import Runtime
from strategies.popularity import Popularity
from tests.unit.flows.conftest import start, train_one
from tests.unit.flows.toys import Toy, draft
from tests.unit.storage.rows import event


@pytest.fixture
def stocked(here: Runtime) -> Runtime:
    with here.database.write() as session:
        catalogue.put_items(session, [catalogue.parse_item({"item_id": f"i{number}"}) for number in range(4)])
    return here


@pytest.fixture(autouse=True)
def _plain_toy() -> Iterator[None]:
    yield
    Toy.during_fit = None


def rows(here: Runtime) -> list[ModelRow]:
    with here.database.read() as session:
        return list(session.scalars(select(ModelRow).order_by(ModelRow.id)))


def wanted(here: Runtime) -> list[tuple[str, dict[str, Any]]]:
    with here.database.read() as session:
        return models.due(session, here.registry, hours=1.0)


def test_a_sound_model_is_kept_and_activated(stocked: Runtime) -> None:
    at = now_micros()
    stocked.direct.append(
        Facts(
            [
                event("1", "u1", at, item_id="i2"),
                event("2", "u2", at, item_id="i2"),
                event("3", "u2", at - 9, item_id="i1"),
            ]
        )
    )
    shares: list[float] = []
    result = train.train(
        stocked.database,
        stocked.registry,
        stocked.artifacts,
        "toy",
        {},
        weights=stocked.settings.event_weights,
        progress=lambda share, what: shares.append(share),
    )
    assert (result["model"], result["state"], result["active"]) == ("toy@1", "ready", True)
    assert (result["users"], result["items"], result["interactions"]) == (2, 4, 3)
    assert shares == sorted(shares)
    assert 0.0 <= shares[0] <= shares[-1] <= 1.0
    stocked.live.refresh()
    served = stocked.live.current.placements["home"].default
    assert (served.label, served.model and served.model.items[:2]) == ("toy@1", ["i2", "i1"])  # type: ignore[attr-defined]
    (row,) = rows(stocked)
    assert row.data_until is not None
    assert abs(row.data_until.timestamp() - at / MICROS) < 1e-3


def test_what_an_approximate_search_finds_stands_with_the_model(
    stocked: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Toy.state
    told = {"slack": 0.3, "recall@10": 0.99, "kind": "lists", "exact": True}
    monkeypatch.setattr(Toy, "state", lambda toy: State(plain(toy).arrays, {"search": told}))
    train_one(stocked, "toy")
    (row,) = rows(stocked)
    assert {name: value for name, value in row.metrics.items() if name.startswith("search")} == {
        "search slack": 0.3,
        "search recall@10": 0.99,
    }
    assert row.metrics["reason"].endswith("measuring needs 20")  # and what was not measured is still said


def test_versions_count_up_and_the_newest_answers(stocked: Runtime) -> None:
    assert [train_one(stocked)["model"] for _ in range(2)] == ["toy@1", "toy@2"]
    assert train_one(stocked, "toy", boost=2.0)["model"] == "toy@3"  # other parameters: another line of models
    assert [(row.version, row.active) for row in rows(stocked)] == [(1, False), (2, True), (3, True)]


@pytest.mark.parametrize(
    ("fail", "state", "reason"),
    [
        ("silent", "rejected", "recommends nothing to anybody"),
        ("strategy error", "failed", "too little to learn from"),
    ],
)
def test_an_unsound_model_is_kept_with_its_reason_and_the_active_one_stays(
    stocked: Runtime, fail: str, state: str, reason: str
) -> None:
    result = train_one(stocked, fail=fail)
    assert (result["state"], result["active"]) == (state, False)
    assert reason in str(result["error"])
    assert [(row.artifact, row.size_bytes) for row in rows(stocked)] == [(None, None)]
    assert list(stocked.settings.models_dir.glob("*")) == []


def test_a_shop_of_one_item_has_a_model_that_answers(stocked: Runtime) -> None:
    with stocked.database.write() as session:
        session.execute(delete(ItemRow).where(ItemRow.item_id != "i1"))
    stocked.direct.append(Facts([event("1", "u1", now_micros(), item_id="i1")]))
    data = train.load_dataset(stocked.database, stocked.settings.event_weights)
    model = Popularity.fit(data, Popularity.Parameters(), lambda _share, _what: None)
    assert train.check(model, data) is None  # it leaves the page's own item out, which is the only one


@pytest.mark.parametrize(("fail", "reason"), [("bug", "a bug"), ("restore", "cannot be brought back")])
def test_a_bug_is_on_record_and_raised_and_leaves_no_files(stocked: Runtime, fail: str, reason: str) -> None:
    with pytest.raises((ZeroDivisionError, RuntimeError), match=reason):
        train_one(stocked, fail=fail)
    (row,) = rows(stocked)
    assert (row.state, row.active) == ("failed", False)
    assert reason in (row.error or "")
    assert list(stocked.settings.models_dir.glob("*")) == []


def test_the_active_model_stays_when_the_next_is_unsound(stocked: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    train_one(stocked)
    monkeypatch.setattr(Toy, "recommend", lambda self, query: [Scored("i1", float("nan"))])
    result = train_one(stocked)
    assert result["state"] == "rejected"
    assert "score=nan is not finite" in str(result["error"])
    assert [(row.version, row.state, row.active) for row in rows(stocked)] == [
        (1, "ready", True),
        (2, "rejected", False),
    ]


def test_without_an_item_to_show_nothing_is_sound_or_due(here: Runtime) -> None:
    assert wanted(here) == []
    result = train_one(here)
    assert (result["state"], result["error"]) == ("rejected", "the catalogue has no available item")


def test_unknown_strategies_and_parameters_are_refused_before_anything_is_written(stocked: Runtime) -> None:
    with pytest.raises(NotFound, match="no strategy 'nope'"):
        train_one(stocked, "nope")
    with pytest.raises(StrategyError, match=r"toy: parameter boost=-1"):
        train_one(stocked, boost=-1)
    with pytest.raises(StrategyError, match=r"bosst"):
        train_one(stocked, bosst=1)
    assert rows(stocked) == []


def test_defaults_are_the_same_model_as_nothing() -> None:
    registry = Registry({"toy": Toy})
    marks = [
        models.fingerprint(models.complete(registry, "toy", params)) for params in ({}, {"boost": 1}, {"fail": ""})
    ]
    assert len(set(marks)) == 1
    assert models.fingerprint(models.complete(registry, "toy", {"boost": 2})) not in marks


def test_activation_goes_back_to_an_older_model_and_is_on_record(stocked: Runtime) -> None:
    train_one(stocked), train_one(stocked), train_one(stocked, fail="silent")
    first, second, rejected = rows(stocked)
    with stocked.database.write() as session:
        models.activate(session, first.id, "me")
        models.activate(session, first.id, "me")  # again: nothing to do, nothing to record
    assert [row.active for row in rows(stocked)] == [True, False, False]
    with stocked.database.write() as session:
        with pytest.raises(Conflict, match="toy@3 is rejected"):
            models.activate(session, rejected.id, "me")
        with pytest.raises(NotFound, match="no model 99"):
            models.activate(session, 99, "me")
        entries = session.scalars(select(AuditEntry).where(AuditEntry.actor == "me")).all()
        assert [(entry.subject, entry.before, entry.after) for entry in entries] == [
            ("toy@1", {"active": "toy@2"}, {"active": "toy@1"})
        ]
    assert second.version == 2


def test_nobody_goes_back_to_a_model_that_cannot_be_loaded(stocked: Runtime) -> None:
    train_one(stocked), train_one(stocked)
    first, _ = rows(stocked)
    (stocked.settings.models_dir / "toy-1" / "state.json").unlink()

    def usable(row: ModelRow) -> bool:
        return models.restore(stocked.registry, stocked.artifacts, row) is not None

    with stocked.database.write() as session, pytest.raises(Conflict, match="toy@1 cannot be loaded"):
        models.activate(session, first.id, "me", usable)
    assert [row.active for row in rows(stocked)] == [False, True]


def test_an_active_model_whose_files_are_gone_is_trained_anew(stocked: Runtime) -> None:
    start(stocked)
    for strategy, params in wanted(stocked):
        train.train(
            stocked.database, stocked.registry, stocked.artifacts, strategy, params,
            weights={"click": 1.0}, progress=lambda _share, _what: None,
        )  # fmt: skip

    def lost() -> list[str]:
        with stocked.database.read() as session:
            found = models.due(session, stocked.registry, hours=1.0, there=stocked.artifacts.has)
            return [strategy for strategy, _ in found]

    assert lost() == []
    shutil.rmtree(stocked.settings.models_dir / "toy-1")
    assert lost() == ["toy"]
    train_one(stocked)
    assert lost() == []


def test_old_versions_go_but_active_and_pinned_ones_stay(stocked: Runtime) -> None:
    for _ in range(2):
        train_one(stocked)
    start(stocked, arms=[{"key": "a", "strategy": "toy", "control": True, "model": 1}, {"key": "b", "strategy": "toy"}])
    for _ in range(3):
        train_one(stocked)
    assert [row.version for row in rows(stocked) if row.state == "ready"] == [1, 4, 5]
    assert sorted(path.name for path in stocked.settings.models_dir.iterdir()) == ["toy-1", "toy-4", "toy-5"]
    with stocked.database.write() as session:
        models.activate(session, 4, "me")
        assert models.prune(session, keep=1) == []
        models.activate(session, 5, "me")
        assert models.prune(session, keep=1) == ["toy-4"]


def test_failures_are_not_collected_for_ever(stocked: Runtime) -> None:
    for _ in range(5):
        train_one(stocked, fail="silent")
    assert [row.state for row in rows(stocked)] == ["removed"] * 3 + ["rejected"] * 2


def test_what_is_wanted_and_missing_is_due(stocked: Runtime) -> None:
    assert [strategy for strategy, _ in wanted(stocked)] == ["toy"]
    start(stocked)
    assert sorted(strategy for strategy, _ in wanted(stocked)) == ["other", "toy"]
    train_one(stocked)
    train_one(stocked, "other")
    assert wanted(stocked) == []


def test_an_old_model_is_due_only_if_there_is_news(stocked: Runtime) -> None:
    at = now_micros() - 10_000 * MICROS
    stocked.direct.append(Facts([event("1", at=at)]))
    train_one(stocked)
    with stocked.database.write() as session:
        session.execute(update(ModelRow).values(trained_at=now() - timedelta(hours=2)))
    assert wanted(stocked) == []
    stocked.direct.append(Facts([event("2", at=at + 1)]))
    assert [strategy for strategy, _ in wanted(stocked)] == ["toy"]
    with stocked.database.write() as session:
        session.execute(update(ModelRow).values(trained_at=now() - timedelta(minutes=30)))
    assert wanted(stocked) == []


def test_what_failed_just_now_is_not_tried_again_at_once(stocked: Runtime) -> None:
    with stocked.database.write() as session:
        session.execute(update(Placement).values(params={"fail": "silent"}, fallback=[]))
    assert len(wanted(stocked)) == 1
    train_one(stocked, fail="silent")
    assert wanted(stocked) == []
    with stocked.database.write() as session:
        session.execute(update(ModelRow).values(created_at=now() - timedelta(minutes=11)))
    assert len(wanted(stocked)) == 1


def test_a_training_whose_worker_went_away_is_given_up_and_tried_again(stocked: Runtime) -> None:
    with stocked.database.write() as session:
        models.begin(session, "toy", models.complete(stocked.registry, "toy", {}))
        assert models.missing(session, stocked.registry) == []
        assert models.give_up_abandoned(session) == 0
        session.execute(update(ModelRow).values(alive_at=now() - timedelta(seconds=heartbeat.LEASE_SECONDS + 1)))
        assert models.give_up_abandoned(session) == 1
        assert len(models.missing(session, stocked.registry)) == 1
    (row,) = rows(stocked)
    assert (row.state, row.error) == ("failed", "the worker went away")


def test_a_long_training_says_that_it_lives(stocked: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat.Heartbeat.__init__, "__defaults__", (0.01,))

    def wait_for_a_beat() -> None:
        (row,) = rows(stocked)
        before = row.alive_at
        assert before is not None
        while rows(stocked)[0].alive_at == before:
            threading.Event().wait(0.01)

    Toy.during_fit = wait_for_a_beat
    assert train_one(stocked)["state"] == "ready"


def test_a_strategy_that_does_not_load_stops_no_other(stocked: Runtime) -> None:
    class Broken(Toy):
        @classmethod
        def restore(cls, state: Any, params: Any) -> Any:
            raise AssertionError("never")

    broken: Any = type("NoParameters", (Broken,), {"Parameters": property(lambda self: 1)})
    registry = Registry({"toy": Toy, "other": broken})
    with stocked.database.write() as session:
        session.execute(update(Placement).where(Placement.key == "cart").values(strategy="other"))
        session.execute(update(Placement).where(Placement.key == "home").values(params={"gone": 1}))
        assert [strategy for strategy, _ in models.wanted(session, registry)] == ["toy"]


def test_imported_experiments_want_no_models(stocked: Runtime) -> None:
    train_one(stocked)
    start(stocked)
    with stocked.database.write() as session:
        session.execute(update(ExperimentRow).values(source="imported"))
    assert wanted(stocked) == []


def test_the_data_to_learn_from(stocked: Runtime) -> None:
    with stocked.database.write() as session:
        catalogue.put_profile(session, "u1", {"country": "CN"})
        session.execute(update(ItemRow).where(ItemRow.item_id == "i3").values(available=False))
    stocked.direct.append(
        Facts(
            [
                event("1", "u1", 3_000_000, item_id="i1", type="purchase", value=2.5),
                event("2", "u2", 1_000_000, item_id="gone"),
                event("3", "u1", 2_000_000, item_id="i0"),
                event("4", "u1", 2_000_000, item_id=None),
                event("5", "u1", 2_000_000, item_id="i0", type="view"),
                event("6", "u3", 9_000_000, item_id="i0"),
            ]
        )
    )
    data = train.load_dataset(stocked.database, {"click": 1.0, "purchase": 5.0, "view": 0.0}, until=3_000_000)
    assert data.item_ids.tolist() == ["i0", "i1", "i2", "i3", "gone"]
    assert [item.available for item in data.items] == [True, True, True, False, False]
    assert data.user_ids.tolist() == ["u2", "u1"]
    assert [(data.user_ids[u], data.item_ids[c]) for u, c in zip(data.users, data.columns, strict=True)] == [
        ("u2", "gone"),
        ("u1", "i0"),
        ("u1", "i1"),
    ]
    assert data.weights.tolist() == [1.0, 1.0, 5.0]
    assert str(data.values.tolist()) == "[nan, nan, 2.5]"
    assert data.times.tolist() == [1.0, 2.0, 3.0]
    assert data.until == 3.0
    assert data.user_attributes == {"u1": {"country": "CN"}}
    later = train.load_dataset(stocked.database, {"click": 1.0}, since=5_000_000)
    assert (len(later), later.user_ids.tolist()) == (1, ["u3"])
    assert len(train.load_dataset(stocked.database, {"nothing": 1.0})) == 0


def test_draft_is_a_good_experiment(tmp_path: Path) -> None:
    from reclift.domain.validation import parse_experiment

    assert parse_experiment(draft())[1] == []
