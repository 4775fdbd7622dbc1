"""Trains a strategy on what is known: events and items in, a model version out, activated when it is sound."""

from __future__ import annotations

import time
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import structlog
from sqlalchemy import select

from reclift.domain.events import MICROS
from reclift.flows import model_check, models
from reclift.flows.clock import now, to_datetime
from reclift.flows.errors import NotFound
from reclift.flows.guard import checked
from reclift.storage.artifacts import Artifacts
from reclift.storage.database import Database
from reclift.storage.tables import EventRow, ItemRow, ModelRow, Profile
from reclift.strategy import (
    Dataset,
    Item,
    Parameters,
    Progress,
    Query,
    Registry,
    Signal,
    Strategy,
    StrategyError,
    parse_parameters,
)

log = structlog.get_logger(__name__)

SYSTEM = "system"


def load_dataset(
    database: Database, weights: Mapping[str, float], *, until: int | None = None, since: int | None = None
) -> Dataset:
    """Everything to learn from: events of weighted types, the whole catalogue, users' attributes.

    Args:
        database: where the facts are.
        weights: event type -> weight; types that are not in it tell nothing.
        until: nothing later, microseconds; None: no bound.
        since: nothing earlier, microseconds; None: no bound.
    """
    users: dict[str, int] = {}
    item_index: dict[str, int] = {}
    items: list[Item] = []
    with database.read() as session:
        for row in session.scalars(select(ItemRow).order_by(ItemRow.item_id).execution_options(yield_per=5_000)):
            item_index[row.item_id] = len(items)
            items.append(
                Item(row.item_id, row.title, row.description, row.category, row.price, row.attributes, row.available)
            )
        attributes = {row.unit_id: row.attributes for row in session.scalars(select(Profile))}
        query = select(EventRow.unit_id, EventRow.item_id, EventRow.type, EventRow.value, EventRow.at).where(
            EventRow.type.in_([kind for kind, weight in weights.items() if weight > 0]), EventRow.item_id.is_not(None)
        )
        if until is not None:
            query = query.where(EventRow.at <= until)
        if since is not None:
            query = query.where(EventRow.at >= since)
        columns = _Columns()
        # Straight into arrays, a portion at a time: a million interactions are not a million tuples.
        found = session.execute(query.order_by(EventRow.at, EventRow.event_id).execution_options(yield_per=20_000))
        for unit, known_item, kind, value, at in found:
            item = str(known_item)  # never null: the query says so
            column = item_index.get(item)
            if column is None:
                column = item_index[item] = len(items)
                # Met in events but not in the catalogue: learnt from, never shown.
                items.append(Item(item, available=False))
            columns.users.append(users.setdefault(unit, len(users)))
            columns.items.append(column)
            columns.weights.append(weights[kind])
            columns.values.append(np.nan if value is None else value)
            columns.times.append(at / MICROS)
    return Dataset(
        user_ids=np.array(list(users), dtype=np.str_),
        item_ids=np.array([item.item_id for item in items], dtype=np.str_),
        items=items,
        users=np.array(columns.users, dtype=np.int32),
        columns=np.array(columns.items, dtype=np.int32),
        weights=np.array(columns.weights, dtype=np.float32),
        values=np.array(columns.values, dtype=np.float32),
        times=np.array(columns.times, dtype=np.float64),
        until=columns.times[-1] if columns.times else 0.0,
        user_attributes=attributes,
    )


class _Columns:
    """Interactions as they come in, eight bytes or less a number."""

    def __init__(self) -> None:
        self.users, self.items = array("i"), array("i")
        self.weights, self.values, self.times = array("f"), array("f"), array("d")


def check(model: Strategy, data: Dataset, k: int = 10) -> str | None:
    """Why a fresh model must not answer: it fails, or recommends nothing to anybody. None: it is sound."""
    available = [item.item_id for item in data.items if item.available]
    if not available:
        return "the catalogue has no available item"
    histories: list[tuple[Signal, ...]] = [()] + [_history(data, user) for user in range(min(len(data.user_ids), 5))]
    # On an item's page, and once off it: a page's own item is left out, which may be the only one that there is.
    asked: list[tuple[tuple[Signal, ...], list[str]]] = [(history, available[:1]) for history in histories] + [((), [])]
    answered = 0
    for history, page in asked:
        query = Query(k=k, user_id="check", history=history, context_items=page, seed=1, now=data.until)
        try:
            answer = checked(model.recommend(query))
        except Exception as error:  # noqa: BLE001 (a strategy is foreign code; whatever it raises makes it unsound)
            return f"it raises {type(error).__name__}: {error}"
        answered += bool(answer)
    return None if answered else "it recommends nothing to anybody"


def _history(data: Dataset, user: int) -> tuple[Signal, ...]:
    rows = np.flatnonzero(data.users == user)[-50:]
    return tuple(
        Signal(
            str(data.item_ids[data.columns[row]]),
            float(data.weights[row]),
            float(data.times[row]),
            value=None if np.isnan(data.values[row]) else float(data.values[row]),
        )
        for row in rows
    )


def train(
    database: Database,
    registry: Registry,
    artifacts: Artifacts,
    strategy: str,
    params: Mapping[str, Any],
    *,
    weights: Mapping[str, float],
    progress: Progress,
    data: Dataset | None = None,
    keep: int = 5,
    actor: str = SYSTEM,
    check_users: int = 500,
    floor: float = 0.5,
) -> dict[str, Any]:
    """Train one model and activate it if it is sound and good enough; returns the model's view.

    A model that cannot be trained or does not answer is kept in the list with the reason, and the active one stays. So
    it does where a sound one is below the floor; that one is ready, and people may activate it. `check_users` and
    `floor`: see `model_check`.
    """
    if strategy not in registry:
        raise NotFound("strategy", strategy)
    full = models.complete(registry, strategy, params)
    kind = registry.get(strategy)
    with database.write() as session:
        model_id = models.begin(session, strategy, full).id
    started = time.perf_counter()
    fitted = _Fitted()
    try:
        with models.alive(database, model_id):
            _fit(fitted, database, artifacts, kind, strategy, full, model_id, weights, progress, data)
            if fitted.state == "ready" and fitted.data is not None:
                progress(0.97, "measuring")
                fitted.metrics = _measured(kind, parse_parameters(strategy, kind, full), fitted.data, check_users)
    except StrategyError as failure:
        fitted.state, fitted.error = "failed", str(failure)
    except Exception as failure:
        _discard(fitted, artifacts)
        with database.write() as session:
            row = session.get_one(ModelRow, model_id)
            row.state, row.error = "failed", f"{type(failure).__name__}: {failure}"
            models.prune(session, keep)
        raise
    if fitted.state != "ready":
        _discard(fitted, artifacts)
    with database.write() as session:
        row = session.get_one(ModelRow, model_id)
        row.state, row.error, row.artifact, row.size_bytes = fitted.state, fitted.error, fitted.name, fitted.size
        row.metrics = fitted.metrics | fitted.search
        row.trained_at, row.seconds = now(), time.perf_counter() - started
        if fitted.data is not None:
            row.users, row.items = fitted.data.shape
            row.interactions = len(fitted.data)
            row.data_until = to_datetime(round(fitted.data.until * MICROS)) if len(fitted.data) else None
        session.flush()
        if fitted.state == "ready":
            before = models.active(session, row)
            row.error = model_check.below_floor(row.metrics, before.metrics if before else None, floor=floor)
            if row.error is None:
                models.activate(session, model_id, actor)
        stale = models.prune(session, keep)
        result = models.view(row)
        fitted.error = row.error
    for artifact in stale:
        artifacts.remove(artifact)
    log.info("trained", model=result["model"], state=fitted.state, seconds=result["seconds"], reason=fitted.error)
    return result


@dataclass(slots=True)
class _Fitted:
    """What has become of a training so far."""

    state: str = "ready"
    error: str | None = None
    name: str | None = None
    size: int | None = None
    data: Dataset | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    search: dict[str, float] = field(default_factory=dict)


def _search(model: Strategy) -> dict[str, float]:
    """What fitting measured of an approximate search (`State.meta`), as metrics such as `search recall@10`."""
    told = model.state().meta.get("search")
    found = told.items() if isinstance(told, Mapping) else ()
    return {
        f"search {name}": float(value)
        for name, value in found
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _measured(kind: type[Strategy], params: Parameters, data: Dataset, users: int) -> dict[str, Any]:
    """The quick metrics; where there are none, `reason` says why. Not measured is no ground to hold a model back."""
    try:
        found, reason = model_check.measure(kind, params, data, users=users)
    except Exception as failure:  # noqa: BLE001 (a strategy is foreign code; the reason is kept with the model)
        found, reason = {}, f"it cannot be measured: {type(failure).__name__}: {failure}"
    return found if reason is None else {"reason": reason}


def _fit(
    fitted: _Fitted,
    database: Database,
    artifacts: Artifacts,
    kind: type[Strategy],
    strategy: str,
    full: Mapping[str, Any],
    model_id: int,
    weights: Mapping[str, float],
    progress: Progress,
    data: Dataset | None,
) -> None:
    """Read, fit, check, save, and check what was saved."""
    progress(0.0, "reading events and items")
    fitted.data = data = load_dataset(database, weights) if data is None else data
    progress(0.1, f"fitting {strategy} on {len(data):,} interactions")
    model = kind.fit(
        data, parse_parameters(strategy, kind, full), lambda share, what: progress(0.1 + 0.8 * share, what)
    )
    fitted.search = _search(model)
    fitted.error = check(model, data)
    if fitted.error is None:
        progress(0.95, "saving")
        with database.read() as session:
            fitted.name = f"{strategy}-{session.get_one(ModelRow, model_id).version}"
        artifacts.remove(fitted.name)
        fitted.size = artifacts.save(fitted.name, model.state())
        fitted.error = check(kind.restore(artifacts.load(fitted.name), parse_parameters(strategy, kind, full)), data)
    if fitted.error is not None:
        fitted.state = "rejected"


def _discard(fitted: _Fitted, artifacts: Artifacts) -> None:
    if fitted.name is not None:
        artifacts.remove(fitted.name)
        fitted.name = fitted.size = None
