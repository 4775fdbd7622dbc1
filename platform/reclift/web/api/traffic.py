"""How traffic is split beyond one experiment: groups, holdouts, layers, phases, ramps, preview links."""

from __future__ import annotations

from flask import Blueprint, Response

from reclift.flows import experiments, groups, holdouts, layers, phases, ramps
from reclift.flows.errors import Conflict, Invalid
from reclift.flows.preview import DAYS, Preview
from reclift.web.api.body import answer, json_object
from reclift.web.api.fields import known_fields
from reclift.web.auth import actor, runtime, scoped

traffic = Blueprint("traffic", __name__, url_prefix="/api/v1")


@traffic.get("/groups")
@scoped("read", people=True)
def list_groups() -> Response:
    """All saved groups."""
    with runtime().database.read() as session:
        return answer({"groups": groups.views(session)})


@traffic.get("/groups/<key>")
@scoped("read", people=True)
def get_group(key: str) -> Response:
    """One saved group."""
    with runtime().database.read() as session:
        return answer(groups.view(groups.find(session, key)))


@traffic.put("/groups/<key>")
@scoped("manage", people=True)
def put_group(key: str) -> Response:
    """Make or replace a saved group."""
    body = json_object()
    here = runtime()
    with here.database.write() as session:
        view = groups.put(session, key, body, actor())
    here.live.refresh()
    return answer(view)


@traffic.delete("/groups/<key>")
@scoped("manage", people=True)
def delete_group(key: str) -> Response:
    """Delete a saved group that nothing uses."""
    here = runtime()
    with here.database.write() as session:
        groups.remove(session, key, actor())
    here.live.refresh()
    return Response(status=204)


@traffic.post("/holdouts")
@scoped("manage", people=True)
def create_holdout() -> Response:
    """Make a holdout as a draft; it is started, stopped and reported under `/api/v1/experiments/{key}`."""
    body = json_object()
    with runtime().database.write() as session:
        view = experiments.view(holdouts.create(session, body, actor()))
    response = answer(view, 201)
    response.headers["Location"] = f"/api/v1/experiments/{view['key']}"
    return response


@traffic.get("/layers")
@scoped("read", people=True)
def list_layers() -> Response:
    """Layers with who holds what and what is free."""
    with runtime().database.read() as session:
        return answer({"layers": layers.all_layers(session)})


@traffic.post("/experiments/<key>/phase")
@scoped("manage", people=True)
def start_phase(key: str) -> Response:
    """Begin a new phase with other weights: `{"weights": {arm: weight}, "traffic", "note"}`."""
    body = json_object()
    here = runtime()
    with here.database.write() as session:
        view = experiments.view(phases.start_phase(session, key, body, actor()))
    here.live.refresh()
    return answer(view)


@traffic.post("/experiments/<key>/weights")
@scoped("manage", people=True)
def change_weights(key: str) -> Response:
    """Other weights for users who are yet to come, in a sticky experiment: `{"weights": {arm: weight}}`."""
    body = json_object()
    known_fields(body, frozenset({"weights"}))
    here = runtime()
    with here.database.write() as session:
        view = experiments.view(phases.change_weights(session, key, body, actor()))
    here.live.refresh()
    return answer(view)


@traffic.put("/experiments/<key>/ramp")
@scoped("manage", people=True)
def put_ramp(key: str) -> Response:
    """Traffic on a schedule: `{"steps": [{"traffic": 0.01, "after_hours": 0}, …]}`; an empty list removes it."""
    body = json_object()
    known_fields(body, frozenset({"steps"}))
    here = runtime()
    with here.database.write() as session:
        view = experiments.view(ramps.put(session, key, body.get("steps"), actor()))
    here.live.refresh()
    return answer(view)


@traffic.post("/experiments/<key>/preview")
@scoped("manage", "read", people=True)
def make_preview(key: str) -> Response:
    """A token that shows an arm to whoever opens the link: `{"arm": KEY}`. Nothing of it enters the data."""
    body = json_object()
    known_fields(body, frozenset({"arm"}))
    here = runtime()
    with here.database.read() as session:
        row = experiments.find(session, key)
        keys = [arm.key for arm in row.arms]
    if row.kind == holdouts.KIND or row.source == "imported" or row.status in {"stopped", "archived"}:
        raise Conflict(f"{key} shows no arms to anybody: only drafts, running and paused experiments can be previewed")
    arm = body.get("arm")
    if arm not in keys:
        raise Invalid.of("arm", arm, f"must be one of {', '.join(keys)}")
    token = here.previews.token(Preview(key, str(arm)))
    return answer({"experiment": key, "arm": arm, "token": token, "valid_days": DAYS, "parameter": "preview"}, 201)
