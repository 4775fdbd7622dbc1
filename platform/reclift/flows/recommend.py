"""What to show this user here: assign, ask the arm's strategy, filter, fill up, log the impression, answer."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from reclift.domain.decision import Decision
from reclift.domain.events import MICROS, Facts
from reclift.flows.assign import exposure
from reclift.flows.clock import now_micros
from reclift.flows.errors import NotFound
from reclift.flows.guard import Guard
from reclift.flows.preview import Preview
from reclift.flows.preview import decision as preview_decision
from reclift.flows.serving import Served, ServedPlacement, Serving
from reclift.storage.eventlog import EventLog
from reclift.storage.histories import Histories
from reclift.storage.sticky import Sticky
from reclift.strategy import Query, Scored, Signal

log = structlog.get_logger(__name__)

_SLACK = 20


@dataclass(frozen=True, slots=True)
class Wish:
    """What the shop asks for, checked.

    Attributes:
        unit: canonical id of the user, or the guest's session id.
        user_id, session_id: as sent; one of them is None.
        request_id: if given, a retry with it gives the same answer and is one impression.
        preview: the arm that a signed preview link forces.
        at: microseconds; when it was, if this is a replay of the past. None: now.
    """

    unit: str
    placement: str
    k: int = 10
    user_id: str | None = None
    session_id: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    context_items: Sequence[str] = ()
    exclude: frozenset[str] = frozenset()
    candidates: frozenset[str] | None = None
    request_id: str | None = None
    at: int | None = None
    preview: Preview | None = None


@dataclass(slots=True)
class _List:
    """The list in the making: hard filters are applied here, whatever a strategy returned."""

    k: int
    available: frozenset[str]
    banned: frozenset[str]
    candidates: frozenset[str] | None
    rows: list[dict[str, Any]] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)

    def take(self, items: Sequence[Scored], source: str, arm: str | None) -> int:
        """Add what is allowed, best first; returns how many were added."""
        before = len(self.rows)
        for scored in items:
            if len(self.rows) >= self.k:
                break
            item = scored.item_id
            if item in self.taken or item in self.banned or item not in self.available:
                continue
            if self.candidates is not None and item not in self.candidates:
                continue
            self.taken.add(item)
            row: dict[str, Any] = {
                "item_id": item,
                "position": len(self.rows) + 1,
                "score": float(scored.score),
                "source": source,
            }
            if arm is not None:
                row["arm"] = arm
            if scored.propensity is not None:
                row["propensity"] = float(scored.propensity)
            if scored.reason is not None:
                row["reason"] = scored.reason
            self.rows.append(row)
        return len(self.rows) - before


class Recommender:
    """Answers `/recommend`. Holds what does not change from request to request."""

    def __init__(self, histories: Histories, sticky: Sticky, event_log: EventLog, guard: Guard) -> None:
        """All live as long as the process."""
        self._histories = histories
        self._sticky = sticky
        self._log = event_log
        self._guard = guard

    def recommend(self, serving: Serving, wish: Wish) -> dict[str, Any]:
        """The answer, after its impression is durable. `NotFound` for an unknown placement.

        `SinkUnavailable` when no sink takes the impression.
        """
        started = time.perf_counter()
        placement = serving.placements.get(wish.placement)
        if placement is None:
            raise NotFound("placement", wish.placement)
        decision = self._decide(serving, wish)
        served = placement.default
        if decision is not None:
            served = serving.arms.get((decision.experiment, decision.arm), Served(decision.arm, None, None))
        recommendation_id = self._id(wish)
        history = self._histories.get(wish.unit)
        at = wish.at if wish.at is not None else now_micros()
        rows, fallback = self._fill(serving, placement, served, decision, wish, history, recommendation_id, at)
        latency_ms = (time.perf_counter() - started) * 1_000
        self._keep(serving, decision, served, wish, recommendation_id, at, rows, fallback, latency_ms)
        return {
            "recommendation_id": recommendation_id,
            "user_id": wish.user_id,
            "session_id": wish.session_id,
            "placement": wish.placement,
            "experiment": decision.experiment if decision is not None else None,
            "arm": decision.arm if decision is not None else None,
            "strategy": served.strategy,
            "model": served.label,
            "fallback": fallback,
            "items": rows,
        }

    def _decide(self, serving: Serving, wish: Wish) -> Decision | None:
        if wish.preview is not None:
            forced = preview_decision(serving, wish.preview)
            # Elsewhere in the shop people see what they always see.
            if serving.plan.experiments[forced.experiment].placement == wish.placement:
                return forced
        met = self._sticky.get(wish.unit, serving.sticky) if serving.sticky else None
        return serving.plan.for_placement(wish.placement, wish.unit, wish.attributes, met)

    @staticmethod
    def _id(wish: Wish) -> str:
        if wish.request_id is not None:
            text = f"{wish.request_id}\x1f{wish.unit}\x1f{wish.placement}"
            return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        # Begins with the time, so that new rows lie together in the index.
        return f"{time.time_ns() // 1_000:014x}{secrets.token_hex(9)}"

    def _fill(
        self,
        serving: Serving,
        placement: ServedPlacement,
        served: Served,
        decision: Decision | None,
        wish: Wish,
        history: Sequence[Signal],
        recommendation_id: str,
        at: int,
    ) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
        banned = wish.exclude.union(wish.context_items, _seen(placement.seen, history))
        lists = _List(wish.k, serving.available, banned, wish.candidates)
        arm = decision.arm if decision is not None else None
        seed_text = f"{decision.experiment if decision else placement.key}\x1f{wish.unit}\x1f{recommendation_id}"
        query = Query(
            k=wish.k + _SLACK,
            user_id=wish.unit,
            history=history,
            context_items=wish.context_items,
            attributes=wish.attributes,
            exclude=banned,
            candidates=wish.candidates,
            seed=int.from_bytes(hashlib.blake2b(seed_text.encode(), digest_size=8).digest()),
            now=at / MICROS,
        )
        reason = self._take(lists, served, query, arm)
        if reason is None and len(lists.rows) == wish.k:
            return lists.rows, None
        reason = reason or "too_few"
        filler = None
        for other in placement.fallback:
            before = len(lists.rows)
            if other.label != served.label or other.model is None:
                self._take(lists, other, query, arm)
            if len(lists.rows) > before:
                filler = other.strategy
            if len(lists.rows) == wish.k:
                break
        if filler is None and reason == "too_few":
            return lists.rows, None  # there is nothing more to show: the list is just as long as the catalogue allows
        return lists.rows, {"reason": reason, "strategy": filler}

    def _take(self, lists: _List, served: Served, query: Query, arm: str | None) -> str | None:
        """Ask and take; asks a second time for many more when the filters ate what came. Returns why it failed."""
        asked = self._guard.ask(served, query)
        if asked.failure is not None:
            return asked.failure
        lists.take(asked.items, served.strategy, arm)
        if len(lists.rows) < lists.k and len(asked.items) >= query.k:
            more = self._guard.ask(served, _deeper(query))
            lists.take(more.items, served.strategy, arm)
        return None

    def _keep(
        self,
        serving: Serving,
        decision: Decision | None,
        served: Served,
        wish: Wish,
        recommendation_id: str,
        at: int,
        rows: list[dict[str, Any]],
        fallback: dict[str, Any] | None,
        latency_ms: float,
    ) -> None:
        if wish.preview is not None:
            return
        # Who tests sees the arm, but the list is not one of the experiment's.
        counted = decision if decision is not None and decision.counts else None
        impression = {
            "recommendation_id": recommendation_id,
            "unit_id": wish.unit,
            "at": at,
            "received_at": now_micros(),
            "placement": wish.placement,
            "experiment": counted.experiment if counted is not None else None,
            "phase": serving.arms_of(counted.experiment).get(counted.arm) if counted is not None else None,
            "arm": counted.arm if counted is not None else None,
            "strategy": served.strategy,
            "model": served.label,
            "fallback": fallback,
            "latency_ms": round(latency_ms, 3),
            "items": [{key: row[key] for key in row if key != "reason"} for row in rows],
        }
        facts = Facts(impressions=[impression])
        if counted is not None:
            facts.exposures.append(exposure(serving, counted, wish.unit, at, "recommend", wish.attributes))
        # Both sides of a holdout meet it wherever it holds, whatever else decides there.
        facts.exposures += [
            exposure(serving, side, wish.unit, at, "recommend", wish.attributes)
            for side in serving.plan.holdouts_for(wish.placement, wish.unit)
        ]
        self._log.append(facts)
        if serving.sticky:
            self._sticky.note(facts.exposures, serving.sticky)


def _seen(rule: str, history: Sequence[Signal]) -> set[str]:
    if rule == "none":
        return set()
    if rule == "interacted":
        return {signal.item_id for signal in history}
    return {signal.item_id for signal in history if signal.type == "purchase"}


def _deeper(query: Query) -> Query:
    from dataclasses import replace

    return replace(query, k=max(query.k * 10, 500))
