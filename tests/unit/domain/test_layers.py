from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reclift.domain.experiment import Arm, Experiment, LayerSlot
from reclift.domain.layers import LayerFullError, allocate, free_ranges, grow
from reclift.domain.plan import Plan


def slot(start, end):
    return LayerSlot("l", start, end)


def test_an_empty_layer_is_free():
    assert free_ranges({}) == [(0.0, 1.0)]
    assert free_ranges({"a": slot(0, 1)}) == []


def test_free_space_is_what_lies_between():
    assert free_ranges({"b": slot(0.5, 0.7), "a": slot(0.1, 0.3)}) == [(0.0, 0.1), (0.3, 0.5), (0.7, 1.0)]


def test_the_first_gap_that_is_large_enough_is_taken():
    slots = {"a": slot(0.1, 0.3), "b": slot(0.5, 0.7)}
    assert allocate("l", 0.1, slots) == slot(0.0, 0.1)
    assert allocate("l", 0.2, slots) == slot(0.3, 0.5)
    assert allocate("l", 0.25, slots) == slot(0.7, 0.95)


def test_a_full_layer_says_what_there_is():
    with pytest.raises(
        LayerFullError, match=r"no room for 0.4 .* 0.6 is free, the largest piece is 0.3; held by a \(0.1"
    ):
        allocate("l", 0.4, {"a": slot(0.1, 0.3), "b": slot(0.5, 0.7)})


@pytest.mark.parametrize("share", [0, -0.1, 1.1, float("nan")])
def test_a_share_is_a_share(share):
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        allocate("l", share, {})


@given(st.lists(st.floats(0.0001, 0.5), max_size=12))
def test_slots_never_overlap_and_no_sliver_is_lost(shares):
    slots = {}
    for i, share in enumerate(shares):
        try:
            slots[f"e{i}"] = allocate("l", share, slots)
        except LayerFullError:
            assert sum(end - start for start, end in free_ranges(slots)) < share + 1e-4
        else:
            assert slots[f"e{i}"].end - slots[f"e{i}"].start >= share - 1e-9
    ordered = sorted(slots.values(), key=lambda held: held.start)
    assert all(one.end <= other.start for one, other in pairwise(ordered))
    held = sum(one.end - one.start for one in ordered)
    assert held + sum(end - start for start, end in free_ranges(slots)) == pytest.approx(1)


def test_ten_tenths_fill_a_layer():
    slots = {}
    for i in range(10):
        slots[f"e{i}"] = allocate("l", 0.1, slots)
    assert free_ranges(slots) == []


class TestGrow:
    def test_inside_of_its_slot_only_the_coverage_changes(self):
        assert grow("a", 0.3, {"a": slot(0.1, 0.5)}) == slot(0.1, 0.5)
        assert grow("a", 0.0, {"a": slot(0.1, 0.5)}) == slot(0.1, 0.5)

    def test_it_grows_to_the_right_into_free_room(self):
        slots = {"a": slot(0.1, 0.2), "b": slot(0.0, 0.1), "c": slot(0.6, 0.9)}
        assert grow("a", 0.5, slots) == slot(0.1, 0.6)
        assert grow("a", 0.7, {"a": slot(0.1, 0.2)}) == slot(0.1, 0.8)

    def test_a_neighbour_in_the_way_is_named_with_how_far_it_can_go(self):
        slots = {"a": slot(0.1, 0.2), "c": slot(0.6, 0.9), "b": slot(0.4, 0.5)}
        with pytest.raises(LayerFullError, match=r"raised to 0.3 at most, since experiment 'b' holds"):
            grow("a", 0.31, slots)

    def test_the_layers_end_is_an_end(self):
        with pytest.raises(LayerFullError, match=r"raised to 0.2 at most, since the layer ends"):
            grow("a", 0.3, {"a": slot(0.8, 0.9), "b": slot(0.1, 0.2)})

    @given(st.floats(0.01, 0.3), st.floats(0, 1), st.floats(0, 1))
    def test_nobody_who_is_in_moves(self, size, one, other):
        low, high = sorted((one, other))
        held = {"a": allocate("l", size, {})}
        before = Experiment("a", "p", ARMS, traffic=low, slot=grow("a", low, held))
        after = Experiment("a", "p", ARMS, traffic=high, slot=grow("a", high, {"a": before.slot}))
        plans = Plan([before]), Plan([after])
        assert after.coverage >= before.coverage
        for i in range(100):
            decision = plans[0].decide("a", f"u{i}")
            assert not decision.in_experiment or plans[1].decide("a", f"u{i}") == decision


ARMS = (Arm("control", "s", control=True), Arm("new", "s"))
