"""Many threads share one commit, and each learns what became of its own work."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from reclift.storage.eventlog import GroupCommit, SinkUnavailable


class Slow:
    """A commit that waits until it is let go, and notes what came together."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.go = threading.Event()
        self.busy = threading.Event()

    def __call__(self, work: list[int]) -> list[int | Exception]:
        self.busy.set()
        assert self.go.wait(5)
        self.groups.append(work)
        return [ValueError(f"odd {number}") if number % 2 else number * 10 for number in work]


def test_what_queues_up_behind_a_commit_is_committed_together() -> None:
    slow = Slow()
    group: GroupCommit[int, int] = GroupCommit(slow)
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(group.run, 0)
        assert slow.busy.wait(5)
        others = [pool.submit(group.run, number) for number in range(2, 40, 2)]
        while len(group._waiting) < len(others):
            assert not first.done()
        slow.go.set()
        assert first.result() == 0
        assert [future.result() for future in others] == [number * 10 for number in range(2, 40, 2)]
    assert slow.groups[0] == [0]
    assert sorted(slow.groups[1]) == list(range(2, 40, 2))
    assert len(slow.groups) == 2


def test_results_and_errors_go_to_whom_they_belong() -> None:
    slow = Slow()
    slow.go.set()
    group: GroupCommit[int, int] = GroupCommit(slow)

    def run(number: int) -> int | str:
        try:
            return group.run(number)
        except ValueError as error:
            return str(error)

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(run, range(400)))
    assert answers == [f"odd {number}" if number % 2 else number * 10 for number in range(400)]
    assert sorted(number for group in slow.groups for number in group) == list(range(400))


def test_a_commit_that_raises_fails_everyone_who_waited() -> None:
    def commit(work: list[int]) -> list[int | Exception]:
        raise RuntimeError("disk gone")

    group: GroupCommit[int, int] = GroupCommit(commit)
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(group.run, number) for number in range(8)]
        for future in futures:
            with pytest.raises(RuntimeError, match="disk gone"):
                future.result(5)


def test_a_leader_that_is_told_to_exit_leaves_nobody_waiting() -> None:
    leading, go = threading.Event(), threading.Event()

    def commit(work: list[int]) -> list[int | Exception]:
        if work == [1]:
            leading.set()
            assert go.wait(5)
            return [1]
        raise SystemExit

    group: GroupCommit[int, int] = GroupCommit(commit)
    ends: list[str] = []

    def run(number: int) -> None:
        try:
            group.run(number)
        except BaseException as error:  # noqa: BLE001 (noted, whatever it is)
            ends.append(type(error).__name__)

    first = threading.Thread(target=run, args=(1,))
    first.start()
    assert leading.wait(5)
    others = [threading.Thread(target=run, args=(number,)) for number in (2, 3, 4)]
    for thread in others:
        thread.start()
    while len(group._waiting) < 3:
        assert first.is_alive()
    go.set()
    for thread in [first, *others]:
        thread.join(5)
        assert not thread.is_alive()
    assert sorted(ends) == ["SinkUnavailable", "SinkUnavailable", "SystemExit"]


def test_a_full_queue_refuses_at_once() -> None:
    slow = Slow()
    group: GroupCommit[int, int] = GroupCommit(slow, max_waiting=2)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(group.run, 0)
        assert slow.busy.wait(5)
        waiting = [pool.submit(group.run, 2), pool.submit(group.run, 4)]
        while len(group._waiting) < 2:
            assert not first.done()
        with pytest.raises(SinkUnavailable, match="2 batches are waiting"):
            group.run(6)
        slow.go.set()
        assert [future.result() for future in waiting] == [20, 40]
    assert group.run(8) == 80  # once there is room, it takes work again


def test_an_action_alone_excludes_commits() -> None:
    inside, overlaps = threading.Event(), []

    def commit(work: list[int]) -> list[int | Exception]:
        overlaps.append(inside.is_set())
        return [*work]

    group: GroupCommit[int, int] = GroupCommit(commit)
    with ThreadPoolExecutor(2) as pool:

        def action() -> None:
            inside.set()
            future = pool.submit(group.run, 1)
            with pytest.raises(TimeoutError):
                future.result(0.05)
            inside.clear()

        group.run_alone(action)
    assert overlaps == [False]


def test_who_is_done_does_not_wait_for_the_next_commit() -> None:
    next_began, go = threading.Event(), threading.Event()

    def commit(work: list[int]) -> list[int | Exception]:
        if 2 in work:
            next_began.set()
            assert go.wait(5)
        return [*work]

    group: GroupCommit[int, int] = GroupCommit(commit)
    hold = threading.Event()
    with ThreadPoolExecutor(6) as pool:
        alone = pool.submit(group.run_alone, lambda: hold.wait(5))
        while not group._busy:
            assert not alone.done()
        first = [pool.submit(group.run, 1) for _ in range(3)]
        while len(group._waiting) < 3:
            assert not alone.done()

        def second() -> int:
            return group.run(2)

        entered = threading.Event()
        inner = group._commit

        def first_commit(work: list[int]) -> list[int | Exception]:
            if 1 in work:
                entered.set()
                while not group._waiting:  # until the next has queued up behind this one
                    assert not go.is_set()
            return inner(work)

        group._commit = first_commit
        hold.set()
        assert entered.wait(5)
        last = pool.submit(second)
        assert next_began.wait(5)
        assert [future.result(5) for future in first] == [1, 1, 1]  # while the second commit is still going on
        assert not last.done()
        go.set()
        assert last.result(5) == 2


def test_the_lead_goes_to_who_waits_longest_and_what_is_alone_goes_first() -> None:
    order: list[str] = []
    slow = Slow()

    def commit(work: list[int]) -> list[int | Exception]:
        order.append(f"commit {sorted(work)}")
        return slow(work)

    group: GroupCommit[int, int] = GroupCommit(commit)
    with ThreadPoolExecutor(6) as pool:
        futures = [pool.submit(group.run, 0)]
        assert slow.busy.wait(5)
        futures += [pool.submit(group.run, number) for number in (2, 4)]
        while len(group._waiting) < 2:
            assert not futures[0].done()
        alone = pool.submit(group.run_alone, lambda: order.append("alone"))
        while not group._alone:
            assert not alone.done()
        slow.go.set()
        assert sorted(future.result(5) for future in futures) == [0, 20, 40]
        alone.result(5)
    assert order == ["commit [0]", "alone", "commit [2, 4]"]
    assert not group._busy


def test_an_action_that_raises_lets_the_others_in() -> None:
    group: GroupCommit[int, int] = GroupCommit(lambda work: [*work])

    def action() -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        group.run_alone(action)
    assert group.run(3) == 3


def test_a_thread_that_ends_while_it_waits_takes_neither_lead_nor_work_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = Slow()
    group: GroupCommit[int, int] = GroupCommit(slow)

    class Torn:
        """A gate at which the thread is told to end."""

        def __init__(self) -> None:
            self.calls = 0

        def acquire(self) -> None:
            self.calls += 1
            if self.calls == 2:
                raise KeyboardInterrupt

        def release(self) -> None:
            pass

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(group.run, 0)
        assert slow.busy.wait(5)
        with monkeypatch.context() as patch:
            patch.setattr(threading, "Lock", Torn)
            with pytest.raises(KeyboardInterrupt):
                group.run(2)
        assert not group._waiting
        slow.go.set()
        assert first.result(5) == 0
    assert group.run(4) == 40
    assert slow.groups == [[0], [4]]
