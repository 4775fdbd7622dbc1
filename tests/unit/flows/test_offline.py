import json
from typing import Any, ClassVar

import numpy as np
import pytest

from reclift.flows.offline import Candidate, Settings, Split, evaluate
from reclift.strategy import Dataset, Item, NullStrategy, Query, Scored
from strategies.item_cf import ItemCF
from strategies.popularity import Popularity
from tests.unit.strategies.helpers import shop


def rows(*found):
    return Dataset.from_rows([(user, item_id, 1.0, float(at), value) for user, item_id, at, value in found])


SMALL = rows(
    ("a", "x", 1, 5.0),
    ("b", "y", 2, 1.0),
    ("a", "y", 3, 2.0),
    ("b", "x", 4, 4.0),
    ("a", "z", 5, 5.0),
    ("a", "x", 6, 5.0),
)


def named(split):
    ids = split.train.item_ids
    return {
        str(split.train.user_ids[user]): {str(ids[item]) for item in wanted}
        for user, wanted in zip(split.users, split.wanted, strict=True)
    }


def test_temporal_split_learns_nothing_of_the_future():
    split = Split.temporal(SMALL, 0.5)
    assert split.train.times.max() < split.details["cut"] <= 4.0
    assert named(split) == {"a": {"z"}, "b": {"x"}}
    assert split.left_out == {"item already in the user's history": 1}
    assert split.train.shape == SMALL.shape
    assert named(Split.temporal(SMALL, 0.5, exclude_seen=False)) == {"a": {"x", "z"}, "b": {"x"}}


def test_temporal_split_does_not_cut_through_a_second():
    data = rows(*((f"u{n}", f"i{n}", 7, 1.0) for n in range(4)), ("u0", "i3", 1, 1.0))
    split = Split.temporal(data, 0.2)
    assert len(split.train) == 1


def test_leave_last_out():
    split = Split.leave_last_out(SMALL)
    assert named(split) == {"b": {"x"}}  # what a did last was known already
    assert named(Split.leave_last_out(SMALL, 2)) == {"a": {"z"}}  # b would have no history left


def test_random_split_is_a_share_and_repeats():
    data = shop()
    split = Split.random(data, 0.25, seed=4)
    assert len(split.train) == 675
    assert (Split.random(data, 0.25, seed=4).train.users == split.train.users).all()


def test_only_what_is_worth_finding():
    assert named(Split.temporal(SMALL, 0.5, min_value=4.5)) == {"a": {"z"}}
    assert Split.temporal(SMALL, 0.5, min_value=4.5).left_out["value below 4.5, or none"] == 1


def test_histories_are_what_the_users_had_done():
    split = Split.temporal(SMALL, 0.5)
    assert [[(s.item_id, s.at, s.value) for s in history] for history in split.histories()] == [
        [("x", 1.0, 5.0), ("y", 3.0, 2.0)],
        [("y", 2.0, 1.0)],
    ]


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_impossible_shares_are_named(share):
    with pytest.raises(ValueError, match="share="):
        Split.temporal(SMALL, share)


class Oracle(NullStrategy):
    """Knows what user a wants, and also returns rubbish: seen, unknown and repeated items."""

    asked: ClassVar[list[Query]] = []

    def recommend(self, query: Query) -> Any:
        self.asked.append(query)
        if query.user_id != "a":
            return []
        return [Scored("x", 3.0), Scored("z", 2.0), Scored("z", 1.0)]


def test_evaluates_as_served():
    Oracle.asked.clear()
    split = Split.temporal(SMALL, 0.5)
    found = evaluate(split, [Candidate("oracle", Oracle)], Settings(ks=(1, 2)), Candidate("filler", Popularity))
    assert [query.user_id for query in Oracle.asked] == ["a", "b"]
    assert Oracle.asked[0].exclude == {"x", "y"}
    assert [signal.item_id for signal in Oracle.asked[0].history] == ["x", "y"]
    metrics = found.results[0].metrics
    # a's z is found first, once; b's x comes from the fallback
    assert metrics[1]["ndcg"].value == 1.0
    assert metrics[2]["precision"].value == 0.5
    assert found.results[0].own_share == pytest.approx(1 / 4)
    alone = evaluate(split, [Candidate("oracle", Oracle)], Settings(ks=(1,)))
    assert alone.results[0].metrics[1]["ndcg"].value == 0.5


def test_numbers_are_those_of_a_plain_loop():
    data = shop(seed=3)
    split = Split.random(data, 0.3, seed=1)
    found = evaluate(split, [Candidate("popular", Popularity), Candidate("items", ItemCF)], Settings(ks=(5,)))
    counts = np.bincount(split.train.columns, weights=split.train.weights, minlength=data.shape[1])
    values = []
    for user, wanted in zip(split.users, split.wanted, strict=True):
        seen = set(split.train.columns[split.train.users == user].tolist())
        order = [n for n in np.argsort(-counts, kind="stable").tolist() if n not in seen][:5]
        values.append(sum(n in wanted for n in order) / 5)
    estimate = found.results[0].metrics[5]["precision"]
    assert estimate.value == pytest.approx(np.mean(values))
    assert estimate.low < estimate.value < estimate.high
    assert estimate.users == len(split.users)


def test_comparison_is_on_the_same_users_and_signed():
    data = shop(seed=3)
    settings = Settings(ks=(5,), draws=200)
    candidates = [Candidate("none", NullStrategy), Candidate("popular", Popularity), Candidate("same", Popularity)]
    found = evaluate(Split.random(data, 0.3), candidates, settings)
    by_pair = {(c.first, c.second): c for c in found.comparisons}
    assert len(by_pair) == 3
    assert by_pair["none", "popular"].difference.value == found.results[1].metrics[5]["ndcg"].value
    assert by_pair["none", "popular"].p_value < 0.01
    assert by_pair["popular", "same"].difference.value == 0
    assert by_pair["popular", "same"].p_value == 1.0
    assert by_pair["none", "popular"].p_value_adjusted == pytest.approx(3 * by_pair["none", "popular"].p_value)


def test_what_cannot_be_computed_has_a_reason():
    found = evaluate(Split.temporal(SMALL, 0.5), [Candidate("none", NullStrategy)], Settings(ks=(2,)))
    metrics = found.results[0].metrics[2]
    assert metrics["ndcg"].value == 0.0
    assert (metrics["novelty"].value, metrics["gini"].value) == (None, None)
    assert metrics["novelty"].reason
    assert metrics["gini"].reason == "nothing was recommended"
    assert metrics["coverage"].value == 0.0
    text = json.dumps(found.to_dict(), allow_nan=False)
    assert json.loads(text)["results"][0]["metrics"]["2"]["novelty"]["value"] is None


def test_bands_of_history_cover_all_users():
    data = shop(users=300, events=1500)
    found = evaluate(Split.temporal(data, 0.3), [Candidate("popular", Popularity)])
    bands = found.results[0].by_history
    assert sum(band.estimate.users for band in bands) == found.split["users"]
    assert bands[0].first == 0


def test_a_sample_of_users():
    found = evaluate(Split.random(shop(), 0.3), [Candidate("popular", Popularity)], Settings(max_users=10))
    assert found.split["users"] == 10
    assert found.split["users_with_something_to_find"] > 10


def test_progress_never_falls():
    told: list[float] = []
    candidates = [Candidate("popular", Popularity), Candidate("items", ItemCF)]
    evaluate(Split.random(shop(), 0.3), candidates, progress=lambda share, _what: told.append(share))
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)


def test_bad_questions_are_named():
    split = Split.random(shop(), 0.3)
    with pytest.raises(ValueError, match="each name once"):
        evaluate(split, [Candidate("a", Popularity), Candidate("a", Popularity)])
    with pytest.raises(ValueError, match="no user has anything to find"):
        evaluate(Split.temporal(Dataset.from_rows([], [Item("x")])), [Candidate("a", Popularity)])
    with pytest.raises(ValueError, match="primary='auc'"):
        Settings(primary="auc")
    with pytest.raises(ValueError, match="primary_k=7"):
        Settings(ks=(5,), primary_k=7)
    with pytest.raises(ValueError, match="ks="):
        Settings(ks=())


def test_new_items_are_learned_by_nobody():
    data = shop()
    split = Split.new_items(data, 0.25, seed=2)
    held = set().union(*split.wanted)
    assert len(held) == 10
    assert not held & set(split.train.columns.tolist())
    assert len(split.train.items) == 40


def test_new_users_are_known_by_their_first_interactions_only():
    data = shop()
    split = Split.new_users(data, 0.2, history=3, seed=2)
    assert len(split.users) == 12
    assert not set(split.users.tolist()) & set(split.train.users.tolist())
    for user, history in zip(split.users, split.histories(), strict=True):
        assert [s.at for s in history] == np.sort(data.times[data.users == user])[:3].tolist()
    assert Split.new_users(data, 0.2, history=0, seed=2).histories() == [()] * 12
    with pytest.raises(ValueError, match="history=-1"):
        Split.new_users(data, history=-1)


def test_diversity_looks_at_titles_where_nothing_else_describes_items():
    data = Dataset.from_rows(
        [("a", "x", 1.0, 1.0), ("b", "z", 1.0, 9.0)],
        [Item("x"), Item("y", title="red cup"), Item("z", title="red pot")],
    )
    split = Split.temporal(data, 0.5)
    found = evaluate(split, [Candidate("popular", Popularity)], Settings(ks=(3,)))
    assert found.results[0].metrics[3]["diversity"].value == pytest.approx(0.5)
