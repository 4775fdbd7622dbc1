"""Reads an experiment that another system ran from a file: a row for each item that somebody was shown.

Rows are checked one by one; what cannot be used is counted with its reason, and the rest is taken. The table stays in
its columns; lists are made only as they are asked for, so that millions of rows need little memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import pyarrow as pa

from reclift.domain.events import EventError, checked_id
from reclift.domain.pseudonym import Pseudonyms
from reclift.flows import cells
from reclift.flows.errors import Invalid
from reclift.flows.importing import Count, columns_for
from reclift.flows.logged import LoggedList, Reaction, Shown
from reclift.flows.tables_in import read_table

COLUMNS = ("user_id", "arm", "timestamp", "list_id", "item_id", "position", "propensity")
REQUIRED = ("user_id", "arm", "timestamp")
USUAL_EVENTS = ("click", "add_to_cart", "purchase")
"""Columns that are taken for events by themselves."""


_BATCH = 50_000


@dataclass(slots=True)
class _List:
    at: int
    arm: str
    unit: str
    id: str
    rows: list[int]


class LoggedFile(Sequence[LoggedList]):
    """The lists of a file, in the order of time.

    Attributes:
        arms: the arms it names, in the order of their first list.
        tally: how many rows were taken, and which were skipped for what reason.
    """

    def __init__(
        self,
        path: Path,
        experiment: str,
        mapping: Mapping[str, str],
        *,
        events: Mapping[str, str],
        attributes: Sequence[str] = (),
        pseudonyms: Pseudonyms | None = None,
    ) -> None:
        """Read and check everything.

        Args:
            path: CSV or Parquet.
            experiment: the key it will have; ids of lists are made from it, so that two imports never share one.
            mapping: our column -> the file's.
            events: event type -> the column that tells whether (and with which value) it happened; empty or 0: not.
            attributes: columns kept as the unit's attributes, for segments.
            pseudonyms: hides user ids, where the settings ask for it.

        Raises:
            Invalid: the file cannot be read, or a column is missing.
        """
        columns = columns_for(path, COLUMNS, REQUIRED, mapping)
        wanted = list(dict.fromkeys([*columns.values(), *events.values(), *attributes]))
        self._table = read_table(path, wanted, as_text=True)
        self._columns, self._events, self._attributes = columns, events, attributes
        self._hide = pseudonyms or Pseudonyms()
        self._experiment = experiment
        self.tally = Count()
        self._lists = self._grouped()
        self.arms = list(dict.fromkeys(one.arm for one in self._lists))

    def _grouped(self) -> list[_List]:
        names: dict[str, str] = {}
        found: dict[str, _List] = {}
        number = 0
        for batch in self._table.to_batches(max_chunksize=_BATCH):
            for row in batch.to_pylist():
                try:
                    self._add(found, names, row, number)
                except EventError as error:
                    self.tally.skip(cells.reason(error), number + 1)
                else:
                    self.tally.taken += 1
                number += 1
        return sorted(found.values(), key=lambda one: one.at)

    def _add(self, found: dict[str, _List], names: dict[str, str], row: Mapping[str, Any], number: int) -> None:
        columns = self._columns
        unit = self._hide(checked_id("user_id", cells.text(row[columns["user_id"]])))
        arm = checked_id("arm", cells.text(row[columns["arm"]]))
        at = cells.time(row[columns["timestamp"]])
        self._content(row, 1)
        name = checked_id("list_id", cells.text(row[columns["list_id"]])) if "list_id" in columns else str(number)
        known = found.get(name)
        if known is None:
            # An arm's name is kept once, however many lists it has.
            known = found[name] = _List(at, names.setdefault(arm, arm), unit, self._id(name), [])
        elif (known.arm, known.unit) != (arm, unit):
            raise EventError(f"list_id={name!r}: has rows of another user or arm before")
        known.rows.append(number)

    def _id(self, name: str) -> str:
        return hashlib.blake2b(f"{self._experiment}\x1f{name}".encode(), digest_size=16).hexdigest()

    def _content(self, row: Mapping[str, Any], order: int) -> tuple[Shown | None, list[Reaction]]:
        """What a row shows, and what came of it; `EventError` names what is wrong."""
        columns = self._columns
        position = _position(row[columns["position"]], order) if "position" in columns else order
        propensity = _propensity(row[columns["propensity"]]) if "propensity" in columns else None
        item, shown = "", None
        if "item_id" in columns:
            item = checked_id("item_id", cells.text(row[columns["item_id"]]))
            shown = Shown(item, position, propensity)
        values = {kind: _value(kind, row[column]) for kind, column in self._events.items()}
        return shown, [Reaction(kind, item, value) for kind, value in values.items() if value]

    def __len__(self) -> int:
        """How many lists there are."""
        return len(self._lists)

    @overload
    def __getitem__(self, place: int) -> LoggedList: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[LoggedList]: ...
    def __getitem__(self, place: int | slice) -> LoggedList | Sequence[LoggedList]:
        """One list, or some of them."""
        chosen = self._lists[place] if isinstance(place, slice) else [self._lists[place]]
        rows = iter(self._table.take(pa.array([number for one in chosen for number in one.rows])).to_pylist())
        made = [self._made(one, [next(rows) for _ in one.rows]) for one in chosen]
        return made if isinstance(place, slice) else made[0]

    def _made(self, one: _List, rows: Sequence[Mapping[str, Any]]) -> LoggedList:
        contents = [self._content(row, order) for order, row in enumerate(rows, start=1)]
        shown = [item for item, _ in contents if item is not None]
        reactions = [reaction for _, own in contents for reaction in own]
        kept = {name: rows[0][name] for name in self._attributes if rows[0][name] is not None}
        return LoggedList(one.id, one.unit, one.arm, one.at, shown, reactions, kept)


def events_of(known: Sequence[str], named: Sequence[str]) -> dict[str, str]:
    """Event type -> column: `named` as `TYPE` or `TYPE=COLUMN`; else the usual ones among the `known` columns.

    Raises:
        Invalid: a column is not there.
    """
    if not named:
        return {kind: kind for kind in USUAL_EVENTS if kind in known}
    found = {}
    for text in named:
        kind, _, column = text.partition("=")
        found[kind] = column or kind
        if found[kind] not in known:
            raise Invalid.of("event", text, f"names no column of the file; it has {', '.join(known)}")
    return found


def _position(given: object, otherwise: int) -> int:
    if given is None:
        return otherwise
    value = cells.number(given, "position")
    if value < 1 or value != int(value):
        raise EventError(f"position={given!r}: must be a whole number of at least 1")
    return int(value)


def _propensity(given: object) -> float | None:
    if given is None:
        return None
    value = cells.number(given, "propensity")
    if not 0 < value <= 1:
        raise EventError(f"propensity={given!r}: must be a chance above 0, at most 1")
    return value


def _value(kind: str, given: object) -> float:
    """What an event's cell says: empty, 0 and false are no event; else its value."""
    if given is None:
        return 0.0
    if isinstance(given, str) and given.lower() in {"true", "false"}:
        return float(given.lower() == "true")
    return cells.number(given, kind)
