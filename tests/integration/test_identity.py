"""One person, several ids: one arm from then on; who had met two arms before is counted and left out."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from reclift.domain.events import Facts
from reclift.flows import report, rollup
from reclift.storage.tables import EventRow, ExposureRow, ImpressionRow
from reclift.wiring import Runtime
from tests.platform_fixtures import Caller, experiment

EXPERIMENTS = "/api/v1/experiments"


def start(manage: Caller, **fields: Any) -> None:
    manage.ok("POST", EXPERIMENTS, experiment(**fields), 201)
    manage.ok("POST", f"{EXPERIMENTS}/home-recs/start")


def visit(shop: Caller, unit: str) -> str:
    shown = shop.ok("POST", "/recommend", {"user_id": unit, "placement": "home"})
    shop.ok("POST", "/events", {"events": [{"type": "purchase", "user_id": unit, "value": 1}]}, 202)
    return str(shown["arm"])


def two_arms(shop: Caller) -> tuple[list[str], list[str]]:
    """Units of the control, and of the other arm."""
    found: dict[str, list[str]] = {"control": [], "item-cf": []}
    for n in range(24):
        found[visit(shop, f"u{n}")].append(f"u{n}")
    return found["control"], found["item-cf"]


def fresh_report(runtime: Runtime) -> dict[str, Any]:
    rollup.roll_up(runtime.database)
    return report.refresh(runtime.database, "home-recs")


def units(body: dict[str, Any]) -> list[int]:
    return [arm["units"] for arm in body["arms"]]


def test_a_person_met_in_two_arms_is_counted_and_left_out(runtime: Runtime, manage: Caller, shop: Caller) -> None:
    start(manage)
    control, other = two_arms(shop)
    assert units(fresh_report(runtime)) == [len(control), len(other)]
    shop.ok("POST", f"/users/{control[0]}/aliases", {"alias": other[0]}, 201)
    body = fresh_report(runtime)
    assert units(body) == [len(control) - 1, len(other) - 1]
    assert body["multi_arm_units"] == 1
    [check] = [one for one in body["trust"] if one["check"] == "one_arm"]
    assert check["ok"] is False, "one of 23 is more than one percent"
    # From now on both ids get one arm.
    assert visit(shop, other[0]) == visit(shop, control[0]) == "control"
    assert units(fresh_report(runtime)) == units(body)


def test_two_ids_in_the_same_arm_become_one_unit_with_what_both_did(
    runtime: Runtime, manage: Caller, shop: Caller
) -> None:
    start(manage)
    control, other = two_arms(shop)
    shop.ok("POST", f"/users/{control[0]}/aliases", {"alias": control[1]}, 201)
    body = fresh_report(runtime)
    assert (units(body), body["multi_arm_units"]) == ([len(control) - 1, len(other)], 0)
    revenue = next(metric for metric in body["metrics"] if metric["metric"] == "revenue_per_user")
    assert revenue["arms"][0]["total"] == len(control)
    with runtime.database.read() as session:
        for table in (EventRow, ExposureRow, ImpressionRow):
            assert control[1] not in set(session.scalars(select(table.unit_id)))
        first = min(session.scalars(select(ExposureRow.at).where(ExposureRow.unit_id == control[0])))
        shown = min(session.scalars(select(ImpressionRow.at).where(ImpressionRow.unit_id == control[0])))
    assert first == shown, "the first time wins"


def test_what_a_process_logs_before_it_knows_the_alias_is_merged_later(
    runtime: Runtime, manage: Caller, shop: Caller
) -> None:
    start(manage)
    control, other = two_arms(shop)
    shop.ok("POST", f"/users/{control[0]}/aliases", {"alias": "device"}, 201)
    with runtime.database.read() as session:
        row = session.scalars(select(EventRow).where(EventRow.unit_id == control[0])).first()
        assert row is not None
        late = {column.name: getattr(row, column.name) for column in EventRow.__table__.columns}
        shown = session.scalars(select(ExposureRow).where(ExposureRow.unit_id == control[0])).one()
        met = {column.name: getattr(shown, column.name) for column in ExposureRow.__table__.columns}
    # As a spool file that another process drains.
    facts = Facts(events=[{**late, "event_id": "late", "unit_id": "device"}], exposures=[{**met, "unit_id": "device"}])
    runtime.direct.append(facts)
    body = fresh_report(runtime)
    assert units(body) == [len(control), len(other)]
    revenue = next(metric for metric in body["metrics"] if metric["metric"] == "revenue_per_user")
    assert revenue["arms"][0]["total"] == len(control) + 1
    with runtime.database.read() as session:
        assert "device" not in set(session.scalars(select(EventRow.unit_id)))


def test_what_a_guest_met_is_kept_for_the_person_in_a_sticky_experiment(shop: Caller, manage: Caller) -> None:
    start(manage, sticky=True)

    def decide(unit: str) -> dict[str, Any]:
        body = {"user_id": unit, "experiment": "home-recs"}
        [one] = shop.ok("POST", "/assign", body)["assignments"]
        return one

    hashed = decide("person")["arm"]
    guest = next(f"g{n}" for n in range(50) if decide(f"g{n}")["arm"] != hashed)
    met = visit(shop, guest)
    assert met != hashed
    shop.ok("POST", "/users/person/aliases", {"alias": guest}, 201)
    for unit in ("person", guest):
        assert (decide(unit)["arm"], decide(unit)["reason"]) == (met, "sticky")
