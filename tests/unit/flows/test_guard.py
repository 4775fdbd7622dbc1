"""A strategy that is late, hangs, fails or returns rubbish costs its own list and nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import numpy as np
import pytest

from reclift.flows import guard as guard_module
from reclift.flows.guard import Asked, Guard, _Call, _Lane, checked
from reclift.flows.serving import Served
from reclift.strategy import Query, Scored
from tests.unit.flows.toys import Gate, Scripted

QUERY = Query(k=3)
GOOD = [Scored("a", 1.0), Scored("b", 0.5)]


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def guard() -> Iterator[Guard]:
    guard = Guard(threads=4, timeout_seconds=0.05)
    yield guard
    guard.close()


@pytest.fixture
def patient() -> Iterator[Guard]:
    """For what must come in time on a machine that is busy with other tests."""
    guard = Guard(threads=4, timeout_seconds=20.0)
    yield guard
    guard.close()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.event.set()


def serve(answer: Any, label: str | None = "toy@1") -> Served:
    return Served("toy", label, Scripted(answer))


def test_a_good_answer_comes_through(patient: Guard) -> None:
    guard = patient
    assert guard.ask(serve(lambda query: GOOD), QUERY) == Asked(GOOD)
    assert guard.ask(serve(lambda query: []), QUERY) == Asked([])


def test_no_model_is_said_so(guard: Guard) -> None:
    assert guard.ask(Served("toy", None, None), QUERY) == Asked((), "no_model")


@pytest.mark.parametrize("error", [ValueError("x"), TimeoutError("its own"), SystemExit(3), KeyboardInterrupt()])
def test_whatever_it_raises_is_an_error(patient: Guard, error: BaseException) -> None:
    guard = patient

    def answer(query: Query) -> None:
        raise error

    assert guard.ask(serve(answer), QUERY) == Asked((), "error")
    assert guard.ask(serve(lambda query: GOOD), QUERY) == Asked(GOOD)  # and the thread lives on


@pytest.mark.parametrize(
    "rubbish",
    [
        pytest.param(None, id="nothing"),
        pytest.param(7, id="a number"),
        pytest.param("ab", id="text"),
        pytest.param(["ab"], id="bare ids"),
        pytest.param([("a",)], id="no score"),
        pytest.param([("a", 1.0, None, None, 5)], id="too much"),
        pytest.param([Scored(3, 1.0)], id="id is no string"),  # type: ignore[arg-type]
        pytest.param([Scored("a", float("nan"))], id="score is no number"),
        pytest.param([Scored("a", float("inf"))], id="score is infinite"),
        pytest.param([Scored("a", None)], id="score is missing"),  # type: ignore[arg-type]
        pytest.param([Scored("a", "1")], id="score is text"),  # type: ignore[arg-type]
        pytest.param([Scored("a", 1.0, propensity=float("nan"))], id="propensity is no number"),
        pytest.param({"a": 1.0}, id="a mapping"),
    ],
)
def test_rubbish_is_an_error(patient: Guard, rubbish: Any) -> None:
    assert patient.ask(serve(lambda query: rubbish), QUERY) == Asked((), "error")


def test_generators_and_numpy_are_fine(patient: Guard) -> None:
    answer = patient.ask(serve(lambda query: ((np.str_("a"), np.float32(0.5)) for _ in range(1))), QUERY)
    assert answer == Asked([Scored("a", 0.5)])


def test_an_endless_answer_is_cut_off() -> None:
    assert len(checked((str(number), 1.0) for number in count())) == guard_module.MOST_ITEMS


def test_one_that_is_late_is_not_waited_for(guard: Guard, gate: Gate) -> None:
    started = time.monotonic()
    assert guard.ask(serve(gate), QUERY) == Asked((), "timeout")
    assert time.monotonic() - started < 5


def let_it_hang(guard: Guard, hanging: Served) -> None:
    """Until the most calls hang that may. On a busy machine some are given up before their thread begins."""
    for _ in range(guard_module.MOST_STUCK + 50):
        assert guard.ask(hanging, QUERY) == Asked((), "timeout")
        if guard._lanes["toy@1"].stuck == guard_module.MOST_STUCK:
            return
    pytest.fail("calls that are late are not counted")


def test_one_that_hangs_is_left_alone_until_it_comes_back(
    guard: Guard, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard_module, "FIRST_REST_SECONDS", 0.0)
    monkeypatch.setattr(guard_module, "REST_SECONDS", 0.0)
    hanging = serve(gate)
    let_it_hang(guard, hanging)
    for _ in range(5):
        assert guard.ask(hanging, QUERY) == Asked((), "timeout")
    assert gate.calls == guard_module.MOST_STUCK
    gate.event.set()
    guard._timeout = 20.0
    deadline = time.monotonic() + 5
    while guard.ask(hanging, QUERY).failure and time.monotonic() < deadline:
        time.sleep(0.01)
    assert guard.ask(hanging, QUERY) == Asked([Scored("late", 1.0)])


def test_after_several_late_calls_it_rests_for_a_while(
    guard: Guard, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard_module, "FIRST_REST_SECONDS", 60.0)
    slow = serve(gate)
    let_it_hang(guard, slow)
    gate.event.set()
    lane = guard._lanes["toy@1"]
    while lane.stuck:
        time.sleep(0.001)
    assert guard.ask(slow, QUERY) == Asked((), "timeout")
    assert gate.calls == guard_module.MOST_STUCK
    lane.rest_until = 0.0
    guard._timeout = 20.0
    assert guard.ask(slow, QUERY).failure is None


def test_rests_are_short_at_first_and_longer_while_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(guard_module, "time", clock)
    lane = _Lane("slow", 4)

    def rest() -> float:
        """Of several calls that are late at once, and come back soon."""
        for _ in range(guard_module.MOST_STUCK + 2):
            call = _Call(Scripted(lambda _: []), QUERY)
            assert call.taken.acquire(blocking=False)
            lane.note_late(call)
        lane._late.clear()
        assert lane.resting
        seconds = lane.rest_until - clock.now
        clock.now = lane.rest_until + 0.1
        assert not lane.resting
        return round(seconds, 3)

    assert [rest() for _ in range(7)] == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]
    clock.now += guard_module.FORGIVEN_SECONDS
    assert [rest() for _ in range(2)] == [0.5, 1.0]


def test_a_crowd_that_runs_into_one_that_hangs_takes_nothing_from_the_others(guard: Guard, gate: Gate) -> None:
    """Many ask before the first is late: they may use up its threads, but not those of the fallback."""
    with ThreadPoolExecutor(40) as pool:
        stuck = list(pool.map(lambda number: guard.ask(serve(gate, f"bad@{number % 3}"), QUERY), range(40)))
    assert {asked.failure for asked in stuck} == {"timeout"}
    guard._timeout = 20.0
    assert guard.ask(serve(lambda query: GOOD, "popularity@1"), QUERY) == Asked(GOOD)
    assert guard.ask(serve(lambda query: GOOD, "bad@9"), QUERY) == Asked(GOOD)  # a newer version gets its chance


def test_threads_are_bounded_and_reused(patient: Guard) -> None:
    names: set[str] = set()
    busy = serve(lambda query: names.add(str(threading.get_ident())) or GOOD)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: patient.ask(busy, QUERY), range(200)))
    assert len(names) <= 4 + guard_module.MOST_STUCK
    assert [asked.failure for asked in answers] == [None] * 200


def test_lanes_are_bounded(patient: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    guard = patient
    monkeypatch.setattr(guard_module, "MOST_LANES", 3)
    for number in range(10):
        assert guard.ask(serve(lambda query: GOOD, f"toy@{number}"), QUERY) == Asked(GOOD)
    assert list(guard._lanes) == ["toy@7", "toy@8", "toy@9"]


def test_threads_that_hang_do_not_keep_the_process_alive() -> None:
    import subprocess
    import sys

    program = """
import threading
from reclift.flows.guard import Guard
from reclift.flows.serving import Served
from reclift.strategy import Query
class Hangs:
    def recommend(self, query): threading.Event().wait()
guard = Guard(threads=2, timeout_seconds=0.01)
print(guard.ask(Served("s", "s@1", Hangs()), Query(k=1)).failure)
guard.close()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert done.stdout.strip().endswith("timeout"), done.stderr
    assert done.returncode == 0


def test_a_call_that_never_began_is_not_made_afterwards(gate: Gate) -> None:
    guard = Guard(threads=1, timeout_seconds=0.05)
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: guard.ask(serve(gate), QUERY), range(12)))
    assert {asked.failure for asked in answers} == {"timeout"}
    gate.event.set()
    lane = guard._lanes["toy@1"]
    while lane.stuck or not lane._work.empty():
        time.sleep(0.001)
    assert gate.calls <= 1 + guard_module.MOST_STUCK
    guard.close()


@pytest.mark.parametrize("scored", [Scored("a", 1), Scored("a", np.float64(1.0)), Scored("a", 1.0, 0.5, "why")])
def test_unusual_but_sound_items_pass(scored: Scored) -> None:
    assert checked([scored]) == [scored]
