"""What a metric is: a rule that turns a unit's facts into numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Literal, Self

MAX_AMOUNT = 1e15
"""The largest amount, either way, that an event or a cap may have: its square still adds up exactly enough."""

IMPRESSION = "impression"
"""Not an event that the shop sends: the lists that the platform itself showed."""


LIST_QUALITY = ("novelty", "diversity")
"""What lists are like; not every list has them."""


class MetricKind(StrEnum):
    """How facts become a number: a unit's own, or an arm's."""

    PROPORTION = "proportion"
    """1 for a unit that did it at least `minimum` times, else 0."""
    COUNT = "count"
    """How often."""
    SUM = "sum"
    """The total of the events' values."""
    RATIO = "ratio"
    """Numerator over denominator, both summed over units; its variance is that of units."""
    RETENTION = "retention"
    """1 for a unit that came back at least `after_hours` after its exposure, else 0."""
    QUANTILE = "quantile"
    """A quantile of the single amounts (of lists' latencies, of orders), or of units' totals."""
    COVERAGE = "coverage"
    """The share of the available catalogue that lists show to so many units: of an arm, not of a unit."""


NOT_BY_SUMS = frozenset({MetricKind.QUANTILE, MetricKind.COVERAGE})
"""Kinds that sums over units do not tell: what rests on sums refuses them, as a primary metric for one."""


class MetricError(ValueError):
    """A metric's definition cannot be used; the message names the field, the value and the rule."""


@dataclass(frozen=True, slots=True)
class Source:
    """Which facts are counted.

    Attributes:
        event: an event type, or `impression`.
        value: `count` counts facts, `value` adds up the events' values; impressions also have `latency_ms`, `fallback`,
            `novelty` and `diversity`. A list that has no such number counts neither above nor below the line.
        position: only what was shown at this place of a list, 1 being the first; None: all of a list.
        attributed: only events that carry the recommendation id of an impression of this experiment and arm.
        where: equality filter on the event's properties.
    """

    event: str
    value: Literal["count", "value", "latency_ms", "fallback", "novelty", "diversity"] = "count"
    attributed: bool = False
    position: int | None = None
    where: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's definition.

    Attributes:
        window_hours: only facts up to this long after the unit's exposure count; None: no end.
        cap: a unit's number is at most this (winsorisation); None: no cap.
        cap_percentile: the same at a percentile of the units' numbers (0 to 1, over all arms); None: no cap.
        minimum: of a proportion, how many facts make a 1.
        after_hours: of retention, how long after exposure the return begins.
        quantile: of a quantile metric, which: 0.95 is the value that 95 % do not exceed.
        of: of a quantile metric, whether each fact has a value, or each unit that has any facts: their total.
        direction: which way is better.
        margin: of a guardrail, the relative worsening that is still tolerated (non-inferiority); 0: only harm that is
            shown counts.
        format: how people read it.
    """

    key: str
    name: str
    kind: MetricKind
    numerator: Source
    denominator: Source | None = None
    window_hours: float | None = None
    cap: float | None = None
    cap_percentile: float | None = None
    minimum: int = 1
    after_hours: float = 24.0
    quantile: float = 0.5
    of: Literal["facts", "units"] = "facts"
    direction: Literal["increase", "decrease"] = "increase"
    margin: float = 0.02
    format: Literal["percent", "number", "money", "ms"] = "number"
    description: str = ""

    @property
    def statistic(self) -> Literal["proportion", "mean", "ratio"]:
        """Which statistic compares arms by their sums (of a metric that is not read `by_sums`: its mean)."""
        if self.kind in {MetricKind.PROPORTION, MetricKind.RETENTION}:
            return "proportion"
        return "ratio" if self.kind is MetricKind.RATIO else "mean"

    @property
    def is_quantile(self) -> bool:
        """Whether arms are compared by a quantile of single values, which sums do not tell."""
        return self.kind is MetricKind.QUANTILE

    @property
    def is_coverage(self) -> bool:
        """Whether arms are compared by how much of the catalogue they show, which no unit has a share of."""
        return self.kind is MetricKind.COVERAGE

    @property
    def by_sums(self) -> bool:
        """Whether sums over units tell all: segments, power, the lift by days and primary metrics rest on them."""
        return self.kind not in NOT_BY_SUMS

    def to_dict(self) -> dict[str, Any]:
        """The JSON form that `from_dict` takes."""
        data = asdict(self)
        data["kind"] = self.kind.value
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read a definition; `MetricError` names the field, the value and the rule."""
        unknown = sorted(str(name) for name in set(data) - set(cls.__dataclass_fields__))
        if unknown:
            raise MetricError(f"{unknown[0]}: unknown field; fields: {', '.join(cls.__dataclass_fields__)}")
        key = data.get("key")
        if not isinstance(key, str) or not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", key):
            raise MetricError(f"key={key!r}: must be 1-64 of a-z, 0-9, _ and -, starting with a letter or digit")
        try:
            kind = MetricKind(data.get("kind", ""))
        except ValueError:
            raise MetricError(f"kind={data.get('kind')!r}: must be one of {', '.join(MetricKind)}") from None
        numerator = _source("numerator", data.get("numerator"))
        denominator = _source("denominator", data["denominator"]) if data.get("denominator") is not None else None
        if (denominator is not None) != (kind is MetricKind.RATIO):
            raise MetricError(f"denominator: a {kind.value} metric {'needs' if denominator is None else 'has no'} one")
        _check_numbers(data)
        _check_words(data)
        if kind is MetricKind.QUANTILE:
            _check_quantile(data, numerator)
        if kind is MetricKind.COVERAGE:
            _check_coverage(data, numerator)
        rest = {k: v for k, v in data.items() if k not in {"key", "name", "kind", "numerator", "denominator"}}
        return cls(
            key=key, name=data.get("name") or key, kind=kind, numerator=numerator, denominator=denominator, **rest
        )


_OPTIONAL = frozenset({"window_hours", "cap", "cap_percentile"})
_WHOLE = frozenset({"minimum"})
_BOUNDS = (
    ("window_hours", 0.001, 24 * 3650),
    ("cap", 0, MAX_AMOUNT),
    ("cap_percentile", 0.5, 1),
    ("minimum", 1, 1_000_000),
    ("after_hours", 0, 24 * 3650),
    ("quantile", 0.01, 0.99),
    ("margin", 0, 0.99),
)
_CHOICES = (
    ("direction", ("increase", "decrease")),
    ("format", ("percent", "number", "money", "ms")),
    ("of", ("facts", "units")),
)


def _check_numbers(data: Mapping[str, Any]) -> None:
    for name, low, high in _BOUNDS:
        value = data.get(name)
        if value is None:
            if name in data and name not in _OPTIONAL:
                raise MetricError(f"{name}=None: must be a number")
            continue
        whole = name in _WHOLE
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise MetricError(f"{name}={value!r}: must be a {'whole ' if whole else ''}number")
        if not low <= value <= high:
            raise MetricError(f"{name}={value!r}: must be from {low:g} to {high:g}")


def _check_words(data: Mapping[str, Any]) -> None:
    for name, allowed in _CHOICES:
        if name in data and data[name] not in allowed:
            raise MetricError(f"{name}={data[name]!r}: must be one of {', '.join(allowed)}")
    for name, longest in (("name", 200), ("description", 2_000)):
        text = data.get(name, "")
        if not isinstance(text, str) or len(text) > longest:
            raise MetricError(f"{name}={text!r}: must be a string of at most {longest} characters")


def _check_quantile(data: Mapping[str, Any], source: Source) -> None:
    for name in ("cap", "cap_percentile"):
        if data.get(name) is not None:
            raise MetricError(
                f"{name}={data[name]!r}: a quantile has no cap: it does not depend on how large the largest are"
            )
    if source.value in {"count", "fallback"} and data.get("of", "facts") == "facts":
        raise MetricError(
            f"numerator.value={source.value!r}: of single facts only amounts have quantiles (value, latency_ms, "
            "novelty, diversity); with of=units each unit's total has"
        )


def _check_coverage(data: Mapping[str, Any], source: Source) -> None:
    if source.event != IMPRESSION:
        raise MetricError(
            f"numerator.event={source.event!r}: coverage is of the items of lists; it must be `{IMPRESSION}`"
        )
    if source.value != "count":
        raise MetricError(f"numerator.value={source.value!r}: coverage counts the items of lists; it must be count")
    for name in ("cap", "cap_percentile"):
        if data.get(name) is not None:
            raise MetricError(f"{name}={data[name]!r}: coverage has no cap: no unit has a number of its own")


_OF_LISTS = ("latency_ms", "fallback", *LIST_QUALITY)
_SOURCE_VALUES = ("count", "value", *_OF_LISTS)
MAX_POSITION = 1_000


def _source(place: str, data: object) -> Source:
    if isinstance(data, Source):
        return data
    if not isinstance(data, Mapping):
        raise MetricError(f"{place}={data!r}: must be an object with `event` and `value`")
    unknown = sorted(str(name) for name in set(data) - set(Source.__dataclass_fields__))
    if unknown:
        raise MetricError(f"{place}.{unknown[0]}: unknown field; fields: {', '.join(Source.__dataclass_fields__)}")
    event = data.get("event")
    if not isinstance(event, str) or not 1 <= len(event) <= 64:
        raise MetricError(f"{place}.event={event!r}: must be an event type of 1 to 64 characters, or `impression`")
    value = data.get("value", "count")
    if value not in _SOURCE_VALUES:
        raise MetricError(f"{place}.value={value!r}: must be one of {', '.join(_SOURCE_VALUES)}")
    if event != IMPRESSION and value in _OF_LISTS:
        raise MetricError(f"{place}.value={value!r}: only impressions have it, not {event!r}")
    if event == IMPRESSION and value == "value":
        raise MetricError(f"{place}.value='value': impressions carry no value; use count, {', '.join(_OF_LISTS)}")
    where = data.get("where", {})
    if not isinstance(where, Mapping) or not all(isinstance(name, str) for name in where):
        raise MetricError(f"{place}.where={where!r}: must be an object of property: value")
    attributed = data.get("attributed", False)
    if not isinstance(attributed, bool):
        raise MetricError(f"{place}.attributed={attributed!r}: must be true or false")
    if event == IMPRESSION and (where or attributed):
        raise MetricError(f"{place}: where and attributed filter events; impressions are always those of the arm")
    position = data.get("position")
    if position is not None:
        _check_position(place, event, value, position, attributed=attributed)
    return Source(event, value, attributed=attributed, position=position, where=dict(where))


def _check_position(place: str, event: str, value: str, position: object, *, attributed: bool) -> None:
    if isinstance(position, bool) or not isinstance(position, int) or not 1 <= position <= MAX_POSITION:
        raise MetricError(f"{place}.position={position!r}: must be a whole number from 1 to {MAX_POSITION}")
    if event == IMPRESSION and value != "count":
        raise MetricError(f"{place}.position={position!r}: {value} is of a whole list, not of a place in it")
    if event != IMPRESSION and not attributed:
        raise MetricError(f"{place}.position={position!r}: needs attributed: other events belong to no list")


_WEEK = 7 * 24.0

BUILT_IN: tuple[Metric, ...] = (
    Metric(
        "ctr",
        "CTR",
        MetricKind.RATIO,
        Source("click", attributed=True),
        Source(IMPRESSION),
        format="percent",
        description="Clicks on recommended items per list shown; a ratio of sums over users.",
    ),
    Metric(
        "conversion",
        "Conversion",
        MetricKind.PROPORTION,
        Source("purchase"),
        window_hours=_WEEK,
        format="percent",
        description="Share of exposed users with a purchase within 7 days after their exposure.",
    ),
    Metric(
        "revenue_per_user",
        "Revenue per user",
        MetricKind.SUM,
        Source("purchase", "value"),
        window_hours=_WEEK,
        format="money",
        description="Money spent by an exposed user within 7 days after the exposure.",
    ),
    Metric(
        "clicks_per_user",
        "Clicks per user",
        MetricKind.COUNT,
        Source("click", attributed=True),
        description="Clicks on recommended items per exposed user.",
    ),
    Metric(
        "add_to_cart",
        "Add to cart",
        MetricKind.PROPORTION,
        Source("add_to_cart"),
        window_hours=_WEEK,
        format="percent",
        description="Share of exposed users who put something into the cart within 7 days after their exposure.",
    ),
    Metric(
        "latency",
        "Latency",
        MetricKind.RATIO,
        Source(IMPRESSION, "latency_ms"),
        Source(IMPRESSION),
        direction="decrease",
        margin=0.1,
        format="ms",
        description="Milliseconds that Reclift took for a list, on average.",
    ),
    Metric(
        "latency_p95",
        "Latency, 95 %",
        MetricKind.QUANTILE,
        Source(IMPRESSION, "latency_ms"),
        quantile=0.95,
        direction="decrease",
        margin=0.1,
        format="ms",
        description="Milliseconds within which Reclift made 95 of 100 lists.",
    ),
    Metric(
        "fallback_rate",
        "Fallback rate",
        MetricKind.RATIO,
        Source(IMPRESSION, "fallback"),
        Source(IMPRESSION),
        direction="decrease",
        margin=0.1,
        format="percent",
        description="Share of lists in which the arm's own strategy did not fill every place.",
    ),
    Metric(
        "novelty",
        "Novelty",
        MetricKind.RATIO,
        Source(IMPRESSION, "novelty"),
        Source(IMPRESSION),
        margin=0.1,
        description="How surprising a list's items are, in bits: one more is half as many users who chose them lately.",
    ),
    Metric(
        "diversity",
        "Diversity",
        MetricKind.RATIO,
        Source(IMPRESSION, "diversity"),
        Source(IMPRESSION),
        margin=0.1,
        format="percent",
        description="Share of pairs of a list's items that are of different categories, on average over lists.",
    ),
    Metric(
        "coverage",
        "Catalogue coverage",
        MetricKind.COVERAGE,
        Source(IMPRESSION),
        margin=0.1,
        format="percent",
        description="Share of the available catalogue that lists show to equally many users of each arm.",
    ),
    Metric(
        "ctr_first",
        "CTR of the first place",
        MetricKind.RATIO,
        Source("click", attributed=True, position=1),
        Source(IMPRESSION, position=1),
        format="percent",
        description="Clicks on the item at the top of a list per list shown; other places are made likewise.",
    ),
)
"""Metrics that every installation starts with."""
