"""Takes what users did: each event is checked by itself, the good ones are durable before they are acknowledged."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from reclift.domain.events import MICROS, EventError, Facts, parse_event
from reclift.flows.clock import now_micros
from reclift.flows.serving import Serving
from reclift.storage.eventlog import EventLog, Poison
from reclift.storage.histories import Histories
from reclift.storage.hurry import current, may_wait
from reclift.storage.sticky import Sticky

_MOST_IN_A_HURRY = 50


class _Good(NamedTuple):
    """An event that was checked, with its place in the batch."""

    place: int
    table: str
    row: dict[str, Any]


class Ingest:
    """Answers `/events`. Holds what does not change from request to request."""

    def __init__(self, event_log: EventLog, histories: Histories, sticky: Sticky, *, max_skew_seconds: float) -> None:
        """`max_skew_seconds`: how far ahead a client's clock may be."""
        self._log = event_log
        self._sticky = sticky
        self._histories = histories
        self._skew = round(max_skew_seconds * MICROS)

    def ingest(self, serving: Serving, raw_events: Sequence[object]) -> dict[str, Any]:
        """Take a batch; `SinkUnavailable` when nothing keeps it (then nothing is acknowledged).

        Returns:
            `accepted` new facts, `duplicates` known by their key, and `rejected` with index and reason. A sink that
            cannot know duplicates yet counts them as accepted; the tables take them once all the same.
        """
        if len(raw_events) > _MOST_IN_A_HURRY or serving.sticky:
            may_wait()  # others would wait meanwhile; others are told of the arms
        now = now_micros()
        good: list[_Good] = []
        rejected: list[dict[str, Any]] = []
        seen: set[str] = set()
        repeated = 0
        for index, raw in enumerate(raw_events):
            try:
                table, row = parse_event(
                    raw, now=now, max_skew=self._skew, canonical=serving.canonical, arms=serving.arms_of
                )
            except EventError as error:
                rejected.append({"index": index, "error": str(error)})
                continue
            if table == "events" and row["event_id"] in seen:
                repeated += 1
                continue
            if table == "events":
                seen.add(row["event_id"])
            good.append(_Good(index, table, row))
        accepted, duplicates = self._keep(good, rejected)
        exposures = [one.row for one in good if one.table == "exposures"]
        if exposures and serving.sticky:
            self._sticky.note(exposures, serving.sticky)
        return {
            "accepted": accepted,
            "duplicates": duplicates + repeated,
            "rejected": sorted(rejected, key=lambda entry: entry["index"]),
        }

    def _keep(self, good: Sequence[_Good], rejected: list[dict[str, Any]]) -> tuple[int, int]:
        """Accepted and duplicates. What a sink refuses for good is narrowed down to the events that are to blame."""
        facts = Facts(
            events=[one.row for one in good if one.table == "events"],
            exposures=[one.row for one in good if one.table == "exposures"],
        )
        try:
            receipt = self._log.append(facts)
        except Poison as error:
            if len(good) == 1:
                rejected.append({"index": good[0].place, "error": str(error)})
                return 0, 0
            half = len(good) // 2
            first, second = self._keep(good[:half], rejected), self._keep(good[half:], rejected)
            return first[0] + second[0], first[1] + second[1]
        hurry = current()
        if hurry is None:
            self._histories.note(facts.events)
        else:
            hurry.after.append(partial(self._histories.note, facts.events))
        return receipt.accepted, receipt.duplicates or 0
