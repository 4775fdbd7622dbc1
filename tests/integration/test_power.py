"""Planning from the placement's past: its numbers are those of the raw facts and of the textbook."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from sqlalchemy import text

from reclift.domain.events import Facts
from reclift.flows import catalogue, experiments, metrics, power, power_past, report
from reclift.flows.errors import NotFound
from reclift.flows.power_audience import Who
from reclift.stats import power as sizes
from reclift.storage.database import Database
from reclift.storage.facts import write_facts
from reclift.storage.migrate import migrate
from tests.integration import report_world as world
from tests.integration.report_rows import differ, write_units
from tests.integration.report_world import DAY, HOUR, T0
from tests.platform_fixtures import Caller
from tests.unit.storage.rows import event, exposure, impression


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    migrate(database)
    world.set_up(database, metrics={"primary": "revenue_per_user"}, planned_days=14)
    yield database
    database.dispose()


def write_past(database: Database, users: int = 500) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """20 days of facts; per user the clicks, lists and whether it bought since the first list."""
    random = np.random.default_rng(1)
    together = Facts()
    clicks, lists, bought = np.zeros((3, users))
    for number in range(users):
        start = T0 + int(number / users * 20 * DAY)
        for visit in range(1 + int(random.poisson(1.5))):
            name, at = f"u{number}-{visit}", start + visit * HOUR
            together.impressions.append(impression(name, f"u{number}", at))
            lists[number] += 1
            if random.random() < 0.2:
                clicks[number] += 1
                together.events.append(event(f"{name}-c", f"u{number}", at + 1_000, recommendation_id=name))
        if random.random() < 0.1:
            bought[number] = 1
            together.events.append(event(f"u{number}-p", f"u{number}", start + 2_000, type="purchase", value=5.0))
        if number % 50 == 0:
            together.events.append(event(f"u{number}-q", f"u{number}", start - 10, type="purchase", value=5.0))
            together.impressions.append(impression(f"u{number}-cart", f"u{number}", start, placement="cart"))
    with database.connection() as connection:
        write_facts(connection, together)
    return clicks, lists, bought


def ask(database: Database, metric: str, **more: Any) -> dict[str, Any]:
    with database.read() as session:
        return power.plan(session, "home", metric, power.Question(**more))


def test_the_baseline_is_that_of_the_raw_facts(database: Database) -> None:
    clicks, lists, bought = write_past(database)
    ratio = clicks.sum() / lists.sum()
    spread = ((clicks - ratio * lists) / lists.mean()).std(ddof=1)
    found = ask(database, "ctr")
    assert found["history"]["mean"] == pytest.approx(ratio)
    assert found["history"]["std_dev"] == pytest.approx(spread)
    assert (found["history"]["units"], found["history"]["units_read"]) == (500, 500)
    share = bought.mean()
    found = ask(database, "conversion", effect=0.1)
    assert found["history"]["mean"] == pytest.approx(share)
    # the textbook's formula for two equal arms, with the normal quantiles of 97.5 % and 80 %
    per_arm = 2 * (1.959964 + 0.841621) ** 2 * (1 - share) / share / 0.1**2
    assert found["units_per_arm"] == pytest.approx(per_arm, rel=0.005)
    assert found["units"] == 2 * found["units_per_arm"]


def test_days_come_from_how_many_new_units_came(database: Database) -> None:
    write_past(database)
    found = ask(database, "ctr", effect=0.5)
    assert found["days"] == pytest.approx(found["units"] / 25, abs=2)  # 500 in 20 days
    assert found["planned_days"] % 7 == 0
    assert 0 <= found["planned_days"] - found["days"] < 7
    half = ask(database, "ctr", effect=0.5, traffic=0.5)
    assert half["units"] == found["units"]
    assert half["days"] == pytest.approx(2 * found["days"], abs=3)


def test_longer_finds_less_and_more_arms_or_looking_early_needs_more(database: Database) -> None:
    write_past(database)
    found = ask(database, "ctr")
    effects = [one["effect"] for one in found["by_days"]]
    assert [one["days"] for one in found["by_days"]] == [7, 14, 21, 28]
    assert effects == sorted(effects, reverse=True)
    at_28 = ask(database, "ctr", effect=effects[-1])
    assert at_28["units"] == pytest.approx(found["by_days"][-1]["units"], rel=0.02)
    assert ask(database, "ctr", arms=3)["units_per_arm"] > found["units_per_arm"]
    assert ask(database, "ctr", regime="sequential")["units"] > found["units"]


def test_a_large_past_is_sampled_and_arrivals_are_not(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    write_past(database)
    whole = ask(database, "ctr")
    monkeypatch.setattr(power_past, "MOST_UNITS", 250)
    part = ask(database, "ctr")
    assert (part["history"]["units"], part["history"]["units_read"]) == (500, 250)
    assert part["history"]["mean"] == pytest.approx(whole["history"]["mean"], rel=0.25)
    assert part == ask(database, "ctr")


def test_without_a_past_or_with_a_metric_that_never_happened_there_is_a_reason(database: Database) -> None:
    empty = ask(database, "ctr")
    assert (empty["units"], empty["days"], empty["by_days"]) == (None, None, [])
    assert empty["reasons"]["units"]["text"]
    write_past(database, 60)
    never = ask(database, "add_to_cart")
    assert never["units"] is None
    assert never["reasons"]["units"]["code"]
    with pytest.raises(NotFound, match="metric 'nope'"):
        ask(database, "nope")
    with database.read() as session, pytest.raises(NotFound, match="placement 'nope'"):
        power.plan(session, "nope", "ctr", power.Question())


def simulate(database: Database, *, cuped: bool) -> dict[str, Any]:
    random = np.random.default_rng(2)
    n = 2_000
    u = random.normal(size=n)
    x = 10.0 + 2.0 * (0.8 * u + 0.6 * random.normal(size=n))
    with database.write() as session:
        row = experiments.find(session, "sim")
        row.data = {**row.data, "analysis": {"cuped": cuped, "minimum_effect": 0.01}}
    write_units(
        database, ["control", "new"] * (n // 2), metrics={"revenue_per_user": {"x": x, "u": 10 + u}},
        days_ago=[number % 10 for number in range(n)],
    )  # fmt: skip
    differ(database)
    with database.read() as session:
        found: dict[str, Any] = report.compute(session, experiments.find(session, "sim"))["power"]
    return found


def test_during_the_run_it_is_estimated_again_from_the_units_so_far(database: Database) -> None:
    found = simulate(database, cuped=False)
    (arm,) = found["arms"]
    assert (found["effect"], found["stated"], found["planned_days"]) == (0.01, True, 14)
    per_arm = 2 * (1.959964 + 0.841621) ** 2 * 2.0**2 / 0.1**2
    assert arm["units"] == pytest.approx(2 * per_arm, rel=0.1)
    assert arm["days"] == pytest.approx(arm["units"] / 200, abs=2)  # 2,000 in ten days
    assert arm["effect_now"] == pytest.approx((1.959964 + 0.841621) * 2.0 * np.sqrt(4 / 2_000) / 10, rel=0.05)
    assert arm["effect_at_end"] == pytest.approx(arm["effect_now"] * np.sqrt(10 / 14), rel=0.02)
    assert (arm["gain"], arm["units_without"]) == (None, None)
    assert arm["cuped_gain"] == pytest.approx(0.64, abs=0.05)  # what it would take


def test_cuped_needs_as_many_fewer_units_as_variance_goes(database: Database) -> None:
    (arm,) = simulate(database, cuped=True)["arms"]
    per_arm = 2 * (1.959964 + 0.841621) ** 2 * 2.0**2 * (1 - 0.64) / 0.1**2
    assert arm["units"] == pytest.approx(2 * per_arm, rel=0.1)
    assert arm["gain"] == arm["cuped_gain"] == pytest.approx(0.64, abs=0.05)
    assert arm["units_without"] == pytest.approx(arm["units"] / (1 - arm["gain"]), rel=0.01)


def test_an_experiment_without_units_says_so(database: Database) -> None:
    with database.read() as session:
        (arm,) = report.compute(session, experiments.find(session, "sim"))["power"]["arms"]
    assert arm["units"] is None
    assert arm["reasons"]["units"]["text"]


def test_over_the_api(read: Caller) -> None:
    found = read.ok("GET", "/api/v1/power?placement=home&metric=ctr&arms=3&effect=0.1&traffic=0.5")
    assert (found["arms"], found["effect"], found["traffic"], found["units"]) == (3, 0.1, 0.5, None)
    for query, field in (
        ("metric=ctr", "placement"), ("placement=home", "metric"), ("placement=home&metric=ctr&arms=1", "arms"),
        ("placement=home&metric=ctr&effect=0", "effect"), ("placement=home&metric=ctr&effect=nan", "effect"),
        ("placement=home&metric=ctr&traffic=2", "traffic"), ("placement=home&metric=ctr&regime=x", "regime"),
        ("placement=home&metric=ctr&power=1", "power"), ("placement=home&metric=ctr&level=x", "level"),
        ("placement=home&metric=ctr&days=366", "days"),
    ):  # fmt: skip
        assert field in str(read.refused("GET", f"/api/v1/power?{query}", status=422)["errors"])
    read.refused("GET", "/api/v1/power?placement=nope&metric=ctr", status=404)


def test_equal_weights_are_what_arms_alone_mean(database: Database) -> None:
    write_past(database)
    for arms in (2, 3, 5):
        weighted = ask(database, "ctr", arms=arms, weights=(2.0,) * arms)
        assert weighted == ask(database, "ctr", arms=arms)
        assert weighted["units_by_arm"] == [weighted["units_per_arm"]] * arms


def test_uneven_weights_need_what_the_smallest_arm_needs(database: Database) -> None:
    write_past(database)
    found = ask(database, "ctr", arms=3, effect=0.2, weights=(6.0, 3.0, 1.0))
    base = sizes.Baseline(found["history"]["mean"], found["history"]["std_dev"] ** 2)
    design = sizes.Design(control_share=6 / 7, comparisons=2)
    needed = sizes.required_units(base, 0.2, design) / 0.7
    assert found["units_by_arm"] == pytest.approx([needed * 0.6, needed * 0.3, needed * 0.1], abs=1)
    assert found["units"] == sum(found["units_by_arm"])
    assert found["units_per_arm"] == found["units_by_arm"][2]
    week = found["by_days"][0]
    assert sizes.achieved_power(base, week["effect"], week["units"] * 0.7, design) == pytest.approx(0.8, abs=0.01)


def test_a_length_of_ones_own_is_answered_beside_the_weeks(database: Database) -> None:
    write_past(database)
    assert [row["days"] for row in ask(database, "ctr", days=10)["by_days"]] == [7, 10, 14, 21, 28]
    assert ask(database, "ctr", days=14) == ask(database, "ctr")


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 0.0), (1.0, float("inf"))])
def test_weights_that_cannot_be(weights: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="there must be 2, each above 0"):
        power.Question(weights=weights)


def write_regulars(database: Database, users: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """20 days of regulars who come daily and buy for as much as they are rich; half of them are known to be Chinese.

    Returns what each bought in the first ten days and in the last ten.
    """
    random = np.random.default_rng(4)
    together = Facts()
    bought = np.zeros((2, users))
    for number in range(users):
        wealth = random.gamma(2.0, 10.0)
        for day in range(20):
            at = T0 + day * DAY + number
            together.impressions.append(impression(f"u{number}-{day}", f"u{number}", at))
            value = float(wealth * random.gamma(2.0, 0.5))
            together.events.append(event(f"u{number}-{day}-p", f"u{number}", at + 5, type="purchase", value=value))
            bought[int(day >= 10), number] += value
        if number < users // 2:
            country = "CN" if number % 4 else "US"
            together.exposures.append(
                exposure(f"u{number}", "control", T0, experiment="sim", attributes={"country": country})
            )
    with database.connection() as connection:
        write_facts(connection, together)
    with database.write() as session:
        metrics.create(session, SPENT, "test")
    return bought[0], bought[1]


SPENT = {"key": "spent", "kind": "sum", "numerator": {"event": "purchase", "value": "value"}, "window_hours": 240}


def test_cupeds_gain_is_measured_in_the_pasts_two_halves(database: Database) -> None:
    before, after = write_regulars(database)
    plain = ask(database, "spent", effect=0.1)
    squared = np.corrcoef(before, after)[0, 1] ** 2
    assert plain["cuped"]["gain"] == pytest.approx(squared, abs=0.01)
    assert (plain["cuped"]["source"], plain["cuped"]["units"], plain["cuped"]["used"]) == ("history", 400, False)
    assert plain["units_without"] is None
    used = ask(database, "spent", effect=0.1, cuped=True)
    assert used["cuped"]["used"] is True
    assert used["units_without"] == plain["units"]
    assert used["units"] == pytest.approx(plain["units"] * (1 - squared), rel=0.05)
    assert used["by_days"][0]["effect"] < plain["by_days"][0]["effect"]
    with database.read() as session:
        short = power.plan(session, "home", "spent", power.Question(), past_days=1)
    assert 0 < short["cuped"]["gain"] < plain["cuped"]["gain"]
    assert short["cuped"]["days"] == 1


def test_without_a_past_the_gain_is_that_of_an_experiment_that_ran_here(database: Database) -> None:
    write_past(database)  # each user comes for some hours only
    with database.connection() as connection:  # but for those who bought before
        connection.execute(text("DELETE FROM events WHERE event_id LIKE '%-q'"))
    alone = ask(database, "revenue_per_user", cuped=True)
    assert alone["cuped"] == {
        "gain": None, "units": alone["cuped"]["units"], "source": None, "experiment": None, "days": None, "used": False,
        "reasons": alone["cuped"]["reasons"],
    }  # fmt: skip
    assert alone["cuped"]["reasons"]["gain"]["text"]
    assert alone["units_without"] is None
    random = np.random.default_rng(2)
    u = random.normal(size=2_000)
    x = 10.0 + 2.0 * (0.8 * u + 0.6 * random.normal(size=2_000))
    write_units(database, ["control", "new"] * 1_000, metrics={"revenue_per_user": {"x": x, "u": 10 + u}})
    told = ask(database, "revenue_per_user", cuped=True)
    assert (told["cuped"]["source"], told["cuped"]["experiment"]) == ("experiment", "sim")
    assert told["cuped"]["units"] >= 1_000
    assert told["cuped"]["gain"] == pytest.approx(np.corrcoef(x[::2], u[::2])[0, 1] ** 2, abs=0.02)
    assert told["units"] < told["units_without"] == alone["units"]
    with database.read() as session:  # that experiment looked back as long as the metric's window
        other = power.plan(session, "home", "revenue_per_user", power.Question(cuped=True), past_days=30)
    assert other["cuped"]["gain"] is None


def test_an_audience_is_counted_where_attributes_are_known(database: Database) -> None:
    write_regulars(database)
    everybody = ask(database, "spent")
    assert everybody["audience"] is None

    def asked(audience: dict[str, Any], exclude: dict[str, Any] | None = None) -> dict[str, Any]:
        with database.read() as session:
            return power.plan(session, "home", "spent", power.Question(), who=Who(audience, exclude or {}))

    chinese = asked({"country": "CN"})
    assert chinese["audience"] == {"share": 0.75, "known": 200, "reasons": {}}
    assert chinese["history"]["units"] == everybody["history"]["units"] == 400
    raw = np.array([buys for unit, buys in spent_in_ten_days(database) if unit < 200 and unit % 4])
    assert len(raw) == 150
    assert chinese["history"]["mean"] == pytest.approx(raw.mean())
    assert chinese["history"]["std_dev"] == pytest.approx(raw.std(ddof=1))
    by_days = [one["units"] for one in chinese["by_days"]]
    assert by_days == [round(0.75 * one["units"]) for one in everybody["by_days"]]
    assert asked({}, {"country": "CN"})["audience"]["share"] == 0.25
    none = asked({"country": "DE"})
    assert none["units"] is None
    assert none["reasons"]["units"]["text"] == (
        "The audience lets in none of the 200 users whose attributes are known here."
    )


def spent_in_ten_days(database: Database) -> list[tuple[int, float]]:
    query = "SELECT unit_id, SUM(value) FROM events WHERE at < :until GROUP BY unit_id"
    with database.engine.connect() as connection:
        rows = connection.execute(text(query), {"until": T0 + 10 * DAY}).all()
    return [(int(unit[1:]), float(value)) for unit, value in rows]


def test_an_audience_of_users_that_nobody_knows_is_said_and_not_counted(database: Database) -> None:
    write_past(database)
    with database.read() as session:
        found = power.plan(session, "home", "ctr", power.Question(), who=Who({"country": "CN"}, {}))
    assert found["audience"]["share"] is None
    assert "sizes are of all users" in found["audience"]["reasons"]["share"]["text"]
    assert found["units"] == ask(database, "ctr")["units"]
    with database.write() as session:
        for number in range(100):
            catalogue.put_profile(session, f"u{number}", {"country": "CN" if number % 2 else "US"})
        profiles = power.plan(session, "home", "ctr", power.Question(), who=Who({"country": "CN"}, {}))
        named = power.plan(session, "home", "ctr", power.Question(), who=Who({"id": {"$in": ["u1", "u2"]}}, {}))
    assert profiles["audience"] == {"share": 0.5, "known": 100, "reasons": {}}
    assert named["audience"]["share"] == pytest.approx(2 / 500)


def test_what_of_an_audience_is_wrong_is_refused(read: Caller) -> None:
    for query, field in (
        ("audience=[1]", "audience"), ("audience={", "audience"), ('exclude={"a": {"$zz": 1}}', "exclude"),
        ("cuped=yes", "cuped"), ("cuped_days=91", "cuped_days"), ("corrected=1", "corrected"),
    ):  # fmt: skip
        told = read.refused("GET", f"/api/v1/power?placement=home&metric=ctr&{quote(query, safe='=')}", status=422)
        assert field in str(told["errors"])
