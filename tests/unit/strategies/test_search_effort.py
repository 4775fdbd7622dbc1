from types import SimpleNamespace

import pytest

from reclift.strategy import Query, Scored, Signal
from strategies.search_effort import tuned

EXACT = [Scored(f"i{n}", float(100 - n)) for n in range(50)]


class Searching:
    """Finds all for short histories; for long ones so many of each ten as the effort says."""

    def __init__(self):
        self.index = SimpleNamespace(effort=0)

    def recommend(self, query):
        found = 10 if len(query.history) == 1 else self.index.effort
        return [scored for n, scored in enumerate(EXACT[: query.k]) if n % 10 < found]

    def looked_at(self, _query):
        return 0.1


class Exact(Searching):
    def recommend(self, query):
        return EXACT if query.history[0].item_id != "unknown" else []


def asked(first="i1"):
    signal = Signal("i1", 1.0, 0.0)
    return [Query(50, history=[Signal(first, 1.0, 0.0)] + [signal] * (40 * (number % 2))) for number in range(80)]


@pytest.mark.parametrize(("goal", "effort"), [(0.75, 8), (0.95, 10)])
def test_the_goal_is_reached_for_long_histories_and_not_only_on_average(goal, effort):
    model = Searching()
    found = tuned(Exact(), model, asked(), (5, 6, 7, 8, 9, 10), goal)
    assert found["effort"] == model.index.effort == effort
    assert found["recall@10"] == found["recall@50"] == pytest.approx((1 + effort / 10) / 2)
    assert found["questions"] == 40


def test_the_search_stays_exact_where_long_histories_miss_too_much_or_nobody_can_be_asked():
    assert "no effort up to 9 finds 0.95" in tuned(Exact(), Searching(), asked(), (5, 9), 0.95)["exact"]
    assert "0 users could be asked" in tuned(Exact(), Searching(), asked("unknown"), (5, 9), 0.95)["exact"]
