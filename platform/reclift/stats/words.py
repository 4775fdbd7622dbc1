"""Numbers as the sentences of reports say them."""

from __future__ import annotations

from math import floor, log10


def percent(value: float, *, sign: bool = True) -> str:
    """`+8.4 %`: one decimal, two significant digits where it is smaller than that."""
    shown = 100.0 * value
    decimals = 1
    if 0 < abs(shown) < 1:
        decimals = min(6, 1 - floor(log10(abs(shown))))
    if abs(shown) >= 100:
        decimals = 0
    return f"{shown:{'+' if sign else ''}.{decimals}f} %"


def share(value: float) -> str:
    """`15 %`: whole per cents, or as many digits as a level has (`0.1 %`)."""
    return f"{100.0 * value:.0f} %" if abs(value) >= 0.005 else f"{100.0 * value:g} %"


def p_words(p: float | None) -> str:
    """`= .031`, `< .001`, or `unknown`."""
    if p is None:
        return "unknown"
    if p < 0.001:
        return "< .001"
    if p > 0.999:
        return "> .999"
    return f"= {p:.3f}".replace("0.", ".", 1)


def continued(sentence: str) -> str:
    """A sentence as the rest of another one: without its capital and its full stop."""
    return sentence[:1].lower() + sentence[1:].rstrip(".")
