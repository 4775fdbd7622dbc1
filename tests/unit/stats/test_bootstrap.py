"""The bootstrap agrees with the formulas where both hold."""

from __future__ import annotations

import numpy as np
import pytest

from reclift.stats.bootstrap import UnitValues, bootstrap, grouped
from reclift.stats.comparison import compare
from reclift.stats.result import CannotCompute, Code
from reclift.stats.sums import Sums


def users(rng, n, rate):
    u = rng.gamma(2.0, 5.0, n)
    v = 1.0 + rng.poisson(u)
    y = 1.0 + rng.poisson(u)
    own = rng.beta(20 * rate, 20 * (1 - rate), n)
    return {"x": rng.binomial(y.astype(int), own), "y": y, "u": rng.binomial(v.astype(int), own), "v": v}


def buckets(columns, count):
    index = np.arange(columns["x"].size) % count
    return [Sums.from_arrays(**{name: values[index == i] for name, values in columns.items()}) for i in range(count)]


@pytest.mark.parametrize(("kind", "cuped"), [("mean", False), ("ratio", False), ("mean", True), ("ratio", True)])
def test_intervals_agree_with_the_delta_method(kind, cuped):
    rng = np.random.default_rng(30)
    a, b = (buckets(users(rng, 12_000, rate), 1000) for rate in (0.10, 0.11))
    boot = bootstrap(a, b, kind=kind, cuped=cuped, draws=3000)
    formula = compare(sum(a, Sums.empty()), sum(b, Sums.empty()), kind=kind, cuped=cuped)
    assert boot.difference == pytest.approx(formula.difference)
    assert boot.lift == pytest.approx(formula.lift)
    assert boot.difference_std_error == pytest.approx(formula.std_error, rel=0.07)
    for ours, theirs in zip(boot.lift_ci, formula.lift_ci, strict=True):
        assert ours == pytest.approx(theirs, abs=0.15 * (formula.lift_ci.high - formula.lift_ci.low))


def test_the_same_seed_gives_the_same_answer():
    rng = np.random.default_rng(31)
    a, b = (buckets(users(rng, 600, 0.1), 100) for _ in range(2))
    assert bootstrap(a, b, kind="mean", draws=200, seed=5) == bootstrap(a, b, kind="mean", draws=200, seed=5)
    assert bootstrap(a, b, kind="mean", draws=200, seed=5) != bootstrap(a, b, kind="mean", draws=200, seed=6)


def test_too_few_groups_and_weak_bases_are_reasons():
    few = [Sums.from_arrays([1.0, 2.0])] * 10
    with pytest.raises(CannotCompute) as caught:
        bootstrap(few, few, kind="mean")
    assert caught.value.reason.code is Code.TOO_FEW_UNITS
    weak = [Sums.from_arrays([value]) for value in (-1.0, 1.0, 0.2) * 20]
    with pytest.raises(CannotCompute) as caught:
        bootstrap(weak, weak, kind="mean")
    assert caught.value.reason.code is Code.UNBOUNDED


def test_too_few_draws_are_refused():
    with pytest.raises(ValueError, match="draws is 10"):
        bootstrap([], [], kind="mean", draws=10)


def test_groups_hold_every_unit_once_those_without_values_too():
    rng = np.random.default_rng(3)
    values = UnitValues(*rng.gamma(2.0, size=(4, 700)))
    groups = grouped(values, 5_000, seed=1)
    whole = sum(groups, Sums.empty())
    assert whole.n == 5_000
    alone = Sums.from_arrays(*values)
    assert whole.to_dict() == pytest.approx(alone.to_dict() | {"n": 5_000})
    assert len(groups) <= 1_000
    assert grouped(values, 5_000, seed=1) == groups != grouped(values, 5_000, seed=2)
    assert grouped(UnitValues(*np.zeros((4, 0))), 0, seed=1) == []


def test_zeros_count_as_units():
    """One unit in ten did something; the error is that of all units."""
    rng = np.random.default_rng(4)
    full = [np.concatenate([rng.gamma(2.0, 3.0 + shift, 3_000), np.zeros(27_000)]) for shift in (0.0, 0.3)]
    arms = [grouped(UnitValues(x[:3_000], *np.zeros((3, 3_000))), 30_000, seed=place) for place, x in enumerate(full)]
    boot = bootstrap(*arms, kind="mean", draws=2_000)
    formula = compare(*(Sums.from_arrays(x) for x in full), kind="mean")
    assert boot.difference == pytest.approx(formula.difference)
    assert boot.difference_std_error == pytest.approx(formula.std_error, rel=0.08)
