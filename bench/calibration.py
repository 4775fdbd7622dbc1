"""Does the engine keep its promises? Simulated experiments, at fixed seeds, against binomial bounds.

    python bench/calibration.py [--experiments 2000]

Every row counts how often something happened in simulated experiments, and says `ok` when that share lies within the
bounds: a 99.9 % binomial band around the promised rate, or only one side of it where a method promises "at most"
(always-valid and exact tests) or "at least" (conservative intervals). Exits with 1 when a row is out. Everything runs
through the engine itself: what is simulated are units, what is counted are its answers.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special

from bench._coverage import USERS, by_taste, own_lists, truth
from reclift.stats import binary
from reclift.stats.comparison import compare
from reclift.stats.cuped import cuped
from reclift.stats.estimate import two_sided_p
from reclift.stats.estimators import estimate
from reclift.stats.group_sequential import looks
from reclift.stats.power import Baseline, Design, achieved_power, baseline, required_units
from reclift.stats.rarefaction import compare_coverage
from reclift.stats.readings import plain_effect
from reclift.stats.sequential import always_valid_p
from reclift.stats.srm import srm
from reclift.stats.srm_sequential import sequential_srm
from reclift.stats.sums import Sums

LOOKS = 50
WIDTH = 86


@dataclass(frozen=True)
class Row:
    """One promise: `promise` is the rate, `side` which way it may be missed without being wrong."""

    name: str
    hits: int
    trials: int
    promise: float
    side: str = "="

    @property
    def bounds(self) -> tuple[float, float]:
        low = special.bdtrik(0.0005, self.trials, self.promise) / self.trials
        high = (special.bdtrik(0.9995, self.trials, self.promise) + 1) / self.trials
        if self.side == "<=":
            return 0.0, self.promise
        if self.side == ">=":
            return low, 1.0
        return low, high

    @property
    def line(self) -> str:
        start = f"{self.name:<{WIDTH}} {self.hits / self.trials:>7.4f}"
        if self.compares:
            return start
        low, high = self.bounds
        wanted = f"{self.side} {self.promise:.4f}".removeprefix("= ")
        verdict = "ok" if self.ok else "NOT ok"
        return f"{start} {wanted:>9}  [{low:.4f}, {high:.4f}]  {self.trials:>6,} {verdict}"

    @property
    def compares(self) -> bool:
        """Promises nothing: what the method beside it is better than."""
        return self.name.lstrip().startswith("(for comparison)")

    @property
    def ok(self) -> bool:
        low, high = self.bounds
        return self.compares or low <= self.hits / self.trials <= high


# ---- units: each maker gives one arm's sums, or the sums of its increments --------------------------------------


def conversions(rng: np.random.Generator, n: int, rate: float, size: int) -> list[Sums]:
    return [Sums.of_counts(n, float(k)) for k in rng.binomial(n, rate, size)]


def revenue(rng: np.random.Generator, n: int, size: int, scale: float = 1.0) -> list[Sums]:
    """One unit in ten buys; what it spends is log-normal with sigma 1.2: the dearest 1 % hold an eighth of it all."""
    buyers = rng.binomial(n, 0.1, size)
    spent = scale * rng.lognormal(3.0, 1.2, buyers.sum())
    starts = np.concatenate([[0], buyers.cumsum()])
    x, xx = (np.concatenate([[0.0], column.cumsum()]) for column in (spent, spent * spent))
    return [Sums(n, x[b] - x[a], xx[b] - xx[a]) if b > a else Sums(n, 0.0, 0.0) for a, b in itertools.pairwise(starts)]


def clicks(rng: np.random.Generator, n: int, size: int, rate: float = 0.1) -> list[Sums]:
    """Users with 1 + geometric(0.2) impressions each and their own click rate: clicks of a user go together."""
    y = rng.geometric(0.2, (size, n)).astype(float)
    own = rng.beta(2.0 * rate / 0.1, 18.0 * (1 - rate) / 0.9, (size, n))
    x = rng.binomial(y.astype(np.int64), own).astype(float)
    return _rows(x, y)


def with_past(rng: np.random.Generator, n: int, size: int, lift: float = 0.0) -> list[Sums]:
    """A gamma-distributed past, and a present that follows it with correlation 0.7."""
    u = rng.gamma(4.0, 2.5, (size, n))
    x = (10.0 + 0.7 * (u - 10.0) + 3.57 * rng.normal(size=(size, n))) + 10.0 * lift
    return _rows(x, None, u)


def ratio_with_past(rng: np.random.Generator, n: int, size: int) -> list[Sums]:
    own = rng.beta(2.0, 18.0, (size, n))
    busy = rng.gamma(2.0, 2.0, (size, n))
    v, y = (1.0 + rng.poisson(busy) for _ in range(2))
    u, x = (rng.binomial(count.astype(np.int64), own).astype(float) for count in (v, y))
    return _rows(x, y.astype(float), u, v.astype(float))


def _rows(x, y=None, u=None, v=None) -> list[Sums]:
    columns = {name: value for name, value in (("x", x), ("y", y), ("u", u), ("v", v)) if value is not None}
    totals = {name: value.sum(1) for name, value in columns.items()}
    for a, first in columns.items():
        for b, second in columns.items():
            if "xyuv".index(a) <= "xyuv".index(b):
                totals[a + b] = np.einsum("ij,ij->i", first, second)
    n = float(x.shape[1])
    return [Sums(n, **{name: float(total[i]) for name, total in totals.items()}) for i in range(x.shape[0])]


# ---- rows --------------------------------------------------------------------------------------------------------


def in_chunks(total: int, chunk: int, make: Callable[[int], list[Sums]]) -> Iterator[Sums]:
    for start in range(0, total, chunk):
        yield from make(min(chunk, total - start))


def pairs(rng, total, make, make_treatment=None, chunk=250) -> Iterator[tuple[Sums, Sums]]:
    make_treatment = make_treatment or make
    control = in_chunks(total, chunk, lambda size: make(rng, size))
    treatment = in_chunks(total, chunk, lambda size: make_treatment(rng, size))
    return zip(control, treatment, strict=True)


def false_positives(experiments: int) -> Iterator[Row]:
    def count(name, kind, make, *, side="=", **options):
        rng = np.random.default_rng(20_001)
        results = [compare(a, b, kind=kind, **options) for a, b in pairs(rng, experiments, make)]
        hits = sum(c.p_value < 0.05 for c in results)
        yield Row(f"A/A {name}: p < .05", hits, experiments, 0.05, side)

    yield from count("conversion 1 %, 20,000 an arm", "proportion", lambda r, k: conversions(r, 20_000, 0.01, k))
    yield from count(
        "conversion 0.02 %, 10,000 an arm (exact)",
        "proportion",
        lambda r, k: conversions(r, 10_000, 0.0002, k),
        side="<=",
    )
    yield from count("revenue, heavy-tailed, 20,000 an arm", "mean", lambda r, k: revenue(r, 20_000, k))
    yield from count("CTR, clustered, 2,000 an arm", "ratio", lambda r, k: clicks(r, 2000, k))
    yield from count("mean with CUPED, 1,000 an arm", "mean", lambda r, k: with_past(r, 1000, k), cuped=True)
    yield from count("CTR with CUPED, 2,000 an arm", "ratio", lambda r, k: ratio_with_past(r, 2000, k), cuped=True)


def naive_is_wrong(experiments: int) -> Iterator[Row]:
    """What the unit's variance is for: the same clicks with impressions taken for units. No promise of ours."""
    rng = np.random.default_rng(20_002)
    hits = 0
    for a, b in pairs(rng, experiments, lambda r, k: clicks(r, 2000, k)):
        naive = plain_effect(*(estimate(Sums.of_counts(s.y, s.x), "proportion") for s in (a, b)))
        hits += two_sided_p(naive.difference, naive.std_error, naive.required_df) < 0.05
    yield Row(
        "(for comparison) CTR with impressions as units: p < .05 is NOT .05", hits, experiments, hits / experiments
    )


def looking_early(experiments: int) -> Iterator[Row]:
    """50 looks at growing data; one alarm at any look counts."""

    def count(name, kind, make, use_cuped=False):
        rng = np.random.default_rng(20_003)
        always, naive = 0, 0
        for _ in range(experiments):
            a, b = Sums.empty(), Sums.empty()
            alarm = wrong = False
            for more_a, more_b in zip(make(rng, LOOKS), make(rng, LOOKS), strict=True):
                a, b = a + more_a, b + more_b
                if kind == "proportion" and binary.too_few_to_look(a, b):
                    continue
                effect = cuped(a, b, kind).effect if use_cuped else plain_effect(estimate(a, kind), estimate(b, kind))
                if effect.difference_variance <= 0:
                    continue
                alarm |= always_valid_p(effect.difference, effect.difference_variance, a.n + b.n) <= 0.05
                wrong |= two_sided_p(effect.difference, effect.std_error, effect.required_df) < 0.05
            always += alarm
            naive += wrong
        yield Row(f"A/A {name}, {LOOKS} looks: always-valid p <= .05", always, experiments, 0.05, "<=")
        yield Row("  (for comparison) the fixed p read at each look", naive, experiments, naive / experiments)

    yield from count("conversion 1 %", "proportion", lambda r, k: conversions(r, 400, 0.01, k))
    yield from count("revenue, heavy-tailed", "mean", lambda r, k: revenue(r, 400, k))
    yield from count("CTR, clustered", "ratio", lambda r, k: clicks(r, 60, k))
    yield from count("mean with CUPED", "mean", lambda r, k: with_past(r, 40, k), use_cuped=True)


def planned_looks(experiments: int) -> Iterator[Row]:
    for family in ("obrien_fleming", "power"):
        design = looks([0.2, 0.4, 0.6, 0.8, 1.0], family=family)
        rng = np.random.default_rng(20_004)
        hits = 0
        for _ in range(experiments):
            a, b = Sums.empty(), Sums.empty()
            for look, more_a, more_b in zip(design, revenue(rng, 4000, 5), revenue(rng, 4000, 5), strict=True):
                a, b = a + more_a, b + more_b
                effect = plain_effect(estimate(a, "mean"), estimate(b, "mean"))
                if two_sided_p(effect.difference, effect.std_error, effect.required_df) <= look.nominal_alpha:
                    hits += 1
                    break
        yield Row(f"A/A revenue, 5 planned looks, {family}", hits, experiments, 0.05)


def coverage(experiments: int) -> Iterator[Row]:
    def count(name, kind, make, make_treatment, *, lift, difference, side="=", **options):
        rng = np.random.default_rng(20_005)
        in_lift = in_difference = trials = 0
        for a, b in pairs(rng, experiments, make, make_treatment):
            c = compare(a, b, kind=kind, **options)
            interval = c.lift_ci_fieller or c.lift_ci
            in_difference += c.difference_ci.low <= difference <= c.difference_ci.high
            if interval is not None:
                trials += 1
                in_lift += interval.low <= lift <= interval.high
        yield Row(f"interval of the lift, {name}", in_lift, trials, 0.95, side)
        yield Row(f"interval of the difference, {name}", in_difference, experiments, 0.95, side)

    spend = 0.1 * np.exp(3.0 + 1.2**2 / 2)
    yield from count(
        "conversion 5 % to 5.5 %, 20,000 an arm", "proportion", lambda r, k: conversions(r, 20_000, 0.05, k),
        lambda r, k: conversions(r, 20_000, 0.055, k), lift=0.1, difference=0.005,
    )  # fmt: skip
    yield from count(
        "conversion 0.3 % to 0.45 %, 10,000 an arm (weak base: Fieller)", "proportion",
        lambda r, k: conversions(r, 10_000, 0.003, k), lambda r, k: conversions(r, 10_000, 0.0045, k),
        lift=0.5, difference=0.0015,
    )  # fmt: skip
    yield from count(
        "conversion 0.05 % to 0.08 %, 10,000 an arm (Newcombe, MOVER)", "proportion",
        lambda r, k: conversions(r, 10_000, 0.0005, k), lambda r, k: conversions(r, 10_000, 0.0008, k),
        lift=0.6, difference=0.0003, side=">=",
    )  # fmt: skip
    yield from count(
        "revenue, heavy-tailed, +10 %, 20,000 an arm", "mean", lambda r, k: revenue(r, 20_000, k),
        lambda r, k: revenue(r, 20_000, k, 1.1), lift=0.1, difference=0.1 * spend,
    )  # fmt: skip
    yield from count(
        "CTR, clustered, 10 % to 12 %, 2,000 an arm", "ratio", lambda r, k: clicks(r, 2000, k),
        lambda r, k: clicks(r, 2000, k, 0.12), lift=_click_rate(0.12) / _click_rate(0.1) - 1,
        difference=_click_rate(0.12) - _click_rate(0.1),
    )  # fmt: skip
    yield from count(
        "mean with CUPED, +5 %, 1,000 an arm", "mean", lambda r, k: with_past(r, 1000, k),
        lambda r, k: with_past(r, 1000, k, 0.05), lift=0.05, difference=0.5, cuped=True,
    )  # fmt: skip


def _click_rate(rate: float) -> float:
    a, b = 2.0 * rate / 0.1, 18.0 * (1 - rate) / 0.9
    return a / (a + b)


def split(experiments: int) -> Iterator[Row]:
    many = 10 * experiments
    rng = np.random.default_rng(20_006)
    for threshold in (0.05, 0.001):
        counts = rng.multinomial(30_000, [0.5, 0.3, 0.2], many)
        hits = sum(srm(row, [0.5, 0.3, 0.2], threshold=threshold).ok is False for row in counts.tolist())
        yield Row(f"SRM, split as planned, chi-square at {threshold:g}", hits, many, threshold)
    for threshold in (0.05, 0.001):
        days = rng.multinomial(600, [0.5, 0.5], (experiments, LOOKS)).cumsum(axis=1)
        hits = sum(
            sequential_srm(looks_.tolist(), [0.5, 0.5], threshold=threshold, concentration=1000).ok is False
            for looks_ in days
        )
        yield Row(
            f"SRM, split as planned, sequential over {LOOKS} days at {threshold:g}", hits, experiments, threshold, "<="
        )
    days = rng.multinomial(600, [0.52, 0.48], (experiments, LOOKS)).cumsum(axis=1)
    hits = sum(sequential_srm(looks_.tolist(), [0.5, 0.5]).ok is False for looks_ in days)
    yield Row(f"SRM, 52 : 48 instead of 50 : 50, found within {LOOKS} days of 600", hits, experiments, 0.9, ">=")


def power(experiments: int) -> Iterator[Row]:
    def count(name, kind, base, *, lift, arms, design=None, sequential=False, **options):
        design = design or Design()
        n = required_units(base, lift, design) // 2
        rng = np.random.default_rng(20_007)
        promise = achieved_power(base, lift, 2 * n, design)
        hits = 0
        for a, b in pairs(rng, experiments, *(lambda r, k, make=make: make(r, n, k) for make in arms)):
            c = compare(a, b, kind=kind, sequential_tuning=design.tuning, **options)
            hits += (c.sequential.p_value if sequential else c.p_value) <= 0.05
        yield Row(f"power, {name}: {2 * n:,} units", hits, experiments, promise)

    def rates(p, q):
        return [lambda r, n, k: conversions(r, n, p, k), lambda r, n, k: conversions(r, n, q, k)]

    ten = Baseline.proportion(0.10)
    yield from count("conversion 10 %, +10 %", "proportion", ten, lift=0.1, arms=rates(0.10, 0.11))
    late = Design(regime="sequential", tuning=20_000)
    yield from count(
        "conversion 10 %, +10 %, always valid, one look", "proportion", ten, lift=0.1, arms=rates(0.10, 0.11),
        design=late, sequential=True,
    )  # fmt: skip
    rng = np.random.default_rng(20_008)
    history = sum(with_past(rng, 1000, 100), Sums.empty())
    arms = [with_past, lambda r, n, k: with_past(r, n, k, 0.05)]
    for use, words in ((False, "without"), (True, "with")):
        base = baseline(history, "mean", cuped=use)
        yield from count(f"mean, +5 %, {words} CUPED", "mean", base, lift=0.05, arms=arms, cuped=use)
    ctr = baseline(sum(clicks(rng, 1000, 100), Sums.empty()), "ratio")
    lift = _click_rate(0.112) / _click_rate(0.1) - 1
    arms = [clicks, lambda r, n, k: clicks(r, n, k, 0.112)]
    yield from count(f"CTR, clustered, {lift:+.0%}", "ratio", ctr, lift=lift, arms=arms)


def catalogue(experiments: int) -> Iterator[Row]:
    """The share of the catalogue that 500 users' lists show. The jackknife's variance is never too small on average."""
    rng = np.random.default_rng(20_009)
    for name, make, steepness, wider, side in (
        ("every place by itself", own_lists, 1.0, 0.9, "="), ("by taste, whole lists alike", by_taste, 0.7, 0.6, "<="),
    ):  # fmt: skip
        old, new = truth(make, steepness), truth(make, wider)
        false, naive, lift_in, difference_in = 0, 0, 0, 0
        for _ in range(experiments):
            control, same, other = (make(rng, USERS, s) for s in (steepness, steepness, wider))
            base = control.read()
            false += compare_coverage(base, same.read()).p_value < 0.05
            naive += compare_coverage(control.naive(), same.naive()).p_value < 0.05
            c = compare_coverage(base, other.read())
            lift_in += c.lift_ci.low <= new / old - 1 <= c.lift_ci.high
            difference_in += c.difference_ci.low <= new - old <= c.difference_ci.high
        at_least = "=" if side == "=" else ">="
        yield Row(f"A/A catalogue coverage, 500 users an arm, {name}: p < .05", false, experiments, 0.05, side)
        yield Row("  (for comparison) of all items that all users were shown", naive, experiments, 0.05)
        change = f"{new / old - 1:+.0%}"
        yield Row(f"interval of the lift, coverage {change}, {name}", lift_in, experiments, 0.95, at_least)
        yield Row(f"interval of the difference, coverage {change}, {name}", difference_in, experiments, 0.95, at_least)


PARTS = (false_positives, naive_is_wrong, looking_early, planned_looks, coverage, catalogue, split, power)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiments", type=int, default=2000, help="simulated experiments a row (at least)")
    experiments = parser.parse_args().experiments
    print(f"{'promise':<{WIDTH}} {'got':>7} {'wanted':>9}  {'bounds':<17} {'of':>6}")
    failed = 0
    started = time.perf_counter()
    for part in PARTS:
        for row in part(experiments):
            failed += not row.ok
            print(row.line, flush=True)
    verdict = f"{failed} rows out of bounds" if failed else "all within bounds"
    print(f"{time.perf_counter() - started:.0f} s; {verdict}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
