"""Where a mismatch comes from."""

from __future__ import annotations

import json

from reclift.stats.srm_breakdown import srm_breakdown

EVEN = {"Mon": (500, 510), "Tue": (480, 470), "Wed": (530, 525)}


def test_an_even_split_has_no_suspect():
    breakdown = srm_breakdown(EVEN, [1, 1], what="day")
    assert breakdown.sentence == "No single day has a broken split."
    assert not any(part.suspect for part in breakdown.parts)


def test_one_broken_part_is_pointed_at():
    breakdown = srm_breakdown(EVEN | {"Thu": (700, 400)}, [1, 1], what="day")
    assert breakdown.sentence.startswith("The split is broken in day Thu; without it the units split as planned (p = ")
    assert [part.name for part in breakdown.parts if part.suspect] == ["Thu"]


def test_most_parts_broken_is_the_platform():
    breakdown = srm_breakdown({"CN": (700, 400), "US": (600, 420), "DE": (50, 50)}, [1, 1])
    assert "in most segments (CN, US): look at the assignment" in breakdown.sentence


def test_a_rest_that_is_broken_too_is_said():
    parts = dict.fromkeys("abcdef", (560, 480)) | {"g": (900, 300)}
    assert "and also in the others together" in srm_breakdown(parts, [1, 1]).sentence


def test_p_values_are_corrected_and_empty_parts_are_left_out():
    breakdown = srm_breakdown(EVEN | {"Sun": (0, 0)}, [1, 1], what="day")
    assert breakdown.parts[-1].p_adjusted is None
    assert breakdown.parts[0].p_adjusted >= breakdown.parts[0].result.p_value
    json.dumps(breakdown.to_dict(), allow_nan=False)
