"""What an experiment chose before its start is what its report does: strata, priors, resamples, planned looks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reclift.flows import experiments, report
from reclift.flows.errors import Conflict, Invalid
from reclift.stats import power as sizes
from reclift.stats.group_sequential import looks
from reclift.stats.multiple import corrected
from reclift.storage.database import Database
from reclift.storage.migrate import migrate
from tests.integration import report_world as world
from tests.integration.report_rows import write_units

N = 2_000


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'test.db'}")
        migrate(database)
        yield database
        database.dispose()
        return
    server = request.getfixturevalue("postgres_server")
    database = Database(server.create_database("test_chosen"))
    migrate(database)
    yield database
    database.dispose()
    server.drop_database("test_chosen")


def set_up(database: Database, primary: str = "revenue_per_user", **analysis: Any) -> None:
    world.set_up(database, analysis=analysis, metrics={"primary": primary}, planned_days=10)


def fill(database: Database) -> tuple[np.ndarray, np.ndarray, list[str | None]]:
    """Two kinds of customers and a few of no known kind; the kind explains most of what they spend."""
    random = np.random.default_rng(8)
    kinds: list[str | None] = [("rich", "poor", "poor", None)[place] for place in random.integers(0, 4, N)]
    level = np.array([{"rich": 60.0, "poor": 10.0, None: 30.0}[kind] for kind in kinds])
    arms = np.arange(N) % 2
    x = level + random.normal(0, 3, N) + 0.5 * arms
    attributes = [{"kind": kind} if kind else {} for kind in kinds]
    write_units(
        database, ["new" if arm else "control" for arm in arms], metrics={"revenue_per_user": {"x": x}},
        attributes=attributes,
    )  # fmt: skip
    return x, arms, kinds


def compare(database: Database) -> dict[str, Any]:
    with database.read() as session:
        body = report.compute(session, experiments.find(session, "sim"))
    found: dict[str, Any] = body["metrics"][0]["comparisons"][0]
    return found


def test_strata_compare_like_with_like(database: Database) -> None:
    set_up(database, stratify="kind")
    x, arms, kinds = fill(database)
    by_hand, variance = 0.0, 0.0
    for kind in ("rich", "poor", None):
        mine = np.array([one == kind for one in kinds])
        a, b = x[mine & (arms == 0)], x[mine & (arms == 1)]
        by_hand += mine.mean() * (b.mean() - a.mean())
        variance += mine.mean() ** 2 * (a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
    found = compare(database)
    assert found["difference"] == pytest.approx(by_hand)
    assert found["std_error"] == pytest.approx(variance**0.5)
    assert found["variance_reduction"] > 0.9
    assert "post-stratified (3 strata)" in found["method"]
    assert found["bootstrap"] is None
    assert found["group_sequential"] is None
    with database.read() as session:
        (planned,) = report.compute(session, experiments.find(session, "sim"))["power"]["arms"]
    assert planned["gain"] == pytest.approx(found["variance_reduction"])
    assert planned["cuped_gain"] is None
    assert planned["units_without"] > 5 * planned["units"]


@pytest.mark.parametrize("chosen", [{}, {"correction_primary": "none", "correction_secondary": "holm"}])
def test_arms_are_corrected_as_was_chosen_and_the_report_says_so(database: Database, chosen: dict[str, str]) -> None:
    world.set_up(
        database, arms=("control", "new", "newer"), analysis=chosen, planned_days=10,
        metrics={"primary": "revenue_per_user", "secondary": ["clicks_per_user"]},
    )  # fmt: skip
    values = np.random.default_rng(3).normal(20.0, 5.0, 600)
    arms = ["control", "new", "newer"] * 200
    write_units(database, arms, metrics={name: {"x": values} for name in ("revenue_per_user", "clicks_per_user")})
    with database.read() as session:
        body = report.compute(session, experiments.find(session, "sim"))
    by_role = {metric["role"]: metric["comparisons"] for metric in body["metrics"]}
    for role, method in (("primary", chosen.get("correction_primary", "holm")),
                         ("secondary", chosen.get("correction_secondary", "benjamini_hochberg"))):  # fmt: skip
        raw = [c["p_value"] for c in by_role[role]]
        assert [c["p_value_adjusted"] for c in by_role[role]] == pytest.approx(corrected(raw, method))
        warned = [any("Not corrected" in text for text in c["warnings"]) for c in by_role[role]]
        assert warned == [method == "none"] * 2
    said = body["method"]["adjustment"]
    assert said.startswith("none for the primary metric, Holm" if chosen else "Holm for the primary metric, Benjamini")
    # Not corrected, an arm needs fewer units for the same power.
    needed = body["power"]["arms"][0]["units"]
    base = sizes.Baseline(values[::3].mean(), values[::3].var(ddof=1))
    assert needed == sizes.required_units(base, 0.1, sizes.Design(comparisons=1 if chosen else 2))


def test_an_attribute_that_nobody_has_is_one_stratum(database: Database) -> None:
    set_up(database, stratify="unheard_of")
    x, arms, _ = fill(database)
    found = compare(database)
    assert found["difference"] == pytest.approx(x[arms == 1].mean() - x[arms == 0].mean())
    assert found["method"] == "Welch t, post-stratified (1 stratum)"


def test_the_prior_is_the_chosen_one_and_is_stated(database: Database) -> None:
    set_up(database, prior_mean=0.0, prior_sd=0.01)
    fill(database)
    found = compare(database)
    assert found["bayesian"]["prior"] == "lift ~ Normal(0, sd 0.01)"
    width = found["bayesian"]["lift_ci"][1] - found["bayesian"]["lift_ci"][0]
    assert width < 0.5 * (found["lift_ci"][1] - found["lift_ci"][0])


def test_a_rates_prior_is_the_chosen_one(database: Database) -> None:
    set_up(database, "conversion", rate_prior_alpha=2, rate_prior_beta=38)
    write_units(database, ["control", "new"] * 50, metrics={"conversion": {"x": [0.0, 1.0] + [0.0] * 98}})
    assert compare(database)["bayesian"]["prior"] == "each rate ~ Beta(2, 38)"


def test_a_bootstrap_stands_beside_the_formula(database: Database) -> None:
    set_up(database, bootstrap=1_000, bootstrap_seed=3)
    fill(database)
    found, again = compare(database), compare(database)
    boot = found["bootstrap"]
    assert boot == again["bootstrap"]
    assert (boot["draws"], boot["seed"], boot["reasons"]) == (1_000, 3, {})
    assert boot["difference_std_error"] == pytest.approx(found["std_error"], rel=0.12)
    width = found["lift_ci"][1] - found["lift_ci"][0]
    assert boot["lift_ci"] == pytest.approx(found["lift_ci"], abs=0.15 * width)


def test_without_units_the_bootstrap_says_why_not(database: Database) -> None:
    set_up(database, bootstrap=200, stratify="kind")
    boot = compare(database)["bootstrap"]
    assert boot["lift_ci"] is None
    assert boot["reasons"]["lift_ci"]["code"] == "too_few_units"


@pytest.mark.parametrize(("days", "look"), [(1, None), (5, 2), (12, 5)])
def test_planned_looks_bring_their_interval(database: Database, days: int, look: int | None) -> None:
    set_up(database, regime="group_sequential", looks=5, family="power", rho=2)
    fill(database)
    with database.write() as session:
        row = experiments.find(session, "sim", to_change=True)
        row.started_at = datetime.now(UTC) - timedelta(days=days)
        row.data = {**row.data, "phase_at": None}
    found = compare(database)
    read = found["group_sequential"]
    assert (read["look"], read["looks"]) == (look, 5)
    if look is None:
        assert read["lift_ci"] is None
        assert "first planned look" in read["reasons"]["lift_ci"]["text"]
        return
    bound = looks([0.2, 0.4, 0.6, 0.8, 1.0], family="power", rho=2)[look - 1].bound
    assert read["bound"] == pytest.approx(bound)
    assert read["difference_ci"] == pytest.approx(
        [found["difference"] - bound * found["std_error"], found["difference"] + bound * found["std_error"]]
    )
    assert read["lift_ci"][0] < found["lift"] < read["lift_ci"][1]


def test_the_choice_is_fixed_at_the_start(database: Database) -> None:
    set_up(database, stratify="kind")
    with database.write() as session, pytest.raises((Conflict, Invalid)):
        experiments.change(session, world.REGISTRY, "sim", {"analysis": {"stratify": "country"}}, "test")
