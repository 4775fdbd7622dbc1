"""What the rollup must come to, computed in another way: plain SQL over all raw facts at once, nothing incremental."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from reclift.domain.metric import Metric, MetricKind, Source

HOUR = 3_600_000_000
DAY = 24 * HOUR
FOREVER = 2**62


class Numbers(NamedTuple):
    numerator: float
    denominator: float
    pre_numerator: float
    pre_denominator: float


NOTHING = Numbers(0.0, 0.0, 0.0, 0.0)

FIRST = """
first AS (
  SELECT x.unit_id, x.at AS t0, MIN(x.arm) AS arm FROM exposures x
  WHERE x.experiment = :experiment AND x.phase = 1 AND x.at = (
    SELECT MIN(z.at) FROM exposures z WHERE z.experiment = :experiment AND z.phase = 1 AND z.unit_id = x.unit_id)
  GROUP BY x.unit_id, x.at),
own AS (
  SELECT i.*, first.t0 FROM impressions i JOIN first ON first.unit_id = i.unit_id AND first.arm = i.arm
  WHERE i.experiment = :experiment AND i.phase = 1 AND i.at >= first.t0),
counted AS (
  SELECT * FROM own UNION ALL
  SELECT i.*, first.t0 FROM impressions i JOIN first ON first.unit_id = i.unit_id
  WHERE i.at < first.t0 AND i.placement = (SELECT placement FROM experiments WHERE key = :experiment))
"""


def _property(sqlite: bool, name: str) -> str:
    return f"json_extract(e.properties, '$.{name}')" if sqlite else f"(e.properties ->> '{name}')"


def _place(sqlite: bool, place: int, more: str = "TRUE") -> str:
    """Whether something was shown at a place of the list `c`."""
    items = "json_each(c.items) AS j" if sqlite else "jsonb_array_elements(c.items) AS j(value)"
    position = "json_extract(j.value, '$.position')" if sqlite else "CAST(j.value ->> 'position' AS INTEGER)"
    return f"EXISTS (SELECT 1 FROM {items} WHERE {position} = {place} AND {more})"


def _facts(source: Source, sqlite: bool, lists: str) -> str:
    """A query of (unit_id, t0, at, amount); `lists`: which lists count at all."""
    if source.event == "impression":
        null = "fallback IS NULL" if sqlite else "fallback IS NULL OR fallback = 'null'::jsonb"
        null = "fallback IS NULL OR fallback = 'null'" if sqlite else null
        amount = {
            "count": "1.0",
            "latency_ms": "COALESCE(latency_ms, 0.0)",
            "fallback": f"CASE WHEN {null} THEN 0.0 ELSE 1.0 END",
            "novelty": "novelty",
        }[source.value]
        at_place = "TRUE" if source.position is None else _place(sqlite, source.position)
        return f"SELECT unit_id, t0, at, {amount} AS amount FROM counted c WHERE {lists} AND {at_place}"
    amount = "COALESCE(e.value, 0.0)" if source.value == "value" else "1.0"
    at, join = "e.at", ""
    if source.attributed:
        at = "CASE WHEN c.at > e.at THEN c.at ELSE e.at END"
        join = (
            "JOIN counted c ON c.recommendation_id = e.recommendation_id AND c.unit_id = e.unit_id "
            "AND (c.at >= first.t0 OR (e.at < first.t0 AND c.at >= first.t0 - :past)) "
            "AND e.received_at >= c.at - 43200000000"
        )
        if source.position is not None:
            item = "json_extract(j.value, '$.item_id')" if sqlite else "(j.value ->> 'item_id')"
            join += f" AND {_place(sqlite, source.position, f'{item} = e.item_id')}"
    where = "".join(f" AND {_property(sqlite, name)} = '{value}'" for name, value in source.where.items())
    return (
        f"SELECT e.unit_id, first.t0, {at} AS at, {amount} AS amount FROM events e "
        f"JOIN first ON first.unit_id = e.unit_id {join} WHERE e.type = '{source.event}'{where}"
    )


PAST_DAYS = {"two": 10}
"""Experiments that chose how many days before its exposure are a unit's past."""


def _sums(
    connection: Connection, experiment: str, metric: Metric, source: Source | None, until: int
) -> dict[str, tuple[float, float]]:
    if source is None:
        return {}
    window = None if metric.window_hours is None else round(metric.window_hours * HOUR)
    after, least = 0, 1
    if metric.kind is MetricKind.RETENTION:
        after = round(metric.after_hours * HOUR)
    if metric.kind is MetricKind.PROPORTION:
        least = metric.minimum
    post = "at >= t0 + :after AND at < t0 + :window AND at < :until"
    pre = "at < t0 AND at >= t0 - :past"
    if metric.kind in {MetricKind.PROPORTION, MetricKind.RETENTION}:
        columns = [f"CASE WHEN COUNT(*) FILTER (WHERE {when}) >= :least THEN 1.0 ELSE 0.0 END" for when in (post, pre)]
    else:
        columns = [f"COALESCE(SUM(amount) FILTER (WHERE {when}), 0.0)" for when in (post, pre)]
    lists = "novelty IS NOT NULL" if metric.numerator.value == "novelty" else "TRUE"
    facts = _facts(source, connection.dialect.name == "sqlite", lists)
    rows = connection.execute(
        text(f"WITH {FIRST} SELECT unit_id, {columns[0]}, {columns[1]} FROM ({facts}) AS f GROUP BY unit_id"),
        {
            "experiment": experiment,
            "after": after,
            "window": FOREVER // 2 if window is None else window,
            "past": PAST_DAYS[experiment] * DAY if experiment in PAST_DAYS else window or 7 * DAY,
            "until": until,
            **({"least": least} if ":least" in columns[0] else {}),
        },
    )
    return {unit: (float(now), float(before)) for unit, now, before in rows}


def _shown(connection: Connection, experiment: str, metric: Metric) -> dict[str, tuple[set[str], int]]:
    """Unit -> the different items that its lists show, and how many lists those are."""
    sqlite = connection.dialect.name == "sqlite"
    items = "json_each(own.items) AS j" if sqlite else "jsonb_array_elements(own.items) AS j(value)"
    item = "json_extract(j.value, '$.item_id')" if sqlite else "(j.value ->> 'item_id')"
    position = "json_extract(j.value, '$.position')" if sqlite else "CAST(j.value ->> 'position' AS INTEGER)"
    window = FOREVER // 2 if metric.window_hours is None else round(metric.window_hours * HOUR)
    place = metric.numerator.position
    key = {"experiment": experiment, "window": window}
    lists = connection.execute(
        text(f"WITH {FIRST} SELECT unit_id, COUNT(*) FROM own WHERE at < t0 + :window GROUP BY unit_id"), key
    )
    found: dict[str, tuple[set[str], int]] = {unit: (set(), count) for unit, count in lists}
    rows = connection.execute(
        text(
            f"WITH {FIRST} SELECT DISTINCT own.unit_id, {item} FROM own, {items} WHERE own.at < own.t0 + :window "
            f"AND {'TRUE' if place is None else f'{position} = {place}'}"
        ),
        key,
    )
    for unit, shown in rows:
        found[unit][0].add(shown)
    return found


def _check_coverage(connection: Connection, experiment: str, metric: Metric) -> None:
    rows = connection.execute(
        text(
            "SELECT unit_id, numerator, denominator, sample FROM unit_totals WHERE experiment = :experiment "
            "AND phase = 1 AND metric = :metric"
        ),
        {"experiment": experiment, "metric": metric.key},
    )
    stored = {
        unit: (json.loads(sample) if isinstance(sample, str) else sample, numerator, denominator)
        for unit, numerator, denominator, sample in rows
    }
    expected = {
        unit: (sorted(items), len(items), lists)
        for unit, (items, lists) in _shown(connection, experiment, metric).items()
    }
    assert stored == expected, metric.key


def totals(connection: Connection, experiment: str, metric: Metric, until: int = FOREVER) -> dict[str, Numbers]:
    """Unit -> its numbers, of units that have any; `until`: as of this moment."""
    above = _sums(connection, experiment, metric, metric.numerator, until)
    below = _sums(connection, experiment, metric, metric.denominator, until)
    zero = (0.0, 0.0)
    found = {
        unit: Numbers(
            above.get(unit, zero)[0], below.get(unit, zero)[0], above.get(unit, zero)[1], below.get(unit, zero)[1]
        )
        for unit in above.keys() | below.keys()
    }
    return {unit: numbers for unit, numbers in found.items() if numbers != NOTHING}


def units(connection: Connection, experiment: str) -> dict[str, tuple[Any, ...]]:
    """Unit -> arm, time and day of exposure, arms seen, lists."""
    rows = connection.execute(
        text(
            f"WITH {FIRST} SELECT unit_id, arm, t0, (SELECT COUNT(DISTINCT x.arm) FROM exposures x WHERE "
            "x.experiment = :experiment AND x.phase = 1 AND x.unit_id = first.unit_id), "
            "(SELECT COUNT(*) FROM own WHERE own.unit_id = first.unit_id) FROM first"
        ),
        {"experiment": experiment},
    )
    return {unit: (arm, at, at // DAY, seen, lists) for unit, arm, at, seen, lists in rows}


def positions(connection: Connection, experiment: str) -> dict[tuple[str, int], tuple[int, int]]:
    """(unit, position) -> shown, clicked."""
    if connection.dialect.name == "sqlite":
        items = "json_each(own.items) AS j"
        item, position = "json_extract(j.value, '$.item_id')", "json_extract(j.value, '$.position')"
    else:
        items = "jsonb_array_elements(own.items) AS j(value)"
        item, position = "(j.value ->> 'item_id')", "CAST(j.value ->> 'position' AS INTEGER)"
    rows = connection.execute(
        text(
            f"WITH {FIRST} SELECT own.unit_id, {position} AS place, COUNT(*), SUM(CASE WHEN EXISTS ("
            "SELECT 1 FROM events e WHERE e.unit_id = own.unit_id AND e.type = 'click' "
            f"AND e.recommendation_id = own.recommendation_id AND e.item_id = {item} "
            "AND e.received_at >= own.at - 43200000000) THEN 1 ELSE 0 END) "
            f"FROM own, {items} GROUP BY own.unit_id, place"
        ),
        {"experiment": experiment},
    )
    return {(unit, place): (shown, clicked) for unit, place, shown, clicked in rows}


def stored_totals(connection: Connection, experiment: str, metric: str) -> dict[str, Numbers]:
    rows = connection.execute(
        text(
            "SELECT unit_id, numerator, denominator, pre_numerator, pre_denominator FROM unit_totals "
            "WHERE experiment = :experiment AND phase = 1 AND metric = :metric"
        ),
        {"experiment": experiment, "metric": metric},
    )
    found = {unit: Numbers(*map(float, numbers)) for unit, *numbers in rows}
    return {unit: numbers for unit, numbers in found.items() if numbers != NOTHING}


def stored_by_day(connection: Connection, experiment: str, metric: str, day: int) -> dict[str, tuple[float, float]]:
    rows = connection.execute(
        text(
            "SELECT unit_id, SUM(numerator), SUM(denominator) FROM unit_days WHERE experiment = :experiment "
            "AND phase = 1 AND metric = :metric AND day <= :day GROUP BY unit_id"
        ),
        {"experiment": experiment, "metric": metric, "day": day},
    )
    return {unit: (float(above), float(below)) for unit, above, below in rows if above or below}


def wrong_arms(connection: Connection) -> list[Any]:
    """Totals whose arm is not the only one that their unit met."""
    wanted = "SELECT CASE WHEN arms_seen = 1 THEN arm ELSE '' END FROM experiment_units u WHERE u.unit_id = t.unit_id "
    wanted += "AND u.experiment = t.experiment AND u.phase = t.phase"
    return list(connection.execute(text(f"SELECT * FROM unit_totals t WHERE arm IS DISTINCT FROM ({wanted})")))


def check(connection: Connection, experiments: dict[str, list[Metric]]) -> None:
    """The rollup's tables equal the recomputation, as a whole and at the end of each day."""
    assert wrong_arms(connection) == []
    for experiment, metrics in experiments.items():
        key = {"experiment": experiment}
        rows = connection.execute(
            text(
                "SELECT unit_id, arm, exposed_at, day, arms_seen, impressions FROM experiment_units "
                "WHERE experiment = :experiment AND phase = 1"
            ),
            key,
        )
        assert {unit: tuple(rest) for unit, *rest in rows} == units(connection, experiment)
        rows = connection.execute(
            text(
                "SELECT unit_id, position, impressions, clicks FROM unit_positions "
                "WHERE experiment = :experiment AND phase = 1"
            ),
            key,
        )
        assert {(unit, place): (shown, hit) for unit, place, shown, hit in rows} == positions(connection, experiment)
        for metric in metrics:
            if metric.is_coverage:
                _check_coverage(connection, experiment, metric)
                continue
            assert stored_totals(connection, experiment, metric.key) == totals(connection, experiment, metric), (
                metric.key
            )
            days = connection.execute(
                text("SELECT DISTINCT day FROM unit_days WHERE experiment = :experiment AND metric = :metric"),
                {**key, "metric": metric.key},
            )
            for day in days.scalars().all():
                as_of = totals(connection, experiment, metric, (day + 1) * DAY)
                expected = {unit: (one.numerator, one.denominator) for unit, one in as_of.items() if one[0] or one[1]}
                assert stored_by_day(connection, experiment, metric.key, day) == expected, (metric.key, day)
