"""Where facts go that were acknowledged and cannot be written: kept with the reason, looked at, replayed."""

from __future__ import annotations

from typing import Any, NamedTuple

import structlog
from sqlalchemy import ColumnElement, delete, func, insert, select
from sqlalchemy.orm import Session

from reclift.domain.events import MAX_ID, Facts
from reclift.flows.clock import now_micros, rfc3339
from reclift.flows.configuration import record
from reclift.flows.errors import Conflict, NotFound
from reclift.storage.database import Database, rows_changed
from reclift.storage.eventlog import Poison, Sink, SinkUnavailable
from reclift.storage.facts import Receipt
from reclift.storage.sinks.encoding import decode, encode
from reclift.storage.tables import DeadLetter

log = structlog.get_logger(__name__)

MOST_AT_ONCE = 1_000
"""Letters that one call replays: each is a transaction of its own, and somebody waits."""


class Burying:
    """Writes facts into the tables, and buries those that they refuse, one by one. Never raises `Poison`."""

    def __init__(self, database: Database, direct: Sink, source: str) -> None:
        """`direct` is the tables' own sink; `source` says where the facts came from."""
        self._database = database
        self._direct = direct
        self._source = source

    def append(self, facts: Facts) -> Receipt:
        """Returns when every fact is in the tables or buried; `SinkUnavailable` when that is not possible now."""
        try:
            return self._direct.append(facts)
        except Poison as error:
            if len(facts) == 1:
                self.bury(encode(facts), str(error), facts)
                return Receipt(0, 0)
        first, second = (self.append(half) for half in _halves(facts))
        return Receipt(first.accepted + second.accepted, (first.duplicates or 0) + (second.duplicates or 0))

    def bury(self, payload: bytes, reason: str, facts: Facts | None = None) -> None:
        """Keep what cannot be written. `SinkUnavailable` when not even that can be done now."""
        from sqlalchemy.exc import SQLAlchemyError

        log.error("fact_buried", source=self._source, bytes=len(payload), reason=reason)
        row = {
            "at": now_micros(),
            "source": self._source,
            "reason": reason.replace("\x00", "\N{REPLACEMENT CHARACTER}")[:2_000],
            "unit_id": _unit(facts) if facts is not None else None,
            "payload": payload,
        }
        try:
            with self._database.write() as session:
                session.execute(insert(DeadLetter), [row])
        except SQLAlchemyError as error:
            raise SinkUnavailable(str(error).splitlines()[0]) from error


def _halves(facts: Facts) -> tuple[Facts, Facts]:
    """Two batches with as many rows together; the order of tables and rows stays."""
    half = len(facts) // 2
    first, second = Facts(), Facts()
    for name in ("events", "impressions", "exposures"):
        rows = getattr(facts, name)
        room = max(0, half - len(first))
        getattr(first, name).extend(rows[:room])
        getattr(second, name).extend(rows[room:])
    return first, second


def _unit(facts: Facts) -> str | None:
    for row in (*facts.events, *facts.impressions, *facts.exposures):
        unit = row.get("unit_id")
        if isinstance(unit, str) and len(unit) <= MAX_ID and "\x00" not in unit:
            return unit
    return None


def count(session: Session) -> int:
    """How many lie there."""
    return session.scalar(select(func.count()).select_from(DeadLetter)) or 0


def latest(session: Session, limit: int) -> list[dict[str, Any]]:
    """Newest first, without their payload."""
    return [_view(row) for row in session.scalars(select(DeadLetter).order_by(DeadLetter.id.desc()).limit(limit))]


def find(session: Session, letter_id: int) -> DeadLetter:
    """`NotFound` if there is none."""
    row = session.get(DeadLetter, letter_id)
    if row is None:
        raise NotFound("dead letter", str(letter_id))
    return row


def view(row: DeadLetter) -> dict[str, Any]:
    """As the API shows one."""
    return _view(row)


def _view(row: DeadLetter) -> dict[str, Any]:
    return {
        "id": row.id,
        "at": rfc3339(row.at),
        "source": row.source,
        "reason": row.reason,
        "payload": row.payload.decode(errors="replace")[:10_000],
        "bytes": len(row.payload),
    }


def search(
    session: Session, source: str | None = None, text: str = "", limit: int = 50, offset: int = 0
) -> tuple[list[dict[str, Any]], int]:
    """Newest first, and how many there are: of a source, or with `text` in the reason (case does not matter)."""
    wanted = _matching(source, text)
    total = session.scalar(select(func.count()).select_from(DeadLetter).where(*wanted)) or 0
    query = select(DeadLetter).where(*wanted).order_by(DeadLetter.id.desc()).limit(limit).offset(offset)
    return [_view(row) for row in session.scalars(query)], total


def sources(session: Session) -> dict[str, int]:
    """How many lie there by where they came from."""
    counted = session.execute(select(DeadLetter.source, func.count()).group_by(DeadLetter.source))
    return dict(sorted((source, number) for source, number in counted))


def _matching(source: str | None, text: str) -> list[ColumnElement[bool]]:
    wanted = [DeadLetter.source == source] if source else []
    return [*wanted, DeadLetter.reason.icontains(text, autoescape=True)] if text else wanted


def replay(database: Database, direct: Sink, letter_id: int, *, actor: str) -> int:
    """Write it into the tables now and remove the letter; returns how many facts were new.

    `Conflict` with the reason while they still refuse it: the letter stays. Replaying twice is harmless.
    """
    with database.read() as session:
        payload = find(session, letter_id).payload
    try:
        receipt = direct.append(decode(payload))
    except Poison as error:
        raise Conflict(f"dead letter {letter_id} cannot be written: {error}") from error
    _remove(database, letter_id, "replay", actor)
    return receipt.accepted


class Replayed(NamedTuple):
    """What became of many: letters written, facts in them that were new, letters still refused, letters not tried."""

    replayed: int
    accepted: int
    refused: int
    left: int


def replay_all(
    database: Database, direct: Sink, source: str | None = None, text: str = "", *, actor: str, most: int = MOST_AT_ONCE
) -> Replayed:
    """Write all that match, the oldest first, at most `most` of them; what is still refused stays."""
    with database.read() as session:
        wanted = _matching(source, text)
        total = session.scalar(select(func.count()).select_from(DeadLetter).where(*wanted)) or 0
        ids = session.scalars(select(DeadLetter.id).where(*wanted).order_by(DeadLetter.id).limit(most)).all()
    replayed = accepted = refused = 0
    for letter_id in ids:
        try:
            accepted += replay(database, direct, letter_id, actor=actor)
            replayed += 1
        except Conflict:
            refused += 1
        except NotFound:
            continue  # somebody else was faster
    return Replayed(replayed, accepted, refused, max(0, total - len(ids)))


def discard(database: Database, letter_id: int, *, actor: str) -> None:
    """Remove a letter for good; nothing happens when it is gone already."""
    _remove(database, letter_id, "discard", actor)


def _remove(database: Database, letter_id: int, action: str, actor: str) -> None:
    with database.write() as session:
        row = session.get(DeadLetter, letter_id)
        # not the reason: it may name a person, and the audit log outlives an erasure
        about = None if row is None else {"source": row.source, "bytes": len(row.payload)}
        gone = rows_changed(session.execute(delete(DeadLetter).where(DeadLetter.id == letter_id)))
        if gone:  # of two at once only one did it
            record(session, actor, action, "dead letter", str(letter_id), about, None)
