"""Reports as JSON and CSV."""

from __future__ import annotations

from typing import Literal, get_args

from flask import Blueprint, Response

from reclift.domain.analysis import MOST_CUPED_DAYS
from reclift.domain.condition_check import check_condition
from reclift.flows import experiments, groups, jobs, power, report, report_parts
from reclift.flows.errors import Invalid
from reclift.flows.power_audience import Who
from reclift.web.api.body import answer, query_flag, query_number, query_text, query_whole
from reclift.web.api.fields import mapping_of_query
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
        corrected=query_flag("corrected", default=True),
        cuped=query_flag("cuped", default=False),
        days=query_whole("days", 0, 1, 365) or None,
    )
    audience, exclude = (
        mapping_of_query(text, name) if (text := query_text(name)) else {} for name in ("audience", "exclude")
    )
    with runtime().database.read() as session:
        known = groups.all_groups(session)
        problems = [*check_condition(audience, "audience", known), *check_condition(exclude, "exclude", known)]
        if problems:
            raise Invalid(problems)
        past_days = query_whole("cuped_days", 0, 1, MOST_CUPED_DAYS) or None
        told = power.plan(session, placement, metric, question, who=Who(audience, exclude), past_days=past_days)
        return answer(told)


@reports.post("/refresh")
@scoped("manage", people=True)
def refresh_report(key: str) -> Response:
    """Ask the worker to compute it anew; answers 202 with the job."""
    here = runtime()
    with here.database.write() as session:
        experiments.find(session, key)
        run = jobs.request(session, here.queue, "report", {"experiment": key}, actor())
        return answer(jobs.view(run), 202)
