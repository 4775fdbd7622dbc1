"""An experiment's page: its report, what can be done with it, and its numbers to take away."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, abort, redirect, render_template, request, url_for

from reclift.domain.experiment import TRANSITIONS, Status
from reclift.web import charts
from reclift.web import format as fmt

from . import offline, present
from .backend import Invalid, NotFound, Problem, Refused, backend
from .frame import Answer, actor, done, manager_only, refused, script_json

DONE = {
    "start": "{name} is running: users are being assigned from now on.",
    "pause": "{name} is paused: everybody sees the placement's default until it is resumed.",
    "resume": "{name} is running again.",
    "stop": "{name} has ended. Its data and report stay.",
    "archive": "{name} is archived. Its data and report stay.",
}
NEEDS_CONFIRMATION = {"stop", "archive"}


def actions(experiment: Mapping[str, Any]) -> list[str]:
    """What the experiment's state allows."""
    status = Status(experiment["status"])
    return [name for name, (states, _) in TRANSITIONS.items() if status in states]


def experiment_page(key: str) -> Answer:
    """The report page, in the order of reading: verdict, trust, lift, time, where, lists, set-up, history."""
    experiment = backend().experiment(key)
    report = backend().report(key)
    colours = present.arm_colours(experiment["arms"])
    history = _history(experiment)
    figures: dict[str, charts.Figure] = {}
    attribute = request.args.get("segment", "").strip()
    segments, segment_test, problems = _segments(key, attribute) if report and attribute else ([], None, [])
    preview, preview_problems = _preview(key, request.args.get("preview", "").strip())
    if report:
        colours = present.arm_colours(report["arms"]) | colours
        figures = charts.report_figures(report, colours, _marks(history))
        by_segment = charts.segment_forest(segments, colours)
        figures |= {"segments": by_segment} if by_segment else {}
    return render_template(
        "pages/experiment.html", experiment=experiment, report=report, colours=colours, history=history,
        figures=figures, figures_json=script_json(figures), actions=actions(experiment),
        metrics={m["key"]: m for m in backend().metrics()},
        strategies={s["key"]: s for s in backend().strategies()},
        layer=next((each for each in backend().layers() if each["layer"] == experiment.get("layer")), None),
        preview=preview, preview_problems=preview_problems, waiting="computing" in request.args,
        attribute=attribute, segments=segments, segment_test=segment_test, problems=problems,
        offline=offline.beside(backend().offline(), key) if report and experiment["source"] != "imported" else None,
        verdict=present.verdict(report["decision"]) if report else None,
    )  # fmt: skip


def _segments(key: str, attribute: str) -> tuple[list[dict[str, Any]], dict[str, Any] | None, list[Problem]]:
    try:
        found = backend().segments(key, attribute)
    except Invalid as error:
        return [], None, error.problems
    return found["values"], found["test"] if found["values"] else None, []


def _preview(key: str, arm: str) -> tuple[dict[str, Any] | None, list[Problem]]:
    if not arm:
        return None, []
    try:
        return backend().preview(key, arm), []
    except Invalid as error:
        return None, error.problems


def _history(experiment: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Who did what, latest first; a holdout is on record under both names."""
    found = backend().audit(f"experiment:{experiment['key']}")
    if experiment.get("kind") != "holdout":
        return found
    return sorted([*found, *backend().audit(f"holdout:{experiment['key']}")], key=lambda row: row["at"], reverse=True)


def _marks(history: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Changes after the start that may bend a line, for the plot over time."""
    return [
        (fmt.moment(entry["at"]).date().isoformat(), str(entry["detail"] or entry["action"]))
        for entry in history
        if entry["action"] in {"change", "pause", "resume", "phase", "weights"} and entry["detail"] != "note"
    ]


def report_json(key: str) -> Answer:
    """The report as JSON, to keep."""
    report = backend().report(key)
    if report is None:
        raise NotFound(f"There is no report of {key!r} yet.")
    body = json.dumps(report, indent=2, ensure_ascii=False)
    return _file(body, "application/json", f"{key}-report.json")


def report_csv(key: str) -> Answer:
    """The report as CSV, to keep."""
    return _file(backend().report_csv(key), "text/csv", f"{key}-report.csv")


def _file(body: str, mimetype: str, name: str = "") -> Response:
    response = Response(body, mimetype=mimetype)
    if name:
        response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = "no-store"
    return response


@manager_only
def confirm(key: str, action: str) -> Answer:
    """Ask before a step that cannot be taken back; the page says what happens to the data."""
    if action not in NEEDS_CONFIRMATION:
        abort(404)
    experiment = backend().experiment(key)
    if action not in actions(experiment):
        raise Refused(f"{experiment['name']} is {experiment['status']}, so it cannot be {action}ped."
                      if action == "stop" else f"{experiment['name']} is {experiment['status']}.")  # fmt: skip
    return render_template("pages/confirm.html", experiment=experiment, action=action)


@manager_only
def act(key: str, action: str) -> Answer:
    """Start, pause, resume, stop or archive."""
    if action not in TRANSITIONS:
        abort(404)
    try:
        experiment = backend().act(key, action, actor())
    except Refused as error:
        refused(str(error))
    except Invalid as error:
        refused("It cannot be done: " + "; ".join(f"{p['field']} {p['rule']}" for p in error.problems))
    else:
        done(DONE[action].format(name=experiment["name"]))
    return redirect(url_for("pages.experiment", key=key))


@manager_only
def refresh(key: str) -> Answer:
    """Have the report computed now."""
    backend().refresh_report(key, actor())
    return redirect(url_for("pages.experiment", key=key, computing=""))


def report_state(key: str) -> Answer:
    """When the stored report was computed, and how the newest job for it fares: for a page that waits for it."""
    return _file(json.dumps(backend().report_state(key)), "application/json")


@manager_only
def change(key: str) -> Answer:
    """What can be changed while it runs: the note, and the traffic (up only moves new users in)."""
    payload: dict[str, Any] = {}
    if "note" in request.form:
        payload["note"] = request.form["note"].strip()
    if "traffic" in request.form:
        text = request.form["traffic"].strip()
        try:
            payload["traffic"] = round(float(text) / 100, 6)
        except ValueError:
            refused(f"Traffic {text!r} is not a number between 0 and 100.")
            return redirect(url_for("pages.experiment", key=key) + "#setup")
        if not 0 < payload["traffic"] <= 1:
            refused(f"Traffic {text} is not above 0 and up to 100 percent.")
            return redirect(url_for("pages.experiment", key=key) + "#setup")
    try:
        backend().change_experiment(key, payload, actor())
    except Refused as error:
        refused(str(error))
    except Invalid as error:
        refused("; ".join(f"{p['field']} {p['rule']}" for p in error.problems))
    else:
        done("Saved.")
    return redirect(url_for("pages.experiment", key=key) + "#setup")


def routes(pages: Blueprint) -> None:
    """Hang the views in."""
    rule = "/experiments/<key>"
    pages.add_url_rule(rule, "experiment", experiment_page)
    pages.add_url_rule(f"{rule}/report.json", "report_json", report_json)
    pages.add_url_rule(f"{rule}/report.csv", "report_csv", report_csv)
    pages.add_url_rule(f"{rule}/report-state", "report_state", report_state)
    pages.add_url_rule(f"{rule}/refresh", "refresh", refresh, methods=["POST"])
    pages.add_url_rule(f"{rule}/change", "change", change, methods=["POST"])
    pages.add_url_rule(f"{rule}/do/<action>", "confirm", confirm)
    pages.add_url_rule(f"{rule}/do/<action>", "act", act, methods=["POST"])
