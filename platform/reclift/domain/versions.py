"""Version numbers as strings that sort rightly: `1.9.0 < 1.10.0-rc.1 < 1.10.0`, the way GrowthBook's SDKs sort them."""

from __future__ import annotations


def padded_version(text: str) -> str:
    """A string whose order among its like is the order of versions.

    A leading `v` and build information (`+…`) are dropped; parts are separated by `.` or `-`; numbers are padded to
    five places; a version of three parts sorts after its own pre-releases. Anything is accepted: nonsense sorts
    somewhere, but never raises.
    """
    parts = text.removeprefix("v").partition("+")[0].replace("-", ".").split(".")
    if len(parts) == 3:
        parts.append("~")  # the last ASCII character: 1.0.0 comes after 1.0.0-beta
    return "-".join(part.rjust(5) if part.isascii() and part.isdigit() else part for part in parts)
