"""Plays real people's histories back against a running server, through its HTTP API.

A history is what a person did with items, in the order of time, each with a rating. It is cut into visits. At each
visit the shop asks `/recommend`; a shown item that this person really rated 4 or more later in their history is
clicked, and bought if the rating was 5. Then what the person really rated at this visit is reported as events, so that
the server knows as much of them as it would have known then.

What this can and cannot say: reactions are real tastes, but only of items that the person found without the
recommender. A good recommendation of an item that they never met counts as nothing. So the lifts are those of a replay,
not of a live test; they compare strategies on equal terms, because each arm is judged by the same rule.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event
from typing import Any, Protocol
from zlib import crc32

from reclift.flows.replay_visits import LIKED, Visit

LOVED = 5.0
VIEW = "page_view"
EVENTS_PER_CALL = 500


class Api(Protocol):
    """The two calls that a replay makes."""

    def recommend(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """POST /recommend; returns its answer. Raises when there is none."""
        ...

    def send(self, events: Sequence[Mapping[str, Any]]) -> None:
        """POST /events; raises when any of them was not taken."""
        ...


@dataclass(slots=True)
class Tally:
    """What a replay did."""

    visits: int = 0
    shown: int = 0
    clicks: int = 0
    purchases: int = 0

    def add(self, other: Tally) -> None:
        """Take in what another thread did."""
        self.visits += other.visits
        self.shown += other.shown
        self.clicks += other.clicks
        self.purchases += other.purchases


def request_of(visit: Visit, k: int) -> dict[str, Any]:
    """The body of `/recommend`. Its `request_id` makes a retry the same impression."""
    body: dict[str, Any] = {
        "user_id": visit.person.user_id,
        "placement": visit.placement,
        "k": k,
        "attributes": dict(visit.person.attributes),
        "request_id": visit.visit_id,
        "timestamp": _rfc3339(visit.at),
    }
    if visit.context_item is not None:
        body["context"] = {"item_id": visit.context_item}
    return body


def reactions(visit: Visit, answer: Mapping[str, Any], had: set[str]) -> list[dict[str, Any]]:
    """What the person does with the list: events in the order in which they happen.

    Args:
        visit: where we are in the person's history.
        answer: what `/recommend` answered.
        had: items that the person clicked at earlier visits; they are not clicked twice. New clicks are added.
    """
    opinions = visit.person.opinions_from(visit.start)
    events = []
    for item in answer["items"]:
        item_id = item["item_id"]
        opinion = opinions.get(item_id, 0.0)
        if opinion < LIKED or item_id in had:
            continue
        had.add(item_id)
        events.append(_event(visit, "click", item_id, visit.at, value=1.0, shown=answer["recommendation_id"]))
        if opinion >= LOVED:
            events.append(_event(visit, "purchase", item_id, visit.at, value=1.0, shown=answer["recommendation_id"]))
    return events


def view_id(visit: Visit) -> str:
    """The id of the event that says that a visit took place. It travels with all other events of the visit."""
    return f"{visit.visit_id}-{VIEW}"


def facts_of(visit: Visit) -> list[dict[str, Any]]:
    """That the page was looked at, and what the person really rated at this visit, as events."""
    view = {
        "event_id": view_id(visit),
        "type": VIEW,
        "user_id": visit.person.user_id,
        "timestamp": _rfc3339(visit.at),
        "properties": {"replay": visit.visit_id, "placement": visit.placement},
    }
    return [view, *(_event(visit, "rating", r.item_id, r.at, value=r.value) for r in visit.ratings)]


def _event(
    visit: Visit, kind: str, item_id: str, at: float, *, value: float, shown: str | None = None
) -> dict[str, Any]:
    event: dict[str, Any] = {
        "event_id": f"{visit.visit_id}-{kind}-{item_id}",
        "type": kind,
        "user_id": visit.person.user_id,
        "item_id": item_id,
        "value": value,
        "timestamp": _rfc3339(at),
        "properties": {"replay": visit.visit_id},
    }
    if shown is not None:
        event["recommendation_id"] = shown
    return event


def _rfc3339(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def play(
    visits: Sequence[Visit],
    connect: Callable[[], Api],
    *,
    k: int = 10,
    threads: int = 4,
    had: Mapping[str, Iterable[str]] | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> Tally:
    """Replay visits; each person's happen one after the other, those of different people side by side.

    Events travel in batches, but a person's are always in before their next visit: the server knows of each visit what
    it would have known. So the outcome does not depend on the number of threads.

    Args:
        visits: in the order of time.
        connect: makes a connection; called once in each thread.
        k: length of the lists.
        threads: how many shops ask at a time.
        had: per user, items clicked in an earlier part of this replay (after a restart).
        advance: told how many visits are done, from any thread.

    Raises:
        Whatever the connection raises; the other threads then stop at their next visit.
    """
    shares: list[list[Visit]] = [[] for _ in range(max(1, threads))]
    for visit in visits:
        shares[crc32(visit.person.user_id.encode()) % len(shares)].append(visit)
    stop = Event()
    known = {user: set(items) for user, items in (had or {}).items()}
    total = Tally()
    with ThreadPoolExecutor(len(shares), thread_name_prefix="replay") as pool:
        runs = [
            pool.submit(_play_share, share, connect, k, known=known, advance=advance, stop=stop)
            for share in shares
            if share
        ]
        try:
            wait(runs, return_when=FIRST_EXCEPTION)
        finally:  # also when a person interrupts: the threads end at their next visit
            stop.set()
        for run in runs:
            total.add(run.result())
    return total


def _play_share(
    visits: Sequence[Visit],
    connect: Callable[[], Api],
    k: int,
    *,
    known: Mapping[str, set[str]],
    advance: Callable[[int], None],
    stop: Event,
) -> Tally:
    api = connect()
    had: dict[str, set[str]] = defaultdict(set, {user: set(items) for user, items in known.items()})
    tally = Tally()
    for batch in _batches(visits, k):
        events: list[dict[str, Any]] = []
        for visit in batch:
            if stop.is_set():
                return tally
            answer = api.recommend(request_of(visit, k))
            reacted = reactions(visit, answer, had[visit.person.user_id])
            events += reacted
            events += facts_of(visit)
            tally.shown += len(answer["items"])
            tally.clicks += sum(event["type"] == "click" for event in reacted)
            tally.purchases += sum(event["type"] == "purchase" for event in reacted)
        api.send(events)
        tally.visits += len(batch)
        advance(len(batch))
    return tally


def _batches(visits: Sequence[Visit], k: int) -> Iterator[list[Visit]]:
    """Runs of visits whose events may travel together: no person twice, and not too many events."""
    batch: list[Visit] = []
    people: set[str] = set()
    size = 0
    for visit in visits:
        most = 1 + len(visit.ratings) + 2 * k
        if visit.person.user_id in people or size + most > EVENTS_PER_CALL:
            yield batch
            batch, people, size = [], set(), 0
        batch.append(visit)
        people.add(visit.person.user_id)
        size += most
    if batch:
        yield batch
