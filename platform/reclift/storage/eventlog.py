"""The event log: a chain of sinks, of which the first that takes a batch wins. Acknowledged means durable."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

import structlog

from reclift.domain.events import Facts
from reclift.storage.facts import Receipt
from reclift.storage.hurry import current

log = structlog.get_logger(__name__)

_SAY_SECONDS = 1.0


class SinkUnavailable(Exception):  # noqa: N818 (a state, not a mistake)
    """This sink cannot take the batch now; the next one may."""


class Poison(Exception):  # noqa: N818 (the field's word)
    """The batch itself cannot be written, wherever it goes; the message says why."""


class Sink(Protocol):
    """Something that keeps facts durably."""

    name: str

    def append(self, facts: Facts) -> Receipt:
        """Keep the batch; return only when it would survive a crash. `SinkUnavailable` when that cannot be."""
        ...

    def append_many(self, batches: Sequence[Facts]) -> list[Receipt | Exception]:
        """The same for some batches at once: what became of each."""
        ...


class NullSink:
    """Keeps nothing and says so: the end of a chain, and the twin for tests of what happens then."""

    name = "none"

    def append(self, facts: Facts) -> Receipt:
        """Refuse."""
        raise SinkUnavailable(f"no sink took {len(facts)} facts")

    def append_many(self, batches: Sequence[Facts]) -> list[Receipt | Exception]:
        """Refuse."""
        return [SinkUnavailable(f"no sink took {len(facts)} facts") for facts in batches]


class EventLog:
    """Hands each batch to the first sink that takes it, and counts who took how much."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        """`sinks` in the order in which they are tried."""
        self._sinks = tuple(sinks)
        self.taken: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self._counting = threading.Lock()
        self._said: dict[str, float] = {}

    def append(self, facts: Facts) -> Receipt:
        """Keep a batch. `SinkUnavailable` when no sink took it: then nothing is acknowledged.

        In a hurry (see `storage.hurry`) it is only collected; then nothing is known of duplicates.
        """
        if not len(facts):
            return Receipt(0, 0)
        hurry = current()
        if hurry is not None:
            hurry.facts.append(facts)
            return Receipt(len(facts))
        reasons = []
        for sink in self._sinks:
            try:
                receipt = sink.append(facts)
            except SinkUnavailable as error:
                self._count(self.refused, sink, facts)
                reasons.append(f"{sink.name}: {error}")
                self._say(sink, str(error))
            else:
                self._count(self.taken, sink, facts)
                return receipt
        raise SinkUnavailable("; ".join(reasons) or "the event log has no sink")

    def append_many(self, batches: Sequence[Facts]) -> list[Receipt | Exception]:
        """Keep some batches, each as `append` would, with as few commits as the sinks can: what became of each."""
        results: dict[int, Receipt | Exception] = {}
        reasons: dict[int, list[str]] = {place: [] for place in range(len(batches))}
        for sink in self._sinks:
            left = [place for place in reasons if place not in results]
            if not left:
                break
            for place, result in zip(left, sink.append_many([batches[place] for place in left]), strict=True):
                if isinstance(result, SinkUnavailable):
                    self._count(self.refused, sink, batches[place])
                    reasons[place].append(f"{sink.name}: {result}")
                    self._say(sink, str(result))
                    continue
                results[place] = result
                if not isinstance(result, Exception):
                    self._count(self.taken, sink, batches[place])
        return [
            results.get(place) or SinkUnavailable("; ".join(why) or "the event log has no sink")
            for place, why in reasons.items()
        ]

    def _say(self, sink: Sink, reason: str) -> None:
        """A line a second for each sink at most: an outage must not drown the log."""
        if time.monotonic() - self._said.get(sink.name, -_SAY_SECONDS) >= _SAY_SECONDS:
            self._said[sink.name] = time.monotonic()
            log.warning("sink_unavailable", sink=sink.name, refused=self.refused[sink.name], reason=reason)

    def _count(self, counter: Counter[str], sink: Sink, facts: Facts) -> None:
        with self._counting:
            counter[sink.name] += len(facts)


Work = TypeVar("Work")
Result = TypeVar("Result")


class _Ticket(Generic[Work, Result]):
    """Work in the queue, and the lock that its thread waits at until the work is done, or it is to lead."""

    __slots__ = ("gate", "leads", "results", "work")

    def __init__(self, work: Sequence[Work]) -> None:
        """The gate is made when somebody has to wait at it."""
        self.work = work
        self.gate: threading.Lock | None = None
        self.leads = False
        self.results: list[Result | Exception] = []


class GroupCommit(Generic[Work, Result]):
    """Lets many threads share one slow commit.

    Whoever finds nothing going on leads: it commits everything that has queued up meanwhile, for all. The others wait,
    each at a gate of its own, so that nobody's answer waits for a commit that is not theirs; the first of those who
    came during the commit leads the next. No thread of its own, no delay when there is no crowd.
    """

    def __init__(self, commit: Callable[[list[Work]], list[Result | Exception]], *, max_waiting: int = 10_000) -> None:
        """`commit` gets all waiting work and gives a result or an error for each; `max_waiting` bounds the queue."""
        self._commit = commit
        self._max_waiting = max_waiting
        self._mutex = threading.Lock()
        self._busy = False
        self._waiting: list[_Ticket[Work, Result]] = []
        self._alone: list[_Ticket[Work, Result]] = []

    def run(self, work: Work) -> Result:
        """Returns when the work is committed; raises what became of it. `SinkUnavailable` when too many wait."""
        (result,) = self.run_many((work,))
        if isinstance(result, Exception):
            raise result
        return result

    def run_many(self, work: Sequence[Work]) -> list[Result | Exception]:
        """Returns when all of this is committed, with what became of each. As many as there are threads may wait."""
        ticket: _Ticket[Work, Result] = _Ticket(work)
        with self._mutex:
            if len(self._waiting) >= self._max_waiting:
                refused = SinkUnavailable(f"{len(self._waiting)} batches are waiting already")
                return [refused] * len(work)
            self._waiting.append(ticket)
            self._enter(ticket)
        self._wait(ticket)
        if ticket.leads:
            self._lead(ticket)
        return ticket.results

    def run_alone(self, action: Callable[[], object]) -> None:
        """Run `action` while nothing is being committed."""
        ticket: _Ticket[Work, Result] = _Ticket(())
        with self._mutex:
            if self._busy:
                self._alone.append(ticket)
            self._enter(ticket)
        self._wait(ticket)
        try:
            action()
        finally:
            self._hand_on()

    def _enter(self, ticket: _Ticket[Work, Result]) -> None:
        """Take the lead, or prepare to wait. The mutex is held."""
        if self._busy:
            ticket.gate = threading.Lock()
            ticket.gate.acquire()
        else:
            self._busy = ticket.leads = True

    def _wait(self, ticket: _Ticket[Work, Result]) -> None:
        if ticket.gate is None:
            return
        try:
            ticket.gate.acquire()
        except BaseException:
            # This thread is told to end while it waits: it must neither stay in the queue nor keep the lead.
            with self._mutex:
                for queue in (self._waiting, self._alone):
                    if ticket in queue:
                        queue.remove(ticket)
            if ticket.leads:
                self._hand_on()
            raise

    def _hand_on(self) -> None:
        """Who waits leads now; what is to run alone first, lest a crowd keeps it out for ever."""
        with self._mutex:
            if self._alone:
                heir = self._alone.pop(0)
            elif self._waiting:
                heir = self._waiting[0]
            else:
                self._busy = False
                return
            heir.leads = True
        assert heir.gate is not None  # noqa: S101 (for the type checker: it came while others were busy)
        heir.gate.release()

    def _lead(self, own: _Ticket[Work, Result]) -> None:
        with self._mutex:
            tickets, self._waiting = self._waiting, []
        results: list[Result | Exception] = []
        work = [one for ticket in tickets for one in ticket.work]
        try:
            results = self._commit(work)
        except Exception as error:  # noqa: BLE001 (handed to every waiting thread)
            results = [error] * len(work)
        finally:
            self._hand_on()  # first of all: the next commit need not wait for the others to wake up
            # Whatever happened (the leader's thread may have been told to exit), nobody waits for nothing.
            unknown = [SinkUnavailable("it is not known whether the batch was committed")]
            results += unknown * (len(work) - len(results))
            done = 0
            for ticket in tickets:
                ticket.results = results[done : done + len(ticket.work)]
                done += len(ticket.work)
                if ticket is not own and ticket.gate is not None:
                    ticket.gate.release()
