"""The same pages over the real platform: what people do with traffic, from the form to the tables and back."""

from __future__ import annotations

import re

import pytest

from reclift.flows import accounts, experiments, ramps
from reclift.flows.preview import Preview
from reclift.storage.tables import JobRun
from reclift.web.app import create_app
from reclift.wiring import Runtime
from reclift.worker import run_job
from tests.unit.web.conftest import Browser
from tests.unit.web.test_pages import check

PASSWORD = "a-long-password"


@pytest.fixture
def people(runtime: Runtime) -> Browser:
    """A manager's browser over the whole application, with a placement and a group."""
    app = create_app(runtime)
    app.test_client_class = Browser
    with runtime.database.write() as session:
        accounts.create_account(session, "mia@shop.example", "manager", PASSWORD, "Mia", "tests")
    client = app.test_client()
    client.send("/app/sign-in", {"email": "mia@shop.example", "password": PASSWORD})
    client.send("/app/placements/new", {"name": "Shelf", "key": "shelf", "strategy": "popularity", "seen": "none"})
    client.send("/app/traffic/groups/new", {"name": "Staff", "kind": "values", "values": "u1\nu2"})
    return client


def form(name: str, traffic: str = "100", **more: str) -> dict[str, str]:
    return {
        "name": name, "key": "", "placement": "shelf", "traffic": traffic, "planned_days": "14", "primary": "ctr",
        "arms-0-key": "control", "arms-0-strategy": "popularity", "arms-0-weight": "50", "arms-1-key": "chance",
        "arms-1-strategy": "random", "arms-1-weight": "50", "control": "0", "then": "start", **more,
    }  # fmt: skip


def run_reports(runtime: Runtime) -> None:
    """Do the reports that were asked for; there is nothing here to train from."""
    with runtime.database.read() as session:
        queued = [run.id for run in session.query(JobRun).filter_by(state="queued", task="report")]
    assert queued
    for job_id in queued:
        run_job(runtime, job_id)


def text_of(answer) -> str:
    check(answer.text)
    return answer.text.replace("\xa0", " ")


def test_two_experiments_share_a_layer_and_a_new_phase_begins(runtime: Runtime, people: Browser):
    assert "is running" in text_of(people.send("/app/experiments/new", form("First", "60", layer="shop")))
    assert "40 % free" in text_of(people.get("/app/experiments/new"))
    refused = text_of(people.send("/app/experiments/new", form("Second", "50", layer="shop")))
    assert "did not start" in refused
    assert "no room" in refused
    assert "no room now" in text_of(people.get("/app/traffic"))
    assert "is running" in text_of(people.send("/app/experiments/second/edit", form("Second", "40", layer="shop")))
    assert ">full<" in text_of(people.get("/app/traffic"))
    phase = {"weights-control": "20", "weights-chance": "80", "traffic": "60", "note": "chance was broken"}
    page = text_of(people.send("/app/experiments/first/phase", phase))
    assert "Phase 2 of First has begun" in page
    assert "chance was broken" in page
    with runtime.database.read() as session:
        row = experiments.find(session, "first")
        assert (row.phase, [arm.weight for arm in row.arms]) == (2, [0.2, 0.8])
        assert (row.slot_start, row.slot_end) == (0.0, 0.6)


def test_weights_of_a_sticky_experiment_change(runtime: Runtime, people: Browser):
    people.send("/app/experiments/new", form("Held", sticky="on"))
    page = text_of(people.send("/app/experiments/held/weights", {"weights-control": "90", "weights-chance": "10"}))
    assert "Weights before" in page
    with runtime.database.read() as session:
        assert [arm.weight for arm in experiments.find(session, "held").arms] == [0.9, 0.1]


def test_a_ramp_is_kept_with_the_draft_changed_and_taken_away(runtime: Runtime, people: Browser):
    steps = {"ramp-0-traffic": "1", "ramp-0-hours": "0", "ramp-1-traffic": "50", "ramp-1-hours": "24"}
    text_of(people.send("/app/experiments/new", form("Slow", **steps)))
    page = text_of(people.send("/app/experiments/slow/ramp", {**steps, "ramp-1-traffic": "80"}))
    assert "80 %" in page
    with runtime.database.read() as session:
        row = experiments.find(session, "slow")
        assert (row.traffic, [step["traffic"] for step in row.data["ramp"]]) == (0.01, [0.01, 0.8])
        assert ramps.due_traffic(row, row.started_at) == 0.01
    assert "has no ramp any more" in text_of(people.send("/app/experiments/slow/ramp", {"ramp-0-traffic": ""}))


def test_a_draft_loses_its_ramp_when_the_form_has_none(runtime: Runtime, people: Browser):
    steps = {"ramp-0-traffic": "1", "ramp-0-hours": "0", "then": "draft"}
    people.send("/app/experiments/new", form("Slow", **steps))
    text_of(people.send("/app/experiments/slow/edit", form("Slow", "70", then="draft")))
    with runtime.database.read() as session:
        row = experiments.find(session, "slow")
        assert (row.traffic, row.data["ramp"]) == (0.7, [])


def test_who_is_left_out_and_who_tests_and_a_group_that_is_used(people: Browser):
    left_out = {"exclude-0-attribute": "", "exclude-0-op": "$inGroup", "exclude-0-value": "staff",
                "exclude-1-attribute": "is_bot", "exclude-1-op": "$eq", "exclude-1-value": "true",
                "overrides-0-unit": "u7", "overrides-0-arm": "chance"}  # fmt: skip
    page = text_of(people.send("/app/experiments/new", form("Careful", **left_out)))
    assert "in the group staff or is_bot is true" in page
    assert "u7" in page
    page = text_of(people.send("/app/experiments/careful/testers", {"unit": "u8", "arm": "control"}))
    assert "u8 sees control from now on" in page
    wrong_arm = people.send("/app/experiments/careful/testers", {"unit": "u8", "arm": "third"}).text
    assert "overrides.u8 must be an arm" in wrong_arm
    assert "is used by careful" in text_of(people.send("/app/traffic/groups/staff/delete"))
    wrong = people.send("/app/experiments/new", form("Other", **{**left_out, "exclude-0-value": "nobody"}))
    assert wrong.status_code == 422
    assert "must be a saved group; there are: staff" in wrong.text
    assert wrong.text.count("must be a saved group") == 2  # in the list above the form, and beside its part


def test_a_group_that_nothing_uses_is_deleted(people: Browser):
    assert "The group Staff is deleted" in text_of(people.send("/app/traffic/groups/staff/delete"))
    assert people.get("/app/traffic/groups/staff").status_code == 404


def test_a_preview_link_is_signed_and_names_the_arm(runtime: Runtime, people: Browser):
    people.send("/app/experiments/new", form("Shown", then="draft"))
    page = text_of(people.get("/app/experiments/shown?preview=chance"))
    token = re.search(r'id="preview-token">([^<]+)<', page)
    assert runtime.previews.read(token[1]) == Preview("shown", "chance")
    assert "must be one of control, chance" in text_of(people.get("/app/experiments/shown?preview=other"))


def test_a_holdout_lives_like_an_experiment(runtime: Runtime, people: Browser):
    data = {"name": "Nothing new", "key": "", "placement": "", "share": "5", "primary": "conversion", "note": ""}
    page = text_of(people.send("/app/traffic/holdouts", data))
    assert "5 % of the users are in no experiment" in page
    again = people.send("/app/traffic/holdouts", data)
    assert again.status_code == 422
    assert "already an experiment or holdout" in again.text
    assert "is running" in text_of(people.send("/app/experiments/nothing-new/do/start"))
    page = text_of(people.get("/app/experiments/nothing-new"))
    assert "default strategies only" in page
    assert page.count("by mia@shop.example") == 2  # made and started
    people.send("/app/experiments/new", form("Beside"))
    for path in ("/app/", "/app/experiments", "/app/traffic"):
        assert "Nothing new" in text_of(people.get(path))
    assert "also run" not in text_of(people.get("/app/experiments/beside"))
    people.send("/app/experiments/nothing-new/refresh")
    run_reports(runtime)
    assert "Verdict" in text_of(people.get("/app/experiments/nothing-new"))
    assert "has ended" in text_of(people.send("/app/experiments/nothing-new/do/stop"))


def test_a_report_that_was_asked_for_is_seen_to_arrive(runtime: Runtime, people: Browser):
    people.send("/app/experiments/new", form("First"))
    state = "/app/experiments/first/report-state"
    assert people.get(state).json == {"computed_at": None, "job": None, "error": None}
    text_of(people.send("/app/experiments/first/refresh"))
    assert people.get(state).json["job"] == "queued"
    run_reports(runtime)
    after = people.get(state).json
    assert (after["job"], after["error"]) == ("done", None)
    assert after["computed_at"] is not None
    assert ">report</a>" in text_of(people.get("/app/jobs"))
    assert ">report</a>" not in text_of(people.get("/app/jobs?task=train"))
    text_of(people.get("/app/events?type=click"))
