"""What to show this user here: assign, ask the arm's strategy, filter, vary, fill up, explore, log, answer."""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import structlog

from reclift.domain.decision import Decision
from reclift.domain.events import MICROS, Facts
from reclift.domain.list_quality import diversity, novelty
from reclift.flows.answered import Answered
from reclift.flows.assign import exposure
from reclift.flows.clock import now_micros
from reclift.flows.errors import NotFound
from reclift.flows.guard import Guard
from reclift.flows.list_making import ListInMaking, diversified
from reclift.flows.preview import decision as preview_decision
from reclift.flows.serving import Served, ServedPlacement, Serving
from reclift.flows.serving_catalogue import Items
from reclift.flows.wish import Wish
from reclift.storage.eventlog import EventLog
from reclift.storage.histories import Histories, Known
from reclift.storage.hurry import may_wait
from reclift.storage.repeats import Repeats
from reclift.storage.shown import ShownLately
from reclift.storage.sticky import Sticky
from reclift.strategy import Query, Scored

log = structlog.get_logger(__name__)

_draw = random.Random()  # noqa: S311 (no secret, only unique)
os.register_at_fork(after_in_child=_draw.seed)

_SLACK = 20
_VARIETY = 5
"""A list that is to be varied is chosen from so many times its length."""


class Recommender:
    """Answers `/recommend`. Holds what does not change from request to request."""

    def __init__(
        self,
        histories: Histories,
        sticky: Sticky,
        event_log: EventLog,
        guard: Guard,
        shown: ShownLately,
        repeats: Repeats,
        answered: Answered | None = None,
    ) -> None:
        """All live as long as the process. Without `answered` every list is asked for."""
        self._answered = answered or Answered(0)
        self._repeats = repeats
        self._histories = histories
        self._sticky = sticky
        self._log = event_log
        self._guard = guard
        self._shown = shown

    def recommend(self, serving: Serving, wish: Wish) -> dict[str, Any]:
        """The answer, after its impression is durable. `NotFound` for an unknown placement.

        `SinkUnavailable` when no sink takes the impression.
        """
        started = time.perf_counter()
        placement = serving.placements.get(wish.placement)
        if placement is None:
            raise NotFound("placement", wish.placement)
        recommendation_id = self._id(wish)
        may_repeat = wish.request_id is not None and wish.preview is None
        if may_repeat or serving.sticky:
            may_wait()  # whether the impression was there decides about the answer; others are told of the arm
        if may_repeat and (given := self._repeats.get(recommendation_id)) is not None:
            return _again(given, serving, wish)
        decision = self._decide(serving, wish)
        served = placement.default
        if decision is not None:
            served = serving.arms.get((decision.experiment, decision.arm), Served(decision.arm, None, None))
        known = self._histories.known(wish.unit)
        at = wish.at if wish.at is not None else now_micros()
        rows, fallback = self._fill(serving, placement, served, decision, wish, known, recommendation_id, at)
        latency_ms = (time.perf_counter() - started) * 1_000
        was_there = self._keep(serving, decision, served, wish, recommendation_id, at, rows, fallback, latency_ms)
        answer = {
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
        if may_repeat:
            return _again(self._repeats.first(wish.unit, answer, was_there=was_there), serving, wish)
        return answer

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
        # Begins with the time, so that new rows lie together in the index. The rest is no secret, only to be unique
        # among processes and hosts: drawn without asking the operating system each time.
        return f"{time.time_ns() // 1_000:014x}{_draw.getrandbits(72):018x}"

    def _fill(
        self,
        serving: Serving,
        placement: ServedPlacement,
        served: Served,
        decision: Decision | None,
        wish: Wish,
        known: Known,
        recommendation_id: str,
        at: int,
    ) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
        barred = _seen(placement.seen, known)
        if wish.exclude or wish.context_items:
            barred = barred.union(wish.exclude, wish.context_items)
        bans = [barred]
        if placement.seen == "shown":
            lately = self._shown.get(wish.unit, placement.key, at, recommendation_id)
            if lately:
                bans.insert(0, barred | lately)  # a repeated item is better than an empty place
        candidates = _candidates(wish, serving.items)
        lists = ListInMaking(wish.k, serving.items.available, bans[0], candidates)
        arm = decision.arm if decision is not None else None
        seed_text = f"{decision.experiment if decision else placement.key}\x1f{wish.unit}\x1f{recommendation_id}"
        query = Query(
            k=wish.k * (1 if served.diversity is None else _VARIETY) + _SLACK,
            user_id=wish.unit,
            history=known.signals,
            context_items=wish.context_items,
            # What is said now wins, name by name.
            attributes={**known.attributes, **wish.attributes} if known.attributes else wish.attributes,
            exclude=bans[0],
            candidates=candidates,
            seed=int.from_bytes(hashlib.blake2b(seed_text.encode(), digest_size=8).digest()),
            now=at / MICROS,
        )
        reason, filler = self._fill_up(lists, bans, placement, served, query, arm, serving.items)
        if placement.explore > 0:
            lists.bar(bans[0])
            lists.explore(placement.explore, serving.items.new, query.seed)
        if reason is None or (filler is None and reason == "too_few"):
            return lists.rows, None  # there is nothing more to show: the list is just as long as the catalogue allows
        return lists.rows, {"reason": reason, "strategy": filler}

    def _fill_up(
        self,
        lists: ListInMaking,
        bans: Sequence[frozenset[str]],
        placement: ServedPlacement,
        served: Served,
        query: Query,
        arm: str | None,
        items: Items,
    ) -> tuple[str | None, str | None]:
        """Why others than the arm's strategy were asked, and which of them was the last to add something."""
        reason = filler = None
        for banned in bans:
            lists.bar(banned)
            if banned is not query.exclude:
                query = replace(query, exclude=banned)
            if reason in {None, "too_few"}:
                reason = self._take(lists, served, query, arm, items)
                if reason is None and not lists.missing:
                    return (None, None) if filler is None else ("too_few", filler)
            reason = reason or "too_few"
            for other in placement.fallback:
                before = lists.missing
                if other.label != served.label or other.model is None:
                    self._take(lists, other, query, arm, items)
                if lists.missing < before:
                    filler = other.strategy
                if not lists.missing:
                    return reason, filler
        return reason, filler

    def _take(self, lists: ListInMaking, served: Served, query: Query, arm: str | None, items: Items) -> str | None:
        """Ask and take; asks a second time for many more when the filters ate what came. Returns why it failed."""
        answer = self._answered.get(served, query)
        if answer is None:
            asked = self._guard.ask(served, query)
            if asked.failure is not None:
                return asked.failure
            answer = asked.items
            self._answered.note(served, query, answer)
        if served.diversity is None:
            lists.take(answer, served.strategy, arm)
            if lists.missing and len(answer) >= query.k:
                lists.take(self._many_more(served, query), served.strategy, arm)
            return None
        found = lists.allowed(answer)
        if len(found) < lists.missing and len(answer) >= query.k:
            found = lists.allowed([*answer, *self._many_more(served, query)])
        lists.take(diversified(served.diversity, found, lists.missing, items), served.strategy, arm)
        return None

    def _many_more(self, served: Served, query: Query) -> Sequence[Scored]:
        return self._guard.ask(served, replace(query, k=max(query.k * 10, 500))).items

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
    ) -> bool | None:
        """Whether the impression was there already; None: the sink cannot tell yet."""
        if wish.preview is not None:
            return False
        # Who tests sees the arm, but the list is not one of the experiment's.
        counted = decision if decision is not None and decision.counts else None
        shown = tuple(row["item_id"] for row in rows)
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
            "items": [_logged(row) if "reason" in row else row for row in rows],
            "novelty": novelty(shown, serving.items.novelty, serving.items.most_novel),
            "diversity": diversity(shown, serving.items.categories),
        }
        facts = Facts(impressions=[impression])
        if counted is not None:
            facts.exposures.append(exposure(serving, counted, wish.unit, at, "recommend", wish.attributes))
        # Both sides of a holdout meet it wherever it holds, whatever else decides there.
        facts.exposures += [
            exposure(serving, side, wish.unit, at, "recommend", wish.attributes)
            for side in serving.plan.holdouts_for(wish.placement, wish.unit)
        ]
        duplicates = self._log.append(facts).duplicates
        if serving.sticky:
            self._sticky.note(facts.exposures, serving.sticky)
        self._shown.note(wish.unit, wish.placement, recommendation_id, at, shown)
        return None if duplicates is None else duplicates > 0


def _logged(row: dict[str, Any]) -> dict[str, Any]:
    """A place of the list as it is kept: reasons are words for people."""
    kept = row.copy()
    del kept["reason"]
    return kept


def _again(given: dict[str, Any], serving: Serving, wish: Wish) -> dict[str, Any]:
    """The answer that was given first, to whoever asks now, without what may not be shown any more."""
    items = [row for row in given["items"] if row["item_id"] in serving.items.available]
    return {**given, "user_id": wish.user_id, "session_id": wish.session_id, "items": items}


def _seen(rule: str, known: Known) -> frozenset[str]:
    if rule == "none":
        return frozenset()
    return known.interacted if rule == "interacted" else known.bought


def _candidates(wish: Wish, items: Items) -> frozenset[str] | None:
    """The only items allowed, by id and by category; None: any."""
    if wish.categories is None:
        return wish.candidates
    within = items.within(wish.categories)
    return within if wish.candidates is None else within & wish.candidates
