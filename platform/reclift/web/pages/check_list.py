"""What to look at before an experiment starts, each as a sentence that is well or worth a thought."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from reclift.web import format as fmt

from .backend import JSON, Problem


class Check(NamedTuple):
    """One line of the list. `state`: "good", "look" (allowed, but think) or "bad" (it cannot start like this)."""

    state: str
    text: str


def checks(
    payload: JSON,
    problems: Sequence[Problem],
    power: Mapping[str, Any] | None,
    placement: Mapping[str, Any] | None,
    others: Sequence[Mapping[str, Any]],
    models: Sequence[Mapping[str, Any]],
    strategies: Mapping[str, Mapping[str, Any]],
) -> list[Check]:
    """The list. `others` are the other running experiments of the placement; `power` as the platform answered."""
    found: list[Check] = []
    if problems:
        names = ", ".join(dict.fromkeys(_words(problem["field"]) for problem in problems))
        found.append(Check("bad", f"To be put right: {names}."))
    else:
        found.append(Check("good", "Everything that is needed is there."))
    found += _length(payload, power)
    found += _audience(payload, power)
    if payload["ramp"]:
        found.append(Check("look", "Sizes count the traffic at the end of the ramp: until then fewer users come in."))
    found += _arms(payload["arms"], models, strategies)
    found += _metrics(payload)
    if payload["analysis"]["correction_primary"] == "none" and len(payload["arms"]) > 2:
        text = (
            "Several arms are compared without a correction: one of them looks better by luck more often than planned."
        )
        found.append(Check("look", text))
    if placement is not None and not placement["fallback"]:
        text = f"{placement['key']} has no fallback: lists stay short where an arm has too little to show."
        found.append(Check("look", text))
    found += _overlap(payload, others)
    return found


def _words(field: str) -> str:
    """A field's path for people: `arms.1.weight` is `weight of arm 2`."""
    parts = field.split(".")
    if len(parts) > 2 and parts[0] == "arms" and parts[1].isdigit():
        return f"{' '.join(parts[2:]).replace('_', ' ')} of arm {int(parts[1]) + 1}"
    return " ".join(part for part in parts if not part.isdigit() and part != "analysis").replace("_", " ")


def _length(payload: JSON, power: Mapping[str, Any] | None) -> Iterator[Check]:
    days = payload["planned_days"]
    if not days:
        if payload["analysis"]["regime"] == "fixed":
            text = "No length is planned: then the report decides by always-valid intervals only."
            yield Check("look", text)
        return
    if days % 7:
        yield Check("look", f"{_days(days)} see some weekdays more often than others; whole weeks do not.")
    else:
        yield Check("good", f"{_days(days)} see every weekday equally often.")
    if power is None or power["days"] is None:
        return
    lift = fmt.lift(power["effect"])
    if power["days"] <= days:
        yield Check("good", f"{_days(days)} are enough to find a lift of {lift}.")
    else:
        there = next((one["effect"] for one in power["by_days"] if one["days"] == days), None)
        found = f"; {_days(days)} find lifts from {fmt.lift(there)}" if there else ""
        yield Check("look", f"A lift of {lift} needs about {_days(power['days'])}{found}.")


def _audience(payload: JSON, power: Mapping[str, Any] | None) -> Iterator[Check]:
    if not payload["audience"] and not payload["exclude"]:
        return
    told = (power or {}).get("audience")
    if told and told["share"] is not None:
        yield Check("good", "Sizes count only users whom the audience lets in, as far as attributes are known.")
        return
    text = "Sizes count all users of the placement: where the audience lets in half of them, it takes twice the days."
    yield Check("look", text)


def _days(days: int) -> str:
    return f"{days} day{'s' if days != 1 else ''}"


def _arms(
    arms: Sequence[Mapping[str, Any]],
    models: Sequence[Mapping[str, Any]],
    strategies: Mapping[str, Mapping[str, Any]],
) -> Iterator[Check]:
    shapes: dict[str, str] = {}
    for arm in arms:
        shape = repr([arm["strategy"], arm["params"], arm["model"], arm["rerank"]])
        if arm["strategy"] and shape in shapes:
            text = f"{shapes[shape]} and {arm['key']} are alike: an A/A test, which should find nothing."
            yield Check("look", text)
        shapes.setdefault(shape, arm["key"])
    ready = {model["strategy"] for model in models if model["status"] == "ready"}
    for strategy in dict.fromkeys(arm["strategy"] for arm in arms):
        known = strategies.get(strategy)
        if known is not None and known["needs_training"] and strategy not in ready:
            text = f"{known['title']} has no model yet: it is trained at the start; until then others fill its lists."
            yield Check("look", text)
    shares = [arm["weight"] for arm in arms]
    if len(shares) > 1 and max(shares) - min(shares) > 0.02:
        yield Check("look", "Arms of different sizes take more users in all than equal ones.")


def _metrics(payload: JSON) -> Iterator[Check]:
    guards = len(payload["metrics"]["guardrails"])
    if guards:
        yield Check("good", f"{guards} guardrail{'s' if guards != 1 else ''} must not get worse.")
    else:
        yield Check("look", "No guardrail: nothing tells you what a better primary metric costs.")


def _overlap(payload: JSON, others: Sequence[Mapping[str, Any]]) -> Iterator[Check]:
    beside = [e["key"] for e in others if not (payload["layer"] and e["layer"] == payload["layer"])]
    if beside:
        several = "both" if len(beside) == 1 else "several"
        yield Check(
            "look",
            f"{', '.join(beside)} {'runs' if len(beside) == 1 else 'run'} on {payload['placement']} already: a user in "
            f"{several} gets the list of the one that started first. One layer would share the users out.",
        )
