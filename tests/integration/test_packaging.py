"""The wheel: built, installed in a fresh environment, and served from there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import reclift
from tests.reclift_server import RecliftServer
from tests.shared_data import ROOT


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=cwd, env={**inherited, **environment}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment that has the wheel; the libraries it needs are borrowed from this one."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=folder.parent)
    # Paths named in a .pth file come after the environment's own, and .pth files found there are not read: the
    # checkout, which this environment has as an editable install, stays out of sight.
    own = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    borrowed = [path for path in dict.fromkeys([sysconfig.get_path("purelib"), *sys.path]) if "-packages" in path]
    (own / "borrowed.pth").write_text("\n".join(borrowed))
    return python


@pytest.fixture(scope="module")
def served(installed: Path) -> Iterator[RecliftServer]:
    server = RecliftServer(python=str(installed))
    try:
        server.start()
        yield server
    finally:
        server.close()


def test_the_standard_librarys_platform_stays_importable_from_the_root() -> None:
    program = "import platform, sys; print(platform.system(), platform.__file__)"
    system, _, path = run(sys.executable, "-c", program, cwd=ROOT).strip().partition(" ")
    assert system
    assert Path(path).parent == Path(sysconfig.get_path("stdlib"))


def test_the_wheel_holds_everything_that_is_shipped_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"reclift", "strategies", f"reclift-{reclift.__version__}.dist-info"}
    shipped = {
        "reclift": ROOT / "platform" / "reclift",
        "strategies": ROOT / "strategies",
        "reclift/templates": ROOT / "templates",
        "reclift/migrations": ROOT / "migrations",
    }
    tracked = run("git", "ls-files", cwd=ROOT).splitlines() if (ROOT / ".git").exists() else None
    for inside, folder in shipped.items():
        files = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        if tracked is not None:
            files = [path for path in files if str(path.relative_to(ROOT)) in tracked]
        assert files, f"nothing in {folder}"
        missing = [path for path in files if f"{inside}/{path.relative_to(folder)}" not in names]
        assert not missing, f"not in the wheel: {missing}"


def test_the_installed_command_says_its_version(installed: Path, tmp_path: Path) -> None:
    printed = run(installed.parent / "reclift", "--version", cwd=tmp_path)
    assert reclift.__version__ in printed
    where = run(installed, "-c", "import reclift; print(reclift.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent.parent)


def test_the_installed_package_finds_its_strategies(installed: Path, tmp_path: Path) -> None:
    program = (
        "from reclift.strategy import Registry; r = Registry.installed(); print(*[r.get(k).title for k in r.keys()])"
    )
    assert run(installed, "-c", program, cwd=tmp_path).strip()


def test_the_installed_package_serves_a_page(served: RecliftServer) -> None:
    assert served.get("/health/live").status == 200
    page = served.get("/")  # which leads to the sign-in
    assert page.status == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert "<form" in page.body


def test_the_served_page_has_its_styles_and_scripts(served: RecliftServer) -> None:
    body = served.get("/").body
    assets = re.findall(r'<(?:link|script)[^>]+(?:href|src)="(/[^"]+)"', body)
    assert any(".css" in asset for asset in assets), body
    answers = {asset: served.get(asset.replace("&amp;", "&")).status for asset in assets}
    assert set(answers.values()) == {200}, answers
