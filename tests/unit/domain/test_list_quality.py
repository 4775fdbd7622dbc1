"""What lists are like, by numbers that can be checked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from reclift.domain import ranking
from reclift.domain.list_quality import bits, diversity, novelty


def test_bits_halve_with_twice_the_users() -> None:
    assert bits(99, 99) == 0.0
    assert bits(49, 99) == 1.0
    assert bits(0, 1023) == 10.0
    assert math.isfinite(bits(0, 0))


def test_novelty_is_the_mean_of_the_items() -> None:
    assert novelty(["a", "b"], {"a": 1.0, "b": 3.0}, 9.0) == 2.0
    assert novelty(["a", "unheard"], {"a": 1.0}, 9.0) == 5.0
    assert novelty([], {"a": 1.0}, 9.0) is None
    assert novelty(["a"], {}, None) is None


def test_diversity_is_the_share_of_pairs_that_differ() -> None:
    categories = {"a": "x", "b": "x", "c": "y", "d": "z"}
    assert diversity(["a", "b"], categories) == 0.0
    assert diversity(["a", "c", "d"], categories) == 1.0
    assert diversity(["a", "b", "c"], categories) == pytest.approx(2 / 3)
    assert diversity(["a", "unknown"], categories) is None
    assert diversity([], categories) is None


def test_both_mean_what_offline_evaluation_means() -> None:
    lists = np.array([[0, 1, 2, 3]])
    chosen_by, users = np.array([9, 3, 1, 0]), 12
    names, place = ["a", "b", "c", "d"], {"k": 0, "l": 1}
    known = {name: bits(int(count), users) for name, count in zip(names, chosen_by, strict=True)}
    assert novelty(names, known, None or 0.0) == pytest.approx(ranking.novelty(lists, chosen_by, users)[0])
    categories = {"a": "k", "b": "k", "c": "l", "d": "l"}
    features = [(place[categories[name]],) for name in names]
    assert diversity(names, categories) == pytest.approx(ranking.intra_list_diversity(lists, features)[0])
