"""A metric's definition in words: what kinds there are, and one example sentence that says what is computed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, get_args, get_type_hints

from reclift.domain.metric import IMPRESSION, Metric, MetricKind, Source


class KindWords(NamedTuple):
    """A kind for people: its name, the question it answers, and the fields that only some kinds have."""

    label: str
    question: str
    fields: frozenset[str]


_CAPS = frozenset({"cap", "cap_percentile"})

_KINDS: Mapping[str, KindWords] = {
    "proportion": KindWords("Proportion", "What share of users did it?", frozenset({"minimum"})),
    "count": KindWords("Count", "How often does a user do it?", _CAPS),
    "sum": KindWords("Sum", "How much does it add up to for a user?", _CAPS),
    "ratio": KindWords("Ratio", "How much of one thing for each of another?", _CAPS | {"denominator"}),
    "retention": KindWords("Retention", "What share of users comes back later?", frozenset({"after_hours"})),
    "quantile": KindWords("Quantile", "What do most stay under, say 95 of 100?", frozenset({"quantile", "of"})),
    "coverage": KindWords("Coverage", "How much of the catalogue do lists show?", frozenset()),
}

_VALUES = {
    "count": "count them",
    "value": "add up their values",
    "latency_ms": "add up their milliseconds",
    "fallback": "count those that needed the fallback",
    "novelty": "add up their novelty, in bits",
    "diversity": "add up their diversity",
}


def kind_words(kind: str) -> KindWords:
    """A kind in words; one that has none here is called by its name and may have any field but a denominator."""
    known = _KINDS.get(kind)
    if known is not None:
        return known
    every = frozenset(Metric.__dataclass_fields__) - {"denominator"}
    return KindWords(kind.replace("_", " ").capitalize(), "", every)


def kinds() -> dict[str, KindWords]:
    """Every kind that can be made, in the domain's order."""
    return {kind.value: kind_words(kind.value) for kind in MetricKind}


def choices(owner: type, name: str) -> tuple[str, ...]:
    """What a field of `Metric` or `Source` may be, as its type declares."""
    return tuple(str(one) for one in get_args(get_type_hints(owner)[name]))


def value_words() -> dict[str, str]:
    """What can be read off an event or a list, in words."""
    return {name: _VALUES.get(name, name.replace("_", " ")) for name in choices(Source, "value")}


def sentence(metric: Metric) -> str:
    """One sentence that says what the metric computes, another for its direction and margin."""
    parts = [_core(metric)]
    if metric.window_hours is not None:
        parts.append(f"only the first {hours(metric.window_hours)} after a user's exposure count")
    fields = kind_words(metric.kind.value).fields
    caps = []
    if metric.cap is not None and "cap" in fields:
        caps.append(f"{metric.cap:,g}")
    if metric.cap_percentile is not None and "cap_percentile" in fields:
        caps.append(f"the {_ordinal(metric.cap_percentile * 100)} percentile of all users")
    if caps:
        parts.append(f"a user counts for at most {' or '.join(caps)}{', whichever is less' if len(caps) > 1 else ''}")
    better = "Higher" if metric.direction == "increase" else "Lower"
    worse = "drop" if metric.direction == "increase" else "rise"
    margin = f"tolerates a {worse} of up to {metric.margin * 100:g} %" if metric.margin else "tolerates no shown harm"
    return f"{'; '.join(parts)}. {better} is better; as a guardrail it {margin}."


def _core(metric: Metric) -> str:
    what = metric.numerator
    kind = metric.kind.value
    if kind == "proportion":
        some = _one(what) if metric.minimum == 1 else f"{metric.minimum:,} or more {_facts(what)}"
        return f"The share of exposed users with {some}"
    if kind == "retention":
        return f"The share of exposed users with {_one(what)} {hours(metric.after_hours)} or more after their exposure"
    if kind in {"count", "sum"}:
        return f"{_capital(_amount(what))} of an exposed user, on average"
    if metric.is_quantile:
        of = "counted one by one" if metric.of == "facts" else "added up for each user who has any"
        return (
            f"The {_ordinal(metric.quantile * 100)} percentile of the {_amount(what).removeprefix('sum of the ')}, {of}"
        )
    if metric.is_coverage:
        place = "lists show" if what.position is None else f"place {what.position} of lists shows"
        return f"The share of the available catalogue that {place} to equally many users of each arm"
    below = f" per {_each(metric.denominator)}" if metric.denominator is not None else ""
    if kind == "ratio":
        return f"{_capital(_amount(what))}{below}, both summed over all users"
    return f"{kind_words(kind).label}: {_amount(what)}{below}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _amount(source: Source) -> str:
    """What is added up."""
    facts = _facts(source)
    words = {
        "count": facts if source.event == IMPRESSION else f"number of {facts}",
        "value": f"sum of the values of {facts}",
        "latency_ms": f"milliseconds taken by {facts}",
        "fallback": f"{facts} that needed the fallback",
    }
    return words.get(source.value, f"{source.value.replace('_', ' ')} of {facts}")


def _facts(source: Source) -> str:
    if source.event == IMPRESSION:
        return "lists shown" if source.position is None else f"lists shown with an item at place {source.position}"
    return f"“{source.event}” events{_filters(source)}"


def _one(source: Source) -> str:
    return f"at least one {_each(source)}"


def _each(source: Source) -> str:
    if source.value != "count":
        return _amount(source)
    if source.event == IMPRESSION:
        return _facts(source).replace("lists", "list", 1)
    return f"“{source.event}” event{_filters(source)}"


def _filters(source: Source) -> str:
    place = f"place {source.position} of " if source.position is not None else ""
    text = f" on {place}their arm's lists" if source.attributed else ""
    if source.where:
        text += f" ({', '.join(f'{name} = {_literal(value)}' for name, value in source.where.items())})"
    return text


def _literal(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def hours(value: float) -> str:
    """A length in the largest unit that it is whole in: `7 days`, `1 hour`, `90 minutes`."""
    for unit, length in (("day", 24.0), ("hour", 1.0), ("minute", 1 / 60)):
        count = value / length
        if count >= 1 and abs(count - round(count)) < 1e-9:
            return f"{round(count):,} {unit}{'s' if round(count) != 1 else ''}"
    return f"{value:g} hours"


def _ordinal(number: float) -> str:
    number = round(number, 9)
    if number != int(number):
        return f"{number:g}th"
    whole = int(number)
    ending = "th" if whole % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(whole % 10, "th")
    return f"{whole}{ending}"
