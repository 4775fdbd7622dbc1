"""The page fixture is a real browser and does not let errors pass."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.shared_data import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_pages_run_scripts(page: Page) -> None:
    page.set_content("<p id=sum></p><script>document.getElementById('sum').textContent = 19 + 23</script>")
    assert page.inner_text("#sum") == "42"


@pytest.mark.expected_console_errors(r"broken on purpose")
def test_expected_errors_are_named_by_the_test(page: Page) -> None:
    with page.expect_event("console") as seen:
        page.set_content("<script>console.error('broken on purpose')</script>")
    assert seen.value.type == "error"


def test_unexpected_errors_fail_the_test(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
    (tmp_path / "test_it.py").write_text("def test_it(page):\n    page.set_content('<script>missing()</script>')\n")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, tmp_path],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert run.returncode == 1, run.stdout + run.stderr
    assert "missing is not defined" in run.stdout
    assert "1 passed, 1 error" in run.stdout
