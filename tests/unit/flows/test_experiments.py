"""Experiments are made, changed and led through their life; every broken rule is named."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update

from reclift.domain.events import Facts
from reclift.flows import experiments, rollup
from reclift.flows.errors import Conflict, Invalid, NotFound
from reclift.storage.tables import AuditEntry, Configuration, DirtyUnit, ExperimentRow, JobRun, UnitTotal
from reclift.wiring import Runtime
from tests.unit.flows.conftest import start
from tests.unit.flows.toys import draft
from tests.unit.storage.rows import event, exposure


def create(here: Runtime, key: str = "exp", **more: Any) -> dict[str, Any]:
    with here.database.write() as session:
        return experiments.view(experiments.create(session, here.registry, draft(key, **more), "me"))


def change(here: Runtime, key: str = "exp", **payload: Any) -> dict[str, Any]:
    with here.database.write() as session:
        return experiments.view(experiments.change(session, here.registry, key, payload, "me"))


def act(here: Runtime, action: str, key: str = "exp") -> dict[str, Any]:
    with here.database.write() as session:
        return experiments.view(experiments.act(session, here.registry, here.queue, key, action, "me"))


def view(here: Runtime, key: str = "exp") -> dict[str, Any]:
    with here.database.read() as session:
        return experiments.view(experiments.find(session, key))


def problems(call: Any, *args: Any, **more: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        call(*args, **more)
    return {problem.field: problem.rule for problem in caught.value.problems}


def version(here: Runtime) -> int:
    with here.database.read() as session:
        return session.get_one(Configuration, 1).version


def test_a_draft_gets_sensible_defaults(here: Runtime) -> None:
    payload = draft()
    del payload["metrics"]
    with here.database.write() as session:
        made = experiments.view(experiments.create(session, here.registry, payload, "me"))
    assert made["metrics"] == {
        "primary": "ctr",
        "secondary": ["conversion", "revenue_per_user"],
        "guardrails": ["latency", "fallback_rate"],
    }
    assert (made["status"], made["phase"], made["version"], made["planned_days"]) == ("draft", 1, 1, 14)
    assert (made["name"], made["traffic"], made["source"]) == ("exp", 1.0, "live")
    assert [arm["key"] for arm in made["arms"]] == ["control", "new"]
    assert view(here) == made


def test_all_problems_are_named_at_once(here: Runtime) -> None:
    found = problems(
        create,
        here,
        "BAD KEY",
        placement="nowhere",
        traffic=1.5,
        arms=[
            {"key": "a", "strategy": "unheard-of", "control": True},
            {"key": "b", "strategy": "toy", "params": {"boost": -1}},
        ],
        metrics={"primary": "nope", "secondary": ["ctr", "neither"]},
        surprise=1,
    )
    assert set(found) == {
        "key",
        "placement",
        "traffic",
        "arms.0.strategy",
        "arms.1.params.boost",
        "metrics.primary",
        "metrics.secondary",
        "surprise",
    }
    assert "home" in found["placement"]
    assert "other, toy" in found["arms.0.strategy"]
    with here.database.read() as session:
        assert session.scalars(select(ExperimentRow)).all() == []


def test_what_is_missing_is_named_once(here: Runtime) -> None:
    with here.database.write() as session, pytest.raises(Invalid) as caught:
        experiments.create(session, here.registry, {}, "me")
    fields = [problem.field for problem in caught.value.problems]
    assert sorted(fields) == sorted(set(fields))
    assert {"key", "placement", "arms"} <= set(fields)


def test_a_key_is_taken_once(here: Runtime) -> None:
    create(here)
    with pytest.raises(Conflict, match="already an experiment 'exp'"):
        create(here)


def test_imported_logs_may_name_strategies_of_another_system(here: Runtime) -> None:
    arms = [{"key": "a", "strategy": "bts", "control": True}, {"key": "b", "strategy": "random"}]
    with here.database.write() as session:
        row = experiments.create(session, here.registry, draft(arms=arms), "me", source="imported")
        assert row.source == "imported"


def test_a_draft_may_change_in_everything_but_its_key(here: Runtime) -> None:
    create(here)
    changed = change(
        here,
        name="Better",
        placement="cart",
        traffic=0.5,
        audience={"country": "CN"},
        arms=[{"key": "x", "strategy": "toy", "control": True}, {"key": "y", "strategy": "toy", "weight": 3}],
        planned_days=7,
        note="why",
    )
    assert (changed["placement"], changed["traffic"], changed["version"]) == ("cart", 0.5, 2)
    assert [(arm["key"], arm["weight"]) for arm in changed["arms"]] == [("x", 1.0), ("y", 3.0)]
    assert (changed["planned_days"], changed["note"], changed["hypothesis"]) == (7, "why", "")
    with here.database.write() as session, pytest.raises(Invalid, match="cannot change: users are hashed with it"):
        experiments.change(session, here.registry, "exp", {"key": "other"}, "me")
    with pytest.raises(NotFound, match="no experiment 'nope'"):
        change(here, "nope", name="x")


def test_while_it_runs_only_what_moves_nobody_may_change(here: Runtime) -> None:
    start(here, audience={"country": "CN"})
    found = problems(
        change,
        here,
        audience={"country": "US"},
        arms=[{"key": "a", "strategy": "toy", "control": True}, {"key": "b", "strategy": "toy"}],
        layer="l",
        traffic=0.5,
    )
    assert set(found) == {"audience", "arms", "layer"}
    assert "while the experiment is running" in found["arms"]
    assert view(here)["traffic"] == 1.0  # nothing of it was taken
    same = view(here)
    changed = change(here, **{name: same[name] for name in ("audience", "arms", "layer", "sticky")}, traffic=0.5)
    assert (changed["traffic"], changed["audience"]) == (0.5, {"country": "CN"})


def test_after_its_end_only_words_may_change(here: Runtime) -> None:
    start(here)
    act(here, "stop")
    with pytest.raises(Conflict, match="only its name, hypothesis and note"):
        change(here, traffic=0.5)
    assert change(here, note="it worked")["note"] == "it worked"


@pytest.mark.parametrize("running", [True, False])
def test_overrides_must_name_arms_that_there_are(here: Runtime, *, running: bool) -> None:
    start(here) if running else create(here)
    assert set(problems(change, here, overrides={"u1": "nope"})) == {"overrides.u1"}
    assert change(here, overrides={"u1": "new"})["overrides"] == {"u1": "new"}
    here.live.refresh()
    here.live.current.plan.decide("exp", "u1")


def test_an_arm_that_overrides_name_cannot_just_go(here: Runtime) -> None:
    create(here, overrides={"u1": "new"})
    arms = [{"key": "control", "strategy": "toy", "control": True}, {"key": "newer", "strategy": "toy"}]
    assert set(problems(change, here, arms=arms)) == {"overrides.u1"}
    assert change(here, arms=arms, overrides={"u1": "newer"})["overrides"] == {"u1": "newer"}


@pytest.mark.parametrize(
    ("actions", "status"),
    [
        (["start"], "running"),
        (["start", "pause"], "paused"),
        (["start", "pause", "resume"], "running"),
        (["start", "stop"], "stopped"),
        (["start", "pause", "stop"], "stopped"),
        (["start", "stop", "archive"], "archived"),
        (["archive"], "archived"),
    ],
)
def test_its_life(here: Runtime, actions: list[str], status: str) -> None:
    create(here)
    for action in actions:
        before = version(here)
        act(here, action)
        assert version(here) == before + 1  # every process will know
    assert view(here)["status"] == status
    assert view(here)["version"] == 1 + len(actions)
    with here.database.read() as session:
        recorded = session.scalars(select(AuditEntry.action).where(AuditEntry.subject == "exp").order_by(AuditEntry.id))
        assert recorded.all() == ["create", *actions]


@pytest.mark.parametrize(
    ("actions", "wrong", "message"),
    [
        ([], "pause", "cannot pause an experiment that is draft; possible now: start, archive"),
        (["start"], "start", "cannot start an experiment that is running"),
        (["start"], "archive", "cannot archive"),
        (["start", "stop"], "resume", "cannot resume an experiment that is stopped"),
        (["archive"], "start", "nothing leads on"),
        ([], "explode", "action 'explode' is unknown"),
    ],
)
def test_guarded_transitions(here: Runtime, actions: list[str], wrong: str, message: str) -> None:
    create(here)
    for action in actions:
        act(here, action)
    with pytest.raises(Conflict, match=message):
        act(here, wrong)


def test_starting_checks_again_and_asks_for_the_missing_models(here: Runtime) -> None:
    create(here)
    with here.database.write() as session:
        session.execute(update(ExperimentRow).values(metrics={"primary": "gone", "secondary": [], "guardrails": []}))
    assert set(problems(act, here, "start")) == {"metrics.primary"}
    change(here, metrics={"primary": "ctr"})
    act(here, "start")
    with here.database.read() as session:
        asked = [(run.task, run.arguments["strategy"]) for run in session.scalars(select(JobRun))]
    assert sorted(asked) == [("train", "other"), ("train", "toy")]
    act(here, "pause")
    with here.database.read() as session:
        reports = [run.arguments for run in session.scalars(select(JobRun).where(JobRun.task == "report"))]
    assert reports == [{"experiment": "exp"}]


def test_other_metrics_are_computed_for_units_that_are_in_already(here: Runtime) -> None:
    start(here)
    here.direct.append(
        Facts(
            [event("e1", "u1", 5_000, type="add_to_cart")],
            exposures=[
                exposure("u1", "new", 1_000, experiment="exp"),
                exposure("u2", "control", 2_000, experiment="exp"),
            ],
        )
    )
    rollup.roll_up(here.database)
    change(here, name="no metric changed")
    with here.database.read() as session:
        assert session.scalars(select(DirtyUnit.unit_id)).all() == []
        assert session.scalars(select(UnitTotal.metric)).all() == []
    change(here, metrics={"primary": "ctr", "secondary": ["add_to_cart"]})
    with here.database.read() as session:
        assert sorted(session.scalars(select(DirtyUnit.unit_id))) == ["u1", "u2"]
    rollup.roll_up(here.database)
    with here.database.read() as session:
        assert session.execute(select(UnitTotal.unit_id, UnitTotal.metric)).all() == [("u1", "add_to_cart")]


def test_people_are_warned_of_experiments_on_the_same_placement(here: Runtime) -> None:
    start(here, "first")
    create(here, "second")
    create(here, "elsewhere", placement="cart")
    with here.database.read() as session:
        (words,) = experiments.warnings(session, experiments.find(session, "second"))
        assert words.startswith("first also runs on home: a user in both gets")
        assert experiments.warnings(session, experiments.find(session, "elsewhere")) == []
    change(here, "second", layer="l")
    with here.database.write() as session:
        assert experiments.warnings(session, experiments.find(session, "second"))
        session.execute(update(ExperimentRow).where(ExperimentRow.key == "first").values(layer="l"))
        assert experiments.warnings(session, experiments.find(session, "second")) == []


def test_the_list_shows_archived_ones_only_when_asked(here: Runtime) -> None:
    create(here, "a"), create(here, "b")
    act(here, "archive", "a")
    with here.database.read() as session:
        assert [one["key"] for one in experiments.all_experiments(session)] == ["b"]
        assert [one["key"] for one in experiments.all_experiments(session, "archived")] == ["a"]


# layers


def slot(here: Runtime, key: str) -> list[float] | None:
    found = view(here, key)["layer_range"]
    return [round(bound, 9) for bound in found] if found else None


def test_parts_of_a_layer_do_not_overlap_and_are_used_again(here: Runtime) -> None:
    start(here, "a", layer="l", traffic=0.3)
    start(here, "b", layer="l", traffic=0.3)
    start(here, "other", layer="m", traffic=0.9)
    assert (slot(here, "a"), slot(here, "b"), slot(here, "other")) == ([0, 0.3], [0.3, 0.6], [0, 0.9])
    create(here, "c", layer="l", traffic=0.5)
    with pytest.raises(Conflict, match=r"no room for 0.5 .* 0.4 is free.* held by a \(0 to 0.3\), b"):
        act(here, "start", "c")
    act(here, "pause", "a")
    with pytest.raises(Conflict):
        act(here, "start", "c")  # a paused one keeps its users
    act(here, "stop", "b")
    act(here, "start", "c")
    assert slot(here, "c") == [0.3, 0.8]


def test_growing_moves_nobody_who_is_in(here: Runtime) -> None:
    start(here, "a", layer="l", traffic=0.2)
    units = [f"u{number}" for number in range(2_000)]

    def inside() -> dict[str, str]:
        here.live.refresh()
        plan = here.live.current.plan
        decisions = {unit: plan.decide("a", unit) for unit in units}
        return {unit: decision.arm for unit, decision in decisions.items() if decision.in_experiment}

    before = inside()
    assert 300 < len(before) < 500
    change(here, "a", traffic=0.6)
    assert slot(here, "a") == [0, 0.6]
    grown = inside()
    assert before.items() <= grown.items()
    assert 1_100 < len(grown) < 1_300
    change(here, "a", traffic=0.3)
    assert slot(here, "a") == [0, 0.6]
    shrunk = inside()
    assert shrunk.items() <= grown.items()
    assert 500 < len(shrunk) < 700
    start(here, "b", layer="l", traffic=0.4)
    change(here, "a", traffic=0.6)
    assert inside() == grown
    with pytest.raises(Conflict, match=r"can be raised to 0.6 at most, since experiment 'b'"):
        change(here, "a", traffic=0.7)
    assert view(here, "a")["traffic"] == 0.6
