"""Brings in an experiment that another system ran: who was shown what by which arm, and what came of it.

It becomes an experiment with the source `imported`: reported on like any other, never served. Bringing it in again
changes nothing, and an import that broke off is completed by doing it once more.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from reclift.domain.events import MAX_ID, Facts
from reclift.flows import experiments, jobs, placements
from reclift.flows.clock import to_datetime
from reclift.flows.errors import Invalid
from reclift.storage.database import Database
from reclift.storage.facts import write_facts
from reclift.storage.tables import ExperimentRow, Placement
from reclift.strategy import Registry

ROWS_PER_COMMIT = 2_000


class Shown(NamedTuple):
    """One item of a list; `propensity`: the arm's own chance of it at this position, where the log has it."""

    item_id: str
    position: int
    propensity: float | None = None


class Reaction(NamedTuple):
    """What the unit did with the list: an event type, an item (empty: none is named), a value."""

    type: str
    item_id: str
    value: float = 1.0


@dataclass(frozen=True, slots=True)
class LoggedList:
    """One list as the other system logged it.

    Attributes:
        list_id: unique in the log; becomes the recommendation id.
        at: microseconds since 1970. Reactions have the list's time when the log has no better one.
        attributes: of the unit, for segments.
    """

    list_id: str
    unit_id: str
    arm: str
    at: int
    items: Sequence[Shown]
    reactions: Sequence[Reaction] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)


def is_complete(database: Database, key: str) -> bool:
    """Whether the experiment is there with its whole log: it is stopped only at the end of its import."""
    with database.read() as session:
        status = session.scalar(select(ExperimentRow.status).where(ExperimentRow.key == key))
    return status in {"stopped", "archived"}


def key_of(name: str) -> str:
    """A key out of a file's name: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:64] or "imported"


def payload(
    key: str,
    arms: Sequence[str],
    *,
    name: str,
    hypothesis: str,
    placement: str,
    control: str | None,
    weights: Mapping[str, float],
    metrics: Mapping[str, Any],
) -> dict[str, Any]:
    """The experiment of a log, as `import_experiment` takes it.

    Args:
        key: of the experiment.
        name: for people.
        hypothesis: what was asked.
        placement: where lists were shown.
        arms: as the log names them.
        control: one of them; `None`: `control` if there is one, else the first.
        weights: arm -> its share of the units, as planned; empty: equal shares.
        metrics: as of any experiment.

    Raises:
        Invalid: fewer than two arms, or the control or a weight names no arm of the log.
    """
    if len(arms) < 2:
        raise Invalid.of("arm", list(arms), "the log must have at least two arms")
    if control is None:
        control = "control" if "control" in arms else arms[0]
    for field_name, arm in [("control", control), *(("weight", arm) for arm in weights)]:
        if arm not in arms:
            raise Invalid.of(field_name, arm, f"must be an arm of the log: {', '.join(arms)}")
    if weights and set(weights) != set(arms):
        missing = sorted(set(arms) - set(weights))
        raise Invalid.of("weight", dict(weights), f"must be given for every arm or none; missing: {', '.join(missing)}")
    return {
        "key": key,
        "name": name,
        "hypothesis": hypothesis,
        "placement": placement,
        "arms": [
            {"key": arm, "strategy": arm, "weight": weights.get(arm, 1 / len(arms)), "control": arm == control}
            for arm in arms
        ],
        "metrics": dict(metrics),
    }


def set_up_placement(session: Session, registry: Registry, key: str, strategy: str, actor: str) -> None:
    """The place of logged experiments, if it is not there; nothing is served there unless the shop asks for it."""
    if session.get(Placement, key) is None:
        wanted = {"name": "Imported logs", "strategy": strategy, "fallback": [strategy]}
        placements.put(session, registry, key, wanted, actor)


def import_experiment(
    database: Database,
    registry: Registry,
    queue: jobs.Queue,
    payload: Mapping[str, Any],
    lists: Sequence[LoggedList],
    *,
    actor: str,
    advance: Callable[[int], None] = lambda _: None,
) -> None:
    """Make the experiment with its log; it starts with the first list and stops with the last.

    Args:
        database: where it goes.
        registry: the installed strategies.
        queue: carries the job that computes the report, asked for when the experiment stops.
        payload: the experiment, as `POST /api/v1/experiments` takes it; its arms may name foreign strategies.
        lists: the log, in the order of time.
        actor: who brings it in, for the audit.
        advance: told how many lists are in.

    Raises:
        ValueError: the log is empty, or names an arm that the experiment does not have.
        Invalid, Conflict: the experiment's definition cannot be used.
    """
    key = str(payload["key"])
    if not lists:
        raise ValueError(f"{key}: the log has no rows")
    strategies = {str(arm["key"]): str(arm["strategy"]) for arm in payload["arms"]}
    foreign = {row.arm for row in lists} - set(strategies)
    if foreign:
        raise ValueError(f"{key}: the log has arm={min(foreign)!r}: must be one of {', '.join(strategies)}")
    first, last = to_datetime(lists[0].at), to_datetime(lists[-1].at)
    with database.write() as session:
        if session.scalar(select(ExperimentRow.id).where(ExperimentRow.key == key)) is None:
            experiments.create(session, registry, payload, actor, source="imported", at=first)
            experiments.act(session, registry, queue, key, "start", actor, at=first)
    for part in _parts(lists):
        with database.connection() as connection:
            write_facts(connection, _facts(key, str(payload["placement"]), strategies, part))
        advance(len(part))
    with database.write() as session:
        if experiments.find(session, key).status == "running":
            experiments.act(session, registry, queue, key, "stop", actor, at=last)


def _parts(lists: Sequence[LoggedList]) -> Iterable[Sequence[LoggedList]]:
    for start in range(0, len(lists), ROWS_PER_COMMIT):
        yield lists[start : start + ROWS_PER_COMMIT]


def _facts(key: str, placement: str, strategies: Mapping[str, str], lists: Iterable[LoggedList]) -> Facts:
    facts = Facts()
    for row in lists:
        strategy = strategies[row.arm]
        facts.impressions.append(
            {
                "recommendation_id": row.list_id,
                "unit_id": row.unit_id,
                "at": row.at,
                "received_at": row.at,
                "placement": placement,
                "experiment": key,
                "phase": 1,
                "arm": row.arm,
                "strategy": strategy,
                "model": None,
                "fallback": None,
                "latency_ms": None,
                "items": [_item(shown, strategy, row.arm) for shown in row.items],
                "novelty": None,
                "diversity": None,
            }
        )
        facts.exposures.append(
            {
                "experiment": key,
                "phase": 1,
                "unit_id": row.unit_id,
                "arm": row.arm,
                "at": row.at,
                "source": "import",
                "attributes": dict(row.attributes),
            }
        )
        facts.events += [
            {
                "event_id": _event_id(row.list_id, reaction),
                "type": reaction.type,
                "unit_id": row.unit_id,
                "item_id": reaction.item_id or None,
                "recommendation_id": row.list_id,
                "value": reaction.value,
                "at": row.at,
                "client_at": row.at,
                "received_at": row.at,
                "properties": {},
            }
            for reaction in row.reactions
        ]
    return facts


def _event_id(list_id: str, reaction: Reaction) -> str:
    text = f"{list_id}-{reaction.type}-{reaction.item_id}"
    return text if len(text) <= MAX_ID else "l-" + hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _item(shown: Shown, strategy: str, arm: str) -> dict[str, Any]:
    item: dict[str, Any] = {"item_id": shown.item_id, "position": shown.position, "source": strategy, "arm": arm}
    if shown.propensity is not None:
        item["propensity"] = shown.propensity
    return item
