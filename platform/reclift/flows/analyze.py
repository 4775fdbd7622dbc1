"""The report's statistics on any table of outcomes: nothing stored, millions of rows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reclift.flows.errors import Invalid
from reclift.flows.tables_in import read_table
from reclift.stats.comparison import arm_summary, compare
from reclift.stats.multiple import adjust
from reclift.stats.srm import srm
from reclift.stats.sums import Sums

Kind = Literal["proportion", "mean", "ratio"]

_SPEC = re.compile(
    r"(?P<numerator>[^:/@]+)(?::(?P<kind>mean|proportion)|/(?P<denominator>[^:/@]+))?(?:@(?P<covariate>[^:/@]+))?"
)


@dataclass(frozen=True, slots=True)
class Spec:
    """One metric of the command line: `COL`, `COL:mean`, `COL:proportion`, `NUM/DEN`, each with `@COVARIATE`."""

    text: str
    numerator: str
    denominator: str | None = None
    kind: Literal["mean", "proportion"] | None = None
    covariate: str | None = None

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Read a spec; `Invalid` says what is possible."""
        match = _SPEC.fullmatch(text.strip())
        if match is None:
            raise Invalid.of(
                "metric", text, "must be COL, COL:mean, COL:proportion or NUM/DEN, optionally with @COVARIATE"
            )
        kind: Any = match["kind"]
        return cls(text.strip(), match["numerator"], match["denominator"], kind, match["covariate"])

    @property
    def columns(self) -> list[str]:
        """The columns it needs."""
        return [name for name in (self.numerator, self.denominator, self.covariate) if name is not None]


def analyze(
    path: Path,
    *,
    arm: str,
    metrics: Sequence[str],
    control: str | None = None,
    unit: str | None = None,
    weights: Mapping[str, float] | None = None,
    level: float = 0.95,
) -> dict[str, Any]:
    """Compare arms on a CSV or Parquet file.

    Args:
        path: the file.
        arm: the column that tells the arm.
        metrics: specs, see `Spec`.
        control: the arm to compare with; None: `control` if there is one, else the first in sorted order.
        unit: the column of the randomised unit: rows are summed per unit. None: a row is a unit.
        weights: planned share of each arm for the sample-ratio test; None: equal.
        level: of intervals.

    Returns:
        `srm`, `arms` and `metrics` as in a report. A metric that cannot be computed has `reasons` instead of numbers.
    """
    specs = [Spec.parse(text) for text in metrics]
    columns = list(dict.fromkeys([arm, *([unit] if unit else []), *(name for spec in specs for name in spec.columns)]))
    table = read_table(path, columns, few=[arm] if unit is None else [])
    if table.num_rows == 0:
        raise Invalid.of("file", str(path), "must have at least one row")
    missing_arms = table[arm].null_count
    if missing_arms:
        raise Invalid.of(
            "arm", arm, f"{missing_arms:,} rows have no arm: remove or fill them, a guess could bias everything"
        )
    reasons = {name: _unusable(name, table[name]) for spec in specs for name in spec.columns}
    usable = [name for name, reason in reasons.items() if reason is None]
    several = 0
    if unit is not None:
        table, several = _per_unit(table, unit, arm, usable)
    arms, codes = _codes(table[arm])
    control = _control(arms, control)
    arms.sort(key=lambda name: (name != control, name))
    order = {name: place for place, name in enumerate(arms)}
    place_of = np.array([order[name] for name in codes.dictionary.to_pylist()])[codes.indices.to_numpy()]
    units = np.bincount(place_of, minlength=len(arms))
    unknown = sorted(set(weights or {}) - set(arms))
    if unknown:
        raise Invalid.of("weight", unknown[0], f"must be an arm; there are {', '.join(arms)}")
    share = [(weights or {}).get(name, 1.0) for name in arms]
    values = {name: table[name].cast(pa.float64()).to_numpy() for name in usable}
    read = [
        _read(spec, values, reasons, arms, place_of, units, level=level, per_unit=unit is not None) for spec in specs
    ]
    _correct(read)
    return {
        "srm": srm([int(n) for n in units], share).to_dict(),
        "multi_arm_units": several,
        "arms": [{"arm": name, "control": name == control, "units": int(units[order[name]])} for name in arms],
        "metrics": [
            {**entry, "comparisons": [comparison.to_dict() for comparison in entry["comparisons"]]} for entry in read
        ],
    }


def _unusable(name: str, column: pa.ChunkedArray) -> str | None:
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise Invalid.of("metric", name, f"the column must hold numbers, not {kind}")
    if column.null_count:
        return (
            f"column {name} has {column.null_count:,} missing values; fill or remove them: a guess could bias the lift"
        )
    if pa.types.is_floating(kind) and not pc.all(pc.is_finite(column)).as_py():
        return f"column {name} has values that are not finite"
    return None


def _per_unit(table: pa.Table, unit: str, arm: str, names: Sequence[str]) -> tuple[pa.Table, int]:
    """Sum rows per unit; units that met several arms are left out and counted."""
    if table[unit].null_count:
        raise Invalid.of("unit", unit, f"{table[unit].null_count:,} rows have no unit: remove or fill them")
    table = table.select([unit, arm, *names])
    for name in names:
        if pa.types.is_boolean(table[name].type):
            table = table.set_column(table.schema.get_field_index(name), name, table[name].cast(pa.int64()))
    # Sums as floats: counts of millions of rows stay exact, and integers cannot overflow.
    summed = table.group_by([unit, arm]).aggregate([(name, "sum") for name in names])
    summed = summed.rename_columns(
        [unit, arm, *names] if summed.column_names[:2] == [unit, arm] else [*names, unit, arm]
    )
    per_unit = summed.group_by([unit]).aggregate([(arm, "count")])
    if per_unit.num_rows == summed.num_rows:
        return summed, 0
    counts = per_unit[f"{arm}_count"]
    several = per_unit.filter(pc.greater(counts, 1))[unit]
    keep = pc.invert(pc.is_in(summed[unit], value_set=several.combine_chunks()))
    return summed.filter(keep), len(several)


def _codes(column: pa.ChunkedArray) -> tuple[list[str], pa.DictionaryArray]:
    if pa.types.is_dictionary(column.type) and pa.types.is_string(column.type.value_type):
        codes = column.unify_dictionaries().combine_chunks()
        if len(pc.unique(codes.indices)) == len(codes.dictionary):  # a dictionary may list values that no row has
            return list(codes.dictionary.to_pylist()), codes
    codes = column.cast(pa.string()).dictionary_encode().combine_chunks()
    return list(codes.dictionary.to_pylist()), codes


def _control(arms: Sequence[str], wanted: str | None) -> str:
    if wanted is None:
        return "control" if "control" in arms else min(arms)
    if wanted not in arms:
        raise Invalid.of("control", wanted, f"must be an arm; there are {', '.join(sorted(arms))}")
    return wanted


def _read(
    spec: Spec,
    values: Mapping[str, np.ndarray[Any, np.dtype[np.float64]]],
    reasons: Mapping[str, str | None],
    arms: Sequence[str],
    place_of: np.ndarray[Any, Any],
    units: np.ndarray[Any, Any],
    *,
    level: float,
    per_unit: bool,
) -> dict[str, Any]:
    why = [reasons[name] for name in spec.columns if reasons[name] is not None]
    entry: dict[str, Any] = {"metric": spec.text, "name": spec.text, "role": "primary", "reasons": {}}
    if why:
        return {
            **entry,
            "kind": None,
            "arms": [],
            "comparisons": [],
            "reasons": {"metric": {"code": "missing", "text": why[0]}},
        }
    x = values[spec.numerator]
    kind: Kind = "ratio" if spec.denominator is not None else (spec.kind or ("proportion" if _binary(x) else "mean"))
    if kind == "proportion" and not _binary(x):
        if not per_unit or (x < 0).any():
            raise Invalid.of("metric", spec.text, "a proportion needs a column of 0 and 1")
        x = (x > 0).astype(np.float64)
    columns = {"x": x}
    if spec.denominator is not None:
        columns["y"] = values[spec.denominator]
    if spec.covariate is not None:
        # A ratio's covariate is one number a unit, too: without a denominator of its own it is taken as it is.
        columns["u"] = values[spec.covariate]
    sums = _sums(columns, place_of, units)
    comparisons = [
        compare(sums[0], sums[place], kind=kind, level=level, arm=arms[place], control_arm=arms[0],
                cuped=spec.covariate is not None)
        for place in range(1, len(arms))
    ]  # fmt: skip
    return {
        **entry,
        "kind": kind,
        "arms": [{"arm": name, **arm_summary(sums[place], kind).to_dict()} for place, name in enumerate(arms)],
        "comparisons": comparisons,
    }


def _binary(x: np.ndarray[Any, Any]) -> bool:
    return bool(((x == 0) | (x == 1)).all())


def _sums(
    columns: Mapping[str, np.ndarray[Any, Any]], place_of: np.ndarray[Any, Any], units: np.ndarray[Any, Any]
) -> list[Sums]:
    names = list(columns)
    totals = {name: np.bincount(place_of, columns[name], minlength=len(units)) for name in names}
    for first, one in enumerate(names):
        for other in names[first:]:
            # Only products that Sums knows by this name: letters in the order x, y, u, v.
            totals[one + other] = np.bincount(place_of, columns[one] * columns[other], minlength=len(units))
    return [
        Sums(n=float(units[place]), **{name: float(total[place]) for name, total in totals.items()})
        for place in range(len(units))
    ]


def _correct(read: Sequence[dict[str, Any]]) -> None:
    """Holm over everything that was asked at once: each metric with each arm is one more chance to be fooled."""
    family = [comparison for entry in read for comparison in entry["comparisons"]]
    corrected = iter(adjust(family, "holm"))
    for entry in read:
        entry["comparisons"] = [next(corrected) for _ in entry["comparisons"]]
