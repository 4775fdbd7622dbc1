"""What the shop calls: /assign, /recommend, /events, items and users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, request
from werkzeug.routing import BaseConverter

from reclift.domain.events import EventError, parse_time
from reclift.flows import assign as assign_flow
from reclift.flows import catalogue
from reclift.flows.clock import now_micros
from reclift.flows.preview import Preview
from reclift.flows.preview import decision as preview_decision
from reclift.flows.wish import Wish
from reclift.web.api.assignments import Written
from reclift.web.api.body import (
    answer,
    categories,
    identifier,
    identifiers,
    json_object,
    known_fields,
    mapping,
    mapping_of_query,
    optional_identifier,
    whole,
)
from reclift.web.auth import bearer, runtime, scoped
from reclift.web.problems import NotAllowed, Refused, bad_field

shop = Blueprint("shop", __name__)


class _AnyId(BaseConverter):
    """An id of the shop's own in an address: slashes at any place, line ends and all."""

    regex = "(?s:.+?)"
    part_isolating = False
    weight = 200


shop.record_once(lambda state: state.app.url_map.converters.update(id=_AnyId))

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
_MOST_CANDIDATES = 10_000
_written = Written()


@shop.post("/assign")
@scoped("shop")
def assign() -> Response:
    """Which arm the user is in, of one experiment or of all that run."""
    return _assign(json_object())


@shop.get("/assign")
@scoped("shop")
def assign_by_query() -> Response:
    """The same by query string; `attributes` is a JSON object there."""
    body: dict[str, Any] = request.args.to_dict()
    if "attributes" in body:
        body["attributes"] = mapping_of_query(body["attributes"], "attributes")
    if "expose" in body:
        body["expose"] = {"true": True, "false": False}.get(body["expose"], body["expose"])
    return _assign(body)


def _assign(body: Mapping[str, Any]) -> Response:
    known_fields(body, _ASSIGN)
    user_id = identifier(body, "user_id")
    experiment = body.get("experiment")
    if experiment is not None and not isinstance(experiment, str):
        raise bad_field("experiment", experiment, "must be an experiment's key")
    attributes = mapping(body, "attributes")
    expose = body.get("expose", False)
    if not isinstance(expose, bool):
        raise bad_field("expose", expose, "must be true or false")
    here = runtime()
    serving = here.live.current
    decisions = assign_flow.assign(serving, here.sticky, user_id, experiment, attributes)
    shown = _preview(body)
    if shown is not None:
        forced = preview_decision(serving, shown)
        decisions = [forced if one.experiment == forced.experiment else one for one in decisions]
        if experiment is None and forced not in decisions:
            decisions.append(forced)  # a draft, or paused
    if expose and shown is None:  # who previews is not in the data, of no experiment
        assign_flow.expose(serving, here.sticky, here.event_log, user_id, decisions, attributes)
    return answer({"user_id": user_id, "assignments": _written.all(serving, decisions)})


@shop.post("/recommend")
@scoped("shop")
def recommend() -> Response:
    """What to show the user here. The impression is durable before the answer leaves."""
    body = json_object()
    known_fields(body, _RECOMMEND)
    here = runtime()
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
        at=_replayed_at(body),
        preview=_preview(body),
    )
    return answer(here.recommender.recommend(serving, wish))


def _preview(body: Mapping[str, Any]) -> Preview | None:
    token = body.get("preview")
    if token is None:
        return None
    if not isinstance(token, str):
        raise bad_field("preview", token, "must be the token of a preview link")
    return runtime().previews.read(token)


def _replayed_at(body: Mapping[str, Any]) -> int | None:
    """The past moment of a replay. Only keys made for it may say so: a shop's clock must not date impressions."""
    if body.get("timestamp") is None:
        return None
    key = bearer()
    if key is None or "replay" not in key.scopes:
        raise NotAllowed(
            403,
            "timestamp is for replays of past visits: it needs a key with scope replay",
            ', error="insufficient_scope", scope="replay"',
        )
    try:
        at = parse_time(body["timestamp"])
    except EventError as error:
        raise bad_field("timestamp", body["timestamp"], str(error).rsplit(": ", 1)[1]) from None
    if at < 0:
        raise bad_field("timestamp", body["timestamp"], "must not be before 1970")
    return min(at, now_micros())


@shop.post("/events")
@scoped("shop")
def events() -> Response:
    """What users did; 202 when the good ones are durable, with the bad ones named."""
    body = json_object(nul=True)
    known_fields(body, frozenset({"events"}))
    here = runtime()
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
    return answer(result, 202)


def _ignored_fields(batch: list[Any]) -> list[dict[str, Any]]:
    """Fields that mean nothing: the event counts without them, but a misspelt name must not go unnoticed."""
    return [
        {"index": index, "warning": f"{', '.join(sorted(unknown))}: no field of an event; put extras under properties"}
        for index, event in enumerate(batch)
        if isinstance(event, dict) and (unknown := event.keys() - _EVENT)
    ]


@shop.put("/items")
@scoped("shop", "manage")
def put_items() -> Response:
    """Add or replace items."""
    body = json_object()
    known_fields(body, frozenset({"items"}))
    items = body.get("items")
    if not isinstance(items, list) or not 1 <= len(items) <= catalogue.MAX_ITEMS:
        raise bad_field("items", items, f"must be a list of 1 to {catalogue.MAX_ITEMS} items")
    rows = [catalogue.parse_item(item, f"items.{index}") for index, item in enumerate(items)]
    here = runtime()
    with here.database.write() as session:
        count = catalogue.put_items(session, rows)
    here.live.refresh()
    return answer({"items": count})


@shop.delete("/items/<id:item_id>")
@scoped("shop", "manage")
def delete_item(item_id: str) -> Response:
    """Remove an item for good."""
    here = runtime()
    with here.database.write() as session:
        catalogue.delete_item(session, item_id)
    here.live.refresh()
    return Response(status=204)


@shop.put("/users/<id:user_id>")
@scoped("shop", "manage")
def put_user(user_id: str) -> Response:
    """Keep what the shop tells of a user."""
    body = json_object()
    known_fields(body, frozenset({"attributes"}))
    user_id = identifier({"user_id": user_id}, "user_id")
    here = runtime()
    with here.database.write() as session:
        person = catalogue.put_profile(session, here.live.current.canonical(user_id), body.get("attributes"))
    here.histories.persons_changed([person])  # the next answer knows, here at once
    return answer({"user_id": user_id})


@shop.post("/users/<id:user_id>/aliases")
@scoped("shop", "manage")
def add_alias(user_id: str) -> Response:
    """Tell that another id is the same person."""
    body = json_object()
    known_fields(body, frozenset({"alias"}))
    alias = identifier(body, "alias")
    user_id = identifier({"user_id": user_id}, "user_id")
    here = runtime()
    with here.database.write() as session:
        added = catalogue.add_alias(session, here.pseudonyms(user_id), here.pseudonyms(alias))
    here.live.refresh()
    if added:
        here.sticky.renew(here.live.current.canonical(user_id))  # the alias may have met arms that are now theirs
    return answer({"user_id": user_id, "alias": alias, "added": added}, 201 if added else 200)


@shop.delete("/users/<id:user_id>")
@scoped("shop", "manage")
def erase_user(user_id: str) -> Response:
    """Erase a person: events, impressions, exposures, profile and aliases. Aggregates of reports stay."""
    from reclift.flows.erase import erase

    here = runtime()
    unit = here.live.current.canonical(identifier({"user_id": user_id}, "user_id"))

    def forget(one: str) -> None:
        here.histories.forget(one)
        here.answered.forget(one)
        here.repeats.forget(one)
        here.shown.forget(one)
        here.sticky.forget(one)

    removed = erase(here.database, here.spool, unit, stream=here.stream_drain(), forget=forget)
    here.live.refresh()
    return answer({"user_id": user_id, "removed": removed})
