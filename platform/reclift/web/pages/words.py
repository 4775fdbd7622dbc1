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
        "With many comparisons some look good by luck; the correction that the experiment chose keeps that in check "
        "within a role of metrics. Where it chose none, the report warns.",
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
    "regime": Word(
        "How it is read",
        "When the report may call a winner: once at the planned end, at planned looks, or whenever somebody looks.",
        "Looking at a single-look interval every day finds winners that are none. Choose before the start; the report "
        "holds the experiment to it. The other readings are shown too, and marked as not decisive.",
    ),
    "looks": Word(
        "Planned looks",
        "How often the report may decide on the way; the looks are spaced evenly over the planned length.",
        "Each look spends a part of the false positive rate: cautious at first (O'Brien-Fleming) keeps nearly all of "
        "it for the end, so early winners must be beyond doubt. A power family with rho 1 spends evenly.",
    ),
    "level": Word(
        "Level",
        "How sure intervals are: at 95 %, one experiment in twenty without any effect would look like it had one.",
        "A higher level means wider intervals and more users.",
    ),
    "cuped": Word(
        "CUPED",
        "Takes out of the numbers what users did on this placement before they met their arm, which narrows intervals.",
        "It helps most where users come back. Users without a past count as they are; the report says what it gained. "
        "Deng, Xu, Kohavi & Walker, WSDM 2013.",
    ),
    "cuped_days": Word(
        "A user's past",
        "How many days before meeting an arm count as what the user did before.",
        "Left empty, it is as long as the metric's window, or 7 days. Longer helps where people come seldom; shorter "
        "where tastes change fast. Chosen before the start.",
    ),
    "correction": Word(
        "Correction",
        "Every comparison is one more chance to be fooled by luck; a correction makes up for it.",
        "Holm: in at most 5 of 100 experiments without any effect is anything called real. Benjamini-Hochberg: of what "
        "is called real, at most 5 of 100 are expected to be luck; it finds more. None: nothing makes up for it, and "
        "the report says so. With one arm beside the control and one metric, all three are the same.",
    ),
    "stratify": Word(
        "Like with like",
        "Compares users only with those of the same value of an attribute, then takes the weighted average.",
        "Use an attribute that the shop sends with the user's first list, and that the arms cannot change. It narrows "
        "intervals where groups differ much; it cannot be used together with CUPED.",
    ),
    "prior": Word(
        "Prior of the lift",
        "What you believe of the lift before the data; it pulls the Bayesian reading of small experiments towards it.",
        "Most ideas change little: 0 give or take 10 % is honest for most. Without a spread every lift is as likely.",
    ),
    "rate_prior": Word(
        "Prior of rates",
        "As if so many successes and failures had been seen in each arm already; 1 and 1 says nothing.",
        "For metrics that are a share of the users, in the Bayesian reading; CUPED and strata do not use it.",
    ),
    "bootstrap": Word(
        "Bootstrap",
        "A second interval from drawing the users again and again, beside the formula's: a cross-check.",
        "0 for none, else 200 to 10,000. With the same seed the same data give the same interval.",
    ),
    "minimum_effect": Word(
        "Smallest lift worth having",
        "The lift below which you would not bother: sizes and duration are computed for it.",
        "Halving it takes four times as many users.",
    ),
    "tuning": Word(
        "Tuned for",
        "How many users the always-valid interval is narrowest at; far from it, it is a little wider.",
        "The number of users that you expect when you decide is a good choice. It does not change what is valid.",
    ),
    "power": Word(
        "Sizes from the past",
        "How many users and days it takes to find the lift four times in five, from what this placement's users did.",
        "The past are the placement's last 28 days: each user counts from the first list in it. Duration is rounded up "
        "to whole weeks, since weekdays differ.",
    ),
    "variety": Word(
        "Variety",
        "How much a list mixes: items like those above them are put further down, whatever strategy ranked them.",
        "0 leaves the strategy's order, 1 looks at nothing but variety; 0.2 to 0.4 is a good start. Maximal marginal "
        "relevance, Carbonell & Goldstein, SIGIR 1998.",
    ),
    "category_cap": Word(
        "Of one category",
        "At most so many items of one category in a list, where enough others are there.",
        "A full list is worth more than the limit: without enough others, left-out items come back at its end.",
    ),
    "pinned": Word(
        "Model",
        "An arm follows the newest good model of its strategy, or stays with one version.",
        "Pin it to compare two versions, or so that nothing changes while the experiment runs.",
    ),
    "explore": Word(
        "New items",
        "A share of the places in each list that goes to items few have met, so that they get known.",
        "Drawn by chance, with the chances on record, in all arms alike; such items have the source explore.",
    ),
    "as_user": Word(
        "Preview as a user",
        "The lists that each arm would show to one person now, side by side, and which arm the person would get.",
        "It asks the strategies as the shop does. Nothing is logged: no impression, no exposure.",
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
