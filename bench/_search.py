"""The approximate search of large catalogues beside the exact one of the same model: milliseconds and recall."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench._clustered import clustered_shop, people
from reclift.strategy import Dataset, Query, Strategy
from strategies.search_effort import recall

RECALL_BAR, RATIO_BAR = 0.97, 0.8
QUESTIONS, K, ROUNDS = 300, 20, 3
ALWAYS = {"exact_up_to": 10**9}
EXACT = {
    "matrix_factorization": ALWAYS,
    "content": ALWAYS,
    "hybrid": {
        "components": [
            {"strategy": "matrix_factorization", "weight": 2.0, "params": ALWAYS},
            {"strategy": "user_cf"},
        ]
    },
}
"""How each strategy is told to look at all items; otherwise these are its defaults."""
Restored = Callable[[str, Dataset, Path, dict], tuple[Strategy, float, float]]


def users_of(items: int) -> tuple[int, int]:
    """Users and choices of each: as many at 10,000 as at 100,000 items, so that only the catalogue differs."""
    return (50_000, 50) if items <= 100_000 else (150_000, 60)


def processor_ms(asked: list[tuple[Strategy, list[Query]]]) -> list[float]:
    """Median of one answer in this thread's processor time, in the best of some rounds; all take turns in each round.

    So others' work on this machine does not count, and what is compared is measured at the same time.
    """
    found = np.full(len(asked), np.inf)
    for _ in range(ROUNDS):
        for number, (model, questions) in enumerate(asked):
            spent = []
            for question in questions:
                began = time.thread_time()
                model.recommend(question)
                spent.append(time.thread_time() - began)
            found[number] = min(found[number], 1000 * float(np.median(spent)))
    return found.tolist()


def found_of(key: str, model: Strategy, exact: Strategy, questions: list[Query], k: int) -> float:
    """Mean share of the exact best that is found; a hybrid's scores depend on the whole list, so there by item."""
    shares = []
    for question in questions:
        asked = replace(question, k=k)
        answer, wanted = model.recommend(asked), exact.recommend(asked)
        if key == "hybrid":
            shares.append(len({s.item_id for s in answer} & {s.item_id for s in wanted}) / max(1, len(wanted)))
        else:
            shares.append(recall(answer, wanted, k))
    return float(np.mean(shares))


def search(restored: Restored, keys: list[str], catalogues: tuple[int, ...]) -> list[str]:
    """Print the table; returns what missed its bar."""
    missed = []
    print(
        f"\n{'approximate search':24}{'items':>10}{'exact ms':>10}{'ours ms':>9}{'recall@10':>11}{'recall@50':>11}"
        f"{'10k / this':>12}   bars: recall {RECALL_BAR}, ratio {RATIO_BAR}"
    )
    shops = {items: clustered_shop(items, *users_of(items)) for items in catalogues}
    questions = {items: people(data, QUESTIONS, users_of(items)[1], K) for items, data in shops.items()}
    for key in keys:
        sizes = [items for items in catalogues if items <= 100_000 or key != "hybrid"] if key in EXACT else []
        with ExitStack() as stack:
            pairs = {}
            for items in sizes:
                folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2)]
                pairs[items] = [
                    restored(key, shops[items], folder, given)[0]
                    for folder, given in zip(folders, ({}, EXACT[key]), strict=True)
                ]
            took = processor_ms([(model, questions[items]) for items in sizes for model in pairs[items]])
            for number, items in enumerate(sizes):
                ms, exact_ms = took[2 * number : 2 * number + 2]
                at_10, at_50 = (found_of(key, *pairs[items], questions[items], k) for k in (10, 50))
                ratio = took[0] / ms
                print(
                    f"{key:24}{items:10,}{exact_ms:10.3f}{ms:9.3f}{at_10:11.4f}{at_50:11.4f}{ratio:12.2f}", flush=True
                )
                if min(at_10, at_50) < RECALL_BAR:
                    missed.append(f"{key} at {items:,} items: recall {min(at_10, at_50):.4f}")
                if items <= 100_000 and ratio < RATIO_BAR:
                    missed.append(f"{key} at {items:,} items: {ratio:.2f} of the answers at {catalogues[0]:,}")
    return missed
