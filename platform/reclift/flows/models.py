"""Models: trained versions of strategies, which one is active, and what becomes of old ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import orjson
import structlog
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from reclift.flows.clock import now, rfc3339, to_datetime
from reclift.flows.configuration import bump, record, take_turns
from reclift.flows.errors import Conflict, NotFound
from reclift.flows.heartbeat import LEASE_SECONDS, Heartbeat
from reclift.flows.placements import chain
from reclift.storage.artifacts import ArtifactError, Artifacts
from reclift.storage.database import Database, rows_changed
from reclift.storage.tables import EventRow, ExperimentRow, ItemRow, ModelRow, Placement
from reclift.strategy import Registry, Strategy, StrategyError, parse_parameters

log = structlog.get_logger(__name__)

RETRY_AFTER = timedelta(minutes=10)
"""A strategy that could not be trained is not tried again by the schedule before this has passed."""


def complete(registry: Registry, strategy: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with their defaults filled in; `StrategyError` when they are not valid."""
    return parse_parameters(strategy, registry.get(strategy), params).model_dump(mode="json")


def fingerprint(params: Mapping[str, Any]) -> str:
    """Tells sets of complete parameters apart."""
    return hashlib.sha256(orjson.dumps(dict(params), option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def label(row: ModelRow) -> str:
    """How a model is named everywhere: `item_cf@3`."""
    return f"{row.strategy}@{row.version}"


def view(row: ModelRow) -> dict[str, Any]:
    """A model as the API and pages show it."""
    return {
        "id": row.id,
        "model": label(row),
        "strategy": row.strategy,
        "version": row.version,
        "params": row.params,
        "fingerprint": row.fingerprint,
        "state": row.state,
        "active": row.active,
        "created_at": rfc3339(row.created_at),
        "trained_at": rfc3339(row.trained_at),
        "seconds": row.seconds,
        "data_until": rfc3339(row.data_until),
        "users": row.users,
        "items": row.items,
        "interactions": row.interactions,
        "size_bytes": row.size_bytes,
        "metrics": row.metrics,
        "error": row.error,
    }


def all_models(session: Session, strategy: str | None = None) -> list[dict[str, Any]]:
    """Models, newest first."""
    query = select(ModelRow).where(ModelRow.state != "removed").order_by(ModelRow.id.desc())
    if strategy is not None:
        query = query.where(ModelRow.strategy == strategy)
    return [view(row) for row in session.scalars(query)]


def begin(session: Session, strategy: str, params: Mapping[str, Any]) -> ModelRow:
    """The row of a model that is about to be trained; `params` are complete."""
    take_turns(session)  # two workers must not count up to the same version
    newest = session.scalar(select(func.max(ModelRow.version)).where(ModelRow.strategy == strategy)) or 0
    row = ModelRow(
        strategy=strategy,
        version=newest + 1,
        params=dict(params),
        fingerprint=fingerprint(params),
        state="training",
        active=False,
        metrics={},
        created_at=now(),
        alive_at=now(),
    )
    session.add(row)
    session.flush()
    return row


def alive(database: Database, model_id: int) -> Heartbeat:
    """Says, for as long as the block lasts, that the model is being trained."""

    def beat() -> None:
        with database.write() as session:
            session.execute(
                update(ModelRow).where(ModelRow.id == model_id, ModelRow.state == "training").values(alive_at=now())
            )

    return Heartbeat(beat)


def give_up_abandoned(session: Session) -> int:
    """Models whose worker went away in the middle of training are failed; returns how many."""
    silent = func.coalesce(ModelRow.alive_at, ModelRow.created_at) < now() - timedelta(seconds=LEASE_SECONDS)
    return rows_changed(
        session.execute(
            update(ModelRow)
            .where(ModelRow.state == "training", silent)
            .values(state="failed", error="the worker went away")
        )
    )


def active(session: Session, row: ModelRow) -> ModelRow | None:
    """The model that answers for the same strategy and parameters now."""
    return session.scalar(
        select(ModelRow).where(
            ModelRow.strategy == row.strategy, ModelRow.fingerprint == row.fingerprint, ModelRow.active
        )
    )


def activate(
    session: Session, model_id: int, actor: str, usable: Callable[[ModelRow], bool] = lambda _: True
) -> ModelRow:
    """Let a ready model answer from now on, in place of the active one of the same strategy and parameters.

    `usable` looks whether it can be brought back: an old version's files may be gone, and going back to nothing would
    leave every list to the fallback.
    """
    row = session.get(ModelRow, model_id)
    if row is None:
        raise NotFound("model", model_id)
    if row.state != "ready":
        raise Conflict(f"model {label(row)} is {row.state}; only a ready model can be activated")
    before = active(session, row)
    if before is not None and before.id == row.id:
        return row
    if not usable(row):
        raise Conflict(f"model {label(row)} cannot be loaded, its files are missing or broken (the log says more)")
    session.execute(
        update(ModelRow)
        .where(ModelRow.strategy == row.strategy, ModelRow.fingerprint == row.fingerprint)
        .values(active=False)
    )
    row.active, row.error = True, None  # whoever activates it has decided about its floor
    session.flush()
    bump(session)
    record(
        session,
        actor,
        "activate",
        "model",
        label(row),
        {"active": label(before) if before else None},
        {"active": label(row)},
    )
    return row


def wanted(session: Session, registry: Registry) -> dict[tuple[str, str], dict[str, Any]]:
    """What placements and open experiments need: (strategy, fingerprint) -> complete parameters."""
    uses: list[tuple[str, Mapping[str, Any]]] = []
    for placement in session.scalars(select(Placement)):
        uses.append((placement.strategy, placement.params))
        uses += chain(placement.fallback)
    for experiment in session.scalars(select(ExperimentRow).where(ExperimentRow.status.in_(["running", "paused"]))):
        if experiment.source != "imported" and experiment.kind != "holdout":
            uses += [(arm.strategy, arm.params) for arm in experiment.arms]
    result = {}
    for strategy, params in uses:
        if strategy not in registry:
            continue
        try:
            full = complete(registry, strategy, params)
        except Exception as error:  # noqa: BLE001 (a strategy is foreign code; one that does not load must not stop the others)
            log.error("strategy_unusable", strategy=strategy, reason=f"{type(error).__name__}: {error}")
            continue
        result[strategy, fingerprint(full)] = full
    return result


def missing(session: Session, registry: Registry) -> list[tuple[str, dict[str, Any]]]:
    """What is wanted but has no active model and is not being trained."""
    have = {
        (row.strategy, row.fingerprint)
        for row in session.scalars(select(ModelRow).where(ModelRow.active | (ModelRow.state == "training")))
    }
    return [
        (strategy, params)
        for (strategy, mark), params in wanted(session, registry).items()
        if (strategy, mark) not in have
    ]


def due(
    session: Session, registry: Registry, *, hours: float, there: Callable[[str], bool] = lambda _: True
) -> list[tuple[str, dict[str, Any]]]:
    """What is wanted but missing, or whose active model is older than `hours` while there are newer events.

    So is an active model whose artifact is not `there` any more. Nothing while the catalogue has no item to show: every
    model would be rejected.
    """
    if session.scalar(select(ItemRow.item_id).where(ItemRow.available).limit(1)) is None:
        return []
    result = missing(session, registry)
    newest = session.scalar(select(func.max(EventRow.at)))
    limit = now() - timedelta(hours=hours)
    training = {
        (row.strategy, row.fingerprint) for row in session.scalars(select(ModelRow).where(ModelRow.state == "training"))
    }
    now_active = {
        (row.strategy, row.fingerprint): row for row in session.scalars(select(ModelRow).where(ModelRow.active))
    }
    for mark, params in wanted(session, registry).items():
        row = now_active.get(mark)
        if row is None or mark in training or row.trained_at is None:
            continue
        if row.artifact and not there(row.artifact):
            log.error("model_lost", model=label(row), reason="its files are gone; it is trained anew")
            result.append((mark[0], params))
            continue
        if row.trained_at > limit:
            continue
        if newest is not None and (row.data_until is None or to_datetime(newest) > row.data_until):
            result.append((mark[0], params))
    tried = {
        (row.strategy, row.fingerprint)
        for row in session.scalars(
            select(ModelRow).where(
                ModelRow.state.in_(["failed", "rejected"]) & (ModelRow.created_at > now() - RETRY_AFTER)
                # Below the floor: the same data would make the same model.
                | (ModelRow.state == "ready") & ModelRow.error.is_not(None) & (ModelRow.created_at > limit)
            )
        )
    }
    return [(strategy, params) for strategy, params in result if (strategy, fingerprint(params)) not in tried]


def prune(session: Session, keep: int) -> list[str]:
    """Mark what is older than the newest `keep` of its strategy and parameters as removed; returns their artifacts.

    Active and pinned models stay. Of those that failed or were rejected as many are kept, for people to look at.
    """
    pinned = {
        (arm.strategy, arm.model)
        for experiment in session.scalars(
            select(ExperimentRow).where(ExperimentRow.status.in_(["draft", "running", "paused"]))
        )
        for arm in experiment.arms
        if arm.model is not None
    }
    artifacts = []
    seen: dict[tuple[str, str, bool], int] = {}
    ended = ModelRow.state.in_(["ready", "failed", "rejected"])
    for row in session.scalars(select(ModelRow).where(ended).order_by(ModelRow.id.desc())):
        mark = (row.strategy, row.fingerprint, row.state == "ready")
        seen[mark] = seen.get(mark, 0) + 1
        if seen[mark] > keep and not row.active and (row.strategy, row.version) not in pinned:
            row.state = "removed"
            if row.artifact:
                artifacts.append(row.artifact)
    return artifacts


def restore(registry: Registry, artifacts: Artifacts, row: ModelRow) -> Strategy | None:
    """The trained strategy; None, with the reason in the log, where it cannot be brought back."""
    try:
        kind = registry.get(row.strategy)
        return kind.restore(artifacts.load(row.artifact or ""), parse_parameters(row.strategy, kind, row.params))
    except (StrategyError, ArtifactError) as error:
        log.error("model_unusable", model=label(row), reason=str(error))
    except Exception:
        # A strategy is foreign code: a model that cannot be restored must not stop the others, or take a page away.
        log.exception("model_unusable", model=label(row))
    return None
