"""What a user did, as the shop reports it: checked field by field, turned into rows of the event log."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from reclift.domain.metric import MAX_AMOUNT

MICROS = 1_000_000
MAX_ID = 200
MAX_TYPE = 64
MAX_PROPERTIES = 50
MAX_DEPTH = 20
UNKEEPABLE = re.compile("[\x00\ud800-\udfff]")
"""What no text may hold, since PostgreSQL cannot keep it: NUL, and halves of characters."""
EXPOSURE = "exposure"


class EventError(ValueError):
    """An event cannot be taken; the message names the field, the value and the rule."""


@dataclass(slots=True)
class Facts:
    """A batch for the event log: rows of the tables `events`, `impressions` and `exposures`."""

    events: list[dict[str, Any]] = field(default_factory=list)
    impressions: list[dict[str, Any]] = field(default_factory=list)
    exposures: list[dict[str, Any]] = field(default_factory=list)

    def __len__(self) -> int:
        """How many rows."""
        return len(self.events) + len(self.impressions) + len(self.exposures)

    def extend(self, other: Facts) -> None:
        """Take another batch's rows in."""
        self.events += other.events
        self.impressions += other.impressions
        self.exposures += other.exposures


def parse_time(value: object) -> int:
    """An RFC 3339 timestamp with a zone -> microseconds since 1970."""
    if not isinstance(value, str):
        raise EventError(f"timestamp={value!r}: must be an RFC 3339 string such as 2026-05-01T12:00:00Z")
    try:
        at = datetime.fromisoformat(value)
    except ValueError:
        raise EventError(f"timestamp={value!r}: must be an RFC 3339 string such as 2026-05-01T12:00:00Z") from None
    if at.tzinfo is None:
        raise EventError(f"timestamp={value!r}: needs a zone, such as Z or +02:00")
    return round(at.timestamp() * MICROS)


def checked_id(name: str, value: object) -> str:
    """An id: a string of 1 to 200 characters that every database can keep."""
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_ID:
        raise EventError(f"{name}={_short(value)}: must be a string of 1 to {MAX_ID} characters")
    if UNKEEPABLE.search(value):
        raise EventError(f"{name}={_short(value)}: must not contain NUL or lone surrogates")
    return value


def has_nul(value: object) -> bool:
    """Whether a JSON value holds a NUL character anywhere, keys included. PostgreSQL can keep none."""
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, Mapping):
        return any("\x00" in str(key) or has_nul(inner) for key, inner in value.items())
    return isinstance(value, list) and any(has_nul(inner) for inner in value)


def parse_event(
    raw: object, *, now: int, max_skew: int, canonical: Callable[[str], str], arms: Callable[[str], Mapping[str, int]]
) -> tuple[str, dict[str, Any]]:
    """Check one event of `/events`.

    Args:
        raw: what was sent.
        now: the time of arrival, microseconds.
        max_skew: how far ahead of `now` a client's clock may be; beyond, its time is clamped to `now`.
        canonical: resolves an id to the person's canonical one.
        arms: experiment key -> its arms (arm key -> current phase); empty when the experiment is unknown.

    Returns:
        The table's name (`events` or `exposures`) and its row.
    """
    if not isinstance(raw, Mapping):
        raise EventError(f"event={_short(raw)}: must be an object")
    kind = raw.get("type")
    if not isinstance(kind, str) or not 1 <= len(kind) <= MAX_TYPE or UNKEEPABLE.search(kind):
        raise EventError(f"type={_short(kind)}: must be a string of 1 to {MAX_TYPE} characters")
    given = raw.get("user_id")
    unit = canonical(
        checked_id(
            "user_id" if given is not None or "session_id" not in raw else "session_id",
            given if given is not None else raw.get("session_id"),
        )
    )
    client_at = parse_time(raw["timestamp"]) if raw.get("timestamp") is not None else None
    at = now if client_at is None or client_at > now + max_skew else client_at
    if at < 0:
        raise EventError(f"timestamp={raw['timestamp']!r}: must not be before 1970")
    properties = raw.get("properties")
    if properties is None:
        properties = {}
    if not isinstance(properties, dict) or len(properties) > MAX_PROPERTIES:
        raise EventError(f"properties={_short(properties)}: must be an object with at most {MAX_PROPERTIES} entries")
    _check_json(properties, MAX_DEPTH)
    if kind == EXPOSURE:
        return "exposures", _exposure(unit, at, properties, arms)
    item = checked_id("item_id", raw["item_id"]) if raw.get("item_id") is not None else None
    shown = raw.get("recommendation_id")
    recommendation = checked_id("recommendation_id", shown) if shown is not None else None
    value = raw.get("value")
    if value is not None and (
        isinstance(value, bool) or not isinstance(value, int | float) or not -MAX_AMOUNT <= value <= MAX_AMOUNT
    ):
        raise EventError(f"value={_short(value)}: must be a number from {-MAX_AMOUNT:g} to {MAX_AMOUNT:g}")
    event_id = raw.get("event_id")
    return "events", {
        "event_id": checked_id("event_id", event_id)
        if event_id is not None
        else derived_id(kind, unit, item, recommendation, value, client_at),
        "type": kind,
        "unit_id": unit,
        "item_id": item,
        "recommendation_id": recommendation,
        "value": float(value) if value is not None else None,
        "at": at,
        "client_at": client_at,
        "received_at": now,
        "properties": properties,
    }


def _check_json(value: object, depth: int) -> None:
    """What every database can keep: not nested too deep, and text without NUL and lone surrogates."""
    if isinstance(value, str):
        if UNKEEPABLE.search(value):
            raise EventError("properties: must not contain NUL characters or lone surrogates")
    elif isinstance(value, dict | list):
        if depth == 0:
            raise EventError(f"properties: must not be nested deeper than {MAX_DEPTH} levels")
        for part in value:
            _check_json(part, depth - 1)
        if isinstance(value, dict):
            for part in value.values():
                _check_json(part, depth - 1)


def _exposure(
    unit: str, at: int, properties: Mapping[str, Any], arms: Callable[[str], Mapping[str, int]]
) -> dict[str, Any]:
    experiment, arm = properties.get("experiment"), properties.get("arm")
    if not isinstance(experiment, str):
        raise EventError(f"properties.experiment={_short(experiment)}: an exposure names its experiment")
    known = arms(experiment)
    if not known:
        raise EventError(f"properties.experiment={_short(experiment)}: no such experiment has been started")
    if not isinstance(arm, str) or arm not in known:
        raise EventError(f"properties.arm={_short(arm)}: must be one of {', '.join(sorted(known))}")
    attributes = properties.get("attributes", {})
    if not isinstance(attributes, Mapping):
        raise EventError(f"properties.attributes={_short(attributes)}: must be an object")
    return {
        "experiment": experiment,
        "phase": _phase(properties.get("phase"), known[arm]),
        "unit_id": unit,
        "arm": arm,
        "at": at,
        "source": "client",
        "attributes": dict(attributes),
    }


def _phase(given: object, newest: int) -> int:
    """The phase in which a client decided: an SDK may still have the plan of the phase before."""
    if given is None:
        return newest
    phase = int(given) if isinstance(given, str) and given.isascii() and given.isdigit() and len(given) < 6 else given
    if isinstance(phase, bool) or not isinstance(phase, int) or not 1 <= phase <= newest:
        raise EventError(f"properties.phase={_short(given)}: must be a phase of the experiment, 1 to {newest}")
    return phase


def derived_id(
    kind: str, unit: str, item: str | None, recommendation: str | None, value: object, client_at: int | None
) -> str:
    """An id for an event that came without: the same content at the same client time is the same event.

    Without a client time nothing tells a retry from a second, equal event, so the id is random.
    """
    if client_at is None:
        return str(uuid.uuid4())
    text = "\x1f".join(str(part) for part in (kind, unit, item, recommendation, value, client_at))
    return "d-" + hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
