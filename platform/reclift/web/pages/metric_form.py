"""What people type into the form of a metric, kept as typed, and the definition that it means.

Kinds, what can be read off an event, formats and fields come from `domain.metric`: what it gains stands in the form.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from reclift.domain.metric import IMPRESSION, Metric, MetricKind
from reclift.domain.metric_words import kind_words
from reclift.flows import metrics

from . import traffic_form
from .backend import Problem
from .experiment_form import slug

Typed = dict[str, Any]
PLACES = ("numerator", "denominator")
FORMATS = {"percent": "Percent", "number": "Number", "money": "Money", "ms": "Milliseconds"}


class Measure(NamedTuple):
    """A number that people type in a unit of their own: a field's value is the typed one times `factor`."""

    factor: float
    unit: str
    whole: bool = False


MEASURES = {
    "window_hours": Measure(24, "days"),
    "after_hours": Measure(24, "days"),
    "cap": Measure(1, ""),
    "cap_percentile": Measure(0.01, "percent"),
    "minimum": Measure(1, "", whole=True),
    "quantile": Measure(0.01, "percent"),
    "margin": Measure(0.01, "percent"),
}
LABELS = {"of": "Of single facts, or of units' totals"}
_OWN = {"key", "name", "kind", *PLACES, "direction", "format", "description", *MEASURES}


class Extra(NamedTuple):
    """A field of the domain that this form has no words for: it is offered by its name."""

    name: str
    label: str
    choices: tuple[str, ...]
    numeric: bool


def extras() -> list[Extra]:
    """Fields of a metric beyond those the form knows."""
    hints = get_type_hints(Metric)
    found = []
    for one in fields(Metric):
        if one.name in _OWN:
            continue
        literal = get_origin(hints[one.name]) is Literal
        options = tuple(str(each) for each in get_args(hints[one.name])) if literal else ()
        numeric = bool({int, float} & {hints[one.name], *get_args(hints[one.name])})
        label = LABELS.get(one.name, one.name.replace("_", " ").capitalize())
        found.append(Extra(one.name, label, options, numeric))
    return found


def blank() -> Typed:
    """A new form: the share of users with a purchase within a week."""
    source = {"event": "", "value": "count", "attributed": False, "position": "", "where": []}
    typed: Typed = {
        "key": "", "name": "", "description": "", "kind": "proportion", "direction": "increase", "format": "percent",
        "numerator": {**source, "event": "purchase"}, "denominator": {**source, "event": "impression"},
    }  # fmt: skip
    typed |= dict.fromkeys(MEASURES, "") | {one.name: "" for one in extras()}
    return typed | {"window_hours": "7", "minimum": "1", "after_hours": "1", "quantile": "95", "margin": "2"}


def from_definition(definition: Mapping[str, Any]) -> Typed:
    """What the form shows for a copy of a metric; its key and name are left to choose."""
    typed = blank() | {name: definition[name] for name in ("kind", "direction", "format", "description")}
    for place in PLACES:
        source = definition.get(place)
        if source:
            rows = [{"property": name, "equals": _shown(value)} for name, value in source["where"].items()]
            at = "" if source["position"] is None else str(source["position"])
            typed[place] = {**source, "position": at, "where": rows}
    for name, measure in MEASURES.items():
        value = definition.get(name)
        typed[name] = "" if value is None else f"{value / measure.factor:.10g}"
    for one in extras():
        value = definition.get(one.name)
        typed[one.name] = "" if value is None else str(value)
    return typed


def typed_of(form: Mapping[str, str]) -> Typed:
    """The form as typed."""

    def text(name: str) -> str:
        return str(form.get(name, "")).strip()

    typed: Typed = {name: text(name) for name in ("key", "name", "description", "kind", "direction", "format")}
    typed |= {name: text(name) for name in MEASURES} | {one.name: text(one.name) for one in extras()}
    for place in PLACES:
        typed[place] = {
            "event": text(f"{place}_event"),
            "value": text(f"{place}_value") or "count",
            "attributed": text(f"{place}_attributed") == "on",
            "position": text(f"{place}_position"),
            "where": [
                row
                for row in traffic_form.rows(form, f"{place}_where", ("property", "equals"))
                if row["property"] or row["equals"]
            ],
        }
    return typed


def definition(typed: Typed, taken: Sequence[str] = ()) -> tuple[dict[str, Any], list[Problem]]:
    """The definition that was meant, and everything that is wrong with it, by the form's own field names."""
    has = kind_words(typed["kind"]).fields
    meant: dict[str, Any] = {
        "key": typed["key"] or slug(typed["name"]).replace("-", "_"),
        **{name: typed[name] for name in ("name", "kind", "description", "direction", "format")},
    }
    wrong: list[Problem] = []
    if not typed["name"]:
        wrong.append({"field": "name", "value": "", "rule": "is needed: what people call this metric"})
    for place in PLACES:
        if place == "numerator" or "denominator" in has:
            source = typed[place]
            if typed["kind"] == MetricKind.COVERAGE:  # of lists only: the form hides what else there could be
                source = {**source, "event": IMPRESSION, "value": "count", "where": []}
            meant[place] = _source(source, place, wrong)
    for name, measure in MEASURES.items():
        special = name not in {"window_hours", "margin"}
        if typed[name] and (name in has or not special):
            _number(meant, wrong, name, typed[name], measure)
    for one in extras():
        if typed[one.name] and one.name in has:
            if one.numeric:
                _number(meant, wrong, one.name, typed[one.name], Measure(1, ""))
            else:
                meant[one.name] = typed[one.name]
    if meant["key"] in taken:
        wrong.append({"field": "key", "value": meant["key"], "rule": "is taken by another metric"})
    there = {problem["field"] for problem in wrong}
    for problem in metrics.problems(meant):
        field, rule = problem.field, problem.rule
        if field in MEASURES:
            rule = _in_unit(rule, MEASURES[field])
        value = typed.get(field, problem.value) if field in MEASURES else problem.value
        if not (field in there or (field == "key" and "name" in there)):
            wrong.append({"field": field, "value": value, "rule": rule})
    return meant, wrong


def _source(typed: Mapping[str, Any], place: str, wrong: list[Problem]) -> dict[str, Any]:
    where: dict[str, Any] = {}
    for n, row in enumerate(typed["where"]):
        if not row["property"]:
            wrong.append(
                {"field": f"{place}_where.{n}.property", "value": "", "rule": "is needed: the property's name"}
            )
        elif row["property"] in where:
            rule = "stands here twice"
            wrong.append({"field": f"{place}_where.{n}.property", "value": row["property"], "rule": rule})
        where[row["property"]] = _meant(row["equals"])
    source: dict[str, Any] = {name: typed[name] for name in ("event", "value", "attributed")} | {"where": where}
    if typed["position"]:
        at = typed["position"]
        source["position"] = int(at) if re.fullmatch(r"\d{1,9}", at, re.ASCII) else at
    if typed["event"] == IMPRESSION:  # they have neither, and the form hides both
        source |= {"attributed": False, "where": {}}
    return source


def _number(meant: dict[str, Any], wrong: list[Problem], name: str, text: str, measure: Measure) -> None:
    value = traffic_form.number(text) if measure.factor != 1 else _plain(text)
    if value is None or (measure.whole and value != int(value)):
        rule = f"must be a {'whole ' if measure.whole else ''}number{f' of {measure.unit}' if measure.unit else ''}"
        wrong.append({"field": name, "value": text, "rule": rule})
    else:
        meant[name] = int(value) if measure.whole else round(value * measure.factor, 9)


def _plain(text: str) -> float | None:
    """A number without a unit; amounts may be larger than `traffic_form.number` takes."""
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return None
    return value if abs(value) < 1e300 else None


def _in_unit(rule: str, measure: Measure) -> str:
    """A rule's bounds in the unit that was typed."""
    found = re.fullmatch(r"must be from (\S+) to (\S+)", rule)
    if found is None:
        return rule
    low, high = (float(bound) / measure.factor for bound in found.groups())
    unit = f" {measure.unit}" if measure.unit else ""
    return f"must be {f'from {low:,.16g} to' if low == 0 or low >= 0.01 else 'above 0 and at most'} {high:,.16g}{unit}"


def _meant(text: str) -> Any:
    """A property's value: numbers, true, false and texts in quotes as JSON has them, anything else is a text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, str | int | float | bool) else text


def _shown(value: Any) -> str:
    return value if isinstance(value, str) and _meant(value) == value else json.dumps(value, ensure_ascii=False)
