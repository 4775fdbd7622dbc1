"""An event loop has things done in threads, and hears what became of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import pytest

from reclift.web.threads import Threads


def in_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    @wraps(test)
    def run() -> None:
        asyncio.run(test())

    return run


@in_a_loop
async def test_results_and_errors_come_back() -> None:
    threads = Threads(asyncio.get_running_loop(), 2)
    assert await threads.run(lambda: 7) == 7
    with pytest.raises(ValueError, match="odd"):
        await threads.run(lambda: int("odd"))
    assert await threads.run(lambda: 8) == 8
    threads.close()


@in_a_loop
async def test_what_ends_a_thread_is_told_and_ends_none() -> None:
    def leave() -> None:
        raise SystemExit(3)

    threads = Threads(asyncio.get_running_loop(), 1)
    with pytest.raises(RuntimeError, match="SystemExit"):
        await threads.run(leave)
    assert await threads.run(lambda: 8) == 8
    threads.close()


@in_a_loop
async def test_only_so_many_at_once_and_only_as_many_as_are_needed() -> None:
    threads = Threads(asyncio.get_running_loop(), 3)
    for _ in range(5):
        await threads.run(lambda: None)
    assert threads._begun == 1  # one after the other needs one
    together, inside, most = threading.Barrier(3), [], []

    def work() -> None:
        inside.append(1)
        most.append(len(inside))
        together.wait(10)
        inside.pop()

    await asyncio.gather(*(threads.run(work) for _ in range(6)))
    assert max(most) <= 3
    assert threads._begun == 3
    threads.close()


@in_a_loop
async def test_a_caller_that_hung_up_is_not_told() -> None:
    threads, go = Threads(asyncio.get_running_loop(), 1), threading.Event()
    given_up = threads.run(lambda: go.wait(10))
    given_up.cancel()
    go.set()
    assert await threads.run(lambda: 9) == 9
    threads.close()
