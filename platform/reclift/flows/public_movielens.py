"""MovieLens-100k: 100,000 ratings of 1,682 films by 943 people, September 1997 to April 1998.

Source: Harper and Konstan (2015), ACM TiiS 5(4), 19. Read from the copy inside the `recbole` wheel, whose files are
tab-separated with a header of `name:type`.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from reclift.flows.public_data import PublicDataError

FOLDER = "recbole/dataset_example/ml-100k"
_ARTICLE_LAST = re.compile(r"([^()]+), (The|An?|La|Les?|Il|Das|Der|Die|El)(?=$| \(|\))")


@dataclass(frozen=True, slots=True)
class Film:
    """One film; `year` is `None` for the one whose year is unknown."""

    item_id: str
    title: str
    year: int | None
    genres: tuple[str, ...]


@dataclass(frozen=True)
class Ratings:
    """N ratings in the order of time (ties by user, then item).

    Attributes:
        user_ids, item_ids: shape (N,), unicode.
        values: shape (N,), float32: 1 to 5 stars.
        times: shape (N,), float64: seconds since 1970.
    """

    user_ids: NDArray[np.str_]
    item_ids: NDArray[np.str_]
    values: NDArray[np.float32]
    times: NDArray[np.float64]

    def __len__(self) -> int:
        """How many ratings there are."""
        return len(self.values)

    def split(self, share: float) -> tuple[Self, Self]:
        """The earlier `share` of all ratings by the clock, and the rest: nothing in the first is later than the second.

        Ratings of one second stay together, in the later part.
        """
        if not 0 < share < 1:
            raise ValueError(f"share={share!r}: must be between 0 and 1")
        cut = int(np.searchsorted(self.times, self.times[int(len(self) * share)], side="left"))
        return self._part(slice(None, cut)), self._part(slice(cut, None))

    def _part(self, rows: slice) -> Self:
        return type(self)(self.user_ids[rows], self.item_ids[rows], self.values[rows], self.times[rows])


@dataclass(frozen=True)
class MovieLens:
    """The data set: films, ratings by time, and per user id what is known of the person (age, gender, occupation)."""

    films: tuple[Film, ...]
    ratings: Ratings
    people: Mapping[str, Mapping[str, Any]]


def read_wheel(wheel: Path) -> MovieLens:
    """Read the data set out of the `recbole` wheel; `PublicDataError` names the file, line and field that is wrong."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            films = [_film(row) for row in _rows(archive, "ml-100k.item")]
            people = dict(_person(row) for row in _rows(archive, "ml-100k.user"))
            ratings = _ratings(_rows(archive, "ml-100k.inter"))
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise PublicDataError(f"{wheel}: cannot be read as the MovieLens wheel: {error}") from error
    unknown = set(ratings.item_ids.tolist()) - {film.item_id for film in films}
    if unknown:
        raise PublicDataError(f"ml-100k.inter: item_id={min(unknown)!r} is not in ml-100k.item")
    return MovieLens(films=tuple(films), ratings=ratings, people=people)


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of a file, with its place for error messages."""

    file: str
    line: int
    fields: Mapping[str, str]

    def number(self, name: str) -> float:
        """A field as a number."""
        try:
            return float(self.fields[name])
        except ValueError as error:
            raise PublicDataError(
                f"{self.file} line {self.line}: {name}={self.fields[name]!r}: must be a number"
            ) from error


def _rows(archive: zipfile.ZipFile, file: str) -> list[_Row]:
    with archive.open(f"{FOLDER}/{file}") as stream:
        lines = io.TextIOWrapper(stream, encoding="utf-8", newline="\n").read().splitlines()
    if not lines:
        raise PublicDataError(f"{file}: is empty")
    names = [column.partition(":")[0] for column in lines[0].split("\t")]
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        fields = line.split("\t")
        if len(fields) != len(names):
            raise PublicDataError(f"{file} line {number}: {len(fields)} fields: must be {len(names)}")
        rows.append(_Row(file, number, dict(zip(names, fields, strict=True))))
    return rows


def _film(row: _Row) -> Film:
    fields = row.fields
    year = fields["release_year"]
    return Film(
        item_id=fields["item_id"],
        title=_natural(fields["movie_title"]),
        year=int(year) if year.isdecimal() else None,
        genres=tuple(genre for genre in fields["class"].split() if genre != "unknown"),
    )


def _natural(title: str) -> str:
    """`Godfather, The` -> `The Godfather`: the file puts articles at the end, of a title in brackets too."""
    return _ARTICLE_LAST.sub(r"\2 \1", title)


def _person(row: _Row) -> tuple[str, dict[str, Any]]:
    fields = row.fields
    known = {"age": int(row.number("age")), "gender": fields["gender"], "occupation": fields["occupation"]}
    return fields["user_id"], known


def _ratings(rows: list[_Row]) -> Ratings:
    user_ids = np.array([row.fields["user_id"] for row in rows], dtype=np.str_)
    item_ids = np.array([row.fields["item_id"] for row in rows], dtype=np.str_)
    values = np.array([row.number("rating") for row in rows], dtype=np.float32)
    times = np.array([row.number("timestamp") for row in rows], dtype=np.float64)
    outside = np.flatnonzero((values < 1) | (values > 5))
    if outside.size:
        row = rows[outside[0]]
        raise PublicDataError(f"{row.file} line {row.line}: rating={row.fields['rating']!r}: must be 1 to 5")
    order = np.lexsort((item_ids, user_ids, times))
    return Ratings(user_ids[order], item_ids[order], values[order], times[order])
