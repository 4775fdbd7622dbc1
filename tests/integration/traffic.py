"""What the tests of split traffic share."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from reclift.flows import report, rollup
from reclift.storage.tables import ExposureRow
from reclift.wiring import Runtime
from tests.platform_fixtures import Caller, experiment

EXPERIMENTS = "/api/v1/experiments"


def start(manage: Caller, key: str = "home-recs", **fields: Any) -> str:
    manage.ok("POST", EXPERIMENTS, experiment(key, **fields), 201)
    manage.ok("POST", f"{EXPERIMENTS}/{key}/start")
    return key


def arm_of(shop: Caller, unit: str, key: str = "home-recs", **body: Any) -> dict[str, Any]:
    [one] = shop.ok("POST", "/assign", {"user_id": unit, "experiment": key, **body})["assignments"]
    return one


def exposures(runtime: Runtime, key: str) -> list[ExposureRow]:
    with runtime.database.read() as session:
        return list(session.scalars(select(ExposureRow).where(ExposureRow.experiment == key)))


def fresh_report(runtime: Runtime, manage: Caller, key: str) -> dict[str, Any]:
    rollup.roll_up(runtime.database)
    report.refresh(runtime.database, key)
    return manage.ok("GET", f"{EXPERIMENTS}/{key}/report")


def hold(manage: Caller, key: str = "all", **fields: Any) -> str:
    made = manage.ok("POST", "/api/v1/holdouts", {"key": key, "share": 0.4, **fields}, 201)
    assert (made["kind"], made["status"]) == ("holdout", "draft")
    manage.ok("POST", f"{EXPERIMENTS}/{key}/start")
    return key
