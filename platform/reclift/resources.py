"""Finds the shipped folders (templates, migrations) in a wheel and in a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def shipped(name: str) -> Path:
    """The folder `name`: inside the package when installed from a wheel, at the root of a checkout otherwise."""
    inside = _PACKAGE / name
    if inside.is_dir():
        return inside
    beside = _PACKAGE.parent.parent / name
    if beside.is_dir():
        return beside
    raise FileNotFoundError(
        f"the folder {name!r} is neither in {_PACKAGE} nor in {beside.parent}: the install is broken"
    )
