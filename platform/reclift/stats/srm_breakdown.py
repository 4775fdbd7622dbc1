"""Where a sample ratio mismatch comes from: the split within each day or segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reclift.stats.multiple import holm
from reclift.stats.srm import THRESHOLD, SrmResult, srm
from reclift.stats.words import p_words


@dataclass(frozen=True, slots=True)
class SrmPart:
    """One day's or segment's split; `p_adjusted` is Holm's over all parts, `None` where the part has no units."""

    name: str
    result: SrmResult
    p_adjusted: float | None
    suspect: bool


@dataclass(frozen=True, slots=True)
class SrmBreakdown:
    """All parts, and one sentence that points at the likely cause."""

    parts: tuple[SrmPart, ...]
    sentence: str

    @property
    def suspects(self) -> tuple[SrmPart, ...]:
        """The parts whose split is broken."""
        return tuple(part for part in self.parts if part.suspect)

    def to_dict(self) -> dict[str, Any]:
        """JSON: parts in their order."""
        parts = [
            {"name": part.name, "p_adjusted": part.p_adjusted, "suspect": part.suspect} | part.result.to_dict()
            for part in self.parts
        ]
        return {"parts": parts, "sentence": self.sentence}


def srm_breakdown(
    parts: Mapping[str, Sequence[int]], weights: Sequence[float], *, what: str = "segment", threshold: float = THRESHOLD
) -> SrmBreakdown:
    """Tests the split within each part, corrected for their number, and says what the parts that fail have in common.

    Few failing parts point at those (a browser whose redirect loses users, a day with an outage); if what is left
    without them splits as planned, they are the cause. Failure in most parts points at assignment or logging itself.
    Source: Fabijan et al. 2019, "Diagnosing Sample Ratio Mismatch in Online Controlled Experiments", KDD.

    Args:
        parts: day or segment -> units by arm; parts do not share units.
        weights: the planned shares.
        what: what a part is, for the sentence.
        threshold: of the adjusted p-value.

    Raises:
        ValueError: as `srm`.
    """
    results = {name: srm(observed, weights, threshold=threshold) for name, observed in parts.items()}
    known = {name: result.p_value for name, result in results.items() if result.p_value is not None}
    adjusted = dict(zip(known, holm(list(known.values())), strict=True))
    read = tuple(
        SrmPart(name, result, adjusted.get(name), suspect=name in adjusted and adjusted[name] < threshold)
        for name, result in results.items()
    )
    return SrmBreakdown(read, _sentence(read, weights, what, threshold))


def _sentence(parts: Sequence[SrmPart], weights: Sequence[float], what: str, threshold: float) -> str:
    suspects = [part for part in parts if part.suspect]
    if not suspects:
        return f"No single {what} has a broken split."
    names = ", ".join(part.name for part in suspects)
    read = [part for part in parts if part.p_adjusted is not None]
    if len(suspects) > len(read) / 2:
        return f"The split is broken in most {what}s ({names}): look at the assignment or the logging of exposures."
    rest = [sum(counts) for counts in zip(*(p.result.observed for p in read if not p.suspect), strict=True)]
    without = srm(rest, weights, threshold=threshold)
    if without.ok:
        return (
            f"The split is broken in {what} {names}; without it the units split as planned (p "
            f"{p_words(without.p_value)}): look for what is special there."
        )
    return f"The split is broken in {what} {names}, and also in the others together (p {p_words(without.p_value)})."
