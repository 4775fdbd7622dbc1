"""The demo from end to end: real server, worker and HTTP; its reports against recomputations that share no code.

The Open Bandit log is the real one (from the shared data); the film shop is a small made-up one of the same shape.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import random
import stat
import subprocess
import sys
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from rich.console import Console
from rich.progress import Progress
from scipy.stats import ttest_ind
from sqlalchemy import text

from reclift import wiring
from reclift.cli.demo_server import DemoServer
from reclift.cli.demo_steps import EMAIL, KEYS, Demo
from reclift.flows import accounts, demo_movielens, report, rollup
from reclift.flows.demo_movielens import HOME, ITEM_PAGE
from reclift.flows.public_movielens import Film, MovieLens, Ratings
from reclift.settings import load_settings
from tests.services import free_port
from tests.shared_data import shared_path

if TYPE_CHECKING:
    from playwright.sync_api import Page

CAMPAIGNS = ("all", "men", "women")
POLICIES = ("random", "bts")
DAY = 86_400
TABLES = ("impressions", "exposures", "events", "experiments", "items", "accounts", "experiment_units", "unit_totals")


def small_shop() -> MovieLens:
    """160 people with one of two tastes rate 16 of 60 films each, over 80 days."""
    chance = random.Random(7)
    films = tuple(
        Film(str(n), f"Film {n}", 1950 + n % 50 if n else None, ("Drama",) if n % 2 else ("Comedy", "Romance"))
        for n in range(60)
    )
    people = {str(n): {"age": 15 + n % 50, "gender": "FM"[n % 2], "occupation": "writer"} for n in range(160)}
    rows = []
    for user in people:
        taste = int(user) % 4 // 2
        for film in chance.sample(films, 16):
            fits = int(film.item_id) % 2 == taste
            value = chance.choice((4, 5, 5) if fits else (1, 2, 3))
            rows.append((880_000_000.0 + chance.randrange(80 * DAY), user, film.item_id, float(value)))
    rows.sort()
    times, users, items, values = zip(*rows, strict=True)
    ratings = Ratings(np.array(users), np.array(items), np.array(values, np.float32), np.array(times))
    return MovieLens(films, ratings, people)


def bandit_wheel(folder: Path) -> Path:
    """The shared log in the shape of the wheel."""
    wheel = folder / "obp.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for campaign in CAMPAIGNS:
            for policy in POLICIES:
                for name in (f"{campaign}.csv", "item_context.csv"):
                    path = shared_path("data", "open-bandit", policy, campaign, f"{name}.gz")
                    archive.writestr(f"obp/dataset/obd/{policy}/{campaign}/{name}", gzip.decompress(path.read_bytes()))
    return wheel


@dataclass
class Finished:
    """What the fixture leaves for the tests."""

    demo: Demo
    data: MovieLens
    folder: Path

    def report(self, key: str) -> dict[str, Any]:
        return report.latest_or_now(self.demo.runtime.database, key)

    def rows(self, query: str, **values: object) -> list[Any]:
        with self.demo.runtime.database.engine.connect() as connection:
            return list(connection.execute(text(query), values))

    def counts(self) -> dict[str, int]:
        rollup.roll_up(self.demo.runtime.database)  # the worker's own may be seconds away, with marks still waiting
        return {table: self.rows(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    folder = tmp_path_factory.mktemp("demo")
    data = small_shop()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("RECLIFT_") and name != "RECLIFT_SHARED"]:
            patch.delenv(name)
        patch.setenv("RECLIFT_DATA_DIR", str(folder / "var"))
        runtime = wiring.build(load_settings())
        try:
            runtime.set_up()
            with (
                DemoServer("127.0.0.1", free_port(), folder / "server.log") as server,
                Progress(console=Console(file=io.StringIO())) as bars,
            ):
                demo = Demo(runtime, server, bars)
                demo.make_account()
                demo.fill_shop(data)
                demo.start_experiments(data)
                server.start()
                demo.import_open_bandit(bandit_wheel(folder))
                demo.train()
                demo.replay(data)
                demo.report()
                yield Finished(demo, data, folder / "var")
        finally:
            runtime.close()


def comparison(body: dict[str, Any], metric: str, arm: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A metric's means by arm, and the comparison of one arm."""
    found = next(entry for entry in body["metrics"] if entry["metric"] == metric)
    means = {entry["arm"]: entry for entry in found["arms"]}
    return means, next(entry for entry in found["comparisons"] if entry["arm"] == arm)


def welch(control: np.ndarray, treatment: np.ndarray) -> float:
    return float(ttest_ind(treatment, control, equal_var=False).pvalue)


def linearised(clicks: np.ndarray, lists: np.ndarray) -> np.ndarray:
    """Per unit, what stands for a ratio of sums: its mean is the ratio, its variance that of the delta method."""
    ratio = clicks.sum() / lists.sum()
    return ratio + (clicks - ratio * lists) / lists.mean()


@pytest.mark.parametrize(
    ("campaign", "random_clicks", "bts_clicks", "p"),
    [("all", 38, 42, 0.654), ("men", 46, 69, 0.031), ("women", 46, 46, 1)],
)
def test_open_bandit_reports_equal_an_independent_computation(
    finished: Finished, campaign: str, random_clicks: int, bts_clicks: int, p: float
) -> None:
    clicks = {}
    for policy in POLICIES:
        with gzip.open(shared_path("data", "open-bandit", policy, campaign, f"{campaign}.csv.gz"), "rt") as stream:
            clicks[policy] = np.array([float(row["click"]) for row in csv.DictReader(stream)])
    body = finished.report(f"open-bandit-{campaign}")
    means, compared = comparison(body, "ctr", "bts")
    assert [entry["units"] for entry in body["arms"]] == [10_000, 10_000]
    assert body["srm"]["ok"]
    assert body["srm"]["observed"] == [10_000, 10_000]
    assert means["random"]["mean"] == pytest.approx(random_clicks / 10_000, rel=1e-12)
    assert means["bts"]["mean"] == pytest.approx(bts_clicks / 10_000, rel=1e-12)
    assert compared["lift"] == pytest.approx(bts_clicks / random_clicks - 1, rel=1e-9)
    assert compared["p_value"] == pytest.approx(welch(clicks["random"], clicks["bts"]), rel=1e-6)
    assert compared["p_value"] == pytest.approx(p, abs=0.001)
    assert any("nderpowered" in reason for reason in body["decision"]["because"])


@pytest.mark.parametrize("key", [HOME, ITEM_PAGE])
def test_replay_reports_equal_a_recomputation_in_sql(finished: Finished, key: str) -> None:
    body = finished.report(key)
    expected = finished.rows(
        """
        SELECT x.arm, count(*), sum(lists), sum(clicks), sum(bought > 0), sum(spent) FROM exposures x
        JOIN (SELECT unit_id, arm, count(*) AS lists FROM impressions WHERE experiment = :key GROUP BY 1, 2) i
          ON i.unit_id = x.unit_id AND i.arm = x.arm
        JOIN (SELECT x.unit_id,
                sum(e.type = 'click' AND e.recommendation_id IN
                    (SELECT recommendation_id FROM impressions WHERE experiment = :key)) AS clicks,
                sum(e.type = 'purchase' AND e.at >= x.at AND e.at < x.at + 7 * 86400000000) AS bought,
                sum(CASE WHEN e.type = 'purchase' AND e.at >= x.at AND e.at < x.at + 7 * 86400000000
                    THEN e.value ELSE 0 END) AS spent
              FROM exposures x JOIN events e ON e.unit_id = x.unit_id WHERE x.experiment = :key GROUP BY 1) f
          ON f.unit_id = x.unit_id
        WHERE x.experiment = :key GROUP BY 1
        """,
        key=key,
    )
    assert len(expected) == len(body["arms"]) >= 2
    arms = {entry["arm"]: entry for entry in body["arms"]}
    for arm, units, lists, clicks, buyers, spent in expected:
        assert clicks > 0
        assert (arms[arm]["units"], arms[arm]["impressions"]) == (units, lists)
        for metric, mean in (
            ("ctr", clicks / lists),
            ("conversion", buyers / units),
            ("revenue_per_user", spent / units),
        ):
            found = next(entry for entry in body["metrics"] if entry["metric"] == metric)
            (own,) = [entry for entry in found["arms"] if entry["arm"] == arm]
            assert own["mean"] == pytest.approx(mean, rel=1e-9), (arm, metric)


@pytest.mark.parametrize("key", [HOME, ITEM_PAGE])
def test_replay_reports_equal_numpy_alone(finished: Finished, key: str) -> None:
    rows = finished.rows("SELECT unit_id, arm FROM exposures WHERE experiment = :k", k=key)
    arm_of = {row.unit_id: row.arm for row in rows}
    lists: dict[str, float] = defaultdict(float)
    clicks: dict[str, float] = defaultdict(float)
    shown = {}
    for recommendation, unit in finished.rows(
        "SELECT recommendation_id, unit_id FROM impressions WHERE experiment = :k", k=key
    ):
        shown[recommendation] = unit
        lists[unit] += 1
    for (recommendation,) in finished.rows("SELECT recommendation_id FROM events WHERE type = 'click'"):
        if recommendation in shown:
            clicks[shown[recommendation]] += 1
    columns = {}
    for arm in set(arm_of.values()):
        units = sorted(unit for unit, own in arm_of.items() if own == arm)
        columns[arm] = linearised(np.array([clicks[u] for u in units]), np.array([lists[u] for u in units]))
    body = finished.report(key)
    for arm in sorted(set(columns) - {"control"}):
        means, compared = comparison(body, "ctr", arm)
        control, treatment = columns["control"], columns[arm]
        for own, values in ((means["control"], control), (means[arm], treatment)):
            assert own["mean"] == pytest.approx(values.mean(), rel=1e-9)
            assert own["std_error"] == pytest.approx(values.std(ddof=1) / np.sqrt(len(values)), rel=1e-9)
        assert compared["lift"] == pytest.approx(treatment.mean() / control.mean() - 1, rel=1e-9)
        assert compared["difference"] == pytest.approx(treatment.mean() - control.mean(), rel=1e-9)
        assert compared["p_value"] == pytest.approx(welch(control, treatment), rel=1e-6, abs=1e-15)
    observed = [sum(own == entry["arm"] for own in arm_of.values()) for entry in body["arms"]]
    assert body["srm"]["observed"] == observed


def test_every_visit_is_one_impression_and_every_click_a_real_liking(finished: Finished) -> None:
    _, later = finished.data.ratings.split(demo_movielens.EARLIER_SHARE)
    visits = demo_movielens.visits_of(finished.data, later, finished.demo.notes.shift or 0)
    impressions = finished.rows(
        "SELECT recommendation_id, unit_id, at, items FROM impressions WHERE experiment IN (:a, :b)",
        a=HOME,
        b=ITEM_PAGE,
    )
    assert len(impressions) == len(visits)
    assert sorted(row.at for row in impressions) == sorted(round(visit.at * 1e6) for visit in visits)
    items = {row.recommendation_id: row.items for row in impressions}
    opinion = {}
    for user, item, value, at in zip(later.user_ids, later.item_ids, later.values, later.times, strict=True):
        opinion[demo_movielens.unit_id(str(user)), str(item)] = (value, at + (finished.demo.notes.shift or 0))
    reacted = finished.rows(
        "SELECT type, unit_id, item_id, at, recommendation_id FROM events WHERE type IN ('click', 'purchase') "
        "AND recommendation_id NOT LIKE 'zozo-%'"
    )
    assert {row.type for row in reacted} == {"click", "purchase"}
    for row in reacted:
        value, rated_at = opinion[row.unit_id, row.item_id]
        assert value >= (5 if row.type == "purchase" else 4)
        assert rated_at * 1e6 >= row.at
        assert f'"{row.item_id}"' in items[row.recommendation_id]
    clicks = [(row.unit_id, row.item_id) for row in reacted if row.type == "click"]
    assert len(clicks) == len(set(clicks))


def test_every_arm_answered_with_its_own_model(finished: Finished) -> None:
    answered = finished.rows(
        "SELECT DISTINCT arm, strategy, model IS NULL FROM impressions WHERE experiment IN (:a, :b)",
        a=HOME,
        b=ITEM_PAGE,
    )
    assert {tuple(row) for row in answered} == {
        ("control", "popularity", 0),
        ("item-cf", "item_cf", 0),
        ("matrix-factorization", "matrix_factorization", 0),
    }


def test_the_page_says_that_it_is_a_replay(finished: Finished) -> None:
    for source, hypothesis in finished.rows(
        "SELECT source, hypothesis FROM experiments WHERE key IN (:a, :b)", a=HOME, b=ITEM_PAGE
    ):
        assert source == "replay"
        assert "replay of real histories, not live traffic" in hypothesis
    for (source,) in finished.rows("SELECT source FROM experiments WHERE key LIKE 'open-bandit-%'"):
        assert source == "imported"


def test_a_person_signs_in_and_reads_the_reports(finished: Finished, page: Page) -> None:
    page.goto(finished.demo.server.url)
    page.get_by_label("E-mail").fill(EMAIL)
    page.get_by_label("Password").fill(str(finished.demo.notes.password))
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Running").wait_for()
    for key, says in ((HOME, "Replay of real histories"), ("open-bandit-men", "Imported log")):
        page.goto(f"{finished.demo.server.url}/app/experiments/{key}")
        page.get_by_text(says).first.wait_for()
        lift = finished.report(key)["metrics"][0]["comparisons"][0]["lift"]
        sign = "+" if lift > 0 else "−"
        page.get_by_text(f"{sign}{abs(lift) * 100:.1f}").first.wait_for()
        for block in ("verdict", "trust", "lift"):
            assert page.locator(f"#{block}").is_visible()
    page.get_by_text("nderpowered").first.wait_for()


def test_doing_every_step_again_changes_nothing(finished: Finished) -> None:
    before = finished.counts()
    demo = finished.demo
    demo.make_account()
    demo.import_open_bandit(finished.folder.parent / "obp.whl")
    demo.fill_shop(finished.data)
    demo.start_experiments(finished.data)
    demo.train()
    demo.replay(finished.data)
    assert finished.counts() == before


def test_a_replay_that_was_cut_off_goes_on_where_it_was(finished: Finished) -> None:
    demo = finished.demo
    _, later = finished.data.ratings.split(demo_movielens.EARLIER_SHARE)
    visits = demo_movielens.visits_of(finished.data, later, demo.notes.shift or 0)
    cut = visits[len(visits) // 2 :]
    before = finished.counts()
    gone = {visit.visit_id for visit in cut}
    with demo.runtime.database.write() as session:
        for event_id, visit_id in session.execute(
            text("SELECT event_id, json_extract(properties, '$.replay') FROM events WHERE unit_id LIKE 'ml-%'")
        ).all():
            if visit_id in gone:
                session.execute(text("DELETE FROM events WHERE event_id = :e"), {"e": event_id})
        left, clicked = demo_movielens.progress_so_far(session, visits)
    assert [visit.visit_id for visit in left] == [visit.visit_id for visit in cut]
    assert clicked
    finished.demo.server.stop()  # what it remembers of people is from before the cut
    finished.demo.server.start()
    demo.replay(finished.data)
    assert finished.counts() == before


def test_the_sign_in_works_and_is_kept_for_its_owner_only(finished: Finished) -> None:
    notes = finished.demo.notes
    assert notes.password
    with finished.demo.runtime.database.write() as session:
        person = accounts.authenticate(session, EMAIL, notes.password)
        assert person is not None
        assert person.role == "manager"
    assert stat.S_IMODE(notes.path.stat().st_mode) == 0o600


def test_the_replays_key_is_revoked(finished: Finished) -> None:
    keys = finished.rows("SELECT name, revoked_at FROM api_keys")
    assert keys
    assert all(revoked for _, revoked in keys)


def test_a_second_start_finds_everything_in_place(finished: Finished) -> None:
    before = finished.counts()
    done = subprocess.run(
        [sys.executable, "-m", "reclift", "demo", "--no-serve", "--port", str(free_port())],
        env={**os.environ, "RECLIFT_DATA_DIR": str(finished.folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert EMAIL in done.stdout
    assert str(finished.demo.notes.password) in done.stdout
    for word in ("Fetching", "Training", "Replaying"):
        assert word not in done.stdout
    for name in ("Home page: personal or popular?", "Fashion shop, men"):
        assert name in done.stdout
    assert finished.counts() == before
    assert len(KEYS) == 5


def test_a_port_that_is_taken_is_named_at_once(finished: Finished) -> None:
    port = str(finished.demo.server.port)
    done = subprocess.run(
        [sys.executable, "-m", "reclift", "demo", "--port", port],
        env={**os.environ, "RECLIFT_DATA_DIR": str(finished.folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert f"port {port} cannot be used" in done.stderr
    assert "--port" in done.stderr
