"""Sums over neighbours, and the best of them, are those of the plain way, whatever the sizes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from reclift.strategy import StrategyError
from strategies import scatter
from strategies.scatter import Neighbours

SHAPES = [(1, 0), (1, 1), (5, 4), (64, 3), (65, 10), (1000, 40), (10_000, 25)]


def world(items: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    near = draw.integers(0, items, (items, width)).astype(np.int32)
    similar = draw.random((items, width)).astype(np.float32) * (draw.random((items, width)) < 0.8)
    places = draw.choice(items, min(items, 30), replace=False)
    return near, similar.astype(np.float32), places, draw.random(len(places)) + 0.1


def plain(near: np.ndarray, similar: np.ndarray, places: np.ndarray, weights: np.ndarray) -> np.ndarray:
    sums = np.zeros(len(near))
    for place, weight in zip(places, weights, strict=True):
        np.add.at(sums, near[place], similar[place] * weight)
    return sums


@pytest.mark.parametrize(("items", "width"), SHAPES)
def test_sums_are_those_of_the_plain_way(items: int, width: int) -> None:
    near, similar, places, weights = world(items, width)
    neighbours = Neighbours(near, similar)
    sums = neighbours.borrow()
    neighbours.add_up(places, weights, sums)
    np.testing.assert_allclose(sums[:items], plain(near, similar, places, weights), rtol=1e-5)
    assert not sums[items:].any()
    neighbours.give_back(sums)
    assert not neighbours.borrow().any()


@pytest.mark.parametrize(("items", "width"), SHAPES)
@pytest.mark.parametrize("count", [0, 1, 7, 100, 20_000])
def test_the_best_are_the_best(items: int, width: int, count: int) -> None:
    sums = Neighbours(*world(items, width)[:2]).borrow()
    sums[:items] = np.random.default_rng(count).integers(-3, 40, items)  # many ties, some below zero
    found, scores = Neighbours.best(sums, count)
    expected = [place for place in np.argsort(-sums, kind="stable").tolist() if sums[place] > 0][:count]
    assert found == expected
    assert scores == sums[expected].tolist()


@pytest.mark.parametrize("width", [3, 40])
def test_the_source_is_who_brought_it(width: int) -> None:
    """Neighbours that are cut off say it from one side only; then that side is asked."""
    draw = np.random.default_rng(3)
    items = 60
    full = draw.random((items, items)).astype(np.float32)
    full += full.T
    np.fill_diagonal(full, 0)
    near = np.argsort(-full, axis=1)[:, :width].astype(np.int32)
    neighbours = Neighbours(near, np.take_along_axis(full, near, axis=1))
    places, weights = np.arange(10), np.ones(10)
    sums = neighbours.borrow()
    neighbours.add_up(places, weights, sums)
    picked, _ = neighbours.best(sums, 30)
    for item, source in zip(picked, neighbours.sources(picked, places, weights), strict=True):
        said = {place: full[place, item] for place in places.tolist() if item in near[place] or place in near[item]}
        assert said[source] == max(said.values())


def test_threads_do_not_share_their_sums() -> None:
    near, similar, _, _ = world(1_000, 40)
    neighbours = Neighbours(near, similar)

    def ask(number: int) -> bool:
        places = np.random.default_rng(number).choice(1_000, 30, replace=False)
        sums = neighbours.borrow()
        neighbours.add_up(places, np.ones(30), sums)
        right = np.allclose(sums[:1_000], plain(near, similar, places, np.ones(30)), rtol=1e-4)
        neighbours.give_back(sums)
        return right

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(300)))
    assert len(neighbours._spare) <= scatter._MOST_KEPT


@pytest.mark.parametrize("wrong", [-1, 5])
def test_a_place_that_is_none_is_refused(wrong: int) -> None:
    near = np.zeros((5, 2), dtype=np.int32)
    near[3, 1] = wrong
    with pytest.raises(StrategyError, match="places must be from 0 to 4"):
        Neighbours(near, np.ones((5, 2), dtype=np.float32))
