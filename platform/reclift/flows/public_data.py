"""Public data sets for the demo, taken out of packages on PyPI: fetched once, checked by hash, never installed.

The wheels are read as the zip files that they are. Nothing of them is redistributed with Reclift: each machine fetches
its own copy, and `Source.terms` says what its owners ask.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

PIP_SECONDS = 300


class PublicDataError(Exception):
    """A public data set could not be fetched or read; the message says which, why and what to do."""


@dataclass(frozen=True, slots=True)
class Source:
    """A wheel on PyPI that holds a data set.

    Attributes:
        title: the data set's name for people.
        package, version: what is asked of PyPI.
        sha256: of the one wheel that this version has.
        citation, terms: who made the data, and what they ask of those who use it.
    """

    title: str
    package: str
    version: str
    sha256: str
    citation: str
    terms: str

    @property
    def filename(self) -> str:
        """The wheel's name."""
        return f"{self.package}-{self.version}-py3-none-any.whl"


OPEN_BANDIT = Source(
    title="Open Bandit Dataset (small)",
    package="obp",
    version="0.4.1",
    sha256="87dec9caf4283c25ab13036532e0a24566f1c7bdcad1653a8ded43b2f5ef8208",
    citation="Saito, Aihara, Matsutani, Narita (2020): Open Bandit Dataset and Pipeline, arXiv:2008.07146",
    terms="Apache-2.0 in this package; cite the paper",
)
MOVIELENS = Source(
    title="MovieLens-100k",
    package="recbole",
    version="1.2.1",
    sha256="9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
    citation="Harper, Konstan (2015): The MovieLens Datasets: History and Context, ACM TiiS 5(4), 19",
    terms="GroupLens: free to use for research, not to be redistributed",
)

Run = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]


def run_pip(arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """This interpreter's pip, with its output kept; `PublicDataError` when it takes longer than `PIP_SECONDS`."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=PIP_SECONDS, check=False)  # noqa: S603 (our own arguments)
    except subprocess.TimeoutExpired as error:
        raise PublicDataError(f"pip {' '.join(arguments)}: no answer within {PIP_SECONDS} seconds") from error


def fetch(source: Source, folder: Path, pip: Run = run_pip) -> Path:
    """The wheel in `folder`, downloaded if it is not there yet.

    Args:
        source: what to fetch.
        folder: where downloads are kept; made if missing.
        pip: runs pip with the given arguments.

    Raises:
        PublicDataError: PyPI could not be reached, or what came is not the wheel that this version had.
    """
    kept = folder / source.filename
    if kept.exists() and _sha256(kept) == source.sha256:
        return kept
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as fresh:  # a download that breaks off leaves nothing half-done
        done = pip(["download", "--quiet", "--no-deps", "--dest", fresh, f"{source.package}=={source.version}"])
        came = Path(fresh) / source.filename
        if done.returncode or not came.exists():
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise PublicDataError(
                f"could not download {source.package}=={source.version} ({source.title}) from PyPI: "
                f"{last[0] if last else 'pip said nothing'}. Check the network (a proxy goes into HTTPS_PROXY) and try "
                f"again, or put {source.filename} into {folder} yourself"
            )
        digest = _sha256(came)
        if digest != source.sha256:
            raise PublicDataError(
                f"{source.filename}: its SHA-256 is {digest}, expected {source.sha256}; it was not kept. "
                "Look at which package index pip uses"
            )
        came.replace(kept)
    return kept


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
