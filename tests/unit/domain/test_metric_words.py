from __future__ import annotations

import pytest

from reclift.domain.metric import BUILT_IN, Metric, MetricKind, Source
from reclift.domain.metric_words import choices, hours, kind_words, kinds, sentence, value_words

CASES = [
    (
        Metric("m", "M", MetricKind.PROPORTION, Source("purchase"), window_hours=168, margin=0.0),
        (
            "The share of exposed users with at least one “purchase” event; only the first 7 days after a user's "
            "exposure count. Higher is better; as a guardrail it tolerates no shown harm."
        ),
    ),
    (
        Metric("m", "M", MetricKind.PROPORTION, Source("click", attributed=True), minimum=3),
        (
            "The share of exposed users with 3 or more “click” events on their arm's lists. Higher is better; as "
            "a guardrail it tolerates a drop of up to 2 %."
        ),
    ),
    (
        Metric("m", "M", MetricKind.COUNT, Source("click", where={"kind": "big", "n": 3, "new": True}), cap=1500),
        (
            "Number of “click” events (kind = big, n = 3, new = true) of an exposed user, on average; a user "
            "counts for at most 1,500. Higher is better; as a guardrail it tolerates a drop of up to 2 %."
        ),
    ),
    (
        Metric("m", "M", MetricKind.SUM, Source("purchase", "value"), cap=300, cap_percentile=0.99),
        (
            "Sum of the values of “purchase” events of an exposed user, on average; a user counts for at most 300"
            " or the 99th percentile of all users, whichever is less. Higher is better; as a guardrail it "
            "tolerates a drop of up to 2 %."
        ),
    ),
    (
        Metric("m", "M", MetricKind.RATIO, Source("impression", "latency_ms"), Source("impression"), margin=0.1,
               direction="decrease"),
        (
            "Milliseconds taken by lists shown per list shown, both summed over all users. Lower is better; as a "
            "guardrail it tolerates a rise of up to 10 %."
        ),
    ),
    (
        Metric("m", "M", MetricKind.RATIO, Source("click", attributed=True, position=2),
               Source("impression", position=2)),
        (
            "Number of “click” events on place 2 of their arm's lists per list shown with an item at place 2, both "
            "summed over all users. Higher is better; as a guardrail it tolerates a drop of up to 2 %."
        ),
    ),
    (
        Metric("m", "M", MetricKind.QUANTILE, Source("impression", "latency_ms"), quantile=0.95, direction="decrease"),
        (
            "The 95th percentile of the milliseconds taken by lists shown, counted one by one. Lower is better; as a "
            "guardrail it tolerates a rise of up to 2 %."
        ),
    ),
    (
        Metric("m", "M", MetricKind.QUANTILE, Source("purchase", "value"), of="units"),
        (
            "The 50th percentile of the values of “purchase” events, added up for each user who has any. Higher is "
            "better; as a guardrail it tolerates a drop of up to 2 %."
        ),
    ),
    (
        Metric("m", "M", MetricKind.COVERAGE, Source("impression"), margin=0.1),
        (
            "The share of the available catalogue that lists show to equally many users of each arm. Higher is better; "
            "as a guardrail it tolerates a drop of up to 10 %."
        ),
    ),
    (
        Metric("m", "M", MetricKind.COVERAGE, Source("impression", position=1), window_hours=24),
        (
            "The share of the available catalogue that place 1 of lists shows to equally many users of each arm; only "
            "the first 1 day after a user's exposure count. Higher is better; as a guardrail it tolerates a drop of up "
            "to 2 %."
        ),
    ),
    (
        Metric("m", "M", MetricKind.RETENTION, Source("visit"), after_hours=36, cap=5),
        (
            "The share of exposed users with at least one “visit” event 36 hours or more after their exposure. "
            "Higher is better; as a guardrail it tolerates a drop of up to 2 %."
        ),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("metric", "said"), CASES, ids=lambda case: getattr(getattr(case, "kind", None), "value", ""))
def test_a_definition_reads_as_a_sentence(metric: Metric, said: str) -> None:
    assert sentence(metric) == said


@pytest.mark.parametrize("metric", BUILT_IN, ids=lambda metric: metric.key)
def test_every_built_in_metric_can_be_said(metric: Metric) -> None:
    text = sentence(metric)
    assert text[0].isupper()
    assert metric.numerator.event in text or "lists show" in text.lower()


def test_every_kind_of_the_domain_can_be_made() -> None:
    assert list(kinds()) == [kind.value for kind in MetricKind]
    assert all(words.label for words in kinds().values())


def test_a_kind_without_words_of_its_own_goes_by_its_name_and_may_have_any_field() -> None:
    words = kind_words("list_length")
    assert words.label == "List length"
    assert words.fields >= {"cap", "minimum"}
    assert "denominator" not in words.fields


def test_choices_are_what_the_types_declare() -> None:
    assert choices(Metric, "direction") == ("increase", "decrease")
    assert list(value_words()) == list(choices(Source, "value"))


@pytest.mark.parametrize(
    ("value", "said"), [(168, "7 days"), (24, "1 day"), (36, "36 hours"), (1, "1 hour"), (0.5, "30 minutes"),
                        (1 / 60, "1 minute"), (1.51, "1.51 hours")]
)  # fmt: skip
def test_lengths_are_said_in_the_largest_whole_unit(value: float, said: str) -> None:
    assert hours(value) == said


@pytest.mark.parametrize(("share", "said"), [(0.91, "91st"), (0.92, "92nd"), (0.93, "93rd"), (0.999, "99.9th")])
def test_percentiles_are_ordinals(share: float, said: str) -> None:
    assert f"the {said} percentile" in sentence(
        Metric("m", "M", MetricKind.COUNT, Source("click"), cap_percentile=share)
    )
