"""Puts alike items into lists."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from strategies.item_lists import HEAD

SWEEPS = 8
PER_LIST = 64
"""Centres are learned from so many items for each; that is enough, and bounds the time with a million items."""
_BLOCK = 4096


def list_count(items: int) -> int:
    """How many lists: a few times the square root, so that looking at centres and into lists cost about the same."""
    return max(1, min(4096, int(3 * items**0.5), items // 8))


def grouped(vectors: NDArray[np.float32], count: int, seed: int) -> NDArray[np.int32]:
    """The list of each vector, shape (n,), by k-means (Lloyd 1982) from a random start; at most `count` lists."""
    random = np.random.default_rng(seed)
    most = count * PER_LIST
    sample = vectors if len(vectors) <= most else vectors[np.sort(random.permutation(len(vectors))[:most])]
    centres = sample[np.sort(random.permutation(len(sample))[:count])].copy()
    for _ in range(SWEEPS):
        nearest = _nearest(sample, centres)
        order = np.argsort(nearest, kind="stable")
        sizes = np.bincount(nearest, minlength=len(centres))
        taken = sizes > 0
        sums = np.add.reduceat(sample[order], (np.cumsum(sizes) - sizes)[taken], axis=0)
        centres[taken] = sums / sizes[taken, None]
    return _nearest(vectors, centres)


def _nearest(vectors: NDArray[np.float32], centres: NDArray[np.float32]) -> NDArray[np.int32]:
    found = np.empty(len(vectors), dtype=np.int32)
    half = np.einsum("ij,ij->i", centres, centres) / 2
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK] @ centres.T
        block -= half
        found[start : start + _BLOCK] = block.argmax(axis=1)
    return found


def in_lists(lists: NDArray[np.int32]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """An order in which the items of each list stand together, and where lists begin in it, and the end."""
    order = np.argsort(lists, kind="stable")
    sizes = np.bincount(lists)
    return order, np.concatenate([[0], np.cumsum(sizes[sizes > 0])]).astype(np.int64)


def vector_lists(vectors: NDArray[np.float32], seed: int) -> tuple[NDArray[np.intp], dict[str, NDArray[Any]]]:
    """The order of items for `VectorLists`, and its arrays but for the vectors themselves.

    Args:
        vectors: shape (I, d), by falling length.
        seed: of k-means.
    """
    head = min(HEAD, len(vectors) // 2)
    rest = vectors[head:]
    order, starts = in_lists(grouped(rest, list_count(len(rest)), seed))
    rest, sizes = rest[order], np.diff(starts)
    centres = np.add.reduceat(rest, starts[:-1], axis=0, dtype=np.float64) / sizes[:, None]
    away = np.empty(len(rest))
    for start, stop, centre in zip(starts[:-1].tolist(), starts[1:].tolist(), centres, strict=True):
        away[start:stop] = ((rest[start:stop] - centre) ** 2).sum(axis=1)
    spreads = np.sqrt(np.add.reduceat(away, starts[:-1]) / sizes)
    return np.concatenate([np.arange(head), head + order]), {
        "list_starts": head + starts,
        "list_centres": centres.astype(np.float32),
        "list_spreads": spreads.astype(np.float32),
    }
