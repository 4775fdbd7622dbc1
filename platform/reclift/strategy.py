"""What a strategy is, and the door by which strategies come in.

A strategy is one class. The platform calls `fit` in a worker, keeps the result's `state` as data files, and calls
`restore` and `recommend` in every web process. Anything installed that names such a class under the entry-point group
`reclift.strategies` is offered in the web UI, the API and the offline evaluation; the built-ins use the same door.

```toml
[project.entry-points."reclift.strategies"]
my_strategy = "my_package.my_module:MyStrategy"
```
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

ENTRY_POINT_GROUP = "reclift.strategies"

Progress = Callable[[float, str], None]
"""Told now and then how far a fit is: a share between 0 and 1, and what it is doing."""


class StrategyError(Exception):
    """A strategy, its parameters or its data are not usable; the message names which and why."""


class ParameterError(StrategyError):
    """Parameters that a strategy does not take; the message names the first fault.

    Attributes:
        faults: all of them: path below the parameters (empty: of the whole), value, rule to be read after the field.
    """

    def __init__(self, key: str, faults: Sequence[tuple[str, Any, str]]) -> None:
        """`key` is the strategy's; there is at least one fault."""
        place, value, rule = faults[0]
        super().__init__(f"{key}: parameter {place or 'params'}={value!r}: {rule}")
        self.faults = tuple(faults)


class Parameters(BaseModel):
    """Base of a strategy's parameters. Field constraints and descriptions become the form in the web UI."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoParameters(Parameters):
    """For strategies that have nothing to set."""


@dataclass(frozen=True, slots=True)
class Item:
    """One item of the catalogue, as the shop described it."""

    item_id: str
    title: str = ""
    description: str = ""
    category: str | None = None
    price: float | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    available: bool = True


class Signal(NamedTuple):
    """One thing that a user did with an item: `weight` by event type, `at` in seconds since 1970, `value` as sent."""

    item_id: str
    weight: float
    at: float
    type: str = ""
    value: float | None = None


class Scored(NamedTuple):
    """One recommended item; `propensity` is its chance at this position, where the strategy is stochastic."""

    item_id: str
    score: float
    propensity: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked of a strategy for one list.

    Attributes:
        k: how many items are wanted. A strategy may return more or fewer; the platform cuts and fills.
        user_id: the unit's canonical id; `None` only in tests. A guest's session id stands here too.
        history: the user's (or session's) current signals, oldest first. Not limited to what was in training.
        context_items: items that the page is about (a product page's item), most important first.
        attributes: what the shop stored of the user (country, device, …), and what it sent now, which goes first.
        exclude: items that will be dropped afterwards anyway; skipping them early gives a fuller list.
        candidates: if given, the only items allowed.
        seed: derived from experiment, user and request: all randomness must come from it, so a retry answers the same.
        now: seconds since 1970.
    """

    k: int
    user_id: str | None = None
    history: Sequence[Signal] = ()
    context_items: Sequence[str] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    exclude: frozenset[str] = frozenset()
    candidates: frozenset[str] | None = None
    seed: int = 0
    now: float = 0.0

    def allows(self, item_id: str) -> bool:
        """Whether the item may be in the answer at all: not excluded, not the page's own, and a candidate."""
        return (
            item_id not in self.exclude
            and item_id not in self.context_items
            and (self.candidates is None or item_id in self.candidates)
        )


@dataclass(frozen=True, slots=True)
class State:
    """A fitted strategy as plain data: arrays (saved as `.npy`, memory-mapped on loading) and a JSON-able mapping.

    Object arrays are refused. Lists of item ids are best kept as a unicode array under `arrays`.

    A strategy whose answer may differ from its exact one, because it does not look at all items, says under
    `meta["search"]` by how much: a mapping whose numbers (`recall@10`, …) are shown with the model's offline metrics.
    """

    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """Interactions and items to learn from, in index space.

    Attributes:
        user_ids: shape (U,), unicode; position = user index.
        item_ids: shape (I,), unicode; position = item index. Every item of the catalogue is here, with or without
            interactions, followed by none that is not in `items`.
        items: I items, aligned with `item_ids`.
        users, columns: shape (N,), int32: user and item index of each interaction.
        weights: shape (N,), float32, > 0: strength by event type (and age, where the platform decays).
        values: shape (N,), float32: the number that the event carried (a rating, an amount); NaN where it had none.
        times: shape (N,), float64: seconds since 1970.
        until: nothing after this second is in the data.
        user_attributes: per user id, what the shop told of them.
    """

    user_ids: NDArray[np.str_]
    item_ids: NDArray[np.str_]
    items: Sequence[Item]
    users: NDArray[np.int32]
    columns: NDArray[np.int32]
    weights: NDArray[np.float32]
    values: NDArray[np.float32]
    times: NDArray[np.float64]
    until: float = 0.0
    user_attributes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def from_rows(
        cls,
        rows: Iterable[tuple[str, str, float, float] | tuple[str, str, float, float, float]],
        items: Iterable[Item] = (),
        user_attributes: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Self:
        """Build from `(user_id, item_id, weight, time[, value])` rows. Items only met in rows get a bare `Item`."""
        described = {item.item_id: item for item in items}
        item_index = {item_id: i for i, item_id in enumerate(described)}
        user_index: dict[str, int] = {}
        users: list[int] = []
        columns: list[int] = []
        weights: list[float] = []
        values: list[float] = []
        times: list[float] = []
        for user_id, item_id, weight, at, *rest in rows:
            users.append(user_index.setdefault(user_id, len(user_index)))
            if item_id not in item_index:
                described[item_id] = Item(item_id)
                item_index[item_id] = len(item_index)
            columns.append(item_index[item_id])
            weights.append(weight)
            values.append(rest[0] if rest else np.nan)
            times.append(at)
        return cls(
            user_ids=np.array(list(user_index), dtype=np.str_),
            item_ids=np.array(list(described), dtype=np.str_),
            items=tuple(described.values()),
            users=np.array(users, dtype=np.int32),
            columns=np.array(columns, dtype=np.int32),
            weights=np.array(weights, dtype=np.float32),
            values=np.array(values, dtype=np.float32),
            times=np.array(times, dtype=np.float64),
            until=max(times, default=0.0),
            user_attributes=user_attributes or {},
        )

    def __len__(self) -> int:
        """How many interactions there are."""
        return len(self.users)

    @property
    def shape(self) -> tuple[int, int]:
        """Users, items."""
        return len(self.user_ids), len(self.item_ids)

    def where(self, chosen: NDArray[np.bool_]) -> Self:
        """The chosen interactions, shape (N,); users and catalogue stay, `until` becomes the last one's time."""
        return replace(
            self,
            users=self.users[chosen],
            columns=self.columns[chosen],
            weights=self.weights[chosen],
            values=self.values[chosen],
            times=self.times[chosen],
            until=float(self.times[chosen].max(initial=0.0)),
        )

    @cached_property
    def matrix(self) -> csr_matrix:
        """Users by items, float32; the weights of repeated interactions add up."""
        from scipy.sparse import coo_matrix

        matrix = coo_matrix((self.weights, (self.users, self.columns)), shape=self.shape, dtype=np.float32).tocsr()
        matrix.sum_duplicates()
        return matrix


@runtime_checkable
class Strategy(Protocol):
    """A way to rank items.

    Class attributes:
        title: a short name for people.
        summary: one sentence for people: when to choose it.
        Parameters: the pydantic model of what can be set.
        needs_training: False for strategies whose `fit` learns nothing (they are ready without a worker).

    A strategy may also say `repeatable: ClassVar[bool] = True`: its answer follows from the model, `k`, history,
    context items, attributes, `exclude` and `candidates` alone, not from `seed`, `now` or `user_id`, so that the
    platform need not ask again before one of these changes.
    """

    title: ClassVar[str]
    summary: ClassVar[str]
    Parameters: ClassVar[type[Parameters]]
    needs_training: ClassVar[bool]

    @classmethod
    def fit(cls, data: Dataset, params: Any, progress: Progress) -> Self:
        """Learn from `data`; `params` is an instance of `Parameters`. Raise `StrategyError` when it cannot be done."""
        ...

    def recommend(self, query: Query) -> Sequence[Scored]:
        """Best items first. May be empty. Must not keep anything of the query, and must be safe in many threads."""
        ...

    def state(self) -> State:
        """Everything needed to `restore` the same answers."""
        ...

    @classmethod
    def restore(cls, state: State, params: Any) -> Self:
        """The inverse of `state`. Arrays may be read-only and memory-mapped: copy what must be changed."""
        ...


class NullStrategy:
    """Recommends nothing: what stands in where a model is missing, so that the fallback chain fills the list."""

    title: ClassVar[str] = "Nothing"
    summary: ClassVar[str] = "Recommends nothing; the placement's fallback fills the list."
    Parameters: ClassVar[type[Parameters]] = NoParameters
    needs_training: ClassVar[bool] = False

    @classmethod
    def fit(cls, data: Dataset, params: Any, progress: Progress) -> Self:  # noqa: ARG003 (the seam's signature)
        """Learn nothing."""
        return cls()

    def recommend(self, query: Query) -> Sequence[Scored]:  # noqa: ARG002 (the seam's signature)
        """Nothing."""
        return ()

    def state(self) -> State:
        """Nothing to keep."""
        return State()

    @classmethod
    def restore(cls, state: State, params: Any) -> Self:  # noqa: ARG003 (the seam's signature)
        """Nothing to bring back."""
        return cls()


def parse_parameters(key: str, strategy: type[Strategy], given: Mapping[str, Any]) -> Parameters:
    """Validate `given` for `strategy`; the `ParameterError` names each field, its value and the rule."""
    try:
        return strategy.Parameters.model_validate(dict(given))
    except ValidationError as error:
        faults = [(".".join(map(str, one["loc"])), one.get("input"), _rule(one["msg"])) for one in error.errors()]
        raise ParameterError(key, faults) from error
    except Exception as error:
        # A validator is foreign code as well.
        raise StrategyError(f"{key}: parameters cannot be checked: {type(error).__name__}: {error}") from error


def _rule(message: str) -> str:
    """What pydantic says, to be read after the field's name: `must be greater than 0`."""
    if message.startswith("Extra inputs"):
        return "is not one of its parameters"
    return re.sub(r"^[A-Z]\w* should ", "must ", message.removeprefix("Value error, "))


class Registry:
    """The strategies that are installed, by key. Loaded lazily: listing keys imports nothing."""

    def __init__(
        self, found: Mapping[str, EntryPoint | type[Strategy]], twice: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        """`found` maps a key to an entry point, or (in tests) to a class; `twice`: keys that are claimed by several."""
        self._found = dict(found)
        self._twice = dict(twice or {})
        self._loaded: dict[str, type[Strategy]] = {}

    @classmethod
    def installed(cls) -> Self:
        """Everything under the entry-point group, built-in or not. A key that two packages claim belongs to none."""
        found: dict[str, EntryPoint] = {}
        claims: dict[str, dict[str, str]] = {}
        for point in entry_points(group=ENTRY_POINT_GROUP):
            found.setdefault(point.name, point)
            # The same package may be met twice, as where it lies both in a wheel and in a checkout.
            package = point.dist.name if point.dist is not None else "?"
            claims.setdefault(point.name, {}).setdefault(point.value, f"{point.value} of {package}")
        twice = {key: list(values.values()) for key, values in claims.items() if len(values) > 1}
        return cls(found, twice)

    def __contains__(self, key: object) -> bool:
        """Whether a strategy of this key is installed."""
        return key in self._found

    def __iter__(self) -> Iterator[str]:
        """All keys, sorted."""
        return iter(sorted(self._found))

    def keys(self) -> list[str]:
        """All keys, sorted."""
        return sorted(self._found)

    def get(self, key: str) -> type[Strategy]:
        """The class behind a key; `StrategyError` when it is not installed or does not keep the contract."""
        if key not in self._loaded:
            if key not in self._found:
                raise StrategyError(f"strategy {key!r} is not installed; installed: {', '.join(self.keys()) or 'none'}")
            if key in self._twice:
                raise StrategyError(
                    f"strategy {key!r} is claimed by {' and by '.join(self._twice[key])}: rename or remove one of them"
                )
            point = self._found[key]
            try:
                loaded = point.load() if isinstance(point, EntryPoint) else point
            except (Exception, SystemExit) as error:
                # Foreign code may raise anything at import; the others must go on working.
                raise StrategyError(f"strategy {key!r} cannot be imported: {type(error).__name__}: {error}") from error
            missing = [name for name in _REQUIRED if not hasattr(loaded, name)]
            if missing:
                raise StrategyError(f"strategy {key!r} ({loaded!r}) lacks {', '.join(missing)}")
            for name, kept in (
                ("title", isinstance(loaded.title, str)),
                ("summary", isinstance(loaded.summary, str)),
                ("needs_training", isinstance(loaded.needs_training, bool)),
                ("Parameters", isinstance(loaded.Parameters, type) and issubclass(loaded.Parameters, BaseModel)),
            ):
                if not kept:
                    raise StrategyError(
                        f"strategy {key!r} ({loaded!r}): {name}={getattr(loaded, name)!r} must be {_KINDS[name]}"
                    )
            self._loaded[key] = loaded
        return self._loaded[key]


_KINDS = {"title": "text", "summary": "text", "needs_training": "True or False", "Parameters": "a pydantic model"}
_REQUIRED = ("title", "summary", "Parameters", "needs_training", "fit", "recommend", "state", "restore")
