import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.metrics.pairwise import cosine_similarity

from strategies import neighbours
from strategies.neighbours import Pairs, directions, nearest, nearest_by_product, weigh
from tests.unit.strategies.helpers import quiet, shop


@pytest.fixture
def rows():
    return shop().matrix.T.tocsr()


def brute(dense, similarity):
    """One pair at a time, by the definition."""
    count = len(dense)
    found = np.zeros((count, count))
    for a in range(count):
        for b in range(count):
            both = (dense[a] > 0) & (dense[b] > 0)
            if similarity == "jaccard":
                found[a, b] = both.sum() / max(1, ((dense[a] > 0) | (dense[b] > 0)).sum())
            elif both.sum() > 1 and np.ptp(dense[a][both]) > 0 and np.ptp(dense[b][both]) > 0:
                found[a, b] = np.corrcoef(dense[a][both], dense[b][both])[0, 1]
    return found


def test_cosine_is_scikit_learn_s(rows):
    block = Pairs(rows).cosine("none")
    np.testing.assert_allclose(block(0, rows.shape[0]), cosine_similarity(rows), atol=1e-6)
    np.testing.assert_allclose(block(3, 9), cosine_similarity(rows)[3:9], atol=1e-6)


def test_jaccard_and_pearson_are_their_definitions(rows):
    dense = rows.toarray()
    np.testing.assert_allclose(Pairs(rows).jaccard()(0, len(dense)), brute(dense, "jaccard"), atol=1e-6)
    np.testing.assert_allclose(Pairs(rows).pearson(rows)(0, len(dense)), brute(dense, "pearson"), atol=1e-6)


def test_pearson_does_not_change_with_the_scale_s_origin(rows):
    moved = rows.copy()
    moved.data = moved.data + 1000
    size = rows.shape[0]
    np.testing.assert_allclose(Pairs(rows).pearson(moved)(0, size), Pairs(rows).pearson(rows)(0, size), atol=1e-6)


def test_shrinkage_and_overlap(rows):
    plain, shared = cosine_similarity(rows), ((rows > 0).astype(int) @ (rows > 0).T.astype(int)).toarray()
    expected = np.where(shared >= 4, plain * shared / (shared + 7), 0)
    np.testing.assert_allclose(
        Pairs(rows, shrinkage=7, overlap=4).cosine("none")(0, rows.shape[0]), expected, atol=1e-6
    )


def test_weighting_counts_busy_columns_less():
    rows = csr_matrix(np.array([[1, 1, 0], [1, 0, 4], [1, 0, 0]], dtype=np.float32))
    found = weigh(rows, "tfidf").toarray()
    idf = np.log(1 + np.array([0.5 / 3.5, 2.5 / 1.5, 2.5 / 1.5]))
    np.testing.assert_allclose(found, np.sqrt(rows.toarray()) * idf, atol=1e-6)
    length = np.array([2, 5, 1]) / (8 / 3)
    dense = rows.toarray()
    expected = dense * 2.2 / (1.2 * (0.25 + 0.75 * length[:, None]) + dense) * idf
    np.testing.assert_allclose(weigh(rows, "bm25").toarray(), expected, atol=1e-6)
    np.testing.assert_array_equal(weigh(rows, "none").toarray(), dense)


@pytest.mark.parametrize("k", [1, 5, 39, 500])
def test_nearest_takes_the_best_of_each_row_in_any_block(rows, k, monkeypatch):
    monkeypatch.setattr(neighbours, "BLOCK_BYTES", 4 * 40 * 7)
    found, similar = nearest(rows.shape[0], k, Pairs(rows).cosine("none"), quiet)
    dense = cosine_similarity(rows)
    np.fill_diagonal(dense, 0)
    width = min(k, 39)
    assert found.shape == similar.shape == (40, width)
    np.testing.assert_allclose(similar, -np.sort(-dense, axis=1)[:, :width], atol=1e-6)
    kept = np.zeros_like(dense)
    np.add.at(kept, (np.arange(40)[:, None], found), similar)
    assert ((kept == 0) | np.isclose(kept, dense, atol=1e-6)).all()


@pytest.mark.parametrize("k", [1, 5, 39, 500])
@pytest.mark.parametrize("weighting", ["none", "bm25"])
def test_both_ways_to_the_product_agree(rows, k, weighting):
    slow = nearest(rows.shape[0], k, Pairs(rows).cosine(weighting), quiet)
    fast = nearest_by_product(directions(rows, weighting), k, quiet)
    np.testing.assert_allclose(fast[1], slow[1], rtol=1e-5)
    differs = fast[0] != slow[0]
    # only rounding may order equals differently
    assert differs.mean() < 0.02
    for count in (0, 1):
        found, similar = nearest_by_product(csr_matrix((count, 3)), k, quiet)
        assert found.shape == similar.shape == (count, 0)


def test_nearest_without_any_pair():
    for count in (0, 1):
        found, similar = nearest(count, 10, Pairs(csr_matrix((count, 3))).jaccard(), quiet)
        assert found.shape == similar.shape == (count, 0)
