"""Takes what users did: each event is checked by itself, the good ones are durable before they are acknowledged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reclift.domain.events import MICROS, EventError, Facts, parse_event
from reclift.flows.clock import now_micros
from reclift.flows.serving import Serving
from reclift.storage.eventlog import EventLog, Poison
from reclift.storage.histories import Histories


class Ingest:
    """Answers `/events`. Holds what does not change from request to request."""

    def __init__(self, event_log: EventLog, histories: Histories, *, max_skew_seconds: float) -> None:
        """`max_skew_seconds`: how far ahead a client's clock may be."""
        self._log = event_log
        self._histories = histories
        self._skew = round(max_skew_seconds * MICROS)

    def ingest(self, serving: Serving, raw_events: Sequence[object]) -> dict[str, Any]:
        """Take a batch; `SinkUnavailable` when nothing keeps it (then nothing is acknowledged).

        Returns:
            `accepted` new facts, `duplicates` known by their key, and `rejected` with index and reason. A sink that
            cannot know duplicates yet counts them as accepted; the tables take them once all the same.
        """
        now = now_micros()
        facts = Facts()
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
            if table == "exposures":
                facts.exposures.append(row)
            elif row["event_id"] in seen:
                repeated += 1
            else:
                seen.add(row["event_id"])
                facts.events.append(row)
        try:
            receipt = self._log.append(facts)
        except Poison as error:
            return {"accepted": 0, "duplicates": 0, "rejected": [*rejected, {"index": None, "error": str(error)}]}
        self._histories.note(facts.events)
        return {
            "accepted": receipt.accepted,
            "duplicates": (receipt.duplicates or 0) + repeated,
            "rejected": rejected,
        }
