"""The nearest neighbours of every row of a sparse matrix, with the cut to the best few inside the product.

The product of a 20,000 x 20,000 similarity has 400 million entries. It is never held. A plain product goes through the
`implicit` library's kernel, twice as fast as anything made of SciPy calls; what needs more than one product (shrinkage,
overlap, Jaccard, Pearson) is computed here in blocks of rows, cut to their best k and dropped, in as many threads as
there are cores (SciPy's product and NumPy's partition work without the interpreter's lock).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from reclift.strategy import Progress

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Similarity = Literal["cosine", "pearson", "jaccard"]
Weighting = Literal["none", "tfidf", "bm25"]
Block = Callable[[int, int], NDArray[np.floating]]
"""Similarities of rows [start, stop) to all rows, dense; what is not above zero is no neighbour."""

BLOCK_BYTES = 16 << 20
BM25_K1 = 1.2
BM25_B = 0.75


def rarity(rows: csr_matrix) -> NDArray[np.float32]:
    """How much a column tells, shape (C,): log(1 + (N - n + 0.5) / (n + 0.5)), N rows of which n have it.

    Never 0: in a small shop, a user who has everything would else erase all that they share.
    """
    owners = np.bincount(rows.indices, minlength=rows.shape[1])
    return np.asarray(np.log1p((rows.shape[0] - owners + 0.5) / (owners + 0.5)), dtype=np.float32)


def weigh(rows: csr_matrix, weighting: Weighting) -> csr_matrix:
    """Rows (what is compared) by columns (their features), weighed so that features that everybody has count less.

    `tfidf`: sqrt(w) times the column's rarity; `bm25`: w saturates and long rows count less, times the same rarity:
    Robertson & Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), k1 = 1.2, b = 0.75.
    """
    weighed = rows.astype(np.float32, copy=True)
    if weighting == "none" or not rows.nnz:
        return weighed
    idf = rarity(rows)
    if weighting == "tfidf":
        weighed.data = np.sqrt(weighed.data) * idf[weighed.indices]
        return weighed
    length = np.asarray(rows.sum(axis=1)).ravel()
    norm = (1 - BM25_B + BM25_B * length / length.mean()).astype(np.float32)
    of_row = np.repeat(norm, np.diff(rows.indptr))
    weighed.data *= (BM25_K1 + 1) / (BM25_K1 * of_row + weighed.data) * idf[weighed.indices]
    return weighed


def unit_rows(rows: csr_matrix) -> csr_matrix:
    """The rows at length 1; rows of nothing stay so."""
    norms = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    scaled = rows.copy()
    scaled.data = rows.data / np.repeat(np.where(norms > 0, norms, 1), np.diff(rows.indptr)).astype(rows.dtype)
    return scaled


def directions(rows: csr_matrix, weighting: Weighting) -> csr_matrix:
    """Vectors whose products are the cosines of the weighed rows; with `bm25`, which knows lengths, as weighed."""
    weighed = weigh(rows, weighting)
    return weighed if weighting == "bm25" else unit_rows(weighed)


def nearest_by_product(rows: csr_matrix, k: int, progress: Progress) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """`nearest`, where the similarity is the product of two rows with entries of at least 0."""
    count = rows.shape[0]
    width = max(0, min(k, count - 1))
    if not width or not rows.nnz:
        return np.zeros((count, width), dtype=np.int32), np.zeros((count, width), dtype=np.float32)
    from implicit.nearest_neighbours import all_pairs_knn

    columns = rows.T.tocsr().astype(np.float64)
    best = all_pairs_knn(columns, width + 1, show_progress=False)  # a row may be its own neighbour here
    del columns
    progress(0.9, "sorting")
    found = best.col.reshape(count, width + 1)
    similar = best.data.reshape(count, width + 1)
    similar[found == np.arange(count)[:, None]] = 0
    return _sorted(found, similar, width)


class Pairs:
    """Similarities of the rows of a matrix, a block at a time; what is not above zero is no neighbour."""

    def __init__(self, rows: csr_matrix, *, shrinkage: float = 0.0, overlap: int = 1) -> None:
        """Prepare.

        Args:
            rows: shape (R, C), strengths > 0.
            shrinkage: s is multiplied by n / (n + shrinkage), n columns in common (Bell & Koren, ICDM 2007).
            overlap: pairs with fewer columns in common are no neighbours.
        """
        self._shrinkage = shrinkage
        self._overlap = overlap
        self._sizes = np.diff(rows.indptr).astype(np.float32)
        self._owns = rows.astype(np.float32, copy=True)
        self._owns.data = np.ones_like(self._owns.data)
        self._has = self._owns.T.tocsr()
        self._rows = rows

    def cosine(self, weighting: Weighting) -> Block:
        """Product of the rows' `directions`."""
        left = directions(self._rows, weighting)
        right = left.T.tocsr()

        def block(start: int, stop: int) -> NDArray[np.floating]:
            similar = np.asarray((left[start:stop] @ right).toarray())
            return self._damped(similar, self._common(start, stop))

        return block

    def jaccard(self) -> Block:
        """Columns that both have over columns that either has."""

        def block(start: int, stop: int) -> NDArray[np.floating]:
            shared = self._common(start, stop)
            union = self._sizes[start:stop, None] + self._sizes[None, :] - shared
            return self._damped(np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0), shared)

        return block

    def pearson(self, values: csr_matrix) -> Block:
        """Correlation of `values` (same pattern as the rows) over the columns that both rows have."""
        rated = values.astype(np.float64, copy=True)
        if rated.nnz:
            rated.data = rated.data - rated.data.mean()  # the correlation does not change, its rounding shrinks
        squared = rated.copy()
        squared.data = squared.data**2
        rated_t, squared_t, has = rated.T.tocsr(), squared.T.tocsr(), self._has.astype(np.float64)
        owns = self._owns.astype(np.float64)

        def block(start: int, stop: int) -> NDArray[np.floating]:
            part = slice(start, stop)
            shared = (owns[part] @ has).toarray()
            n = np.maximum(shared, 1)
            x, y = (rated[part] @ has).toarray(), (owns[part] @ rated_t).toarray()
            covariance = (rated[part] @ rated_t).toarray() - x * y / n
            spread = ((squared[part] @ has).toarray() - x * x / n) * ((owns[part] @ squared_t).toarray() - y * y / n)
            similar = np.divide(covariance, np.sqrt(np.maximum(spread, 0)), out=np.zeros_like(x), where=spread > 1e-12)
            return self._damped(np.clip(similar, -1, 1), shared.astype(np.float32))

        return block

    def _common(self, start: int, stop: int) -> NDArray[np.float32]:
        return np.asarray((self._owns[start:stop] @ self._has).toarray())

    def _damped(self, similar: NDArray[np.floating], shared: NDArray[np.float32]) -> NDArray[np.floating]:
        if self._shrinkage > 0:
            similar = similar * np.divide(shared, shared + self._shrinkage)
        return np.where(shared >= self._overlap, similar, 0)


def nearest(count: int, k: int, block: Block, progress: Progress) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The k most similar other rows of each of `count` rows, most similar first.

    Returns:
        Neighbours, shape (count, min(k, count - 1)), and their similarities, same shape. Where a row has fewer
        neighbours of a similarity above zero, the rest is row 0 at similarity 0, which adds nothing to any sum.
    """
    width = max(0, min(k, count - 1))
    found = np.zeros((count, width), dtype=np.int32)
    similar = np.zeros((count, width), dtype=np.float32)
    if not width:
        return found, similar
    height = max(1, BLOCK_BYTES // (4 * count))

    def one(start: int) -> None:
        stop = min(start + height, count)
        dense = block(start, stop)
        dense[np.arange(stop - start), np.arange(start, stop)] = 0
        best = np.argpartition(dense, count - width, axis=1)[:, count - width :]
        found[start:stop], similar[start:stop] = _sorted(best, np.take_along_axis(dense, best, axis=1), width)

    starts = range(0, count, height)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for done, _ in enumerate(threads.map(one, starts), start=1):
            progress(done / len(starts), "comparing")
    return found, similar


def _sorted(
    found: NDArray[np.integer], similar: NDArray[np.floating], width: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Each row's best `width`, most similar first, ties by number; what is not above zero is row 0 at 0."""
    order = np.lexsort((found, -similar), axis=1)[:, :width]
    found, similar = np.take_along_axis(found, order, axis=1), np.take_along_axis(similar, order, axis=1)
    return np.where(similar > 0, found, 0).astype(np.int32), np.maximum(similar, 0).astype(np.float32)
