"""A small client for shops in Python: `Reclift`.

    from reclift.client import Reclift

    reclift = Reclift("https://reclift.example", "rl_...")
    shown = reclift.recommend("home", user_id="u1", k=10)
    reclift.track("click", user_id="u1", item_id="i7", recommendation_id=shown.recommendation_id)

Importing it loads urllib3 and orjson, and nothing of the platform.
"""

from reclift.client.answers import Assignment, Item, Recommendation
from reclift.client.client import Reclift
from reclift.client.errors import ApiError, NotReady, RecliftError, Unreachable
from reclift.client.events import EventCounts

__all__ = [
    "ApiError",
    "Assignment",
    "EventCounts",
    "Item",
    "NotReady",
    "Reclift",
    "RecliftError",
    "Recommendation",
    "Unreachable",
]
