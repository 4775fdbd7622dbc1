"""An embedded worker ends when nothing is at work, not before."""

from __future__ import annotations

import signal
import threading
from types import SimpleNamespace

import pytest
from celery.worker import state

from reclift import worker_end


def test_it_waits_for_the_task_at_work_then_ends_with_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, int, int]] = []
    ended = threading.Event()

    def leave(code: int) -> None:
        told.append(("exit", code, 0))
        ended.set()

    class Request:
        """Something that a weak set can hold."""

    at_work = Request()
    monkeypatch.setattr(state, "reserved_requests", {at_work})
    children = [SimpleNamespace(pid=7), SimpleNamespace(pid=None)]
    monkeypatch.setattr(worker_end, "active_children", lambda: children)
    monkeypatch.setattr(worker_end.os, "kill", lambda pid, sign: told.append(("kill", pid, sign)))
    monkeypatch.setattr(worker_end.os, "_exit", leave)
    worker_end._begin(sender="w", sig="TERM", how="Warm", exitcode=0)
    assert not ended.wait(4 * worker_end._LOOK_SECONDS)
    assert told == []
    state.reserved_requests.discard(at_work)
    assert ended.wait(30)
    assert told == [("kill", 7, signal.SIGTERM), ("exit", 0, 0)]
