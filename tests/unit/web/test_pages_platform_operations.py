"""Metrics, jobs and dead letters over the real platform: from the form to the tables and back."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from reclift.domain.events import Facts
from reclift.flows import accounts, configuration, dead_letters, jobs, metrics
from reclift.storage.sinks.encoding import encode
from reclift.storage.tables import EventRow, JobRun
from reclift.web.app import create_app
from reclift.wiring import Runtime
from tests.unit.storage.rows import event
from tests.unit.web.conftest import Browser
from tests.unit.web.test_pages import check

EMAIL, PASSWORD = "mia@shop.example", "a-long-password"


@pytest.fixture
def people(runtime: Runtime) -> Browser:
    app = create_app(runtime)
    app.test_client_class = Browser
    with runtime.database.write() as session:
        accounts.create_account(session, EMAIL, "manager", PASSWORD, "Mia", "tests")
    client = app.test_client()
    client.send("/app/sign-in", {"email": EMAIL, "password": PASSWORD})
    return client


def text_of(answer) -> str:
    check(answer.text)
    return answer.text.replace("\xa0", " ")


def test_a_metric_is_made_and_an_experiment_can_choose_it(runtime: Runtime, people: Browser) -> None:
    form = {"name": "Shoe revenue", "kind": "sum", "numerator_event": "purchase", "numerator_value": "value",
            "numerator_where-0-property": "category", "numerator_where-0-equals": "shoes", "window_hours": "14",
            "cap_percentile": "99", "margin": "5", "direction": "increase", "format": "money"}  # fmt: skip
    page = text_of(people.send("/app/metrics/new", form))
    assert "Sum of the values of “purchase” events (category = shoes) of an exposed user" in page
    assert f"by {EMAIL}" in page
    with runtime.database.read() as session:
        made = metrics.all_metrics(session)["shoe_revenue"]
    assert (made.window_hours, made.cap_percentile, made.margin) == (336, 0.99, 0.05)
    assert 'value="shoe_revenue"' in text_of(people.get("/app/experiments/new"))
    assert "is taken by another metric" in text_of(people.send("/app/metrics/new", form))


def test_a_failed_job_is_run_again(runtime: Runtime, people: Browser) -> None:
    with runtime.database.write() as session:
        first = jobs.request(session, runtime.queue, "train", {"strategy": "popularity", "params": {}}, "schedule").id
    jobs.begin(runtime.database, first)
    jobs.finish(runtime.database, first, error="StrategyError: nothing to learn from")
    page = text_of(people.get(f"/app/jobs/{first}"))
    assert "nothing to learn from" in page
    assert "Run again…" in text_of(people.get("/app/jobs"))
    assert f"Job {first} is run again" in text_of(people.send(f"/app/jobs/{first}/again"))
    with runtime.database.read() as session:
        new = session.scalars(select(JobRun).where(JobRun.state == "queued", JobRun.task == "train")).one()
        assert (new.arguments, new.actor) == ({"strategy": "popularity", "params": {}}, EMAIL)
        assert configuration.audit(session, "job", str(first))[0]["actor"] == EMAIL
    assert "run again" in text_of(people.get(f"/app/jobs/{first}"))
    assert f"job {new.id} cannot be run again: it is queued" in text_of(people.send(f"/app/jobs/{new.id}/again"))
    for number in ("x", "99999", "9" * 30):
        assert people.get(f"/app/jobs/{number}").status_code == 404


def test_dead_letters_are_looked_at_replayed_and_discarded(runtime: Runtime, people: Browser) -> None:
    burying = dead_letters.Burying(runtime.database, runtime.direct, "stream")
    burying.bury(encode(Facts([event("e1", unit="u7")])), "handed out 21 times", Facts([event("e1", unit="u7")]))
    burying.bury(b"\xff<b>", "cannot be read")
    with runtime.database.read() as session:
        unreadable, good = (row["id"] for row in dead_letters.latest(session, 2))
    page = text_of(people.get("/app/events/dead-letters"))
    assert "handed out 21 times" in page
    assert "&lt;b&gt;" in page
    assert "<code>u7</code>" in text_of(people.get(f"/app/events/dead-letters/{good}"))
    said = text_of(people.send("/app/events/dead-letters/replay", {"q": "handed"}))
    assert "1 written, 1 facts of them new; 0 still refused." in said
    refused = text_of(people.send(f"/app/events/dead-letters/{unreadable}/replay"))
    assert f"dead letter {unreadable} cannot be written" in refused
    assert "is discarded" in text_of(people.send(f"/app/events/dead-letters/{unreadable}/discard"))
    assert people.send(f"/app/events/dead-letters/{unreadable}/discard").status_code == 404
    with runtime.database.read() as session:
        assert session.scalars(select(EventRow.event_id)).all() == ["e1"]
        entries = configuration.audit(session, "dead letter")
    assert [(entry["actor"], entry["action"]) for entry in entries] == [(EMAIL, "discard"), (EMAIL, "replay")]
