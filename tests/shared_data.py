"""Where the real data and the published cases are: beside the checkout, or where RECLIFT_SHARED says."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("RECLIFT_SHARED", ROOT.parent / "shared"))


def shared_path(*parts: str) -> Path:
    """A file or folder of the shared data; fails when it is not there, so that no test passes for want of data."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: put the shared folder beside the checkout or set RECLIFT_SHARED")
    return path
