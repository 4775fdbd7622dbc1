"""Is it alive, is it ready, and what does it count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from reclift.flows import dead_letters, rollup
from reclift.flows.errors import FlowError
from reclift.storage.database import QUICK_SECONDS
from reclift.web.api.body import answer
from reclift.web.auth import runtime
from reclift.wiring import Runtime

_STREAM = {
    "batches": "Batches waiting in the Redis stream",
    "bytes": "Bytes waiting in the Redis stream",
    "lag_seconds": "Age of the oldest batch waiting in the Redis stream",
}

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
        with here.database.within() as connection:
            connection.execute(text("SELECT 1"))
        database = "ok"
    except SQLAlchemyError as error:
        database = f"away: {str(error).splitlines()[0]}"
    try:
        serving = here.live.current
    except (FlowError, SQLAlchemyError) as error:
        return answer({"status": "not ready", "database": database, "plan": str(error).splitlines()[0]}, 503)
    age = here.live.age_seconds
    body: dict[str, Any] = {
        "status": "ok" if database == "ok" else "degraded",
        "database": database,
        "plan": {"version": serving.version, "age_seconds": round(age, 3) if age is not None else None},
        "spool_bytes": here.spool.size(),
    }
    if here.stream is not None:
        body["stream"] = stream = here.stream.state()
        if stream["status"] != "ok":
            body["status"] = "degraded"
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
        aside = GaugeMetricFamily("reclift_spool_aside_bytes", "Bytes set aside on this host", value=here.spool.aside())
        age = GaugeMetricFamily(
            "reclift_plan_age_seconds",
            "Time since the plan was known to be the newest",
            value=here.live.age_seconds or 0,
        )
        result: list[Metric] = [taken, refused, spool, aside, age]
        if here.stream is not None:
            result += _stream(here.stream.state())
        try:
            with here.database.within(2 * QUICK_SECONDS) as connection, Session(connection) as session:
                waiting, buried = rollup.waiting(session), dead_letters.count(session)
        except SQLAlchemyError:
            return result  # the gauge is missing while the database is away, which is what its absence means
        result.append(GaugeMetricFamily("reclift_units_waiting", "Marks that wait for the rollup", value=waiting))
        result.append(GaugeMetricFamily("reclift_dead_letters", "Facts that cannot be written", value=buried))
        return result


def _stream(state: Mapping[str, Any]) -> list[Metric]:
    """What waits in Redis; missing while Redis is away, which is what the gauges' absence means."""
    used = GaugeMetricFamily("reclift_stream_used", "1: events go to the Redis stream", value=state["status"] == "ok")
    return [
        used,
        *(
            GaugeMetricFamily(f"reclift_stream_{name}", about, value=state[name])
            for name, about in _STREAM.items()
            if name in state
        ),
    ]


@health.get("/metrics")
def metrics() -> Response:
    """Prometheus text format."""
    registry = CollectorRegistry()
    registry.register(_Counts(runtime()))
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
