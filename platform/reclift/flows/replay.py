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
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event
from typing import Any, NamedTuple, Protocol
from zlib import crc32

LIKED = 4.0
LOVED = 5.0
EVENTS_PER_CALL = 500


class Rating(NamedTuple):
    """What a person thought of an item, and when (seconds since 1970)."""

    item_id: str
    value: float
    at: float


@dataclass(frozen=True)
class Person:
    """One person's history to be replayed, oldest first, and what the shop knows of them."""

    user_id: str
    ratings: Sequence[Rating]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def opinions_from(self, start: int) -> dict[str, float]:
        """Item -> rating, of everything from the rating number `start` on."""
        return {rating.item_id: rating.value for rating in self.ratings[start:]}


@dataclass(frozen=True, slots=True)
class Visit:
    """One look of a person at one placement.

    Attributes:
        visit_id: stays the same whenever the replay is planned; retries and restarts are recognised by it.
        at: seconds since 1970.
        start: the person's ratings from this number on lie in the future of this visit.
        ratings: what is reported once the visit is over.
        context_item: the item that the page is about, if any.
    """

    visit_id: str
    person: Person
    at: float
    placement: str
    start: int
    ratings: Sequence[Rating] = ()
    context_item: str | None = None


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


def people_of(
    user_ids: Iterable[str],
    item_ids: Iterable[str],
    values: Iterable[float],
    times: Iterable[float],
    attributes: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Person]:
    """Histories out of aligned columns that are in the order of time; people by their first rating."""
    ratings: dict[str, list[Rating]] = defaultdict(list)
    for user, item, value, at in zip(user_ids, item_ids, values, times, strict=True):
        ratings[str(user)].append(Rating(str(item), float(value), float(at)))
    known = attributes or {}
    return [Person(user, tuple(history), known.get(user, {})) for user, history in ratings.items()]


def plan_visits(
    people: Iterable[Person],
    *,
    size: int = 8,
    gap_seconds: float = 3_600,
    placement: str = "home",
    item_placement: str | None = None,
) -> list[Visit]:
    """Cut histories into visits, in the order of time.

    Args:
        people: whose histories are replayed.
        size: after how many ratings a new visit begins,
        gap_seconds: or after how long a pause.
        placement: where each visit begins; nothing of the visit's own ratings is known to the server there.
        item_placement: if given, the page of the visit's best-liked film is looked at too, after its ratings are in:
            only where a film of the visit was rated 4 or more.

    Raises:
        ValueError: `size` is not positive.
    """
    if size < 1:
        raise ValueError(f"size={size!r}: must be at least 1")
    visits = []
    for person in people:
        for number, (start, ratings) in enumerate(_sittings(person.ratings, size, gap_seconds)):
            name = f"{person.user_id}-{number:04d}"
            visits.append(Visit(f"{name}-{placement}", person, ratings[0].at, placement, start, ratings))
            best = max(ratings, key=lambda rating: (rating.value, rating.at, rating.item_id))
            if item_placement is not None and best.value >= LIKED:
                after = start + len(ratings)
                visits.append(
                    Visit(
                        f"{name}-{item_placement}",
                        person,
                        ratings[-1].at,
                        item_placement,
                        after,
                        context_item=best.item_id,
                    )
                )
    visits.sort(key=lambda visit: visit.at)  # stable: visits of one second keep each person's own order
    return visits


def _sittings(ratings: Sequence[Rating], size: int, gap_seconds: float) -> Iterator[tuple[int, Sequence[Rating]]]:
    """Number of the first rating, and the ratings, of each run without a pause."""
    start = 0
    for number in range(1, len(ratings) + 1):
        over = number == len(ratings) or ratings[number].at - ratings[number - 1].at > gap_seconds
        if over or number - start == size:
            yield start, ratings[start:number]
            start = number


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


def facts_of(visit: Visit) -> list[dict[str, Any]]:
    """What the person really rated at this visit, as events."""
    return [_event(visit, "rating", r.item_id, r.at, value=r.value) for r in visit.ratings]


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
        if events:
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
        most = len(visit.ratings) + 2 * k
        if visit.person.user_id in people or size + most > EVENTS_PER_CALL:
            yield batch
            batch, people, size = [], set(), 0
        batch.append(visit)
        people.add(visit.person.user_id)
        size += most
    if batch:
        yield batch
