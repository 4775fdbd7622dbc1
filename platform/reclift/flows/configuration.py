"""What every change of the configuration does besides: raise the version, write the audit log; and the first set-up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from reclift.domain.metric import BUILT_IN
from reclift.flows.clock import now, rfc3339
from reclift.storage.database import Database
from reclift.storage.tables import AuditEntry, Configuration, MetricRow, Placement

PLACEMENTS: Mapping[str, str] = {"home": "Home page", "product-page": "Product page", "cart": "Cart"}
"""Placements that a new installation starts with."""


def bump(session: Session) -> None:
    """Raise the configuration's version: every process will load its plan anew."""
    session.execute(
        update(Configuration).where(Configuration.id == 1).values(version=Configuration.version + 1, changed_at=now())
    )


def aliases_changed(session: Session) -> None:
    """Tell every process that it is to look again whose ids and events are whose."""
    session.execute(
        update(Configuration).where(Configuration.id == 1).values(aliases_version=Configuration.aliases_version + 1)
    )


def take_turns(session: Session) -> None:
    """Let nobody else change what processes agree on until this transaction ends.

    For decisions that rest on what others have (parts of a layer, versions of models): two that are made at once would
    not see each other. On SQLite every writing transaction is alone anyway.
    """
    session.execute(select(Configuration.id).where(Configuration.id == 1).with_for_update())


def version(session: Session) -> int:
    """The configuration's version."""
    return session.scalar(select(Configuration.version).where(Configuration.id == 1)) or 0


def record(
    session: Session,
    actor: str,
    action: str,
    kind: str,
    subject: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Write one line of the audit log. Only what differs is kept of `before` and `after`."""
    if before is not None and after is not None:
        keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
        before = {key: before.get(key) for key in keys}
        after = {key: after.get(key) for key in keys}
    session.add(
        AuditEntry(
            at=now(),
            actor=actor,
            action=action,
            kind=kind,
            subject=subject,
            before=dict(before) if before is not None else None,
            after=dict(after) if after is not None else None,
        )
    )


def audit(
    session: Session, kind: str | None = None, subject: str | None = None, limit: int = 200
) -> list[dict[str, Any]]:
    """The newest lines of the audit log, newest first."""
    query = select(AuditEntry).order_by(AuditEntry.id.desc()).limit(limit)
    if kind is not None:
        query = query.where(AuditEntry.kind == kind)
    if subject is not None:
        query = query.where(AuditEntry.subject == subject)
    return [
        {
            "id": row.id,
            "at": rfc3339(row.at),
            "actor": row.actor,
            "action": row.action,
            "kind": row.kind,
            "subject": row.subject,
            "before": row.before,
            "after": row.after,
        }
        for row in session.scalars(query)
    ]


def ensure_defaults(database: Database, default_strategy: str) -> None:
    """Bring a new database to where people can start: the version row, the built-in metrics, three placements."""
    with database.write() as session:
        at = now()
        fresh = session.get(Configuration, 1) is None
        if fresh:
            session.add(Configuration(id=1, version=1, catalogue_version=1, aliases_version=1, changed_at=at))
            for key, name in PLACEMENTS.items():
                session.add(
                    Placement(
                        key=key,
                        name=name,
                        strategy=default_strategy,
                        fallback=[default_strategy],
                        settings={},
                        params={},
                        created_at=at,
                        updated_at=at,
                    )
                )
        known = set(session.scalars(select(MetricRow.key)))
        for metric in BUILT_IN:
            if metric.key not in known:
                session.add(MetricRow(key=metric.key, definition=metric.to_dict(), created_at=at, updated_at=at))
