"""What each visit of a shop calls: /assign, /recommend, /events. Asked and answered without a word of Flask.

So they can be called past it (`web.lanes`), and by a view of it, and are the same either way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from reclift.domain.events import EventError, parse_time
from reclift.flows import assign as assign_flow
from reclift.flows.clock import now_micros
from reclift.flows.preview import Preview
from reclift.flows.preview import decision as preview_decision
from reclift.flows.serving import Key
from reclift.flows.wish import Wish
from reclift.web.api.assignments import Written
from reclift.web.api.fields import (
    categories,
    identifier,
    identifiers,
    known_fields,
    mapping,
    optional_identifier,
    whole,
)
from reclift.web.problems import NotAllowed, Refused, bad_field
from reclift.wiring import Runtime

_ASSIGN = frozenset({"user_id", "experiment", "attributes", "expose", "preview"})
_RECOMMEND = frozenset(
    {
        "user_id",
        "session_id",
        "placement",
        "k",
        "attributes",
        "context",
        "exclude",
        "candidates",
        "filters",
        "request_id",
        "timestamp",
        "preview",
    }
)
_EVENT = frozenset(
    {
        "event_id",
        "type",
        "user_id",
        "session_id",
        "item_id",
        "recommendation_id",
        "value",
        "timestamp",
        "properties",
    }
)
_EVENTS = frozenset({"events"})
_MOST_CANDIDATES = 10_000
_written = Written()


class Ask(NamedTuple):
    """A call: what this process works with, the key that may make it, and the body's object."""

    here: Runtime
    key: Key
    body: Mapping[str, Any]


class Answer(NamedTuple):
    """The JSON to send and its status."""

    body: bytes
    status: int = 200


def _json(value: Any, status: int = 200) -> Answer:
    return Answer(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS), status)


def assign(ask: Ask) -> Answer:
    """Which arm the user is in, of one experiment or of all that run."""
    here, _, body = ask
    known_fields(body, _ASSIGN)
    user_id = identifier(body, "user_id")
    experiment = body.get("experiment")
    if experiment is not None and not isinstance(experiment, str):
        raise bad_field("experiment", experiment, "must be an experiment's key")
    attributes = mapping(body, "attributes")
    expose = body.get("expose", False)
    if not isinstance(expose, bool):
        raise bad_field("expose", expose, "must be true or false")
    serving = here.live.current
    decisions = assign_flow.assign(serving, here.sticky, user_id, experiment, attributes)
    shown = _preview(ask)
    if shown is not None:
        forced = preview_decision(serving, shown)
        decisions = [forced if one.experiment == forced.experiment else one for one in decisions]
        if experiment is None and forced not in decisions:
            decisions.append(forced)  # a draft, or paused
    if expose and shown is None:  # who previews is not in the data, of no experiment
        assign_flow.expose(serving, here.sticky, here.event_log, user_id, decisions, attributes)
    return _json({"user_id": user_id, "assignments": _written.all(serving, decisions)})


def recommend(ask: Ask) -> Answer:
    """What to show the user here. The impression is durable before the answer leaves."""
    here, _, body = ask
    known_fields(body, _RECOMMEND)
    serving = here.live.current
    user_id = optional_identifier(body, "user_id")
    session_id = optional_identifier(body, "session_id")
    unit = user_id or session_id
    if unit is None:
        raise bad_field("user_id", None, "a user_id, or a guest's session_id, is needed")
    context = mapping(body, "context")
    context_items = [context["item_id"]] if context.get("item_id") is not None else []
    if context_items and not isinstance(context_items[0], str):
        raise bad_field("context.item_id", context["item_id"], "must be an item's id")
    candidates = identifiers(body, "candidates", _MOST_CANDIDATES)
    wish = Wish(
        unit=serving.canonical(unit),
        placement=identifier(body, "placement"),
        k=whole(body, "k", 10, 1, here.settings.max_k),
        user_id=user_id,
        session_id=session_id,
        attributes=mapping(body, "attributes"),
        context_items=context_items,
        exclude=frozenset(identifiers(body, "exclude", _MOST_CANDIDATES) or ()),
        candidates=frozenset(candidates) if candidates is not None else None,
        categories=categories(body),
        request_id=optional_identifier(body, "request_id"),
        at=_replayed_at(ask),
        preview=_preview(ask),
    )
    return _json(here.recommender.recommend(serving, wish))


def _preview(ask: Ask) -> Preview | None:
    token = ask.body.get("preview")
    if token is None:
        return None
    if not isinstance(token, str):
        raise bad_field("preview", token, "must be the token of a preview link")
    return ask.here.previews.read(token)


def _replayed_at(ask: Ask) -> int | None:
    """The past moment of a replay. Only keys made for it may say so: a shop's clock must not date impressions."""
    sent = ask.body.get("timestamp")
    if sent is None:
        return None
    if "replay" not in ask.key.scopes:
        raise NotAllowed(
            403,
            "timestamp is for replays of past visits: it needs a key with scope replay",
            ', error="insufficient_scope", scope="replay"',
        )
    try:
        at = parse_time(sent)
    except EventError as error:
        raise bad_field("timestamp", sent, str(error).rsplit(": ", 1)[1]) from None
    if at < 0:
        raise bad_field("timestamp", sent, "must not be before 1970")
    return min(at, now_micros())


def events(ask: Ask) -> Answer:
    """What users did; 202 when the good ones are durable, with the bad ones named."""
    here, _, body = ask
    known_fields(body, _EVENTS)
    batch = body.get("events")
    if not isinstance(batch, list):
        raise bad_field("events", batch, "must be a list of events")
    if len(batch) > here.settings.max_events:
        raise Refused(
            413,
            "Too many events",
            f"events has {len(batch)} entries: at most {here.settings.max_events} a call",
            errors=[{"field": "events", "value": len(batch), "rule": f"at most {here.settings.max_events}"}],
        )
    result = here.ingest.ingest(here.live.current, batch)
    if ignored := _ignored_fields(batch):
        result["warnings"] = ignored
    return _json(result, 202)


def settled(answer: Answer, duplicates: int) -> Answer:
    """The answer about events that were collected in a hurry, now that it is known how many were there already."""
    if not duplicates:
        return answer
    result = orjson.loads(answer.body)
    result["accepted"] -= duplicates
    result["duplicates"] += duplicates
    return _json(result, answer.status)


def _ignored_fields(batch: list[Any]) -> list[dict[str, Any]]:
    """Fields that mean nothing: the event counts without them, but a misspelt name must not go unnoticed."""
    return [
        {"index": index, "warning": f"{', '.join(sorted(unknown))}: no field of an event; put extras under properties"}
        for index, event in enumerate(batch)
        if isinstance(event, dict) and (unknown := event.keys() - _EVENT)
    ]
