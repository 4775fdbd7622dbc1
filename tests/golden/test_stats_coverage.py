"""Catalogue coverage of two arms of eight users, worked by hand.

A catalogue of ten items; eight users an arm, so both are read at two users.

Control: {a b} {a b} {a c} {a d} {a} {a} {b} {}. Six users were shown a, three b, one c, one d. Of C(8, 2) = 28 pairs
of users, C(2, 2) = 1 misses a, C(5, 2) = 10 miss b, C(7, 2) = 21 miss c, 21 miss d: on average a pair is shown
4 - 53/28 = 59/28 items. Leaving a user out leaves C(7, 2) = 21 pairs. An item then met by 0, 1, 2, 3, ... of the seven
is missed by 21, 15, 10, 6, 3, 1, 0, 0 of them. So a user takes away 6/21 with an item of its own, 4/21 with one of
three users', 1/21 with one of six: in 21sts 5, 5, 7, 7, 1, 1, 4, 0. Their squares about the mean add up to
166 - 30²/8 = 53.5.

New: {a b} {c d} {e f} {a c} {b d} {e} {f} {a}. Three users were shown a, two each of the other five:
6 - (10 + 5 * 15)/28 = 83/28 items. A user takes away 4/21 with a, 5/21 with another: 9, 10, 10, 9, 10, 5, 5, 4;
528 - 62²/8 = 47.5.
"""

from __future__ import annotations

from math import sqrt

import pytest

from reclift.stats.rarefaction import Losses, Spread, compare_coverage, depth, estimate, item_losses

CONTROL = Spread(units=8, lists=9, items={6: 1, 3: 1, 1: 2})
NEW = Spread(units=8, lists=8, items={3: 1, 2: 5})


def test_two_arms_by_hand() -> None:
    assert depth([CONTROL, NEW]) == 2
    assert item_losses(CONTROL, 2) == pytest.approx({6: 1 / 21, 3: 4 / 21, 1: 6 / 21})
    assert item_losses(NEW, 2) == pytest.approx({3: 4 / 21, 2: 5 / 21})
    control = estimate(CONTROL, 2, 10, lambda _: Losses(30 / 21, 166 / 441))
    new = estimate(NEW, 2, 10, lambda _: Losses(62 / 21, 528 / 441))
    assert control.value == pytest.approx(5.9 / 28)
    assert new.value == pytest.approx(8.3 / 28)
    assert control.std_error == pytest.approx(sqrt(7 / 8 * 53.5) / 210)
    assert new.std_error == pytest.approx(sqrt(7 / 8 * 47.5) / 210)
    found = compare_coverage(control, new)
    assert found.difference == pytest.approx(2.4 / 28)
    assert found.std_error == pytest.approx(sqrt(7 / 8 * 101) / 210)
    assert found.lift == pytest.approx(24 / 59)
    a, b = control.std_error / control.value, new.std_error / new.value
    assert found.lift_std_error == pytest.approx(83 / 59 * sqrt(a * a + b * b))
