"""A person whose eyes are borrowed, as typed; and the arms' lists beside each other with their differences marked."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from .audience import scalar
from .backend import JSON, Problem

PREFIX = "viewer-"
FIELDS = ("user_id", "session_id", "item_id", "attributes")
LONGEST_ID = 256

Typed = dict[str, str]

REASONS = {
    "bucketed": "by the hash of the user's id",
    "override": "because they are on the list of people who test",
    "sticky": "because they met this arm before, and assignment is sticky",
    "not_targeted": "the audience does not let them in",
    "not_in_traffic": "they are outside of the share of traffic that takes part",
    "layer": "they are in another part of the layer",
    "holdout": "a holdout keeps them away from experiments",
    "not_running": "it does not run now",
}
"""Why a decision came out as it did, in words."""


def sent(form: Mapping[str, str]) -> Typed:
    """What was sent, as typed."""
    return {name: str(form.get(PREFIX + name, "")).strip() for name in FIELDS}


def viewer(typed: Typed) -> tuple[JSON, list[Problem]]:
    """The viewer that was meant, and what is wrong; problems' fields begin with `viewer.`."""
    problems: list[Problem] = []
    if not typed["user_id"] and not typed["session_id"]:
        rule = "is needed, or a guest's session id: whose lists are they to be?"
        problems.append({"field": "viewer.user_id", "value": "", "rule": rule})
    problems += [
        {"field": f"viewer.{name}", "value": typed[name], "rule": f"must have at most {LONGEST_ID} characters"}
        for name in ("user_id", "session_id", "item_id")
        if len(typed[name]) > LONGEST_ID
    ]
    attributes, rule = _attributes(typed["attributes"])
    if rule:
        problems.append({"field": "viewer.attributes", "value": typed["attributes"], "rule": rule})
    return {
        "user_id": typed["user_id"] or None, "session_id": typed["session_id"] or None,
        "item_id": typed["item_id"] or None, "attributes": attributes,
    }, problems  # fmt: skip


def _attributes(text: str) -> tuple[JSON, str]:
    """Lines such as `country = CN`, or a JSON object."""
    if text.startswith("{"):
        try:
            found = json.loads(text)
        except ValueError as error:
            return {}, f"must be lines such as country = CN, or JSON ({error})"
        return dict(found), ""
    attributes: JSON = {}
    for line in filter(None, (line.strip() for line in text.replace(",", "\n").splitlines())):
        name, equals, value = line.partition("=")
        if not equals or not name.strip() or not value.strip():
            return {}, f"must be lines such as country = CN; {line!r} is none"
        attributes[name.strip()] = scalar(value.strip())
    return attributes, ""


def side_by_side(found: JSON) -> JSON:
    """The look with each list's differences from the control's.

    Each item gets a `mark`: "new" (not in the control's list), "up" or "down" with `by` places, "same"; in the
    control's own list "only" (in no other arm's list) or "same". Each arm gets `differs`, how many are new.
    """
    control = next(arm for arm in found["arms"] if arm["control"])
    places = {row["item_id"]: row["position"] for row in control["items"]}
    elsewhere = {row["item_id"] for arm in found["arms"] if arm is not control for row in arm["items"]}
    arms = []
    titles = found.get("titles") or {}
    for arm in found["arms"]:
        rows = [{**row, "reason": named(row.get("reason"), titles), **_mark(row, arm["control"], places, elsewhere)}
                for row in arm["items"]]  # fmt: skip
        differs = sum(row["mark"] == "new" for row in rows)
        same = not arm["control"] and len(rows) == len(places) and all(row["mark"] == "same" for row in rows)
        arms.append({**arm, "items": rows, "differs": differs, "same": same})
    decision = found["decision"]
    return {**found, "arms": arms, "why": REASONS.get(decision["reason"], decision["reason"])}


def named(reason: str | None, titles: Mapping[str, str]) -> str | None:
    """A strategy's reason with the titles of the items that it names: strategies know ids alone."""
    if not reason or not titles:
        return reason
    ids = "|".join(re.escape(item) for item in sorted(titles, key=len, reverse=True))
    return re.sub(rf"(?<![\w.-])(?:{ids})(?![\w.-])", lambda one: f"“{titles[one[0]]}”", reason)


def _mark(row: JSON, control: bool, places: Mapping[str, int], elsewhere: set[str]) -> JSON:
    if control:
        return {"mark": "same" if row["item_id"] in elsewhere else "only", "by": 0}
    before = places.get(row["item_id"])
    if before is None:
        return {"mark": "new", "by": 0}
    moved = before - row["position"]
    return {"mark": "up" if moved > 0 else "down" if moved < 0 else "same", "by": abs(moved)}
