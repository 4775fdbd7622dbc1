"""Ratings out of a data set: events that carry a number, the latest one per user and item."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from reclift.strategy import Dataset

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


def ratings(data: Dataset) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
    """Users, items and ratings, each shape (n,), one row per pair: who rates again has changed their mind."""
    rated = np.flatnonzero(np.isfinite(data.values))
    order = rated[np.lexsort((data.times[rated], data.columns[rated], data.users[rated]))]
    users, columns = data.users[order], data.columns[order]
    last = np.ones(len(order), dtype=bool)
    last[:-1] = (users[1:] != users[:-1]) | (columns[1:] != columns[:-1])
    return users[last], columns[last], data.values[order[last]].astype(np.float64)


def rating_matrix(data: Dataset) -> csr_matrix:
    """Users by items, float64; a rating of 0 is kept as an entry."""
    from scipy.sparse import csr_matrix

    users, columns, values = ratings(data)
    # sorted by user already: built by hand, since conversions from triples may drop explicit zeros
    starts = np.concatenate([[0], np.cumsum(np.bincount(users, minlength=data.shape[0]))])
    return csr_matrix((values, columns, starts), shape=data.shape)
