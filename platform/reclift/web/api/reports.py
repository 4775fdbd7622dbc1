"""Reports as JSON and CSV."""

from __future__ import annotations

from flask import Blueprint, Response

from reclift.flows import experiments, jobs, report, report_parts
from reclift.web.api.body import answer, query_text
from reclift.web.auth import actor, runtime, scoped
from reclift.web.problems import bad_field

reports = Blueprint("reports", __name__, url_prefix="/api/v1/experiments/<key>/report")


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


@reports.post("/refresh")
@scoped("manage", people=True)
def refresh_report(key: str) -> Response:
    """Ask the worker to compute it anew; answers 202 with the job."""
    here = runtime()
    with here.database.write() as session:
        experiments.find(session, key)
        run = jobs.request(session, here.queue, "report", {"experiment": key}, actor())
        return answer(jobs.view(run), 202)
