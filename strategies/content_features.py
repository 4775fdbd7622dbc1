"""Items as sparse vectors of what the shop says about them: words, category, attributes, price bands."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from reclift.strategy import Item

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

BANDS = 10
"""Numbers, the price above all, are cut into so many bands with the same number of items in each."""
NEIGHBOUR_BAND = 0.5
"""An item is also this much in the bands next to its own, so that 19.90 and 20.10 are never strangers."""
COMMON_FROM = 20
"""In smaller catalogues no word is taken for a common one."""

_WORD = re.compile(r"[^\W_]+")
_IDEOGRAPHS = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")

Field = str
Tokens = dict[str, float]


def words(text: str) -> Iterator[str]:
    """Lower-case words; runs of Chinese, Japanese or Korean signs, which have no spaces, as pairs of signs."""
    for word in _WORD.findall(text.casefold()):
        rest = word
        for run in _IDEOGRAPHS.findall(word):
            yield from (run[n : n + 2] for n in range(max(1, len(run) - 1)))
            rest = rest.replace(run, " ")
        yield from (part for part in rest.split() if len(part) > 1)


def item_vectors(
    items: Sequence[Item], weights: Mapping[Field, float], max_features: int
) -> tuple[csr_matrix, NDArray[np.str_]]:
    """TF-IDF vectors, a block of features per field.

    Each field's block is brought to length 1 and multiplied by the field's weight, so that a long description does not
    drown a category; then the whole is brought to length 1. Rarity is log((1 + N) / (1 + n)) + 1. Features of one item
    alone are dropped, since they tell nothing about another, and so are words of more than half of all items.

    Args:
        items: I items.
        weights: "title", "description", "category", "attributes", "price" -> weight; 0 leaves a field out.
        max_features: the most frequent are kept, so many.

    Returns:
        The matrix, shape (I, F), float32, and the features' names, shape (F,), such as "category: shoes".
    """
    from scipy.sparse import csr_matrix

    described = [_tokens(item) for item in items]
    _add_bands(described, "price", [_number(item.price) for item in items])
    numeric = Counter(name for item in items for name, value in item.attributes.items() if _number(value) is not None)
    for name in sorted(numeric):
        _add_bands(described, "attributes", [_number(item.attributes.get(name)) for item in items], name)
    count = Counter(
        token for fields in described for field, tokens in fields.items() if weights[field] > 0 for token in tokens
    )
    most = max(COMMON_FROM, len(items) / 2)
    common = {token for token, n in count.items() if n > most and token.startswith(("title: ", "description: "))}
    kept = sorted(
        (token for token, n in count.items() if n > 1 and token not in common), key=lambda token: (-count[token], token)
    )
    names = sorted(kept[:max_features])
    column = {token: number for number, token in enumerate(names)}
    rarity = {token: np.log((1 + len(items)) / (1 + count[token])) + 1 for token in names}
    data: list[float] = []
    columns: list[int] = []
    starts = [0]
    for fields in described:
        row: dict[int, float] = {}
        for field, tokens in fields.items():
            block = {column[t]: (1 + np.log(n) if n > 1 else n) * rarity[t] for t, n in tokens.items() if t in column}
            length = np.sqrt(sum(value * value for value in block.values()))
            for place, value in block.items():
                row[place] = row.get(place, 0.0) + weights[field] * value / length
        length = np.sqrt(sum(value * value for value in row.values()))
        columns.extend(sorted(row))
        data.extend(row[place] / length for place in sorted(row))
        starts.append(len(columns))
    matrix = csr_matrix(
        (np.array(data, dtype=np.float32), np.array(columns, dtype=np.int32), np.array(starts, dtype=np.int64)),
        shape=(len(items), len(names)),
    )
    return matrix, np.array(names, dtype=np.str_)


def _tokens(item: Item) -> dict[Field, Tokens]:
    fields: dict[Field, Tokens] = {
        "title": dict(Counter(f"title: {word}" for word in words(item.title))),
        "description": dict(Counter(f"description: {word}" for word in words(item.description))),
        "category": {},
        "attributes": {},
        "price": {},
    }
    if item.category:
        # "clothes > shoes > boots": boots are also shoes
        parts = [part.strip() for part in re.split(r"[>/|]", item.category) if part.strip()]
        fields["category"] = {f"category: {' > '.join(parts[: n + 1])}": 1.0 for n in range(len(parts))}
    for name, value in item.attributes.items():
        for one in _several(value):
            if _number(one) is None and str(one).strip():
                fields["attributes"][f"{name}: {one}"] = 1.0
    return fields


def _several(value: Any) -> Iterable[Any]:
    if isinstance(value, (list, tuple, set, frozenset)):
        return value
    return () if value is None or isinstance(value, Mapping) else (value,)


def _number(value: Any) -> float | None:
    """A finite number as such; True and False are words here."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return None
    return number if np.isfinite(number) else None


def _add_bands(
    described: Sequence[dict[Field, Tokens]], field: Field, numbers: Sequence[float | None], name: str | None = None
) -> None:
    known = np.array([number for number in numbers if number is not None])
    if not len(known):
        return
    edges = np.unique(np.quantile(known, np.linspace(0, 1, BANDS + 1)[1:-1]))
    label = name or field
    limits = [-np.inf, *edges.tolist(), np.inf]
    names = [f"{label}: {_span(low, high)}" for low, high in pairwise(limits)]
    for fields, number in zip(described, numbers, strict=True):
        if number is None:
            continue
        own = int(np.searchsorted(edges, number, side="right"))
        for band, weight in ((own - 1, NEIGHBOUR_BAND), (own, 1.0), (own + 1, NEIGHBOUR_BAND)):
            if 0 <= band < len(names):
                fields[field][names[band]] = weight


def _span(low: float, high: float) -> str:
    if np.isinf(low) and np.isinf(high):
        return "any"
    if np.isinf(low):
        return f"below {high:g}"
    return f"from {low:g}" if np.isinf(high) else f"{low:g} to {high:g}"
