"""The sequential split test: it only ever gets surer, and finds what is broken."""

from __future__ import annotations

import pytest

from reclift.stats.srm_sequential import log_bayes_factor, sequential_srm


def test_an_even_split_is_ok_and_a_broken_one_is_found():
    days = [[500 * day, 500 * day] for day in range(1, 15)]
    assert sequential_srm(days, [1, 1]).p_value == 1.0
    broken = [[530 * day, 470 * day] for day in range(1, 15)]
    assert sequential_srm(broken, [1, 1]).ok is False


def test_an_alarm_is_never_taken_back():
    broken = [[600, 400], [1200, 800], [2400, 1600]]
    repaired = [*broken, [20_000, 20_000]]
    assert sequential_srm(repaired, [1, 1]).p_value == sequential_srm(broken, [1, 1]).p_value < 0.001


def test_the_result_shows_the_latest_units():
    result = sequential_srm([[5, 5], [30, 10]], [3, 1])
    assert (result.observed, result.expected) == ((30, 10), (30.0, 10.0))
    assert result.method == "sequential multinomial test"


def test_nobody_yet_and_units_where_none_may_be():
    nobody = sequential_srm([[0, 0]], [1, 1])
    assert (nobody.p_value, nobody.ok) == (None, None)
    assert sequential_srm([[5, 1]], [1, 0]).p_value == 0.0


def test_the_bayes_factor_averages_to_one_under_the_plan():
    """Over all outcomes of 3 units in 2 arms, weighted by their probability: a martingale that starts at 1."""
    from math import comb, exp

    total = sum(
        comb(3, k) * 0.3**k * 0.7 ** (3 - k) * exp(log_bayes_factor([k, 3 - k], [3, 7], 50.0)) for k in range(4)
    )
    assert total == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("looks", "options", "message"),
    [
        ([], {}, "looks is empty"),
        ([[5, 5], [4, 9]], {}, r"looks\[1\] is \[4, 9\]"),
        ([[5, 5]], {"concentration": 0}, "concentration is 0"),
        ([[5, 5, 5]], {}, "each arm needs both"),
    ],
)
def test_bad_input_is_named(looks, options, message):
    with pytest.raises(ValueError, match=message):
        sequential_srm(looks, [1, 1], **options)
