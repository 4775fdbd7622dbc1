"""Dead letters: found by source and reason, written again one by one or together, and every step on record."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from reclift.domain.events import Facts
from reclift.flows import configuration, dead_letters
from reclift.flows.dead_letters import Burying, Replayed
from reclift.flows.errors import Conflict
from reclift.storage.sinks.encoding import encode
from reclift.storage.tables import EventRow
from reclift.wiring import Runtime
from tests.unit.storage.rows import event


@pytest.fixture
def letters(here: Runtime) -> list[int]:
    """A good one from the stream, an unreadable one and one that stays too large from the spool."""
    stream, spool = (Burying(here.database, here.direct, source) for source in ("stream", "spool"))
    stream.bury(encode(Facts([event("e1")])), "handed out 21 times: 100 % odd")
    spool.bury(b"\xff no json", "cannot be read")
    spool.append(Facts([event("e2", at=2**63)]))
    with here.database.read() as session:
        return [row["id"] for row in reversed(dead_letters.latest(session, 10))]


def test_they_are_found_by_source_and_reason(here: Runtime, letters: list[int]) -> None:
    good, unreadable, large = letters

    def ids(source: str | None = None, text: str = "", limit: int = 50, offset: int = 0) -> tuple[list[int], int]:
        with here.database.read() as session:
            rows, total = dead_letters.search(session, source, text, limit, offset)
        return [row["id"] for row in rows], total

    assert ids() == ([large, unreadable, good], 3)
    assert ids(limit=1, offset=1) == ([unreadable], 3)
    assert ids("spool") == ([large, unreadable], 2)
    assert ids(text="HANDED out") == ([good], 1)
    assert ids(text="100 % o") == ([good], 1)
    assert ids(text="h%d") == ([], 0)  # a wildcard is only a letter
    assert ids("spool", "handed") == ([], 0)
    with here.database.read() as session:
        assert dead_letters.sources(session) == {"spool": 2, "stream": 1}


def test_all_are_replayed_and_what_is_still_refused_stays(here: Runtime, letters: list[int]) -> None:
    assert dead_letters.replay_all(here.database, here.direct, actor="mia", most=2) == Replayed(1, 1, 1, 1)
    with here.database.read() as session:
        assert session.scalars(select(EventRow.event_id)).all() == ["e1"]
        assert dead_letters.count(session) == 2
    assert dead_letters.replay_all(here.database, here.direct, "stream", actor="mia") == Replayed(0, 0, 0, 0)
    assert dead_letters.replay_all(here.database, here.direct, actor="mia") == Replayed(0, 0, 2, 0)


def test_every_removal_is_on_record_without_what_it_said(here: Runtime, letters: list[int]) -> None:
    good, unreadable, large = letters
    assert dead_letters.replay(here.database, here.direct, good, actor="mia") == 1
    with pytest.raises(Conflict, match=f"dead letter {large} cannot be written"):
        dead_letters.replay(here.database, here.direct, large, actor="mia")
    dead_letters.discard(here.database, unreadable, actor="bo")
    dead_letters.discard(here.database, unreadable, actor="bo")
    with here.database.read() as session:
        entries = configuration.audit(session, "dead letter")
    assert [(e["actor"], e["action"], e["subject"], sorted(e["before"])) for e in entries] == [
        ("bo", "discard", str(unreadable), ["bytes", "source"]), ("mia", "replay", str(good), ["bytes", "source"]),
    ]  # fmt: skip
