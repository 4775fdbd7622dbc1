"""The Open Bandit log: a real A/B test of two recommenders in the fashion shop ZOZOTOWN, November 2019.

Source: Saito, Aihara, Matsutani, Narita (2020), arXiv:2008.07146. Two policies (`random`, and `bts`, Bernoulli Thompson
sampling) showed items at three positions in three campaigns (`all`, `men`, `women`). The small edition has 10,000 rows
of each policy and campaign, sampled row by row: visits cannot be put together again, so a row is a unit of its own.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from reclift.flows.public_data import PublicDataError

CAMPAIGNS = ("all", "men", "women")
POLICIES = ("random", "bts")
FOLDER = "obp/dataset/obd"
USER_FEATURES = tuple(f"user_feature_{i}" for i in range(4))
ITEM_FEATURES = tuple(f"item_feature_{i}" for i in range(4))
POSITIONS = 3


@dataclass(frozen=True)
class BanditLog:
    """What one policy showed in one campaign: N rows in the order of time.

    Attributes:
        campaign, policy: which part of the log.
        times: shape (N,), float64: seconds since 1970, to the microsecond.
        item_ids: shape (N,), unicode.
        positions: shape (N,), int8: 1 (left) to 3 (right).
        clicks: shape (N,), bool.
        propensities: shape (N,), float64, in (0, 1]: the policy's own chance of this item at this position.
        user_features: shape (N, 4), unicode: hashed by the data's owners; coarse, they do not name a person.
    """

    campaign: str
    policy: str
    times: NDArray[np.float64]
    item_ids: NDArray[np.str_]
    positions: NDArray[np.int8]
    clicks: NDArray[np.bool_]
    propensities: NDArray[np.float64]
    user_features: NDArray[np.str_]

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.times)

    def unit_id(self, row: int) -> str:
        """The unit of a row: a name that stays the same whenever the log is read."""
        return f"zozo-{self.campaign}-{self.policy}-{row:05d}"

    def attributes(self, row: int) -> dict[str, str]:
        """A row's user features by name."""
        return {name: str(value) for name, value in zip(USER_FEATURES, self.user_features[row], strict=True)}


@dataclass(frozen=True, slots=True)
class BanditItem:
    """An item of a campaign: one number and hashed categories, as the data's owners published them."""

    item_id: str
    attributes: Mapping[str, str | float] = field(default_factory=dict)


def read_log(stream: IO[bytes], campaign: str, policy: str) -> BanditLog:
    """Read one CSV of the log; `PublicDataError` names the column or the row that is not as published."""
    place = f"Open Bandit {policy}/{campaign}"
    columns = ("timestamp", "item_id", "position", "click", "propensity_score", *USER_FEATURES)
    table = _read_csv(stream, columns, place)
    log = BanditLog(
        campaign=campaign,
        policy=policy,
        times=_seconds(table["timestamp"]),
        item_ids=table["item_id"].astype(np.str_),
        positions=_numbers(table, "position", place).astype(np.int8),
        clicks=_numbers(table, "click", place).astype(bool),
        propensities=_numbers(table, "propensity_score", place),
        user_features=np.column_stack([table[name].astype(np.str_) for name in USER_FEATURES]),
    )
    _check(np.isin(log.positions, range(1, POSITIONS + 1)), "position", table, f"1 to {POSITIONS}", place)
    _check(np.isin(_numbers(table, "click", place), (0, 1)), "click", table, "0 or 1", place)
    _check((log.propensities > 0) & (log.propensities <= 1), "propensity_score", table, "in (0, 1]", place)
    order = np.argsort(log.times, kind="stable")
    return BanditLog(
        campaign,
        policy,
        log.times[order],
        log.item_ids[order],
        log.positions[order],
        log.clicks[order],
        log.propensities[order],
        log.user_features[order],
    )


def read_items(stream: IO[bytes], place: str = "Open Bandit items") -> list[BanditItem]:
    """Read a campaign's `item_context.csv`: a number (its meaning unpublished) and three hashed categories."""
    table = _read_csv(stream, ("item_id", *ITEM_FEATURES), place)
    numbers = _numbers(table, ITEM_FEATURES[0], place)
    return [
        BanditItem(
            item_id=str(item_id),
            attributes={
                ITEM_FEATURES[0]: float(numbers[row]),
                **{name: str(table[name][row]) for name in ITEM_FEATURES[1:]},
            },
        )
        for row, item_id in enumerate(table["item_id"])
    ]


def read_wheel(
    wheel: Path, campaigns: tuple[str, ...] = CAMPAIGNS
) -> Iterator[tuple[list[BanditItem], list[BanditLog]]]:
    """Per campaign its items and the logs of both policies (`random` first), out of the `obp` wheel."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for campaign in campaigns:
                with archive.open(f"{FOLDER}/random/{campaign}/item_context.csv") as stream:
                    items = read_items(stream, f"Open Bandit items of {campaign}")
                logs = []
                for policy in POLICIES:
                    with archive.open(f"{FOLDER}/{policy}/{campaign}/{campaign}.csv") as stream:
                        logs.append(read_log(stream, campaign, policy))
                yield items, logs
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise PublicDataError(f"{wheel}: cannot be read as the Open Bandit wheel: {error}") from error


def _read_csv(stream: IO[bytes], columns: tuple[str, ...], place: str) -> dict[str, NDArray[Any]]:
    """The named columns as text, except the timestamp, which is an aware one."""
    import pyarrow as pa
    from pyarrow import csv

    types = {name: pa.string() for name in columns}
    types["timestamp"] = pa.timestamp("us", tz="UTC")
    options = csv.ConvertOptions(include_columns=list(columns), column_types=types)
    try:
        table = csv.read_csv(stream, convert_options=options)
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise PublicDataError(f"{place}: {error}") from error
    return {name: table[name].to_numpy() for name in columns}


def _seconds(stamps: NDArray[Any]) -> NDArray[np.float64]:
    microseconds = stamps.astype("datetime64[us]").astype(np.int64)
    return np.asarray(microseconds / 1e6, dtype=np.float64)


def _numbers(table: Mapping[str, NDArray[Any]], name: str, place: str) -> NDArray[np.float64]:
    try:
        return table[name].astype(np.float64)
    except ValueError as error:
        raise PublicDataError(f"{place}: {name}: {error}") from error


def _check(good: NDArray[np.bool_], name: str, table: Mapping[str, NDArray[Any]], rule: str, place: str) -> None:
    if not good.all():
        row = int(np.argmin(good))
        raise PublicDataError(f"{place}: {name}={table[name][row]!r} in row {row + 1}: must be {rule}")
