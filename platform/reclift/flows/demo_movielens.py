"""The demo's film shop: MovieLens-100k's films and people, their earlier ratings, and the replay of the later ones.

The dates are moved by whole days so that the last rating falls on the day of the demo; order and spacing stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from reclift.domain.events import MICROS, Facts
from reclift.flows import catalogue, placements
from reclift.flows.public_data import MOVIELENS
from reclift.flows.public_movielens import Film, MovieLens, Ratings
from reclift.flows.replay import VIEW, view_id
from reclift.flows.replay_visits import Person, Visit, people_of, plan_visits
from reclift.storage.database import Database
from reclift.storage.facts import write_facts
from reclift.storage.tables import EventRow
from reclift.strategy import Registry

HOME = "movielens-home"
ITEM_PAGE = "movielens-more-like-this"
EARLIER_SHARE = 0.5
ROWS_PER_COMMIT = 5_000
DAY = 86_400
_PREFIX = "ml-"
_EXPLANATION = (
    "A replay of real histories, not live traffic. The strategies were trained on the earlier half of MovieLens-100k's "
    "ratings; then the later half was played back through the HTTP API, visit by visit. A film that was shown and that "
    "this person really rated 4 or more later on counts as clicked, a 5 as bought (each for 1.00). Reactions are real "
    "tastes, but only of films that people found without a recommender: a good recommendation of a film that they "
    "never rated counts as nothing."
)


def shift_seconds(ratings: Ratings, now: float) -> int:
    """By how much dates are moved, in whole days: the last rating comes to lie within the day before `now`."""
    return int((now - float(ratings.times[-1])) // DAY) * DAY


def unit_id(user_id: str) -> str:
    """A person's id in the shop."""
    return f"{_PREFIX}{user_id}"


def attributes_of(person: Mapping[str, Any]) -> dict[str, str]:
    """What the shop knows of a person, in groups large enough to compare."""
    age = int(person["age"])
    group = next(
        (f"{low}-{high}" for low, high in ((0, 17), (18, 24), (25, 34), (35, 49)) if low <= age <= high), "50+"
    )
    return {
        "age_group": group,
        "gender": {"F": "female", "M": "male"}.get(person["gender"], "unknown"),
        "occupation": str(person["occupation"]),
    }


def item_of(film: Film) -> dict[str, Any]:
    """A film as `PUT /items` takes it."""
    genres = ", ".join(film.genres)
    return {
        "item_id": film.item_id,
        "title": film.title if film.year is None else f"{film.title} ({film.year})",
        "description": genres if film.year is None else f"{genres or 'Film'}, {film.year}",
        "category": film.genres[0] if film.genres else None,
        "attributes": {"genres": list(film.genres), **({"year": film.year} if film.year is not None else {})},
    }


def set_up_shop(session: Session, registry: Registry, data: MovieLens, strategy: str, actor: str) -> None:
    """Films, people and the two placements; what a person has rated is not shown to them again."""
    catalogue.put_items(session, [catalogue.parse_item(item_of(film)) for film in data.films])
    for user_id, person in data.people.items():
        catalogue.put_profile(session, unit_id(user_id), attributes_of(person))
    for key, name in (("home", "Home page"), ("product-page", "Product page")):
        wanted = {"name": name, "strategy": strategy, "fallback": [strategy], "seen": "interacted"}
        placements.put(session, registry, key, wanted, actor)


def load_earlier(database: Database, ratings: Ratings, shift: int, advance: Callable[[int], None]) -> None:
    """Write the earlier ratings as events; those that are there already are left alone."""
    for start in range(0, len(ratings), ROWS_PER_COMMIT):
        rows = range(start, min(start + ROWS_PER_COMMIT, len(ratings)))
        with database.connection() as connection:
            write_facts(connection, Facts(events=[_event(ratings, row, shift) for row in rows]))
        advance(len(rows))


def _event(ratings: Ratings, row: int, shift: int) -> dict[str, Any]:
    at = round((float(ratings.times[row]) + shift) * MICROS)
    user, item = unit_id(str(ratings.user_ids[row])), str(ratings.item_ids[row])
    return {
        "event_id": f"{user}-earlier-{item}",
        "type": "rating",
        "unit_id": user,
        "item_id": item,
        "recommendation_id": None,
        "value": float(ratings.values[row]),
        "at": at,
        "client_at": at,
        "received_at": at,
        "properties": {},
    }


def visits_of(data: MovieLens, later: Ratings, shift: int) -> list[Visit]:
    """The replay: every person's later ratings, cut into visits of the home page and of liked films' pages."""
    people: list[Person] = people_of(
        [unit_id(user) for user in later.user_ids.tolist()],
        later.item_ids.tolist(),
        later.values.tolist(),
        (later.times + shift).tolist(),
        {unit_id(user): attributes_of(person) for user, person in data.people.items()},
    )
    return plan_visits(people, placement="home", item_placement="product-page")


def payloads(days: int) -> Iterator[dict[str, Any]]:
    """The two experiments that the replay feeds; `days`: how long the replayed time is."""
    metrics = {
        "primary": "ctr",
        "secondary": ["conversion", "revenue_per_user", "clicks_per_user"],
        "guardrails": [],
    }
    common = {"metrics": metrics, "planned_days": days, "note": f"{_EXPLANATION} {MOVIELENS.citation}."}
    yield {
        "key": HOME,
        "name": "Home page: personal or popular? (replay)",
        "hypothesis": f"Films chosen by a person's own ratings are clicked more than the most popular. {_EXPLANATION}",
        "placement": "home",
        "arms": [
            {"key": "control", "strategy": "popularity", "weight": 1, "control": True},
            {"key": "item-cf", "strategy": "item_cf", "weight": 1},
            {"key": "matrix-factorization", "strategy": "matrix_factorization", "weight": 1},
        ],
        **common,
    }
    yield {
        "key": ITEM_PAGE,
        "name": "Film page: more like this? (replay)",
        "hypothesis": (
            "On a liked film's page, films liked by the same people are clicked more than popular ones of its genre. "
            f"{_EXPLANATION}"
        ),
        "placement": "product-page",
        "arms": [
            {
                "key": "control",
                "strategy": "popularity",
                "params": {"per_category": True},
                "weight": 1,
                "control": True,
            },
            {"key": "item-cf", "strategy": "item_cf", "weight": 1},
        ],
        **common,
    }


def progress_so_far(session: Session, visits: list[Visit]) -> tuple[list[Visit], dict[str, list[str]]]:
    """What is left to replay, and who clicked what already.

    A visit's events arrive in one batch, with a page view among them: where that is in the tables, the visit is over.
    """
    seen = set(
        session.scalars(
            select(EventRow.event_id).where(EventRow.type == VIEW, EventRow.event_id.like(f"{_PREFIX}%-{VIEW}"))
        )
    )
    clicked: dict[str, list[str]] = {}
    for user, item in session.execute(
        select(EventRow.unit_id, EventRow.item_id).where(
            EventRow.type == "click", EventRow.event_id.like(f"{_PREFIX}%-click-%")
        )
    ):
        if item is not None:
            clicked.setdefault(user, []).append(item)
    return [visit for visit in visits if view_id(visit) not in seen], clicked
