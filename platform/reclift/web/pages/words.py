"""The terms that pages use, each with one sentence: for the `?` beside a term and for the page of words."""

from __future__ import annotations

from typing import NamedTuple


class Word(NamedTuple):
    """A term, one sentence that says what it is, and more for those who want it."""

    term: str
    sentence: str
    more: str


WORDS: dict[str, Word] = {
    "lift": Word(
        "Lift",
        "How much higher (or lower) the arm's mean is than the control's, relative to the control.",
        "+12 % means that a metric of 5.0 % in the control is 5.6 % in the arm. The interval is relative too.",
    ),
    "interval": Word(
        "Interval",
        "The lifts that the data is compatible with; in 95 of 100 experiments it holds the true one.",
        "The thick line is the 95 % interval for a single look at the planned end. If zero lies inside, the data does "
        "not tell the arm from the control.",
    ),
    "always_valid": Word(
        "Always-valid interval",
        "A wider interval that stays honest however often one looks, and whenever one stops.",
        "It is an asymptotic confidence sequence. Stop early on this one, not on the thick one.",
    ),
    "detectable": Word(
        "Detectable lift",
        "The smallest true lift that this much data would find four times in five.",
        "What lies inside the pale band can be there and not show yet; it narrows as users come in.",
    ),
    "p_value": Word(
        "p",
        "How often chance alone would show a difference at least this large, if there was none.",
        "Small values speak against 'no difference'. It is not the chance that the arm is worse.",
    ),
    "p_adjusted": Word(
        "p adjusted",
        "The p-value after accounting for how many metrics and arms were compared.",
        "With many comparisons some look good by luck; Holm's correction keeps that in check within a role of metrics.",
    ),
    "chance_to_win": Word(
        "Chance to win",
        "The probability that the arm is better than the control, given the data and a weak prior.",
        "A Bayesian reading beside the others. Near 50 % says: nobody knows yet.",
    ),
    "sample_ratio": Word(
        "Sample ratio",
        "Whether users are split between the arms as planned; if not, something is broken and no number can be read.",
        "A chi-square test against the planned weights; an alarm at p < .001. Usual causes: an arm that fails to log, "
        "redirects, bots, a change of weights in mid-flight.",
    ),
    "exposed": Word(
        "Exposed users",
        "Users who met their arm at least once, counted from their first meeting.",
        "Being assigned is not enough: who never came to the placement is in no arm's numbers.",
    ),
    "standard_error": Word(
        "± standard error",
        "How much the mean would vary if the experiment was repeated.",
        "The unit is the user, also for ratios such as clicks per impression.",
    ),
    "primary": Word(
        "Primary metric",
        "The one metric that decides; chosen before the start.",
        "Secondary metrics explain, guardrails must not get worse.",
    ),
    "control": Word(
        "Control", "The arm that all others are compared with.", "Usually what the shop shows today; always slate."
    ),
    "traffic": Word(
        "Traffic",
        "The share of all users of the placement who take part; raising it later moves nobody who is in.",
        "Users who are not in see the placement's default strategy.",
    ),
    "layer": Word(
        "Layer",
        "Experiments of one layer share its users out, so nobody is in two of them.",
        "Each holds a slot as large as its traffic. Experiments of different layers overlap by chance alone.",
    ),
    "ramp": Word(
        "Ramp",
        "Traffic that grows on a schedule, and stops by itself when something is wrong.",
        "It pauses the experiment when the sample ratio is off or a guardrail's always-valid interval says harm.",
    ),
    "phase": Word(
        "Phase",
        "A stretch with one split of the users; a new phase hashes everybody anew.",
        "Who was in one arm may come into another, so the data of the phases never mix: reports are of the newest one.",
    ),
    "sticky": Word(
        "Sticky assignment",
        "Who is in keeps the arm, also when weights change or the user leaves the audience.",
        "Weights of a sticky experiment can change while it runs: the new ones are for users who are yet to come.",
    ),
    "holdout": Word(
        "Holdout",
        "A share of the users that no experiment may take: they see the default strategies only.",
        "It is measured like an experiment, and tells what all experiments together bring.",
    ),
    "group": Word(
        "Saved group",
        "A named list of users, or a named condition, for use in many audiences.",
        "A change of the group holds at once wherever it is used.",
    ),
    "preview": Word(
        "Preview link",
        "A signed token that shows a person any arm; nothing of it enters the data.",
        "It holds for two weeks, and also before the start and after the end.",
    ),
    "placement": Word(
        "Placement", "A place in the shop that shows recommendations.", "Each has a default strategy and a fallback."
    ),
    "fallback": Word(
        "Fallback",
        "The strategies that fill a list when the first one has no model, fails, is late or has too few items.",
        "The fallback rate is the share of lists that needed it.",
    ),
    "coverage": Word(
        "Coverage", "Share of the catalogue that was shown at least once.", "Higher means that more items get a chance."
    ),
}
