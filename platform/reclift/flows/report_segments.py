"""The primary metric by an attribute's values: corrected for their number, with a test of whether they differ."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from reclift.flows.errors import Invalid
from reclift.flows.report_read import Read, metric_view, read_metrics
from reclift.stats.segments import SegmentReading, by_segment
from reclift.stats.words import p_words
from reclift.storage.aggregates import ArmCount, Segment, arm_counts, segment_count, segment_values
from reclift.storage.tables import ExperimentRow

MOST = 10
"""Values that are read, the most frequent first."""


class Segments(NamedTuple):
    """By value, and what may be made of it."""

    values: list[dict[str, Any]]
    test: dict[str, Any]


def read_segments(session: Session, row: ExperimentRow, attribute: str, most: int = MOST) -> Segments:
    """Each value's comparisons and, for each arm, the test of the lift being the same for all values.

    p-values are adjusted by Benjamini-Hochberg over the values read; how many those are, and how many more there are,
    is told. `Invalid` when the name cannot be one of an attribute.
    """
    # SQLite's JSON paths cannot quote a quote.
    if not 1 <= len(attribute) <= 64 or '"' in attribute or not attribute.isprintable():
        raise Invalid.of(
            "segment", attribute, "must be an attribute's name of 1 to 64 printable characters without quotes"
        )
    reads: list[tuple[str, int, Read]] = []
    for value, units in segment_values(session, row.key, row.phase, attribute, most):
        part = Segment(attribute, value)
        counts = {arm.key: ArmCount(0, 0, 0) for arm in row.arms}
        counts |= {a: c for a, c in arm_counts(session, row.key, row.phase, part).items() if a in counts}
        reads += [(value, units, read) for read in read_metrics(session, row, counts, segment=part, only="primary")]
    tests = {
        arm.key: by_segment({value: c for value, _, read in reads for c in read.comparisons if c.arm == arm.key})
        for arm in row.arms
        if not arm.control and reads
    }
    values = []
    for value, units, read in reads:
        corrected = replace(read, comparisons=[tests[c.arm].segments[value] for c in read.comparisons])
        values.append(
            {"attribute": attribute, "value": value, "units": units, "metrics": [metric_view(row, corrected)]}
        )
    others = segment_count(session, row.key, row.phase, attribute) - len(reads) if reads else 0
    return Segments(values, _test(attribute, len(reads), others, tests))


def _test(attribute: str, looked: int, others: int, tests: dict[str, SegmentReading]) -> dict[str, Any]:
    arms = []
    for arm, reading in tests.items():
        shown = reading.to_dict()
        arms.append({"arm": arm, **shown["interaction"], "reasons": shown["reasons"]})
    text = (
        f"{looked} value{'' if looked == 1 else 's'} of {attribute} looked at"
        f"{f', {others:,} rarer ones not' if others else ''}; p-values are corrected for that "
        "(Benjamini-Hochberg), but not for other attributes that you may have looked at."
    )
    known = [one for one in arms if one["p_value"] is not None]
    threshold = 0.05 / max(1, len(known))
    differ = [one for one in known if one["p_value"] < threshold]
    for one in differ:
        text += f" The lift of {one['arm']} differs between values (interaction p {p_words(one['p_value'])})."
    if known and not differ:
        least = min(one["p_value"] for one in known)
        text += f" Nothing shows that the lift differs between values (interaction p {p_words(least)}): "
        text += "read the overall one."
    return {"attribute": attribute, "looked_at": looked, "not_looked_at": others, "arms": arms, "text": text}
