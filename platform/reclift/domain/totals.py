"""Turns the facts of one unit into its totals in each experiment. Pure: the rollup feeds it.

Definitions:
- A unit belongs to the arm it met first; `arms_seen` counts all it met. Who met several is left out of reports.
- Attributed events (clicks on lists) count when their recommendation id is one of this experiment's and arm's lists.
  They never precede their list: a client's clock that is behind does not turn a click into one before the exposure.
  What arrived more than `EARLY` before the list was shown is none of it.
- Other events count when they happen at or after the unit's first exposure and within the metric's window
  (intention to treat). An exposure that is logged after its conversion but happened before it counts all the same.
- Of a place in the list, only what was shown there counts: its lists, and the events of just that item.
- Impressions count from the first exposure on, within the window; those of other arms never do.
- A holdout's lists are all that its units were shown on its placement (or anywhere), whatever decided them.
- Coverage keeps which items a unit was shown, each once: an arm's coverage is of all its units together.
- Values before exposure, in a window as long as the metric's (7 days where it has none) unless the experiment chose
  another, are kept for CUPED. Lists that were shown in it, and what was clicked on them, count there whatever decided
  them, if they were on the placement: no arm was met yet.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from reclift.domain.metric import IMPRESSION, LIST_QUALITY, Metric, MetricKind, Source

HOUR_MICROS = 3_600_000_000
DAY_MICROS = 24 * HOUR_MICROS
EARLY = 12 * HOUR_MICROS
"""Servers' clocks may differ by so much: an event cannot arrive earlier before its list."""
_PRE_HOURS = 7 * 24.0


class Exposure(Protocol):
    """What is needed of an exposure."""

    experiment: str
    phase: int
    arm: str
    at: int
    attributes: Mapping[str, Any]


class Impression(Protocol):
    """What is needed of an impression."""

    recommendation_id: str
    at: int
    placement: str
    experiment: str | None
    phase: int | None
    arm: str | None
    latency_ms: float | None
    fallback: Mapping[str, Any] | None
    items: Sequence[Mapping[str, Any]]
    novelty: float | None
    diversity: float | None


class Event(Protocol):
    """What is needed of an event."""

    type: str
    at: int
    received_at: int
    value: float | None
    item_id: str | None
    recommendation_id: str | None
    properties: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class UnitFacts:
    """Everything known of one unit."""

    exposures: Sequence[Exposure]
    impressions: Sequence[Impression]
    events: Sequence[Event]


@dataclass(frozen=True, slots=True)
class Day:
    """What a day (days since 1970, UTC) added."""

    day: int
    numerator: float
    denominator: float


@dataclass(frozen=True, slots=True)
class Total:
    """One metric of a unit, after its exposure and before it."""

    numerator: float
    denominator: float
    pre_numerator: float = 0.0
    pre_denominator: float = 0.0
    days: tuple[Day, ...] = ()
    sample: tuple[float, ...] | tuple[str, ...] | None = None
    """The single values of a quantile metric, the smallest first; of coverage, the items that were shown, each once."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit in one experiment's phase. Metrics in which it has nothing but zeros are not in `totals`."""

    arm: str
    exposed_at: int
    day: int
    arms_seen: int
    impressions: int
    attributes: Mapping[str, Any]
    totals: Mapping[str, Total]
    positions: Mapping[int, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Measured:
    """What is measured in one experiment's phase.

    Attributes:
        everything: a holdout: its lists are all that its units were shown.
        placement: where; None: everywhere.
        past_days: how long before its exposure a unit's past is; None: as long as each metric's window.
    """

    metrics: Sequence[Metric]
    everything: bool = False
    placement: str | None = None
    past_days: int | None = None

    @property
    def past(self) -> int:
        """How long before a unit's exposure something may matter, microseconds."""
        return max((self.past_of(metric) for metric in self.metrics), default=0)

    def past_of(self, metric: Metric) -> int:
        """The length of a metric's pre-period, microseconds."""
        if self.past_days is not None:
            return self.past_days * DAY_MICROS
        return round((metric.window_hours or _PRE_HOURS) * HOUR_MICROS)


Fact = tuple[int, float]
"""When, how much."""


def compute(facts: UnitFacts, measured: Mapping[tuple[str, int], Measured]) -> dict[tuple[str, int], Unit]:
    """The unit's state in every (experiment, phase) that it was exposed to and that `measured` knows."""
    exposures: dict[tuple[str, int], list[Exposure]] = defaultdict(list)
    for exposure in facts.exposures:
        exposures[exposure.experiment, exposure.phase].append(exposure)
    impressions: dict[tuple[str | None, int | None], list[Impression]] = defaultdict(list)
    for impression in facts.impressions:
        impressions[impression.experiment, impression.phase].append(impression)
    events: dict[str, list[Event]] = defaultdict(list)
    for event in facts.events:
        events[event.type].append(event)
    return {
        key: _unit(met, _lists(facts, impressions[key], measured[key]), facts.impressions, events, measured[key])
        for key, met in exposures.items()
        if key in measured
    }


def _lists(facts: UnitFacts, of_experiment: Sequence[Impression], measured: Measured) -> Sequence[Impression]:
    if not measured.everything:
        return of_experiment
    return [shown for shown in facts.impressions if measured.placement in {None, shown.placement}]


def _unit(
    met: Sequence[Exposure],
    lists: Sequence[Impression],
    all_lists: Sequence[Impression],
    events: Mapping[str, Sequence[Event]],
    measured: Measured,
) -> Unit:
    first = min(met, key=lambda exposure: (exposure.at, exposure.arm))
    own = [shown for shown in lists if shown.at >= first.at and (measured.everything or shown.arm == first.arm)]
    earlier = [one for one in all_lists if one.at < first.at and measured.placement in {None, one.placement}]
    totals = {}
    for metric in measured.metrics:
        total = _total(metric, first.at, measured.past_of(metric), own, earlier, events)
        if total is not None:
            totals[metric.key] = total
    return Unit(
        arm=first.arm,
        exposed_at=first.at,
        day=first.at // DAY_MICROS,
        arms_seen=len({exposure.arm for exposure in met}),
        impressions=len(own),
        attributes=first.attributes,
        totals=totals,
        positions=_positions(own, events.get("click", ())),
    )


def _total(
    metric: Metric,
    exposed: int,
    past: int,
    own: Sequence[Impression],
    earlier: Sequence[Impression],
    events: Mapping[str, Sequence[Event]],
) -> Total | None:
    window = None if metric.window_hours is None else round(metric.window_hours * HOUR_MICROS)
    until = None if window is None else exposed + window
    before = exposed - past

    if metric.is_coverage:
        return _shown(metric.numerator, [one for one in own if until is None or one.at < until])

    def pick(source: Source) -> tuple[list[Fact], list[Fact]]:
        facts = list(_facts(source, own, events))
        after = [fact for fact in facts if fact[0] >= exposed and (until is None or fact[0] < until)]
        if source.attributed or source.event == IMPRESSION:
            facts = list(_facts(source, [one for one in earlier if one.at >= before], events))
        return after, [fact for fact in facts if before <= fact[0] < exposed]

    if metric.is_quantile and metric.numerator.value == "latency_ms":
        own, earlier = ([one for one in lists if one.latency_ms is not None] for lists in (own, earlier))
    if metric.numerator.value in LIST_QUALITY:
        own, earlier = (
            [one for one in lists if _quality(one, metric.numerator) is not None] for lists in (own, earlier)
        )
    numerators, pre_numerators = pick(metric.numerator)
    if metric.kind is MetricKind.RETENTION:
        back = exposed + round(metric.after_hours * HOUR_MICROS)
        numerators = [(at, 1.0) for at, _ in numerators if at >= back]
    if metric.kind in {MetricKind.PROPORTION, MetricKind.RETENTION}:
        minimum = metric.minimum if metric.kind is MetricKind.PROPORTION else 1
        numerators = _first(numerators, minimum)
        pre_numerators = _first(pre_numerators, metric.minimum)
    denominators, pre_denominators = pick(metric.denominator) if metric.denominator is not None else ([], [])
    if not (numerators or denominators or pre_numerators or pre_denominators):
        return None
    return Total(
        numerator=_sum(numerators),
        denominator=_sum(denominators),
        pre_numerator=_sum(pre_numerators),
        pre_denominator=_sum(pre_denominators),
        sample=_sample(metric, numerators) if metric.is_quantile else None,
        days=() if metric.is_quantile else _days(numerators, denominators),
    )


def _shown(source: Source, lists: Sequence[Impression]) -> Total | None:
    """The different items of a unit's lists. Numerator and denominator, items and lists, are what no arm adds up."""
    items = {
        str(item["item_id"])
        for one in lists
        for item in one.items
        if source.position is None or item["position"] == source.position
    }
    if not lists:
        return None
    return Total(float(len(items)), float(len(lists)), sample=tuple(sorted(items)))


def _facts(source: Source, lists: Sequence[Impression], events: Mapping[str, Sequence[Event]]) -> Iterable[Fact]:
    if source.event == IMPRESSION:
        for impression in lists:
            if source.position is not None:
                if any(item["position"] == source.position for item in impression.items):
                    yield impression.at, 1.0
            elif source.value in LIST_QUALITY:
                yield impression.at, _quality(impression, source) or 0.0
            elif source.value == "latency_ms":
                yield impression.at, impression.latency_ms or 0.0
            elif source.value == "fallback":
                yield impression.at, 0.0 if impression.fallback is None else 1.0
            else:
                yield impression.at, 1.0
        return
    # This is where the rollup spends its time: what is the same for all events is asked once.
    attributed, where, adds_values = source.attributed, source.where, source.value == "value"
    shown = {one.recommendation_id: one.at for one in lists} if attributed else {}
    there = _at_position(lists, source.position) if source.position is not None else None
    for event in events.get(source.event, ()) if shown or not attributed else ():
        at = event.at
        if attributed:
            list_at = shown.get(event.recommendation_id or "")
            if list_at is None or event.received_at < list_at - EARLY:
                continue
            at = max(at, list_at)
            if there is not None and (event.recommendation_id, event.item_id) not in there:
                continue
        if where and any(event.properties.get(name) != wanted for name, wanted in where.items()):
            continue
        yield at, (event.value or 0.0) if adds_values else 1.0


def _quality(impression: Impression, source: Source) -> float | None:
    return impression.novelty if source.value == "novelty" else impression.diversity


def _at_position(lists: Sequence[Impression], position: int) -> set[tuple[str | None, str | None]]:
    """(list, item) of everything that was shown at a place."""
    return {
        (one.recommendation_id, item["item_id"]) for one in lists for item in one.items if item["position"] == position
    }


def _first(facts: Sequence[Fact], minimum: int) -> list[Fact]:
    """A single 1, at the time when the unit had done it `minimum` times."""
    if len(facts) < minimum:
        return []
    return [(sorted(facts)[minimum - 1][0], 1.0)]


def _sample(metric: Metric, facts: Sequence[Fact]) -> tuple[float, ...]:
    if metric.of == "units":
        return (_sum(facts),) if facts else ()
    return tuple(sorted(amount for _, amount in facts))


def _sum(facts: Sequence[Fact]) -> float:
    return sum(amount for _, amount in sorted(facts))


def _days(numerators: Sequence[Fact], denominators: Sequence[Fact]) -> tuple[Day, ...]:
    by_day: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for place, facts in enumerate((numerators, denominators)):
        for at, amount in sorted(facts):
            by_day[at // DAY_MICROS][place] += amount
    return tuple(Day(day, num, den) for day, (num, den) in sorted(by_day.items()) if num or den)


def _positions(own: Sequence[Impression], clicks: Sequence[Event]) -> dict[int, tuple[int, int]]:
    """Position -> how often something was shown there, and clicked (once a list and item)."""
    earliest: dict[str | None, int] = {one.recommendation_id: one.at - EARLY for one in own}
    clicked = {
        (name, event.item_id)
        for event in clicks
        if (name := event.recommendation_id) in earliest and event.received_at >= earliest[name]
    }
    counts: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for impression in own:
        for item in impression.items:
            entry = counts[int(item["position"])]
            entry[0] += 1
            entry[1] += (impression.recommendation_id, item["item_id"]) in clicked
    return {position: (shown, hits) for position, (shown, hits) in counts.items()}
