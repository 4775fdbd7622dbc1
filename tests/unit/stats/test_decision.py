"""Decisions: each call, and that its reasons say why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reclift.stats.comparison import compare
from reclift.stats.decision import Call, MetricReading, decide
from reclift.stats.evidence import read_evidence
from reclift.stats.families import adjust_families
from reclift.stats.group_sequential import latest_look, looks
from reclift.stats.plan import Plan
from reclift.stats.srm import srm
from reclift.stats.sums import Sums
from reclift.stats.words import p_words

GOOD_SPLIT = srm([20_000, 20_000], [1, 1])
CONTROL = Sums.of_counts(20_000, 2000)
OVER = Plan("fixed", days_planned=14, days_run=14)
EARLY = Plan("fixed", days_planned=14, days_run=6)


def primary(*successes, n=20_000, control=CONTROL, **more):
    arms = [
        compare(control, Sums.of_counts(n, k), kind="proportion", arm=f"arm-{i}", **more)
        for i, k in enumerate(successes, 1)
    ]
    return MetricReading("conversion", "primary", arms)


def guardrail(successes, margin=None, higher_is_better=True):
    c = compare(
        CONTROL, Sums.of_counts(20_000, successes), kind="proportion", arm="arm-1", higher_is_better=higher_is_better
    )
    return MetricReading("retention", "guardrail", [c], margin)


def test_a_failed_split_withholds_the_verdict():
    decision = decide(srm([20_000, 22_000], [1, 1]), [primary(2400)], OVER)
    assert decision.call is Call.INVALID
    assert "20,000 / 22,000 units where 21,000 / 21,000 were expected" in decision.because[0]
    assert "p < .001" in decision.because[0]


def test_faults_withhold_it_too():
    decision = decide(GOOD_SPLIT, [primary(2400)], OVER, faults=["412 units met more than one arm."])
    assert decision.call is Call.INVALID
    assert decision.because[0] == "412 units met more than one arm."


def test_a_better_arm_ships_when_the_plan_is_over():
    decision = decide(GOOD_SPLIT, [primary(2400)], OVER)
    assert (decision.call, decision.arm) == (Call.SHIP, "arm-1")
    assert decision.because[0].startswith("arm-1 is better than control on conversion: +20.0 %")
    assert decision.to_dict()["call"] == "ship"


def test_arms_are_read_with_the_correction_of_the_plan():
    weak = primary(2130, 2130, 2000)  # p just under .05 alone, twice that by Holm
    running = Plan("sequential", days_planned=14, days_run=6)
    always_valid = weak.comparisons[0].sequential.p_value
    for method, factor in (("none", 1.0), ("benjamini_hochberg", 1.5), ("holm", 3.0)):
        read = read_evidence([("c", weak.comparisons)], replace(running, correction=method), 0.05)
        assert read[0].sentence.endswith(f"always-valid p {p_words(min(1.0, factor * always_valid))}.")
    methods = {"primary": "none"}
    (open_,) = adjust_families([weak], methods)
    decision = decide(GOOD_SPLIT, [open_], replace(OVER, correction="none"))
    assert decision.call is Call.SHIP
    assert any(line.startswith("Not corrected, as was chosen: of 3 comparisons") for line in decision.because)
    (careful,) = adjust_families([weak])
    assert decide(GOOD_SPLIT, [careful], OVER).call is Call.KEEP_CONTROL
    with pytest.raises(ValueError, match="correction is 'sidak'"):
        Plan(correction="sidak")


def test_an_a_a_test_is_corrected_whatever_was_chosen():
    (open_,) = adjust_families([primary(2130, 2000, 2000)], {"primary": "none"})
    decision = decide(GOOD_SPLIT, [open_], replace(OVER, correction="none"), same_arms=True)
    assert decision.because[0].startswith("No difference between equal arms")


def test_a_better_arm_waits_for_a_fixed_plan():
    decision = decide(GOOD_SPLIT, [primary(2400)], EARLY)
    assert (decision.call, decision.arm) == (Call.KEEP_RUNNING, "arm-1")
    assert decision.because[-1] == "The plan is not over: day 6 of 14."


def test_the_sequential_regime_ships_early_only_on_strong_evidence():
    running = Plan("sequential", days_planned=14, days_run=6)
    assert decide(GOOD_SPLIT, [primary(2400)], running).call is Call.SHIP
    weak = primary(2130)
    assert weak.comparisons[0].p_value < 0.05
    assert decide(GOOD_SPLIT, [weak], running).call is Call.KEEP_RUNNING
    assert decide(GOOD_SPLIT, [weak], OVER).call is Call.SHIP


def test_harm_ends_a_fixed_plan_early():
    decision = decide(GOOD_SPLIT, [primary(1600)], EARLY)
    assert decision.call is Call.KEEP_CONTROL
    assert "arm-1 is worse than control" in decision.because[0]


def test_no_plan_reads_the_always_valid_way():
    weak = primary(2130)
    decision = decide(GOOD_SPLIT, [weak], Plan("fixed"))
    assert decision.call is Call.KEEP_RUNNING
    assert decision.because[-1] == "No length was planned, so the always-valid reading decides."


def test_no_difference_at_the_end_keeps_the_control_and_says_whether_it_could_have_been_seen():
    strong = decide(GOOD_SPLIT, [primary(2010)], OVER)
    assert strong.call is Call.KEEP_CONTROL
    assert not any("Underpowered" in sentence for sentence in strong.because)
    small = primary(46, n=10_000, control=Sums.of_counts(10_000, 46))
    weak = decide(srm([10_000, 10_000], [1, 1]), [small], Plan("fixed", finished=True))
    assert weak.call is Call.KEEP_CONTROL
    assert any("Underpowered on conversion: with these units only a lift of about 58.3 %" in s for s in weak.because)


def test_a_significant_but_small_experiment_is_told_that_it_exaggerates():
    men = primary(69, n=10_000, control=Sums.of_counts(10_000, 46))
    decision = decide(srm([10_000, 10_000], [1, 1]), [men], Plan("fixed", finished=True))
    assert decision.call is Call.SHIP
    assert any("probably exaggerated" in sentence for sentence in decision.because)


def test_guardrails_can_forbid():
    harmed = decide(GOOD_SPLIT, [primary(2400), guardrail(1600)], OVER)
    assert harmed.call is Call.KEEP_CONTROL
    assert any(s.startswith("Guardrail retention is harmed by arm-1") for s in harmed.because)
    wrong_way = decide(GOOD_SPLIT, [primary(2400), guardrail(2400, higher_is_better=False)], OVER)
    assert wrong_way.call is Call.KEEP_CONTROL


def test_a_margin_asks_for_proof_of_safety():
    unproven = decide(GOOD_SPLIT, [primary(2400), guardrail(2000, margin=0.02)], OVER)
    assert unproven.call is Call.KEEP_CONTROL
    assert any("not yet shown to lose less than 2.0 %" in s for s in unproven.because)
    proven = decide(GOOD_SPLIT, [primary(2400), guardrail(2000, margin=0.10)], OVER)
    assert proven.call is Call.SHIP
    assert any("holds for arm-1" in s for s in proven.because)


def test_the_best_of_several_arms_is_named():
    assert decide(GOOD_SPLIT, [primary(2300, 2500, 2000)], OVER).arm == "arm-2"


def test_a_leader_in_a_fixed_plan_is_said_to_be_ahead():
    decision = decide(GOOD_SPLIT, [primary(2400)], EARLY)
    assert decision.because[0].startswith("arm-1 is ahead of control on conversion: +20.0 %")


def test_planned_looks_use_their_own_level():
    design = looks([0.25, 0.5, 0.75, 1.0])
    arm = primary(2170)
    assert 0.003 < arm.comparisons[0].p_value < 0.02

    def at(share):
        reached = latest_look(design, share)
        plan = Plan(
            "group_sequential",
            units_planned=40_000,
            units=int(40_000 * share),
            look_alpha=reached[1].nominal_alpha if reached else None,
        )
        return decide(GOOD_SPLIT, [arm], plan)

    assert [at(share).call for share in (0.1, 0.5, 1.0)] == [Call.KEEP_RUNNING, Call.KEEP_RUNNING, Call.SHIP]
    assert "p at this look" in at(1.0).because[0]


def test_warnings_come_along_with_a_ship():
    decision = decide(GOOD_SPLIT, [primary(2800)], OVER)
    assert any("Twyman" in sentence for sentence in decision.because)


def test_a_sequential_plan_goes_on_while_a_guardrail_is_unproven():
    plan = Plan("sequential", days_planned=14, days_run=15)
    decision = decide(GOOD_SPLIT, [primary(2400), guardrail(2000, margin=0.02)], plan)
    assert decision.call is Call.KEEP_RUNNING
    assert "The guardrails are not yet shown to hold; more data may show it." in decision.because


def test_equal_arms_ship_nothing():
    same = {"plan": OVER, "same_arms": True}
    assert decide(GOOD_SPLIT, [primary(2010)], **same).call is Call.KEEP_CONTROL
    assert "as it should be" in decide(GOOD_SPLIT, [primary(2010)], **same).because[0]
    assert "as 5 % of A/A tests do by chance" in decide(GOOD_SPLIT, [primary(2130)], **same).because[0]
    fault = decide(GOOD_SPLIT, [primary(2400)], **same)
    assert fault.call is Call.INVALID
    assert "look for a fault" in fault.because[0]
    assert decide(GOOD_SPLIT, [primary(2010)], EARLY, same_arms=True).call is Call.KEEP_RUNNING


def test_a_plan_knows_how_far_it_is():
    plan = Plan("fixed", days_planned=14, days_run=14, units_planned=1000, units=900)
    assert not plan.is_over
    assert plan.progress_words == "The plan is not over: day 14 of 14, 900 of 1,000 units."
    assert Plan("fixed", finished=True).progress_words == "The experiment was stopped."


def test_nothing_to_decide_by():
    assert decide(GOOD_SPLIT, [], OVER).because == ("There is no primary metric to decide by.",)
    assert decide(srm([0, 0], [1, 1]), [primary(2400)], OVER).because == ("No unit has been exposed yet.",)
    empty = MetricReading("ctr", "primary", [compare(CONTROL, Sums.empty(), kind="proportion", arm="arm-1")])
    decision = decide(None, [empty])
    assert decision.call is Call.KEEP_RUNNING
    assert "nothing can be said. arm-1: The arm has no units." in decision.because[0]


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="role of ctr is 'main'"):
        MetricReading("ctr", "main", [])
    with pytest.raises(ValueError, match="margin of ctr is 2"):
        MetricReading("ctr", "guardrail", [], 2)
    with pytest.raises(ValueError, match="regime is 'daily'"):
        Plan("daily")
    with pytest.raises(ValueError, match="days_planned is -1"):
        Plan("fixed", days_planned=-1)


def fallbacks(control, arm, *, margin=0.1, higher_is_better=False, kind="proportion"):
    """A guardrail that is 0 for the control as a rule: fallbacks, errors."""
    c = compare(
        Sums.of_counts(20_000, control), Sums.of_counts(20_000, arm), kind=kind, arm="arm-1",
        higher_is_better=higher_is_better,
    )  # fmt: skip
    return MetricReading("Fallback rate", "guardrail", [c], margin)


@pytest.mark.parametrize("margin", [None, 0.1])
@pytest.mark.parametrize("plan", [OVER, EARLY, Plan()])
def test_a_guardrail_that_is_0_for_the_control_sees_what_the_arm_does(margin, plan):
    decision = decide(GOOD_SPLIT, [primary(2400), fallbacks(0, 300, margin=margin)], plan)
    assert decision.call is Call.KEEP_CONTROL
    assert any("Guardrail Fallback rate is harmed by arm-1" in why for why in decision.because)


@pytest.mark.parametrize("margin", [None, 0.1])
def test_what_never_happens_in_either_arm_forbids_nothing(margin):
    decision = decide(GOOD_SPLIT, [primary(2400), fallbacks(0, 0, margin=margin, kind="mean")], OVER)
    assert decision.call is Call.SHIP
    assert "Guardrail Fallback rate shows no harm by arm-1: it is 0 in both arms." in decision.because


def test_hardly_anything_where_the_control_has_nothing_forbids_nothing():
    decision = decide(GOOD_SPLIT, [primary(2400), fallbacks(0, 1)], OVER)
    assert decision.call is Call.SHIP
    assert any("shows no harm by arm-1: [" in why for why in decision.because)


@pytest.mark.parametrize("margin", [None, 0.1])
def test_what_happens_to_everybody_of_the_arm_and_nobody_else_ships_nothing(margin):
    decision = decide(GOOD_SPLIT, [primary(2400), fallbacks(0, 20_000, margin=margin, kind="mean")], OVER)
    assert decision.call is Call.KEEP_CONTROL
    assert any("is +1 with arm-1 for every unit alike, where the control has 0" in why for why in decision.because)
    gain = decide(
        GOOD_SPLIT, [primary(2400), fallbacks(0, 20_000, margin=margin, kind="mean", higher_is_better=True)], OVER
    )
    assert gain.call is Call.SHIP
