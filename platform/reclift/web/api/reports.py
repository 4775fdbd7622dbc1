"""Reports as JSON and CSV."""

from __future__ import annotations

from typing import Literal, get_args

from flask import Blueprint, Response

from reclift.flows import experiments, jobs, power, report, report_parts
from reclift.web.api.body import answer, query_number, query_text, query_whole
from reclift.web.auth import actor, runtime, scoped
from reclift.web.problems import bad_field

reports = Blueprint("reports", __name__, url_prefix="/api/v1/experiments/<key>/report")
planning = Blueprint("planning", __name__, url_prefix="/api/v1")


Regime = Literal["fixed", "sequential"]


@reports.get("")
@scoped("read", people=True)
def get_report(key: str) -> Response:
    """The newest stored report; computed now when there is none. `?format=csv` gives its numbers as a table."""
    form = query_text("format") or "json"
    if form not in {"json", "csv"}:
        raise bad_field("format", form, "must be json or csv")
    segment = query_text("segment")
    body = report.latest_or_now(runtime().database, key, segment=segment)
    if form == "csv":
        response = Response(report_parts.to_csv(body), mimetype="text/csv")
        response.headers["Content-Disposition"] = f'attachment; filename="{key}-report.csv"'
        return response
    return answer(body)


@planning.get("/power")
@scoped("read", people=True)
def get_power() -> Response:
    """How many units and days an experiment would need, from the placement's own past."""
    placement, metric = query_text("placement"), query_text("metric")
    if placement is None:
        raise bad_field("placement", None, "is required")
    if metric is None:
        raise bad_field("metric", None, "is required")
    wanted = query_text("regime") or "fixed"
    if wanted not in get_args(Regime):
        raise bad_field("regime", wanted, f"must be one of {', '.join(get_args(Regime))}")
    regime: Regime = "sequential" if wanted == "sequential" else "fixed"
    question = power.Question(
        arms=query_whole("arms", 2, 2, 50),
        effect=query_number("effect", 0.05, 0.0001, 10),
        traffic=query_number("traffic", 1.0, 0.0001, 1),
        level=query_number("level", 0.95, 0.5, 0.999),
        power=query_number("power", 0.8, 0.1, 0.999),
        regime=regime,
        days=query_whole("days", 0, 1, 365) or None,
    )
    with runtime().database.read() as session:
        return answer(power.plan(session, placement, metric, question))


@reports.post("/refresh")
@scoped("manage", people=True)
def refresh_report(key: str) -> Response:
    """Ask the worker to compute it anew; answers 202 with the job."""
    here = runtime()
    with here.database.write() as session:
        experiments.find(session, key)
        run = jobs.request(session, here.queue, "report", {"experiment": key}, actor())
        return answer(jobs.view(run), 202)
