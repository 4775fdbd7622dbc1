"""More terms of the pages: what metrics are made of, and what a report says beside the lift."""

from __future__ import annotations

from .words import WORDS, Word

ALL_WORDS: dict[str, Word] = {
    **WORDS,
    "window": Word(
        "Window",
        "How long after a user's first exposure what they do still counts.",
        "Each user has a window of their own, so early and late users are measured alike; those whose window is still "
        "open count with what they did so far.",
    ),
    "cap": Word(
        "Cap",
        "The most that one user can count for, so that a single large buyer does not decide.",
        "Larger numbers are set to the cap, in all arms alike (winsorisation).",
    ),
    "margin": Word(
        "Margin",
        "How much worse a guardrail may get before it fails.",
        "A guardrail is passed when the interval of its lift lies wholly above the margin (non-inferiority).",
    ),
    "coverage": Word(
        "Coverage",
        "The share of the available catalogue that lists show to equally many users of each arm.",
        "It grows with users, so all arms are read at a quarter of the smallest arm's. It is read once, at the end.",
    ),
    "needed": Word(
        "Users needed",
        "Users of this arm and the control together that find the stated effect four times in five.",
        "Computed from this experiment's own spread so far, with CUPED's gain where it is on.",
    ),
    "cuped": Word(
        "CUPED",
        "What users did before their exposure explains part of what they do after; taking that out narrows intervals.",
        "The gain is the share of the variance that goes away; users needed fall by the same share.",
    ),
    "novelty": Word(
        "Novelty",
        "Whether the lift fades as users get used to the new lists, or grows as they learn.",
        "Users are compared on the same day since their own first exposure, and only those who have been in that long.",
    ),
    "interaction": Word(
        "Interaction test",
        "Whether the lift differs between segments by more than chance.",
        "Read it before any single segment: without a difference, the overall lift is the best guess for each.",
    ),
    "outliers": Word(
        "Outliers",
        "Whether the lift would be another one without each arm's largest user.",
        "If it would, one person decides: think of a cap.",
    ),
    "before": Word(
        "Before the exposure",
        "The same comparison on the time before users met their arm, when the arms could not differ.",
        "A difference there means a broken split or a carry-over from an earlier experiment.",
    ),
    "repeated": Word(
        "At the planned look",
        "The interval that goes with the latest of the looks that were planned before the start.",
        "It is as wide as the spending of error at that look asks for; only there may one stop.",
    ),
    "credible": Word(
        "Credible interval",
        "Where the lift lies with this probability, given the data and the prior that is named below it.",
        "A Bayesian reading: it depends on the prior, and says so.",
    ),
    "bootstrap": Word(
        "Bootstrap",
        "The same interval by drawing groups of users again and again: a check that needs no formula.",
        "Where it is much wider or shifted, trust it more than the formulas.",
    ),
    "expected_loss": Word(
        "Expected loss",
        "How much lift one gives up on average by choosing this arm, should it be the worse one.",
        "Small enough to be no matter: choose the arm even when it is not certain to be better.",
    ),
    "offline": Word(
        "Offline metrics",
        "What a strategy would have found of what people chose later, computed from records, without showing anything.",
        "All items are ranked; nothing is sampled. It is a hint: the online lift decides.",
    ),
    "ndcg": Word("nDCG", "Hits in the list, those further up counting more, relative to the best possible list.", ""),
    "hit_rate": Word("Hit rate", "Share of users whose list holds at least one item that they chose later.", ""),
    "precision": Word("Precision", "Share of the list that the user chose later.", ""),
    "recall": Word("Recall", "Share of what the user chose later that is in the list.", ""),
    "map": Word("MAP", "Mean over users of the average precision at each hit.", ""),
    "mrr": Word("MRR", "Mean over users of one over the place of the first hit.", ""),
    "gini": Word(
        "Gini", "How unequally items are shown: 0 all equally often, 1 always the same few.", "Lower is more even."
    ),
    "item_novelty": Word(
        "Novelty of items", "How unpopular the shown items are, in bits: higher means less known items.", ""
    ),
    "diversity": Word("Diversity", "How unlike each other the items of one list are, from 0 to 1.", ""),
    "own_share": Word(
        "Own share",
        "Share of the places that the strategy filled itself; the fallback filled the rest.",
        "A strategy that answers for few users looks good on those, and leaves the others to its fallback.",
    ),
    "active_model": Word(
        "An active model",
        "It answers for the placements and arms that ask for its strategy with its parameters.",
        "Arms may also be pinned to a version. A model that nobody asks for waits: name its strategy and parameters in "
        "an arm or a placement.",
    ),
    "split": Word(
        "Split",
        "What is hidden from the strategies: the last part of time, or the last thing that each user chose.",
        "Temporal is the honest one: nothing is learnt from the future. Leave-last-out asks every user, also where "
        "little happened lately.",
    ),
    "dead_letter": Word(
        "Dead letter",
        "Something that was acknowledged and that the tables refuse, kept with the reason.",
        "It can be replayed once the cause is gone, as often as one likes: nothing counts twice.",
    ),
}
"""All of `words.WORDS` and these."""
