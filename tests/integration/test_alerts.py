"""Alerts: each goes out once until it clears, over a real webhook and a real mail server; what fails is tried again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import orjson
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MessageHandler
from sqlalchemy import delete, select

from reclift import wiring
from reclift.flows import alerts, experiments, jobs, report
from reclift.flows.alert_channels import Mail, Webhook
from reclift.flows.clock import now
from reclift.flows.job_retries import MOST_RETRIES
from reclift.settings import SettingsError, load_settings
from reclift.storage.database import Database
from reclift.storage.migrate import migrate
from reclift.storage.tables import ExperimentUnit, JobRun, UnitTotal
from reclift.worker import run_job, scheduled
from tests.integration import report_world as world
from tests.integration.report_rows import differ, write_units
from tests.platform_fixtures import build_runtime
from tests.services import free_port

METRICS = {"primary": "revenue_per_user", "secondary": [], "guardrails": ["latency"]}


class Hook:
    """A webhook's receiver; `status` is what it answers."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.status = 200
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if hook.status < 300:
                    hook.got.append(orjson.loads(body))
                self.send_response(hook.status)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                """Quiet."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"

    def kinds(self) -> list[str]:
        """Since the last call."""
        kinds = [one["kind"] for one in self.got]
        self.got.clear()
        return kinds


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    yield hook
    hook.server.shutdown()
    hook.server.server_close()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    migrate(database)
    world.set_up(database, metrics=METRICS)
    differ(database)
    yield database
    database.dispose()


def fill(database: Database, control: int = 400, new: int = 400, *, lift: float = 0.0, latency: float = 20.0,
         days_ago: int = 0) -> None:  # fmt: skip
    """All units anew."""
    with database.write() as session:
        session.execute(delete(ExperimentUnit))
        session.execute(delete(UnitTotal))
    random = np.random.default_rng(3)
    n = control + new
    spent, slow = random.gamma(4.0, 2.0, n), random.gamma(9.0, 20.0 / 9, n)
    spent[control:] *= 1 + lift
    slow[control:] *= latency / 20.0
    write_units(
        database, ["control"] * control + ["new"] * new, days_ago=[days_ago] * n,
        metrics={"revenue_per_user": {"x": spent}, "latency": {"x": slow, "y": np.ones(n)}},
    )  # fmt: skip


def runtime_of(database: Database, *channels: Any, public_url: str = "") -> Any:
    """What the worker needs to deliver alerts."""
    return SimpleNamespace(database=database, channels=channels, settings=SimpleNamespace(public_url=public_url))


def delivered(database: Database) -> int:
    with database.read() as session:
        return sum(map(len, (experiments.find(session, "sim").data.get("alerts") or {}).values()))


def waiting(database: Database) -> list[int]:
    with database.read() as session:
        query = select(JobRun.id).where(JobRun.task == "alerts", JobRun.state == "queued").order_by(JobRun.id)
        return list(session.scalars(query))


def ask(database: Database, *channels: Any) -> list[int]:
    return alerts.ask(database, jobs.NullQueue(), "sim", report.refresh(database, "sim"), channels)


def tell(database: Database, *channels: Any, **more: Any) -> int:
    """A new report, and a worker that does what waits; how many messages went out."""
    ask(database, *channels)
    before = delivered(database)
    for job in waiting(database):
        run_job(runtime_of(database, *channels, **more), job)
    return delivered(database) - before


def test_nothing_to_tell_is_not_told(database: Database, hook: Hook) -> None:
    fill(database)
    assert tell(database, Webhook(hook.url)) == 0
    assert hook.got == []
    with database.read() as session:
        assert session.query(JobRun).filter_by(task="alerts").count() == 0


@pytest.mark.parametrize(
    ("world_of", "kind", "words"),
    [
        ({"new": 200}, "sample_ratio", "not as large as planned"),
        ({"latency": 40.0}, "guardrail", "Guardrail Latency is harmed by new"),
        ({"lift": 0.4}, "significance", "new is better than control on Revenue per user"),
        ({"lift": -0.4}, "significance", "new is worse than control on Revenue per user"),
        ({"days_ago": 3}, "stale", "nothing new for 3 days"),
    ],
)
def test_each_kind_goes_out_once_and_again_after_it_has_cleared(
    database: Database, hook: Hook, world_of: dict[str, Any], kind: str, words: str
) -> None:
    channel = Webhook(hook.url)
    fill(database, **world_of)
    assert tell(database, channel, public_url="https://ab.example/") == 1
    (sent,) = hook.got
    assert (sent["kind"], sent["experiment"]) == (kind, "sim")
    assert words in sent["detail"]
    assert sent["text"] == f"{sent['title']}. {sent['detail']}"
    assert sent["url"] == "https://ab.example/app/experiments/sim"
    assert sent["at"].endswith("Z")
    hook.got.clear()
    assert tell(database, channel) == 0
    fill(database)
    assert tell(database, channel) == 0
    assert hook.kinds() == []
    fill(database, **world_of)
    assert tell(database, channel) == 1
    assert hook.kinds() == [kind]
    with database.read() as session:
        runs = session.query(JobRun).filter_by(task="alerts", state="done").all()
        assert [run.message.split(", told by ")[1] for run in runs] == ["webhook"] * 2


def test_a_result_that_only_the_fixed_reading_shows_is_no_alert(database: Database, hook: Hook) -> None:
    fill(database, lift=0.1)
    body = report.refresh(database, "sim")
    (comparison,) = body["metrics"][0]["comparisons"]
    assert comparison["p_value"] < 0.05 < comparison["sequential"]["p_value"]
    assert body["alerts"] == []


def test_arms_that_do_the_same_have_no_result(database: Database, hook: Hook) -> None:
    with database.write() as session:
        for arm in experiments.find(session, "sim").arms:
            arm.strategy = "none"
    fill(database, lift=0.4)
    assert report.refresh(database, "sim")["alerts"] == []


def test_what_a_channel_did_not_take_is_tried_again_there_alone(database: Database, hook: Hook) -> None:
    other = Hook()
    try:
        channels = Webhook(hook.url), Webhook(other.url, name="other")
        fill(database, lift=0.4)
        other.status = 500
        assert tell(database, *channels) == 1
        assert (hook.kinds(), other.kinds()) == (["significance"], [])
        with database.read() as session:
            (run,) = session.query(JobRun).filter_by(task="alerts")
            assert (run.state, run.attempts) == ("queued", 1)
            assert "other: HTTP Error 500" in (run.error or "")
            assert run.message.startswith("attempt 2 follows at ")
        other.status = 204
        assert tell(database, *channels) == 1
        assert (hook.kinds(), other.kinds()) == ([], ["significance"])
        with database.read() as session:
            (run,) = session.query(JobRun).filter_by(task="alerts")
            assert (run.state, run.attempts, run.error) == ("done", 2, None)
        assert tell(database, *channels) == 0
    finally:
        other.server.shutdown()
        other.server.server_close()


def test_an_alert_outlives_a_channel_that_is_down_and_the_experiment(database: Database, hook: Hook) -> None:
    """It is asked for once, waits, and goes out when the channel is back, though the experiment has ended since."""
    fill(database, lift=0.4)
    hook.status = 503
    channel = Webhook(hook.url)
    assert tell(database, channel) == 0
    (job,) = waiting(database)
    assert ask(database, channel) == []
    with database.write() as session:
        experiments.act(session, world.REGISTRY, jobs.NullQueue(), "sim", "pause", "test")
        experiments.act(session, world.REGISTRY, jobs.NullQueue(), "sim", "stop", "test")
    hook.status = 204
    hook.got.clear()
    run_job(runtime_of(database, channel), job)
    assert hook.kinds() == ["significance"]


def test_it_waits_longer_each_time_and_is_given_up_in_sight(database: Database, hook: Hook) -> None:
    fill(database, lift=0.4)
    hook.status = 503
    channel = Webhook(hook.url)
    (job,) = ask(database, channel)
    delays = []
    for _ in range(MOST_RETRIES):
        run_job(runtime_of(database, channel), job)
        with database.read() as session:
            run = session.get_one(JobRun, job)
            assert run.state == "queued"
            assert run.alive_at is not None
            delays.append((run.alive_at - now()).total_seconds() + jobs.STALE_SECONDS)
    assert delays[:4] == pytest.approx([60, 120, 240, 480], abs=5)
    assert max(delays) == pytest.approx(3600, abs=5)
    assert jobs.sweep(database, jobs.NullQueue()) == 0  # not before its time
    with database.write() as session:
        session.get_one(JobRun, job).alive_at = now() - timedelta(seconds=jobs.STALE_SECONDS + 1)
    assert jobs.sweep(database, jobs.NullQueue()) == 1
    run_job(runtime_of(database, channel), job)
    with database.read() as session:
        run = session.get_one(JobRun, job)
        assert run.state == "failed"
        assert "given up: webhook: HTTP Error 503" in (run.error or "")
    hook.status = 204
    hook.got.clear()
    assert tell(database, channel) == 1  # the next report asks again
    assert hook.kinds() == ["significance"]


def test_an_alert_of_a_phase_that_is_over_is_not_sent(database: Database, hook: Hook) -> None:
    fill(database, lift=0.4)
    (job,) = ask(database, Webhook(hook.url))
    with database.write() as session:
        experiments.find(session, "sim", to_change=True).phase = 2
    run_job(runtime_of(database, Webhook(hook.url)), job)
    with database.read() as session:
        assert session.get_one(JobRun, job).message == "sim: not sent, its phase is over"
    assert hook.got == []


def test_a_server_that_is_away_costs_nothing_but_time(database: Database) -> None:
    fill(database, lift=0.4)
    assert tell(database, Webhook(f"http://127.0.0.1:{free_port()}/")) == 0
    mail = Mail("127.0.0.1", free_port(), "none", "", "", "a@b.example", ["c@d.example"])
    assert tell(database, mail) == 0


def test_history_and_ended_experiments_tell_nothing_new(database: Database, hook: Hook) -> None:
    fill(database, lift=0.4)
    body = report.refresh(database, "sim")
    queue, channels = jobs.NullQueue(), [Webhook(hook.url)]
    assert alerts.ask(database, queue, "sim", {**body, "source": "replay"}, channels) == []
    assert alerts.ask(database, queue, "sim", {**body, "phase": 2}, channels) == []
    assert alerts.ask(database, queue, "sim", body, []) == []
    with database.write() as session:
        experiments.act(session, world.REGISTRY, queue, "sim", "stop", "test")
    assert alerts.ask(database, queue, "sim", body, channels) == []


class _Inbox(MessageHandler):
    def __init__(self) -> None:
        super().__init__()
        self.got: list[Any] = []

    def handle_message(self, message: Any) -> None:
        self.got.append(message)


def test_mails_arrive(database: Database) -> None:
    inbox = _Inbox()
    server = Controller(inbox, hostname="127.0.0.1", port=free_port())
    server.start()
    try:
        mail = Mail("127.0.0.1", server.port, "none", "", "", "reclift@shop.example", ["a@shop.example", "b@x.example"])
        with database.write() as session:
            experiments.change(session, world.REGISTRY, "sim", {"name": "Größer\nund besser"}, "test")
        fill(database, lift=0.4)
        assert tell(database, mail, public_url="https://ab.example") == 1
    finally:
        server.stop()
    (message,) = inbox.got
    assert message["From"] == "reclift@shop.example"
    assert message["To"] == "a@shop.example, b@x.example"
    text = message.get_payload(decode=True).decode()
    assert "new is better than control" in text
    assert "https://ab.example/app/experiments/sim" in text


def test_the_settings_choose_the_channels_and_hide_the_password() -> None:
    settings = load_settings(
        alert_webhook_url="https://hooks.example/x", alert_mail_to=["a@b.example"], smtp_password="hush", smtp_port=25
    )
    hook, mail = wiring.channels(settings)
    assert hook == Webhook("https://hooks.example/x")
    assert isinstance(mail, Mail)
    assert (mail.port, mail.security, mail.password, mail.to) == (25, "starttls", "hush", ("a@b.example",))
    assert "hush" not in repr(mail) + repr(settings)
    assert wiring.channels(load_settings()) == ()
    with pytest.raises(SettingsError, match="ALERT_WEBHOOK_URL"):
        load_settings(alert_webhook_url="file:///etc/passwd")


def test_the_schedules_reports_tell(tmp_path: Path, hook: Hook) -> None:
    runtime = build_runtime(tmp_path, alert_webhook_url=hook.url)
    try:
        migrate(runtime.database)
        world.set_up(runtime.database, metrics=METRICS)
        differ(runtime.database)
        fill(runtime.database, lift=0.4)
        for _ in range(2):
            assert scheduled(runtime, "reports") == 1
            for job in waiting(runtime.database):
                run_job(runtime, job)
    finally:
        runtime.close()
    assert hook.kinds() == ["significance"]
