"""How a unit becomes a number, and a number becomes an arm: GrowthBook's hashing, bit for bit.

Everything here is a pure function of its arguments. The numbers are the ones of GrowthBook's SDKs (JavaScript 1.x and
Python 4.x, specification 5), so a shop that decides with such an SDK puts every user into the same arm as we do.

Strings are hashed as UTF-16 code units, because the JavaScript SDK hashes `charCodeAt`. For ASCII that is the bytes.
The Python SDK before 4.0 hashed code points instead, which differs for characters beyond U+FFFF (emoji) only; the
two current SDKs agree, and we agree with them.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

FNV_OFFSET = 0x811C9DC5
FNV_PRIME = 0x01000193
BUCKETS = 10_000
"""How many different numbers version 2 of the hash has: 0, 0.0001, … 0.9999."""

_MASK = 0xFFFFFFFF

T = TypeVar("T")

Range = tuple[float, float]
"""Half-open: `[start, end)`."""


def code_units(text: str) -> Iterable[int]:
    """The UTF-16 code units of `text`, lone surrogates included; bytes where it is ASCII, which is faster to walk."""
    if text.isascii():
        return text.encode()
    return memoryview(text.encode("utf-16-le", "surrogatepass")).cast("H") if _LITTLE else _code_units_portably(text)


def _code_units_portably(text: str) -> list[int]:
    data = text.encode("utf-16-le", "surrogatepass")
    return [low | high << 8 for low, high in zip(data[::2], data[1::2], strict=True)]


_LITTLE = memoryview(b"\x01\x00").cast("H")[0] == 1


def fnv1a32(text: str, state: int = FNV_OFFSET) -> int:
    """FNV-1a, 32 bits, over UTF-16 code units, going on from `state` (Fowler, Noll and Vo, 1991)."""
    for unit in code_units(text):
        state = (state ^ unit) * FNV_PRIME & _MASK
    return state


def hash_v1(seed: str, value: str) -> float:
    """GrowthBook's first hash: `fnv1a32(value + seed) % 1000 / 1000`. Biased: here to be compatible, used for nothing.

    Two seeds that differ in few characters give numbers that are strongly correlated.
    """
    return fnv1a32(seed, fnv1a32(value)) % 1000 / 1000


def hash_v2(seed: str, value: str) -> float:
    """GrowthBook's unbiased hash: `fnv1a32(str(fnv1a32(seed + value))) % 10000 / 10000`."""
    return bucket_of(fnv1a32(value, fnv1a32(seed))) / BUCKETS


def hash_value(seed: str, value: str, version: int) -> float | None:
    """The hash of a version; `None` for a version that does not exist."""
    if version == 2:
        return hash_v2(seed, value)
    if version == 1:
        return hash_v1(seed, value)
    return None


def bucket_of(first: int) -> int:
    """The second half of version 2: from the hash of `seed + value` to a bucket, 0 to 9999."""
    return fnv1a32(str(first)) % BUCKETS


def _after_leading_digits() -> NDArray[np.uint32]:
    """For every number that a 32-bit number without its last four digits can be: the hash of its digits."""
    states = np.full(_MASK // 10_000 + 1, FNV_OFFSET, dtype=np.uint32)
    digits = np.arange(ord("0"), ord("9") + 1, dtype=np.uint32)
    states[1:10] = (states[1:10] ^ digits[1:]) * _PRIME
    low, high = 1, 10
    while high < len(states):  # numbers with one digit more, from those that they begin with
        longer = ((states[low:high, None] ^ digits) * _PRIME).ravel()[: len(states) - low * 10]
        states[low * 10 : low * 10 + len(longer)] = longer
        low, high = high, high * 10
    return states


# 3.4 MB, made in milliseconds: they save six of the ten rounds of the second hash.
_PRIME = np.uint32(FNV_PRIME)
_TEN_THOUSAND = np.uint32(10_000)
_LEADING_STATES = _after_leading_digits()
_LEADING = array("I", _LEADING_STATES.tobytes())  # plain integers, which cost less to read one by one
_LAST_FOUR = [b"%04d" % n for n in range(10_000)]
_LAST_DIGITS = np.frombuffer(b"".join(_LAST_FOUR), dtype=np.uint8).reshape(-1, 4).T.astype(np.uint32)


class SeededHash:
    """Version 2 for one seed. The state after the seed is the same for every unit, so it is computed once."""

    __slots__ = ("seed", "state")

    def __init__(self, seed: str) -> None:
        """`seed` is hashed here and never again."""
        self.seed = seed
        self.state = fnv1a32(seed)

    def bucket(self, units: Iterable[int]) -> int:
        """The bucket (0 to 9999) of a value given as its `code_units`."""
        # Written out, rounds and all: this is the hottest code of the service; a call costs as much as three rounds.
        state = self.state
        for unit in units:
            state = (state ^ unit) * 0x01000193 & 0xFFFFFFFF
        if state < 10_000:
            return bucket_of(state)
        first, second, third, fourth = _LAST_FOUR[state % 10_000]
        state = ((_LEADING[state // 10_000] ^ first) * 0x01000193 ^ second) * 0x01000193 & 0xFFFFFFFF
        return (((state ^ third) * 0x01000193 ^ fourth) * 0x01000193 & 0xFFFFFFFF) % 10_000

    def __call__(self, value: str) -> float:
        """The same number as `hash_v2(seed, value)`."""
        return self.bucket(code_units(value)) / BUCKETS


class HashBank:
    """Version 2 for many seeds at once: worth it from about ten on."""

    def __init__(self, seeds: Iterable[str]) -> None:
        """Each seed once; a seed's place among `seeds` is the place of its bucket."""
        self._states: NDArray[np.uint32] = np.array([fnv1a32(seed) for seed in seeds], dtype=np.uint32)

    def buckets(self, units: Iterable[int]) -> list[int]:
        """The buckets of one value under all seeds."""
        states = self._states.copy()
        for unit in units:
            states ^= unit
            states *= _PRIME
        leading, last = np.divmod(states, _TEN_THOUSAND)
        hashed = _LEADING_STATES[leading]
        for place in range(4):
            hashed ^= _LAST_DIGITS[place][last]
            hashed *= _PRIME
        found: list[int] = (hashed % _TEN_THOUSAND).tolist()
        if not leading.all():  # fewer than five digits: about one in 400,000
            for i in np.flatnonzero(leading == 0):
                found[i] = bucket_of(int(states[i]))
        return found


def equal_weights(n: int) -> list[float]:
    """`n` times `1 / n`; empty where `n` is not positive."""
    return [1 / n] * n if n > 0 else []


def normalised(weights: Sequence[float]) -> list[float]:
    """The same proportions, summing to 1. Weights are positive and finite, as validation makes sure."""
    largest = max(weights)
    scaled = [weight / largest for weight in weights]  # first by the largest, so that the sum of huge weights is finite
    total = sum(scaled)
    return [weight / total for weight in scaled]


def bucket_ranges(n: int, coverage: float = 1.0, weights: Sequence[float] | None = None) -> list[Range]:
    """The range of each of `n` arms. Each grows from its own start, so raising `coverage` moves nobody who is in.

    `coverage` is cut to 0…1. As in GrowthBook, weights of the wrong number or whose sum is not within 0.99…1.01 are
    replaced by equal ones; the plan passes weights that sum to 1.
    """
    coverage = min(1.0, max(0.0, coverage))
    if weights is None or len(weights) != n or not 0.99 <= sum(weights) <= 1.01:
        weights = equal_weights(n)
    starts = accumulate(weights, initial=0.0)
    return [(start, start + coverage * weight) for start, weight in zip(starts, weights, strict=False)]


def choose_variation(n: float, ranges: Sequence[Range]) -> int:
    """The first range that holds `n`, or -1."""
    for i, (start, end) in enumerate(ranges):
        if start <= n < end:
            return i
    return -1


def in_namespace(value: str, namespace: tuple[str, float, float]) -> bool:
    """Whether `value` lies in `[start, end)` of GrowthBook's namespace `(name, start, end)`.

    Namespaces hash with version 1, so two of them are far from independent. Our layers hash with version 2 under a
    seed of their own (`layer_seed`), and reach GrowthBook's SDKs as filters, which every SDK with version 2 knows.
    """
    name, start, end = namespace
    return start <= hash_v1(f"__{name}", value) < end


def layer_seed(layer: str) -> str:
    """What a layer hashes units with; never the seed of an experiment, since keys have no colon."""
    return f"layer:{layer}"


def first_bucket(bound: float) -> int:
    """The smallest whole `k` with `k / 10000 >= bound`, 0 to 10,000: a bound as the bucket it falls on.

    Exactly the comparison of floats that the SDKs make, done once instead of for every unit.
    """
    guess = min(BUCKETS, max(0, int(bound * BUCKETS)))
    while guess > 0 and (guess - 1) / BUCKETS >= bound:
        guess -= 1
    while guess < BUCKETS and guess / BUCKETS < bound:
        guess += 1
    return guess


def whole_steps(share: float) -> int:
    """A share as buckets, rounded up, so that no traffic is lost; less a hair, since 0.07 * 10000 is above 700."""
    return min(BUCKETS, max(0, math.ceil(share * BUCKETS - 1e-6)))


class BucketTable(Generic[T]):
    """Ranges compiled: which of several things a bucket falls on, or what stands for none of them."""

    __slots__ = ("_bounds", "_values")

    def __init__(self, ranges: Sequence[Range], values: Sequence[T], otherwise: T) -> None:
        """`ranges` are ascending and do not overlap; `values[i]` belongs to `ranges[i]`."""
        bounds: list[int] = []
        found: list[T] = [otherwise]
        for (start, end), value in zip(ranges, values, strict=True):
            first, after = first_bucket(start), first_bucket(end)
            if first >= after:
                continue
            if bounds and bounds[-1] == first:
                found[-1] = value
            else:
                bounds.append(first)
                found.append(value)
            bounds.append(after)
            found.append(otherwise)
        self._bounds = bounds
        self._values = found

    def __getitem__(self, bucket: int) -> T:
        """What bucket 0…9999 falls on."""
        return self._values[bisect_right(self._bounds, bucket)]
