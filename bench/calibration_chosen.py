"""Does what an experiment can choose keep its promises?

Corrections, strata, quantiles, repeated intervals, the bootstrap.

    python -m bench.calibration_chosen [--experiments 2000]

Rows, bounds and exit code as in `bench.calibration`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np

from bench.calibration import WIDTH, Row, revenue
from reclift.stats.bootstrap import UnitValues, bootstrap, grouped
from reclift.stats.comparison import compare
from reclift.stats.estimators import estimate
from reclift.stats.group_sequential import looks, repeated_interval
from reclift.stats.multiple import adjust
from reclift.stats.quantile import Sample, compare_samples
from reclift.stats.readings import plain_effect
from reclift.stats.sums import Sums

LEVELS = np.array([5.0, 20.0, 60.0])
SHARES = np.array([0.6, 0.3, 0.1])
RATES = np.array([0.05, 0.1, 0.3])
MEAN = float(LEVELS @ SHARES)
Strata = list[tuple[Sums, Sums]]


def spending(rng: np.random.Generator, n: int, lift: float) -> Strata:
    """Three kinds of customers that spend very differently, each thrown into an arm by a coin."""
    kind, arm = rng.choice(3, n, p=SHARES), rng.integers(0, 2, n)
    x = LEVELS[kind] * rng.gamma(4.0, 0.25, n) * np.where(arm == 1, 1.0 + lift, 1.0)
    return [tuple(Sums.from_arrays(x[(kind == one) & (arm == side)]) for side in (0, 1)) for one in range(3)]


def clicking(rng: np.random.Generator, n: int, lift: float) -> Strata:
    """The same three with clicks of their own rate on lists; clicks of a user go together."""
    kind, arm = rng.choice(3, n, p=SHARES), rng.integers(0, 2, n)
    y = rng.geometric(0.2, n)
    own = rng.beta(20 * RATES[kind], 20 * (1 - RATES[kind])) * np.where(arm == 1, 1.0 + lift, 1.0)
    x = rng.binomial(y, np.minimum(own, 1.0))
    cells = [[(kind == one) & (arm == side) for side in (0, 1)] for one in range(3)]
    return [tuple(Sums.from_arrays(x[cell], y[cell]) for cell in pair) for pair in cells]


def strata(experiments: int) -> Iterator[Row]:
    def read(kind: str, make: Callable[..., Strata], lift: float) -> list:
        rng, found = np.random.default_rng(20_011), []
        for _ in range(experiments):
            parts = make(rng, 2_000, lift)
            control, treatment = (sum((pair[side] for pair in parts), Sums.empty()) for side in (0, 1))
            found.append(compare(control, treatment, kind=kind, strata=parts))
        return found

    for name, kind, make in (("revenue", "mean", spending), ("CTR, clustered", "ratio", clicking)):
        hits = sum(c.p_value < 0.05 for c in read(kind, make, 0.0))
        yield Row(f"A/A {name}, post-stratified, 2,000 units: p < .05", hits, experiments, 0.05)
    found = read("mean", spending, 0.05)
    for what, truth in (("lift", 0.05), ("difference", 0.05 * MEAN)):
        hits = sum(getattr(c, f"{what}_ci").low <= truth <= getattr(c, f"{what}_ci").high for c in found)
        yield Row(f"interval of the {what}, revenue, post-stratified, +5 %, 2,000 units", hits, experiments, 0.95)


def latencies(rng: np.random.Generator, users: int, scale: float = 1.0) -> Sample:
    """Users with 1 + geometric lists each and a connection of their own: a user's latencies go together."""
    lists = rng.geometric(0.2, users)
    whose = np.repeat(np.arange(users), lists)
    return Sample(scale * rng.gamma(4.0, 5.0, users)[whose] * rng.gamma(4.0, 0.25, whose.size), whose)


def quantiles(experiments: int) -> Iterator[Row]:
    truth_of = latencies(np.random.default_rng(1), 1_000_000).values
    for q in (0.5, 0.95):
        rng = np.random.default_rng(20_012)
        false, lift_in, difference_in, naive = 0, 0, 0, 0
        truth = 0.1 * float(np.quantile(truth_of, q))
        for _ in range(experiments):
            control, same, slower = (latencies(rng, 500, scale) for scale in (1.0, 1.0, 1.1))
            false += compare_samples(control, same, q).p_value < 0.05
            alone = (Sample(one.values, np.arange(one.values.size)) for one in (control, same))
            naive += compare_samples(*alone, q).p_value < 0.05
            c = compare_samples(control, slower, q)
            lift_in += c.lift_ci.low <= 0.1 <= c.lift_ci.high
            difference_in += c.difference_ci.low <= truth <= c.difference_ci.high
        yield Row(f"A/A latency's {q:.0%} quantile, clustered, 500 users an arm: p < .05", false, experiments, 0.05)
        yield Row(
            "  (for comparison) with values as units: p < .05 is NOT .05", naive, experiments, naive / experiments
        )
        yield Row(f"interval of the lift, latency's {q:.0%} quantile, +10 %", lift_in, experiments, 0.95)
        yield Row(f"interval of the difference, latency's {q:.0%} quantile, +10 %", difference_in, experiments, 0.95)


def repeated(experiments: int) -> Iterator[Row]:
    """All five planned looks' intervals together."""
    for family in ("obrien_fleming", "power"):
        rng, hits = np.random.default_rng(20_013), 0
        design = looks([0.2, 0.4, 0.6, 0.8, 1.0], family=family)
        truth = 0.1 * 0.1 * float(np.exp(3.0 + 1.2**2 / 2))
        for _ in range(experiments):
            a, b, good = Sums.empty(), Sums.empty(), True
            parts = zip(design, revenue(rng, 4_000, 5), revenue(rng, 4_000, 5, 1.1), strict=True)
            for look, more_a, more_b in parts:
                a, b = a + more_a, b + more_b
                effect = plain_effect(estimate(a, "mean"), estimate(b, "mean"))
                low, high = repeated_interval(effect.difference, effect.std_error, look)
                good &= low <= truth <= high
            hits += good
        yield Row(f"all 5 repeated intervals, revenue, heavy-tailed, +10 %, {family}", hits, experiments, 0.95)


def resampled(experiments: int) -> Iterator[Row]:
    rng, hits = np.random.default_rng(20_014), 0
    for place in range(experiments):
        arms = [scale * rng.gamma(1.0, 10.0, rng.binomial(600, 2 / 3)) for scale in (1.0, 1.1)]
        groups = [
            grouped(UnitValues(x, *np.zeros((3, x.size))), 600, 2 * place + side) for side, x in enumerate(arms)
        ]  # a third of the units, more or less, did nothing
        read = bootstrap(*groups, kind="mean", draws=300, seed=place)
        hits += read.lift_ci.low <= 0.1 <= read.lift_ci.high
    yield Row("interval of the lift, bootstrap (300 draws), mean, +10 %, 600 units an arm", hits, experiments, 0.95)


def corrections(experiments: int) -> Iterator[Row]:
    """Four arms against one control: how often anything is called, and which share of it is false."""
    for method in ("holm", "benjamini_hochberg", "none"):
        rng = np.random.default_rng(20_015)
        anything, false_share = 0, 0.0
        for _ in range(experiments):
            for better in (0, 2):
                rates = [0.1] + [0.13] * better + [0.1] * (4 - better)
                control, *arms = (Sums.of_counts(2_000, int(rng.binomial(2_000, rate))) for rate in rates)
                family = [compare(control, arm, kind="proportion") for arm in arms]
                called = [c.p_value_adjusted < 0.05 for c in adjust(family, method)]
                if not better:
                    anything += any(called)
                    continue
                false_share += sum(called[better:]) / max(1, sum(called))
        name = f"4 arms, {method}"
        if method == "none":
            share = anything / experiments
            yield Row(f"  (for comparison) {name}: anything called is NOT .05", anything, experiments, share)
            yield Row("  (the warning's bound) at most 4 times .05", anything, experiments, 0.2, "<=")
            continue
        yield Row(f"A/A {name}: anything called", anything, experiments, 0.05, "<=")
        yield Row(
            f"2 of {name} better: share of false ones among the called", round(false_share), experiments, 0.05, "<="
        )


PARTS = (corrections, strata, quantiles, repeated, resampled)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--experiments", type=int, default=2000, help="simulated experiments a row (at least)")
    experiments = parser.parse_args().experiments
    print(f"{'promise':<{WIDTH}} {'got':>7} {'wanted':>9}  {'bounds':<17} {'of':>6}")
    failed, started = 0, time.perf_counter()
    for part in PARTS:
        for row in part(experiments):
            failed += not row.ok
            print(row.line, flush=True)
    print(f"{time.perf_counter() - started:.0f} s; {f'{failed} rows out of bounds' if failed else 'all within bounds'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
