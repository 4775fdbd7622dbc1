"""Experiments that ran elsewhere: their log comes in whole, once, and nothing foreign slips in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from reclift import wiring
from reclift.flows import logged
from reclift.flows.jobs import NullQueue
from reclift.flows.logged import LoggedList, Reaction, Shown, import_experiment, is_complete
from reclift.settings import load_settings
from reclift.wiring import Runtime

PAYLOAD = {
    "key": "old-test",
    "placement": "home",
    "arms": [{"key": "a", "strategy": "elsewhere-1", "control": True}, {"key": "b", "strategy": "elsewhere-2"}],
    "metrics": {"primary": "ctr"},
}
LISTS = [
    LoggedList(
        "l1", "u1", "a", 1_000_000, [Shown("i1", 1, 0.5), Shown("i2", 2)], [Reaction("click", "i2")], {"os": "x"}
    ),
    LoggedList("l2", "u2", "b", 2_000_000, [Shown("i1", 1, 0.25)]),
    LoggedList(
        "l3", "u1", "a", 3_000_000, [Shown("i3", 1)], [Reaction("click", "i3"), Reaction("purchase", "i3", 9.5)]
    ),
]


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    here = wiring.build(load_settings(data_dir=tmp_path), queue=NullQueue())
    here.set_up()
    yield here
    here.close()


def bring_in(runtime: Runtime, lists: list[LoggedList], **changed: Any) -> list[int]:
    done: list[int] = []
    import_experiment(
        runtime.database, runtime.registry, runtime.queue, PAYLOAD | changed, lists, actor="me", advance=done.append
    )
    return done


def rows(runtime: Runtime, query: str) -> list[tuple[Any, ...]]:
    with runtime.database.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def test_the_log_becomes_an_experiment_that_is_over(runtime: Runtime) -> None:
    assert not is_complete(runtime.database, "old-test")
    assert bring_in(runtime, LISTS) == [3]
    assert is_complete(runtime.database, "old-test")
    ((source, status, started, stopped),) = rows(
        runtime, "SELECT source, status, started_at, stopped_at FROM experiments"
    )
    assert (source, status) == ("imported", "stopped")
    assert (started[:19], stopped[:19]) == ("1970-01-01 00:00:01", "1970-01-01 00:00:03")
    assert rows(runtime, "SELECT unit_id, arm, at, json_extract(attributes, '$.os') FROM exposures ORDER BY 1") == [
        ("u1", "a", 1_000_000, "x"),
        ("u2", "b", 2_000_000, None),
    ]
    assert rows(runtime, "SELECT recommendation_id, strategy, arm FROM impressions ORDER BY 1") == [
        ("l1", "elsewhere-1", "a"),
        ("l2", "elsewhere-2", "b"),
        ("l3", "elsewhere-1", "a"),
    ]
    assert rows(runtime, "SELECT type, item_id, recommendation_id, value FROM events ORDER BY event_id") == [
        ("click", "i2", "l1", 1.0),
        ("click", "i3", "l3", 1.0),
        ("purchase", "i3", "l3", 9.5),
    ]
    assert rows(
        runtime, "SELECT json_extract(items, '$[0].propensity') FROM impressions WHERE recommendation_id = 'l1'"
    ) == [(0.5,)]


def test_bringing_it_in_again_changes_nothing(runtime: Runtime) -> None:
    bring_in(runtime, LISTS)
    counts = (
        "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM impressions), (SELECT count(*) FROM exposures)"
    )
    before = rows(runtime, counts)
    bring_in(runtime, LISTS)
    assert rows(runtime, counts) == before == [(3, 3, 2)]


def test_an_import_that_broke_off_is_completed(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logged, "ROWS_PER_COMMIT", 2)
    calls = 0
    write = logged.write_facts

    def fail_at_the_second(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError("disk full")
        return write(*arguments)

    monkeypatch.setattr(logged, "write_facts", fail_at_the_second)
    with pytest.raises(OSError, match="disk full"):
        bring_in(runtime, LISTS)
    assert not is_complete(runtime.database, "old-test")
    assert rows(runtime, "SELECT count(*) FROM impressions") == [(2,)]
    assert bring_in(runtime, LISTS) == [2, 1]
    assert is_complete(runtime.database, "old-test")
    assert rows(runtime, "SELECT count(*) FROM impressions") == [(3,)]


def test_it_is_never_served(runtime: Runtime) -> None:
    bring_in(runtime, LISTS)
    runtime.live.refresh()
    assert runtime.live.current.plan.for_placement("home", "u1", {}) is None


@pytest.mark.parametrize(
    ("lists", "complaint"),
    [([], "old-test: the log has no rows"), ([LISTS[0], LoggedList("l9", "u", "c", 5, [])], "arm='c'")],
)
def test_a_log_that_does_not_fit_is_refused_before_anything_is_written(
    runtime: Runtime, lists: list[LoggedList], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        bring_in(runtime, lists)
    assert rows(runtime, "SELECT count(*) FROM experiments") == [(0,)]
