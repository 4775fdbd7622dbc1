"""docs/assignment.md says what the code does."""

from __future__ import annotations

import re

from reclift.domain import condition_check, growthbook
from reclift.domain.bucketing import hash_v2
from reclift.domain.decision import Reason
from reclift.domain.operators import BUILDERS, LOGICAL, NESTING
from reclift.domain.targeting import MAX_DEPTH
from tests.shared_data import ROOT

TEXT = (ROOT / "docs" / "assignment.md").read_text(encoding="utf-8")


def test_the_example_is_right():
    seed, unit, number = re.search(r'hash_v2\("(.+?)", "(.+?)"\)\s+# (0\.\d+)', TEXT).groups()
    assert hash_v2(seed, unit) == float(number)


def test_every_reason_and_every_operator_is_there():
    for word in [*Reason, *BUILDERS, *NESTING, *LOGICAL]:
        assert re.search(rf"{re.escape(word)}\b", TEXT), word


def test_the_order_of_the_reasons_is_the_plans():
    listed = re.findall(r"^\| \d \| `(\w+)` \|", TEXT, re.MULTILINE)
    assert listed == [
        "not_running", "override", "not_targeted", "holdout", "sticky", "not_targeted", "layer",
        "not_in_traffic", "bucketed",
    ]  # fmt: skip


def test_the_limits_are_the_codes():
    for limit in (
        condition_check.MAX_LIST, condition_check.MAX_GROUP_VALUES, condition_check.MAX_NODES, growthbook.MAX_HASHED,
        round(1 / growthbook.CHANCE),
    ):  # fmt: skip
        assert f"{limit:,}" in TEXT
    assert f"nested deeper than {MAX_DEPTH}" in TEXT
    assert f"more than {growthbook.MAX_LISTS} different lists" in TEXT
