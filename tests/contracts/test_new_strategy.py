"""What `reclift new-strategy` writes works as it stands, in a folder of its own, and passes the whole contract."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from reclift.cli import main


def test_the_written_files_pass_their_own_tests(tmp_path: Path) -> None:
    written = CliRunner().invoke(main, ["new-strategy", "cheapest_first", "--folder", str(tmp_path)])
    assert written.exit_code == 0, written.output
    assert 'cheapest_first = "cheapest_first:CheapestFirst"' in written.output
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", "/dev/null", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout
    assert int(done.stdout.rsplit(" passed", 1)[0].split()[-1]) >= 30


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("precious")
    refused = CliRunner().invoke(main, ["new-strategy", "mine", "--folder", str(tmp_path)])
    assert refused.exit_code != 0
    assert (tmp_path / "mine.py").read_text() == "precious"
    assert not (tmp_path / "test_mine.py").exists()


@pytest.mark.parametrize("name", ["Not-A-Name", "class", "ease"])
def test_a_name_must_be_a_modules_and_new(tmp_path: Path, name: str) -> None:
    refused = CliRunner().invoke(main, ["new-strategy", name, "--folder", str(tmp_path)])
    assert refused.exit_code != 0
    assert list(tmp_path.iterdir()) == []
