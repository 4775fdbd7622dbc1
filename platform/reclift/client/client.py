"""The client: ask which arm, ask what to show, and tell what users did."""

from __future__ import annotations

import atexit
import uuid
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from reclift.client.answers import Assignment, Recommendation, read_assignment, read_recommendation
from reclift.client.events import EventCounts, EventQueue
from reclift.client.http import Transport
from reclift.client.local import LocalPlan

Json = Mapping[str, Any]


class Reclift:
    """One for the whole shop; it may be used by many threads, and survives a fork.

    Calls that ask (`assign`, `recommend`, …) raise `RecliftError` when there is no answer; they are tried again, with
    jitter, only if a repeated call changes nothing. Calls that tell (`track`, `expose`) never wait and never raise:
    events are sent in the background, and at the end of the process at the latest.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout: float = 2.0,
        retries: int = 2,
        queue_size: int = 10_000,
        batch_size: int = 200,
        flush_seconds: float = 1.0,
        refresh_seconds: float = 1.0,
        close_seconds: float = 3.0,
    ) -> None:
        """Nothing connects before it is used.

        Args:
            url: where the server is.
            key: an API key with scope `shop`.
            timeout: seconds for one attempt.
            retries: more attempts, of safe calls.
            queue_size: events that wait at most; more are dropped and counted.
            batch_size: events sent at once, 1 to 1,000.
            flush_seconds: how long an event waits for others at most.
            refresh_seconds: how often the plan for `decide` is looked for.
            close_seconds: how long the end of the process may be held up to send what waits.
        """
        if not 1 <= batch_size <= 1_000:
            raise ValueError(f"batch_size={batch_size!r}: must be from 1 to 1,000")
        for name, value in (
            ("timeout", timeout),
            ("flush_seconds", flush_seconds),
            ("refresh_seconds", refresh_seconds),
        ):
            if not value > 0:
                raise ValueError(f"{name}={value!r}: must be above 0")
        self._transport = Transport(url, key, timeout=timeout, retries=retries)
        self._events = EventQueue(self._transport, most=queue_size, batch=batch_size, every=flush_seconds)
        self._local = LocalPlan(self._transport, every=refresh_seconds)
        self._close_seconds = close_seconds
        atexit.register(self.close)

    # ask the server

    def assign(
        self, user_id: str, experiment: str, attributes: Json | None = None, *, preview: str | None = None
    ) -> Assignment:
        """The arm of a user in one experiment, by the server. Not an exposure: say `expose` when it is shown."""
        return self._assign(user_id, experiment, attributes, preview)[0]

    def assign_all(self, user_id: str, attributes: Json | None = None) -> list[Assignment]:
        """The arms of a user in all running experiments, by the server."""
        return self._assign(user_id, None, attributes, None)

    def _assign(
        self, user_id: str, experiment: str | None, attributes: Json | None, preview: str | None
    ) -> list[Assignment]:
        body = {"user_id": user_id, "experiment": experiment, "attributes": attributes, "preview": preview}
        answer = self._transport.call("POST", "/assign", _given(body), safe=True)
        return [read_assignment(one) for one in answer.body["assignments"]]

    def recommend(
        self,
        placement: str,
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        k: int = 10,
        attributes: Json | None = None,
        context_item: str | None = None,
        exclude: Sequence[str] | None = None,
        candidates: Sequence[str] | None = None,
        request_id: str | None = None,
        preview: str | None = None,
    ) -> Recommendation:
        """What to show. The server logs the impression; a retry is the same impression, by `request_id`."""
        body = {
            "placement": placement,
            "user_id": user_id,
            "session_id": session_id,
            "k": k,
            "attributes": attributes,
            "context": {"item_id": context_item} if context_item is not None else None,
            "exclude": exclude,
            "candidates": candidates,
            "request_id": request_id or uuid.uuid4().hex,
            "preview": preview,
        }
        return read_recommendation(self._transport.call("POST", "/recommend", _given(body), safe=True).body)

    def put_items(self, items: Sequence[Json]) -> int:
        """Add or replace items of the catalogue; how many were written."""
        return int(self._transport.call("PUT", "/items", {"items": items}, safe=True).body["items"])

    def put_user(self, user_id: str, attributes: Json) -> None:
        """Keep what the shop knows of a user."""
        self._transport.call("PUT", f"/users/{quote(user_id, safe='')}", {"attributes": attributes}, safe=True)

    def add_alias(self, user_id: str, alias: str) -> None:
        """Say that another id is the same person."""
        self._transport.call("POST", f"/users/{quote(user_id, safe='')}/aliases", {"alias": alias}, safe=True)

    def erase_user(self, user_id: str) -> Json:
        """Erase a person; how much was removed, by table. Not tried again by itself."""
        answer = self._transport.call("DELETE", f"/users/{quote(user_id, safe='')}", safe=False)
        removed: Json = answer.body["removed"]
        return removed

    # decide here

    def decide(self, user_id: str, experiment: str, attributes: Json | None = None) -> Assignment:
        """The same as `assign`, without the network: from the plan in memory, which a thread keeps fresh.

        Give the canonical id: aliases are known to the server only, and so is what people have met in sticky
        experiments; use `assign` where these matter. `NotReady` before the first plan has come.
        """
        return self._local.decide(user_id, experiment, attributes)

    def decide_all(self, user_id: str, attributes: Json | None = None) -> list[Assignment]:
        """The same for all running experiments."""
        self._local.start()
        return [self._local.decide(user_id, key, attributes) for key in self._local.running()]

    def wait_until_ready(self, timeout: float = 5.0) -> bool:
        """Until `decide` has a plan; False when none has come within `timeout` seconds. Call it at the shop's start."""
        return self._local.wait(timeout)

    @property
    def plan_age_seconds(self) -> float | None:
        """How long ago the plan of `decide` was known to be the newest; None: there is none."""
        return self._local.age_seconds

    # tell

    def track(
        self,
        type: str,  # noqa: A002 (the API's name)
        *,
        user_id: str | None = None,
        session_id: str | None = None,
        item_id: str | None = None,
        recommendation_id: str | None = None,
        value: float | None = None,
        properties: Json | None = None,
        timestamp: str | None = None,
        event_id: str | None = None,
    ) -> bool:
        """Queue what a user did; False when it was dropped (see `events`). Never waits, never raises."""
        return self._events.put(
            {
                "type": type,
                "user_id": user_id,
                "session_id": session_id,
                "item_id": item_id,
                "recommendation_id": recommendation_id,
                "value": value,
                "properties": properties,
                "timestamp": timestamp,
                "event_id": event_id,
            }
        )

    def expose(self, user_id: str, assignment: Assignment, attributes: Json | None = None) -> bool:
        """Queue that the user meets this arm now. What does not count (not in, or testing) is left out: False."""
        if not assignment.counts:
            return False
        properties = {"experiment": assignment.experiment, "arm": assignment.arm, "phase": assignment.phase}
        if attributes:
            properties["attributes"] = dict(attributes)  # type: ignore[assignment]
        return self._events.put({"type": "exposure", "user_id": user_id, "properties": _given(properties)})

    @property
    def events(self) -> EventCounts:
        """What became of the events so far."""
        return self._events.counts

    def flush(self, timeout: float = 5.0) -> bool:
        """Send what waits now; True when all of it is off within `timeout` seconds."""
        return self._events.flush(timeout)

    def close(self) -> None:
        """Send what waits, for `close_seconds` at most, and let go of everything."""
        atexit.unregister(self.close)
        self._local.close()
        self._events.close(self._close_seconds)
        self._transport.close()

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


def _given(body: Json) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}
