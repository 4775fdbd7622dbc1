"""Is it alive, is it ready, and what does it count."""

from __future__ import annotations

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from reclift.flows import rollup
from reclift.flows.errors import FlowError
from reclift.web.api.body import answer
from reclift.web.auth import runtime
from reclift.wiring import Runtime

health = Blueprint("health", __name__)


@health.get("/health/live")
def live() -> Response:
    """The process answers."""
    return answer({"status": "ok"})


@health.get("/health/ready")
def ready() -> Response:
    """Whether this process can serve: it has a plan. Says how old the plan is and whether the database answers."""
    here = runtime()
    try:
        with here.database.engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        database = "ok"
    except SQLAlchemyError as error:
        database = f"away: {str(error).splitlines()[0]}"
    try:
        serving = here.live.current
    except (FlowError, SQLAlchemyError) as error:
        return answer({"status": "not ready", "database": database, "plan": str(error).splitlines()[0]}, 503)
    age = here.live.age_seconds
    body = {
        "status": "ok" if database == "ok" else "degraded",
        "database": database,
        "plan": {"version": serving.version, "age_seconds": round(age, 3) if age is not None else None},
        "spool_bytes": here.spool.size(),
    }
    return answer(body)


class _Counts(Collector):
    """Reads the process's counters when asked; nothing is counted twice, nothing on the hot path."""

    def __init__(self, here: Runtime) -> None:
        self._here = here

    def collect(self) -> list[Metric]:
        here = self._here
        taken = CounterMetricFamily("reclift_facts_taken", "Facts made durable, by sink", labels=["sink"])
        for sink, count in here.event_log.taken.items():
            taken.add_metric([sink], count)
        refused = CounterMetricFamily("reclift_facts_refused", "Facts a sink did not take", labels=["sink"])
        for sink, count in here.event_log.refused.items():
            refused.add_metric([sink], count)
        spool = GaugeMetricFamily("reclift_spool_bytes", "Bytes waiting in the spool", value=here.spool.size())
        age = GaugeMetricFamily(
            "reclift_plan_age_seconds",
            "Time since the plan was known to be the newest",
            value=here.live.age_seconds or 0,
        )
        result: list[Metric] = [taken, refused, spool, age]
        try:
            with here.database.read() as session:
                waiting = rollup.waiting(session)
        except SQLAlchemyError:
            return result  # the gauge is missing while the database is away, which is what its absence means
        result.append(GaugeMetricFamily("reclift_units_waiting", "Marks that wait for the rollup", value=waiting))
        return result


@health.get("/metrics")
def metrics() -> Response:
    """Prometheus text format."""
    registry = CollectorRegistry()
    registry.register(_Counts(runtime()))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
