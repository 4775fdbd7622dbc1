"""The offline table on Online Retail (UCI 352), as it stands in docs/strategies.md.

    python -m bench._online_retail FILE [--repeats]

FILE is the data set as Parquet or CSV with its own column names (InvoiceNo, StockCode, Description, Quantity,
InvoiceDate, UnitPrice, CustomerID), as from https://archive.ics.uci.edu/dataset/352. Temporal split: the last fifth of
all purchases is to be found. Short lists are filled by 30 days' popularity, as on a placement. `--repeats` also asks
for what a customer bought before. Data: Chen, Sain & Guo (2012), Journal of Database Marketing & Customer Strategy
Management 19(3).
"""

from __future__ import annotations

import os
import sys

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import pandas as pd

from reclift.flows.offline import Candidate, Settings, Split, evaluate
from reclift.strategy import Dataset, Item, Registry

K = 10
SHOWN = ("ndcg", "recall", "hit_rate", "mrr", "coverage", "novelty", "diversity")


def purchases(file: str) -> Dataset:
    """One interaction per customer, item and invoice time; returns and rows without a customer are left out."""
    table = pd.read_parquet(file) if file.endswith(".parquet") else pd.read_csv(file, dtype={"StockCode": str})
    usable = table[table.CustomerID.notna() & (table.Quantity.astype(float) > 0) & (table.UnitPrice.astype(float) > 0)]
    usable = usable.drop_duplicates(["CustomerID", "StockCode", "InvoiceDate"])
    first = usable.drop_duplicates("StockCode")
    items = [
        Item(str(code), title=str(title), price=float(price))
        for code, title, price in zip(first.StockCode, first.Description, first.UnitPrice, strict=True)
    ]
    times = pd.to_datetime(usable.InvoiceDate).astype("datetime64[s]").astype("int64")
    rows = zip(usable.CustomerID.astype(str), usable.StockCode.astype(str), [1.0] * len(usable), times, strict=True)
    return Dataset.from_rows(rows, items)


def main(file: str, *, repeats: bool) -> None:
    registry = Registry.installed()

    def candidate(name: str, key: str, **params) -> Candidate:
        return Candidate(name, registry.get(key), params)

    recent = candidate("popularity, 30 days", "popularity", window_days=30)
    keys = ("item_cf", "user_cf", "matrix_factorization", "ease", "content", "hybrid")
    candidates = [candidate("random", "random"), candidate("popularity", "popularity"), recent]
    candidates += [candidate(key, key) for key in keys]
    split = Split.temporal(purchases(file), 0.2, exclude_seen=not repeats)
    found = evaluate(split, candidates, Settings(ks=(K,)), fallback=recent)
    print(f"{found.split}\n")
    print(f"| strategy | nDCG@{K} [95 %] | {' | '.join(SHOWN[1:])} | own share | fit s | answer ms |")
    print(f"|---|---|{'---|' * (len(SHOWN) + 2)}")
    for result in found.results:
        metrics = result.metrics[K]
        headline = metrics["ndcg"]
        cells = [f"{headline.value:.4f} [{headline.low:.4f}, {headline.high:.4f}]"]
        for metric in SHOWN[1:]:
            estimate = metrics[metric]
            cells.append(estimate.reason if estimate.value is None else f"{estimate.value:.3f}")
        cells += [f"{result.own_share:.2f}", f"{result.fit_seconds:.1f}", f"{result.answer_ms:.2f}"]
        print(f"| `{result.name}` | {' | '.join(cells)} |")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("give the file: python -m bench._online_retail FILE [--repeats]")
    main(sys.argv[1], repeats="--repeats" in sys.argv[2:])
