"""For people and automation: experiments, metrics, placements, strategies, models, keys, the audit log."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response

from reclift.flows import accounts, configuration, evaluations, experiments, jobs, metrics, models, placements
from reclift.flows.errors import Invalid
from reclift.flows.jobs_again import again
from reclift.flows.offline_online import beside_online
from reclift.flows.parameter_problems import parameter_problems
from reclift.flows.plan_warnings import plan_warnings
from reclift.strategy import StrategyError
from reclift.web.api.body import answer, json_object, query_text, query_whole, row_id
from reclift.web.api.fields import known_fields, mapping
from reclift.web.auth import actor, runtime, scoped
from reclift.web.problems import bad_field

manage = Blueprint("manage", __name__, url_prefix="/api/v1")

_STATES = frozenset({"draft", "running", "paused", "stopped", "archived"})


@manage.get("/experiments")
@scoped("read", people=True)
def list_experiments() -> Response:
    """All experiments, newest first."""
    status = query_text("status")
    if status is not None and status not in _STATES:
        raise bad_field("status", status, f"must be one of {', '.join(sorted(_STATES))}")
    with runtime().database.read() as session:
        return answer({"experiments": experiments.all_experiments(session, status)})


@manage.post("/experiments")
@scoped("manage", people=True)
def create_experiment() -> Response:
    """Make a draft."""
    body = json_object()
    here = runtime()
    with here.database.write() as session:
        row = experiments.create(session, here.registry, body, actor())
        view = experiments.view(row)
        view["warnings"] = experiments.warnings(session, row)
    here.live.refresh()
    response = answer(view, 201)
    response.headers["Location"] = f"/api/v1/experiments/{view['key']}"
    return response


@manage.get("/experiments/<key>")
@scoped("read", people=True)
def get_experiment(key: str) -> Response:
    """One experiment."""
    here = runtime()
    with here.database.read() as session:
        row = experiments.find(session, key)
        warnings = experiments.warnings(session, row) if row.status in {"draft", "running", "paused"} else []
        view = experiments.view(row)
    return answer({**view, "warnings": [*warnings, *plan_warnings(here.live.current.plan, key)]})


@manage.patch("/experiments/<key>")
@scoped("manage", people=True)
def change_experiment(key: str) -> Response:
    """Change some fields; what a running experiment cannot change is refused by name."""
    body = json_object()
    here = runtime()
    with here.database.write() as session:
        view = experiments.view(experiments.change(session, here.registry, key, body, actor()))
    here.live.refresh()
    return answer(view)


@manage.post("/experiments/<key>/<any(start, pause, resume, stop, archive):action>")
@scoped("manage", people=True)
def act_on_experiment(key: str, action: str) -> Response:
    """Lead it on through its life."""
    here = runtime()
    with here.database.write() as session:
        row = experiments.act(session, here.registry, here.queue, key, action, actor())
        view = experiments.view(row)
        view["warnings"] = experiments.warnings(session, row) if action == "start" else []
    here.live.refresh()
    return answer(view)


@manage.get("/metrics")
@scoped("read", people=True)
def list_metrics() -> Response:
    """All metrics."""
    with runtime().database.read() as session:
        return answer({"metrics": [metric.to_dict() for metric in metrics.all_metrics(session).values()]})


@manage.post("/metrics")
@scoped("manage", people=True)
def create_metric() -> Response:
    """Add a metric."""
    body = json_object()
    with runtime().database.write() as session:
        return answer(metrics.create(session, body, actor()).to_dict(), 201)


@manage.get("/placements")
@scoped("read", people=True)
def list_placements() -> Response:
    """All placements."""
    with runtime().database.read() as session:
        return answer({"placements": placements.all_placements(session)})


@manage.get("/placements/<key>")
@scoped("read", people=True)
def get_placement(key: str) -> Response:
    """One placement."""
    with runtime().database.read() as session:
        return answer(placements.get(session, key))


@manage.put("/placements/<key>")
@scoped("manage", people=True)
def put_placement(key: str) -> Response:
    """Make or change a placement."""
    body = json_object()
    here = runtime()
    with here.database.write() as session:
        view = placements.put(session, here.registry, key, body, actor())
        for strategy, params in models.missing(session, here.registry):
            jobs.request(session, here.queue, "train", {"strategy": strategy, "params": params}, actor())
    here.live.refresh()
    return answer(view)


@manage.get("/strategies")
@scoped("read", people=True)
def list_strategies() -> Response:
    """The strategies that are installed, with the JSON schema of their parameters."""
    return answer({"strategies": [strategy_view(key) for key in runtime().registry]})


def strategy_view(key: str) -> dict[str, Any]:
    """One strategy; a broken one says why instead of what it can."""
    try:
        kind = runtime().registry.get(key)
        schema = kind.Parameters.model_json_schema()
    except Exception as error:  # noqa: BLE001 (foreign code may raise anything at import; it must not hide the others)
        return {
            "strategy": key,
            "title": key,
            "summary": "",
            "error": f"{type(error).__name__}: {error}",
            "params": None,
        }
    return {
        "strategy": key,
        "title": kind.title,
        "summary": kind.summary,
        "error": None,
        "params": schema,
    }


@manage.get("/models")
@scoped("read", people=True)
def list_models() -> Response:
    """Trained models, newest first."""
    with runtime().database.read() as session:
        return answer({"models": models.all_models(session, query_text("strategy"))})


@manage.post("/models")
@scoped("manage", people=True)
def train_model() -> Response:
    """Ask the worker for a new model: `{"strategy", "params"}`; answers 202 with the job."""
    body = json_object()
    known_fields(body, frozenset({"strategy", "params"}))
    here = runtime()
    strategy = body.get("strategy")
    if not isinstance(strategy, str) or strategy not in here.registry:
        raise bad_field("strategy", strategy, f"must be installed; there are {', '.join(here.registry.keys())}")
    params = mapping(body, "params")
    try:
        full = models.complete(here.registry, strategy, params)
    except StrategyError as error:
        raise Invalid(parameter_problems(error, "params", params)) from None
    with here.database.write() as session:
        run = jobs.request(session, here.queue, "train", {"strategy": strategy, "params": full}, actor())
        return answer(jobs.view(run), 202)


@manage.post("/models/<model_id>/activate")
@scoped("manage", people=True)
def activate_model(model_id: str) -> Response:
    """Let a model answer from now on: roll back, or forward."""
    here = runtime()
    with here.database.write() as session:
        row = models.activate(
            session,
            row_id("model", model_id),
            actor(),
            lambda row: models.restore(here.registry, here.artifacts, row) is not None,
        )
        view = models.view(row)
    here.live.refresh()
    return answer(view)


@manage.get("/evaluations")
@scoped("read", people=True)
def list_evaluations() -> Response:
    """Offline results, newest first, beside the online lifts of the same strategies."""
    here = runtime()
    with here.database.read() as session:
        found = beside_online(session, here.registry, query_whole("limit", 1, 1, evaluations.KEEP))
    return answer({"evaluations": found})


@manage.post("/evaluations")
@scoped("manage", people=True)
def evaluate() -> Response:
    """Ask the worker for an offline evaluation; answers 202 with the job."""
    body = json_object()
    known_fields(body, frozenset({"strategies", "split", "fallback"}))
    here = runtime()
    with here.database.write() as session:
        return answer(jobs.view(evaluations.request(session, here.queue, here.registry, body, actor())), 202)


@manage.get("/jobs")
@scoped("read", people=True)
def list_jobs() -> Response:
    """Runs of jobs, newest first."""
    with runtime().database.read() as session:
        return answer({"jobs": jobs.latest(session, query_whole("limit", 100, 1, 1000))})


@manage.get("/jobs/<job_id>")
@scoped("read", people=True)
def get_job(job_id: str) -> Response:
    """One run."""
    with runtime().database.read() as session:
        return answer(jobs.view(jobs.find(session, row_id("job", job_id))))


@manage.post("/jobs/<job_id>/again")
@scoped("manage", people=True)
def run_job_again(job_id: str) -> Response:
    """Ask for the same job once more; answers 202 with the new one, 409 while it cannot be."""
    here = runtime()
    with here.database.write() as session:
        run = again(session, here.queue, row_id("job", job_id), actor())
        return answer(jobs.view(run), 202)


@manage.get("/keys")
@scoped("manage", people=True)
def list_keys() -> Response:
    """API keys, without what is secret."""
    with runtime().database.read() as session:
        return answer({"keys": accounts.keys(session)})


@manage.post("/keys")
@scoped("manage", people=True)
def create_key() -> Response:
    """Make a key; the answer is the only place that ever shows it."""
    body = json_object()
    known_fields(body, frozenset({"name", "scopes"}))
    name, scopes = body.get("name"), body.get("scopes")
    if not isinstance(name, str):
        raise bad_field("name", name, "must be a string")
    if not isinstance(scopes, list) or not all(isinstance(scope, str) for scope in scopes):
        raise bad_field("scopes", scopes, f"must be a list of {', '.join(accounts.SCOPES)}")
    here = runtime()
    with here.database.write() as session:
        row, secret = accounts.create_key(session, name, scopes, actor())
        view = {"id": row.id, "name": row.name, "scopes": row.scopes, "key": secret}
    here.live.refresh()
    return answer(view, 201)


@manage.delete("/keys/<key_id>")
@scoped("manage", people=True)
def revoke_key(key_id: str) -> Response:
    """Switch a key off."""
    here = runtime()
    with here.database.write() as session:
        accounts.revoke_key(session, row_id("key", key_id), actor())
    here.live.refresh()
    return Response(status=204)


@manage.get("/audit")
@scoped("read", people=True)
def list_audit() -> Response:
    """Who changed what, newest first; `?kind=` and `?subject=` narrow it."""
    with runtime().database.read() as session:
        return answer(
            {
                "audit": configuration.audit(
                    session, query_text("kind"), query_text("subject"), query_whole("limit", 200, 1, 1000)
                )
            }
        )
