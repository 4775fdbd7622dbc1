"""What a report's statistics cost: 100 metrics x 5 arms from their sums, beside SciPy's t test alone on the same.

    python bench/stats_speed.py

SciPy answers one question a comparison (Welch's p-value); the engine answers with lifts, intervals, an always-valid and
a Bayesian reading, and warnings. The ratio says what all that costs.
"""

from __future__ import annotations

import time

import numpy as np
from scipy.stats import ttest_ind_from_stats

from reclift.stats.comparison import compare
from reclift.stats.sums import Sums

UNITS = 200_000
ARMS = 5
METRICS = {"proportion": 34, "mean": 33, "ratio": 33}


def sums(kind: str, rng: np.random.Generator) -> Sums:
    if kind == "proportion":
        return Sums.of_counts(UNITS, float(rng.binomial(UNITS, 0.1)))
    scale = rng.uniform(0.98, 1.02)
    if kind == "mean":
        return Sums.of_moments(UNITS, 3.0 * scale, 40.0)
    return Sums(UNITS, 0.5 * UNITS * scale, 1.2 * UNITS, y=5.0 * UNITS, yy=30.0 * UNITS, xy=2.8 * UNITS)


def main() -> None:
    rng = np.random.default_rng(1)
    total = reference = 0.0
    for kind, count in METRICS.items():
        arms = [[sums(kind, rng) for _ in range(ARMS)] for _ in range(count)]
        started = time.process_time()
        for control, *others in arms:
            for other in others:
                compare(control, other, kind=kind)
        ours = time.process_time() - started
        started = time.process_time()
        for control, *others in arms:
            for other in others:
                a, b = ((s.mean("x"), s.covariance("x", "x") ** 0.5, s.n) for s in (control, other))
                ttest_ind_from_stats(*b, *a, equal_var=False)
        scipy = time.process_time() - started
        n = count * (ARMS - 1)
        print(
            f"{kind:<11} {n} comparisons: {1e3 * ours:.0f} ms, {1e3 * ours / n:.2f} ms each; SciPy {1e3 * scipy:.0f} ms"
        )
        total, reference = total + ours, reference + scipy
    print(
        f"{sum(METRICS.values())} metrics x {ARMS} arms: {total:.2f} s, {total / reference:.1f} x SciPy's t test alone"
    )


if __name__ == "__main__":
    main()
