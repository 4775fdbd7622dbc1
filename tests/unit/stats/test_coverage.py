"""How many different items lists show: counted, and the jackknife against leaving units out one by one."""

from __future__ import annotations

import random

import numpy as np
import pytest

from reclift.stats.coverage import coverage


def by_hand(shown: list[set[str]]) -> tuple[int, float]:
    """The jackknife as it is defined: every unit is left out once."""
    left = [len(set().union(*(shown[:out] + shown[out + 1 :]))) for out in range(len(shown))]
    count = len(shown)
    return len(set().union(*shown)), float(np.sqrt((count - 1) / count * np.sum((np.array(left) - np.mean(left)) ** 2)))


@pytest.mark.parametrize("seed", range(5))
def test_it_equals_leaving_units_out(seed: int) -> None:
    chance = random.Random(seed)
    shown = [set(map(str, chance.choices(range(60), k=chance.randrange(1, 9)))) for _ in range(25)]
    found = coverage(shown)
    items, error = by_hand(shown)
    assert found.items == items
    assert found.std_error == pytest.approx(error, rel=1e-12)
    low, high = found.interval() or (0.0, 0.0)
    assert (low + high) / 2 == pytest.approx(items)
    assert high - low == pytest.approx(2 * 1.959964 * error, rel=1e-6)


def test_everybody_sees_the_same() -> None:
    found = coverage([{"a", "b"}] * 10)
    assert (found.items, found.std_error, found.interval()) == (2, 0.0, (2.0, 2.0))


def test_one_unit_has_no_error() -> None:
    assert coverage([]).interval() is None
    assert coverage([{"a"}]).std_error is None
    assert coverage([{"a"}, {"a"}]).std_error == 0.0


def test_the_interval_holds_where_others_come() -> None:
    """Many worlds with the same tastes: the standard error is about the spread of the numbers."""
    worlds = np.random.default_rng(1)
    chance = 1 / np.arange(1, 201)
    chance /= chance.sum()
    numbers, errors = [], []
    for _ in range(200):
        found = coverage([set(map(str, worlds.choice(200, 5, p=chance))) for _ in range(60)])
        numbers.append(found.items)
        errors.append(found.std_error)
    assert np.mean(errors) == pytest.approx(np.std(numbers), rel=0.35)
