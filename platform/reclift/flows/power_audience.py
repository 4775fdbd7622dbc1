"""Which of a placement's past units an experiment's audience would let in, as far as their attributes are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from reclift.domain.groups import UNIT_ATTRIBUTE
from reclift.domain.targeting import compile_condition, mentions_unit
from reclift.flows import groups
from reclift.storage.placement_history import attributes_of


@dataclass(frozen=True, slots=True)
class Who:
    """Whom an experiment lets in.

    Attributes:
        audience: a condition; empty: everybody.
        exclude: a condition; who fulfils it stays out.
    """

    audience: Mapping[str, Any]
    exclude: Mapping[str, Any]


EVERYBODY = Who({}, {})


@dataclass(frozen=True, slots=True)
class Admitted:
    """What the past tells of an audience.

    Attributes:
        share: of the units whose attributes are known, those who would be let in; None: nobody's are known.
        known: units whose attributes are known.
        units: who would be let in, of those; None where `share` is.
    """

    share: float | None
    known: int
    units: frozenset[str] | None

    def to_dict(self) -> dict[str, Any]:
        """As the plan tells it."""
        reasons = {}
        if self.share is None:
            text = "Nobody's attributes are known here, so sizes are of all users: the audience is only a part of them."
            reasons = {"share": {"code": "no_units", "text": text}}
        return {"share": self.share, "known": self.known, "reasons": reasons}


def admitted(session: Session, units: Sequence[str], who: Who) -> Admitted | None:
    """Who of `units` would be let in; None: everybody would.

    Known are the attributes that came with a unit's newest exposure in any experiment, else those of its profile. What
    they leave out counts as null, as it does when an experiment decides.
    """
    if not who.audience and not who.exclude:
        return None
    known_groups = groups.all_groups(session)
    inside = compile_condition(who.audience, known_groups) if who.audience else None
    outside = compile_condition(who.exclude, known_groups) if who.exclude else None
    found: Mapping[str, Mapping[str, Any]] = attributes_of(session, units)
    if mentions_unit([who.audience, who.exclude], known_groups):
        found = {unit: {**found.get(unit, {}), UNIT_ATTRIBUTE: unit} for unit in units}
    if not found:
        return Admitted(None, 0, None)
    chosen = frozenset(
        unit
        for unit, attributes in found.items()
        if (inside is None or inside(attributes)) and not (outside is not None and outside(attributes))
    )
    return Admitted(len(chosen) / len(found), len(found), chosen)
