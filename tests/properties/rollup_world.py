"""Experiments with every kind of metric, and random facts about a few busy units."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from reclift.domain.events import Facts
from reclift.domain.metric import Metric
from reclift.flows import experiments, metrics
from reclift.flows.configuration import ensure_defaults
from reclift.storage.database import Database
from reclift.strategy import NullStrategy, Registry
from tests.properties.rollup_reference import DAY, HOUR, PAST_DAYS
from tests.unit.storage.rows import event, exposure, impression

T0 = 20_000 * DAY
PURCHASE = {"event": "purchase"}
DEFINITIONS: list[dict[str, Any]] = [
    {"key": "p", "kind": "proportion", "numerator": PURCHASE, "window_hours": 24},
    {"key": "p3", "kind": "proportion", "numerator": PURCHASE, "minimum": 3},
    {"key": "count", "kind": "count", "numerator": {"event": "visit"}, "window_hours": 36},
    {"key": "gifts", "kind": "sum", "numerator": {**PURCHASE, "value": "value", "where": {"gift": "yes", "c": "CN"}}},
    {"key": "revenue", "kind": "sum", "numerator": {**PURCHASE, "value": "value"}, "window_hours": 48},
    {
        "key": "rate",
        "kind": "ratio",
        "numerator": {"event": "click", "attributed": True},
        "denominator": {"event": "impression"},
    },
    {"key": "basket", "kind": "ratio", "numerator": {**PURCHASE, "value": "value"}, "denominator": PURCHASE},
    {
        "key": "slow",
        "kind": "ratio",
        "numerator": {"event": "impression", "value": "latency_ms"},
        "denominator": {"event": "impression"},
    },
    {
        "key": "fell",
        "kind": "ratio",
        "numerator": {"event": "impression", "value": "fallback"},
        "denominator": {"event": "impression"},
        "window_hours": 24,
    },
    {
        "key": "novel",
        "kind": "ratio",
        "numerator": {"event": "impression", "value": "novelty"},
        "denominator": {"event": "impression"},
    },
    {
        "key": "second",
        "kind": "ratio",
        "numerator": {"event": "click", "attributed": True, "position": 2},
        "denominator": {"event": "impression", "position": 2},
        "window_hours": 30,
    },
    {"key": "back", "kind": "retention", "numerator": {"event": "visit"}, "after_hours": 24},
    {"key": "clicked", "kind": "proportion", "numerator": {"event": "click", "attributed": True}, "window_hours": 12},
    {"key": "wide", "kind": "coverage", "numerator": {"event": "impression"}, "window_hours": 36},
    {"key": "top", "kind": "coverage", "numerator": {"event": "impression", "position": 2}},
]
METRICS = [Metric.from_dict(definition) for definition in DEFINITIONS]
EXPERIMENTS = {"one": METRICS, "two": METRICS[:6]}


class _NoQueue:
    def send(self, job_id: int, task: str) -> None:
        """Nothing is trained here."""


def set_up(database: Database) -> None:
    """Two experiments that run at the same time on different placements."""
    registry = Registry({"none": NullStrategy})
    ensure_defaults(database, "none")
    with database.write() as session:
        for definition in DEFINITIONS:
            metrics.create(session, definition, "test")
        for (key, chosen), placement in zip(EXPERIMENTS.items(), ("home", "cart"), strict=True):
            payload = {
                "key": key,
                "placement": placement,
                "arms": [{"key": "a", "strategy": "none", "control": True}, {"key": "b", "strategy": "none"}],
                "metrics": {"primary": chosen[0].key, "secondary": [metric.key for metric in chosen[1:]]},
                "analysis": {"cuped_days": PAST_DAYS.get(key)},
            }
            experiments.create(session, registry, payload, "test")
            experiments.act(session, registry, _NoQueue(), key, "start", "test")


UNITS = st.sampled_from(["u1", "u1", "u2"])
ARMS = st.sampled_from(["a", "b"])
KEYS = st.sampled_from(["one", "two"])
# Coarse, so that facts meet at the edges of windows and days.
TIMES = st.integers(-20, 30).map(lambda step: T0 + step * 6 * HOUR) | st.integers(-8 * DAY, 9 * DAY).map(T0.__add__)
# Long before anything that matters, as well as at its edges.
TIMES |= st.integers(-40, -6).map(lambda day: T0 + day * DAY)
# How long after it happened it arrived: at once, or from a device that was offline, or with a clock far behind.
DELAYS = st.sampled_from([0, 0, HOUR, 11 * HOUR, 12 * HOUR, 13 * HOUR, 3 * DAY, 20 * DAY, 400 * DAY])
VALUES = st.sampled_from([None, 0.0, 0.5, 3.0, -1.0, 1e6])
LISTS = st.integers(0, 4).map("r{}".format)


@st.composite
def facts(draw: st.DrawFn) -> list[Facts]:
    """Single facts, each with its key's one content; exposures of a key may come at several times."""
    rows: list[Facts] = []
    for unit, key, arm, at in draw(st.lists(st.tuples(UNITS, KEYS, ARMS, TIMES), min_size=1, max_size=8)):
        rows.append(Facts(exposures=[exposure(unit, arm, at, experiment=key, attributes={"at": at})]))
    shown = draw(
        st.dictionaries(
            LISTS, st.tuples(UNITS, KEYS | st.none(), ARMS, TIMES, st.booleans(), st.integers(0, 3)), max_size=8
        )
    )
    for name, (unit, key, arm, at, fell, length) in shown.items():
        items = [{"item_id": f"i{place}", "position": place + 1} for place in range(length)]
        more = {"experiment": key, "phase": 1 if key else None, "arm": arm if key else None, "items": items}
        more |= {"latency_ms": None if fell else 2.5, "fallback": {"reason": "x"} if fell else None}
        more |= {"novelty": 0.5 * length or None, "diversity": None}
        rows.append(Facts(impressions=[impression(name, unit, at, **more)]))
    happened = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["click", "click", "purchase", "purchase", "visit", "other"]),
                UNITS,
                TIMES,
                VALUES,
                LISTS | st.none(),
                st.sampled_from([{}, {"gift": "yes", "c": "CN"}, {"gift": "yes"}, {"gift": "no", "c": "CN"}]),
                st.integers(0, 2),
                DELAYS,
            ),
            max_size=20,
        )
    )
    for number, (kind, unit, at, value, name, properties, item, delay) in enumerate(happened):
        more = {
            "type": kind,
            "value": value,
            "recommendation_id": name,
            "properties": properties,
            "item_id": f"i{item}",
            "received_at": at + delay,
        }
        rows.append(Facts([event(f"e{number}", unit, at, **more)]))
    return draw(st.permutations(rows))
