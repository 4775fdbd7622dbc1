"""docs/statistics.md speaks of everything that the engine can say."""

from __future__ import annotations

from pathlib import Path

import pytest

import reclift.stats
from reclift.stats.result import Code
from tests.shared_data import ROOT

PAGE = (ROOT / "docs" / "statistics.md").read_text()
MODULES = sorted(path.name for path in Path(reclift.stats.__file__).parent.glob("*.py"))
INSIDE = {
    *("__init__.py", "attempts.py", "readings.py", "posterior.py", "evidence.py", "result.py"),
    *("sums.py", "words.py", "plan.py", "binary.py", "bayes.py", "comparison.py"),
}
"""Files that hold no method of their own, or whose method the page explains under a heading."""


@pytest.mark.parametrize("code", list(Code))
def test_every_code_is_explained(code):
    assert f"`{code.value}`" in PAGE


@pytest.mark.parametrize("module", [name for name in MODULES if name not in INSIDE])
def test_every_method_is_explained(module):
    assert f"`{module}`" in PAGE
