"""The Open Bandit Dataset (Saito et al. 2020): a real A/B test of two recommenders, against independent arithmetic."""

from __future__ import annotations

import csv
import gzip
from math import erfc, sqrt

import pytest

from reclift.stats.comparison import compare
from reclift.stats.decision import Call, MetricReading, decide
from reclift.stats.plan import Plan
from reclift.stats.srm import srm
from reclift.stats.sums import Sums
from tests.shared_data import shared_path

CLICKS = {"all": (38, 42), "men": (46, 69), "women": (46, 46)}


def log(policy, campaign):
    with gzip.open(shared_path("data", "open-bandit", policy, campaign, f"{campaign}.csv.gz"), "rt") as file:
        return [float(row["click"]) for row in csv.DictReader(file)]


def pooled_z_p(a, b, n=10_000):
    """The textbook test of two proportions, by hand: another road to the same figure."""
    pooled = (a + b) / (2 * n)
    z = (b - a) / n / sqrt(pooled * (1 - pooled) * 2 / n)
    return erfc(abs(z) / sqrt(2))


@pytest.mark.parametrize("campaign", CLICKS)
def test_clicks_and_p_values(campaign):
    random, bts = (Sums.from_arrays(log(policy, campaign)) for policy in ("random", "bts"))
    a, b = CLICKS[campaign]
    assert (random.units, bts.units, random.x, bts.x) == (10_000, 10_000, a, b)
    result = compare(random, bts, kind="proportion", control_arm="random", arm="bts")
    assert result.lift == pytest.approx(b / a - 1)
    assert result.p_value == pytest.approx(pooled_z_p(a, b), abs=5e-4)
    as_mean = compare(random, bts, kind="mean")
    assert as_mean.p_value == pytest.approx(result.p_value, abs=1e-4)


def test_men_is_the_published_figure_and_all_is_not_significant():
    men, everyone = (
        compare(*(Sums.of_counts(10_000, k) for k in CLICKS[c]), kind="proportion", arm="bts", control_arm="random")
        for c in ("men", "all")
    )
    assert men.lift == pytest.approx(0.5)
    assert round(pooled_z_p(*CLICKS["men"]), 3) == round(men.p_value, 3) == 0.031
    assert round(pooled_z_p(*CLICKS["all"]), 3) == round(everyone.p_value, 3) == 0.654
    assert men.lift_ci_fieller.low > 0 > men.lift_ci.low  # 46 clicks are few: only Fieller agrees with the test


def test_the_campaigns_are_called_underpowered():
    for campaign, (a, b) in CLICKS.items():
        reading = MetricReading(
            "ctr",
            "primary",
            [compare(Sums.of_counts(10_000, a), Sums.of_counts(10_000, b), kind="proportion", arm="bts")],
        )
        decision = decide(srm([10_000, 10_000], [1, 1]), [reading], Plan("fixed", finished=True))
        assert decision.call is (Call.SHIP if campaign == "men" else Call.KEEP_CONTROL)
        assert any(sentence.startswith("Underpowered on ctr") for sentence in decision.because)
