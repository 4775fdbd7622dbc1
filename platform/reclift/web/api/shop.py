"""What the shop calls: /assign, /recommend, /events, items and users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, request
from werkzeug.routing import BaseConverter

from reclift.flows import catalogue
from reclift.web.api import visits
from reclift.web.api.body import answer, json_object, sent
from reclift.web.api.fields import identifier, known_fields, mapping_of_query
from reclift.web.auth import bearer, runtime, scoped
from reclift.web.problems import bad_field

shop = Blueprint("shop", __name__)


class _AnyId(BaseConverter):
    """An id of the shop's own in an address: slashes at any place, line ends and all."""

    regex = "(?s:.+?)"
    part_isolating = False
    weight = 200


shop.record_once(lambda state: state.app.url_map.converters.update(id=_AnyId))


@shop.post("/assign")
@scoped("shop")
def assign() -> Response:
    """Which arm the user is in, of one experiment or of all that run."""
    return _answered(visits.assign(_ask(json_object())))


@shop.get("/assign")
@scoped("shop")
def assign_by_query() -> Response:
    """The same by query string; `attributes` is a JSON object there."""
    body: dict[str, Any] = request.args.to_dict()
    if "attributes" in body:
        body["attributes"] = mapping_of_query(body["attributes"], "attributes")
    if "expose" in body:
        body["expose"] = {"true": True, "false": False}.get(body["expose"], body["expose"])
    return _answered(visits.assign(_ask(body)))


@shop.post("/recommend")
@scoped("shop")
def recommend() -> Response:
    """What to show the user here. The impression is durable before the answer leaves."""
    return _answered(visits.recommend(_ask(json_object())))


@shop.post("/events")
@scoped("shop")
def events() -> Response:
    """What users did; 202 when the good ones are durable, with the bad ones named."""
    return _answered(visits.events(_ask(json_object(nul=True))))


def _ask(body: Mapping[str, Any]) -> visits.Ask:
    key = bearer()
    assert key is not None  # noqa: S101 (for the type checker: `scoped` lets nobody else in)
    return visits.Ask(runtime(), key, body)


def _answered(given: visits.Answer) -> Response:
    return sent(given.body, given.status)


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
