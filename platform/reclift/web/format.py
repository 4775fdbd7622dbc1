"""Numbers and times as people read them: one way to write each kind, used by pages and plots alike.

A value that is missing is the caller's to explain: these functions raise `TypeError` on `None`, so that a page cannot
show a dash where it owes a reason.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

MINUS = "\u2212"
NBSP = "\u00a0"

_SYMBOLS = {"EUR": "€", "GBP": "£", "USD": "$", "CNY": "CN¥", "JPY": "JP¥"}


def _signed(text: str) -> str:
    """A formatted number with its sign always there, and a real minus; zero has none."""
    number = float(text.replace(",", ""))
    if number == 0:
        return text.lstrip("-+")
    return f"{MINUS}{text.lstrip('-')}" if number < 0 else f"+{text.lstrip('+')}"


def _minus(text: str) -> str:
    """A formatted number with a real minus, and no minus on a rounded zero."""
    negative = text.startswith("-") and float(text.replace(",", "")) != 0
    return MINUS + text[1:] if negative else text.lstrip("-")


def _percent_digits(values: Sequence[float]) -> int:
    """Decimals for percentages: one, none once they reach 1,000 %."""
    return 1 if max((abs(v) for v in values), default=0) < 10 else 0


def lift(value: float) -> str:
    """A relative change with its sign: 0.123 is `+12.3 %`."""
    return _signed(f"{value * 100:,.{_percent_digits([value])}f}") + NBSP + "%"


def interval(bounds: Sequence[float | None]) -> str:
    """A lift's interval in percent, without the sign for percent: (0.01, 0.231) is `[+1.0, +23.1]`.

    A bound may be `None` or infinite: an interval may be open, and then shows `∞` on that side.
    """
    low, high = bounds
    digits = _percent_digits([b for b in bounds if b is not None and math.isfinite(b)])

    def one(bound: float | None, infinite: str) -> str:
        if bound is None or not math.isfinite(bound):
            return infinite
        return _signed(f"{bound * 100:,.{digits}f}")

    return f"[{one(low, MINUS + '∞')}, {one(high, '+∞')}]"


def percent(value: float, digits: int | None = None) -> str:
    """A share or rate: 0.0046 is `0.46 %`. Without `digits`: two under 10 %, one above, none at 0 and 100 %."""
    scaled = value * 100
    if digits is None:
        digits = 0 if scaled in {0, 100} else (2 if abs(scaled) < 9.995 else 1)
    return _minus(f"{scaled:,.{digits}f}") + NBSP + "%"


def share(value: float) -> str:
    """A share that somebody chose, such as a weight: 0.34 is `34 %`, 0.3333 is `33.33 %`."""
    return _minus(f"{value * 100:.2f}".rstrip("0").rstrip(".")) + NBSP + "%"


def count(value: float) -> str:
    """A whole number with separators: `12,431`."""
    return _minus(f"{value:,.0f}")


def number(value: float) -> str:
    """A number with about four significant figures: `12,431`, `3.142`, `0.0314`."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else _minus(str(value)).replace("inf", "∞")
    size = math.floor(math.log10(abs(value)))
    digits = min(8, max(0, 3 - size))
    text = f"{value:,.{digits}f}"
    return _minus(text.rstrip("0").rstrip(".") if "." in text else text)


def score(value: float) -> str:
    """A number of an offline table, such as nDCG: always as many decimals, so that columns can be compared."""
    if value == 0 or abs(value) >= 100:
        return number(value)
    return _minus(f"{value:.{4 if abs(value) < 1 else 3}f}")


def money(value: float, currency: str | None = None) -> str:
    """An amount with its currency (an ISO code): `£12.34`; an unknown code stands behind, none is bare."""
    text = f"{abs(value):,.2f}"
    sign = MINUS if value < 0 and float(text.replace(",", "")) != 0 else ""
    if not currency:
        return sign + text
    symbol = _SYMBOLS.get(currency.upper())
    return f"{sign}{symbol}{text}" if symbol else f"{sign}{text}{NBSP}{currency.upper()}"


def milliseconds(value: float) -> str:
    """A duration in milliseconds: `4.2 ms`, `182 ms`."""
    return f"{value:,.1f}{NBSP}ms" if abs(value) < 10 else f"{value:,.0f}{NBSP}ms"


def p_value(value: float) -> str:
    """A p-value as journals print it: `.031`, `< .001`, `1`."""
    if value < 0.001:
        return f"<{NBSP}.001"
    text = f"{value:.3f}"
    return "1" if text == "1.000" else text[1:]


def p_equals(value: float) -> str:
    """For running text: `p = .031` or `p < .001`."""
    text = p_value(value)
    return f"p{NBSP}{text}" if text.startswith("<") else f"p{NBSP}={NBSP}{text}"


def measure(value: float, kind: str = "number", currency: str | None = None) -> str:
    """A metric's value in its own format: `percent`, `number`, `money` or `ms`."""
    if kind == "percent":
        return percent(value)
    if kind == "money":
        return money(value, currency)
    if kind == "ms":
        return milliseconds(value)
    return number(value)


def size(value: float) -> str:
    """Bytes: `812 B`, `1.4 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000 or unit == "GB":
            return f"{value:,.0f}{NBSP}{unit}" if unit == "B" else f"{value:,.1f}{NBSP}{unit}"
        value /= 1000
    raise AssertionError("unreachable")


def seconds(value: float) -> str:
    """How long something took: `40 ms`, `0.4 s`, `41 s`, `3 min 5 s`, `2 h 10 min`."""
    if 0 < value < 0.1:
        return milliseconds(value * 1000)
    if value < 10:
        return f"{value:.1f}{NBSP}s"
    if value < 60:
        return f"{value:.0f}{NBSP}s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes}{NBSP}min" + (f" {rest}{NBSP}s" if rest else "")
    hours, minutes = divmod(minutes, 60)
    return f"{hours}{NBSP}h" + (f" {minutes}{NBSP}min" if minutes else "")


def moment(text: str) -> datetime:
    """An RFC 3339 timestamp, in UTC. One without a zone is taken as UTC."""
    parsed = datetime.fromisoformat(text)
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


def when(text: str) -> str:
    """A timestamp in full: `25 Nov 2026, 07:32 UTC`."""
    at = moment(text)
    return f"{at.day}{NBSP}{at:%b}{NBSP}{at:%Y}, {at:%H:%M}{NBSP}UTC"


_STAMP = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})")


def readable(text: str, now: datetime) -> str:
    """A sentence whose RFC 3339 timestamps are put as people say them: `last one 5 min ago`."""
    return _STAMP.sub(lambda found: ago(found[0], now), text)


def day(text: str) -> str:
    """A timestamp's day: `25 Nov 2026`."""
    at = moment(text)
    return f"{at.day}{NBSP}{at:%b}{NBSP}{at:%Y}"


def ago(text: str, now: datetime) -> str:
    """How long before `now` a timestamp is: `just now`, `5 min ago`, `3 h ago`, `2 days ago`, then the day."""
    passed = now - moment(text)
    if passed < timedelta(minutes=1):
        return "just now" if passed > timedelta(minutes=-1) else when(text)
    if passed < timedelta(hours=1):
        return f"{passed // timedelta(minutes=1)}{NBSP}min ago"
    if passed < timedelta(days=1):
        return f"{passed // timedelta(hours=1)}{NBSP}h ago"
    if passed < timedelta(days=7):
        days = passed.days
        return f"{days}{NBSP}day{'s' if days > 1 else ''} ago"
    return day(text)
