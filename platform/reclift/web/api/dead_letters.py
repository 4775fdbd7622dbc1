"""What was acknowledged and cannot be written, for people and automation."""

from __future__ import annotations

from flask import Blueprint, Response

from reclift.flows import dead_letters as flow
from reclift.web.api.body import answer, query_whole, row_id
from reclift.web.auth import actor, runtime, scoped

dead_letters = Blueprint("dead_letters", __name__, url_prefix="/api/v1/dead-letters")


@dead_letters.get("")
@scoped("read", people=True)
def list_letters() -> Response:
    """Newest first."""
    with runtime().database.read() as session:
        return answer(
            {
                "dead_letters": flow.latest(session, query_whole("limit", 100, 1, 1000)),
                "total": flow.count(session),
            }
        )


@dead_letters.get("/<letter_id>")
@scoped("read", people=True)
def get_letter(letter_id: str) -> Response:
    """One of them."""
    with runtime().database.read() as session:
        return answer(flow.view(flow.find(session, row_id("dead letter", letter_id))))


@dead_letters.post("/<letter_id>/replay")
@scoped("manage", people=True)
def replay_letter(letter_id: str) -> Response:
    """Write it now; 409 with the reason while it is still refused."""
    here = runtime()
    number = row_id("dead letter", letter_id)
    return answer({"id": number, "accepted": flow.replay(here.database, here.direct, number, actor=actor())})


@dead_letters.delete("/<letter_id>")
@scoped("manage", people=True)
def discard_letter(letter_id: str) -> Response:
    """Remove it for good."""
    here = runtime()
    number = row_id("dead letter", letter_id)
    with here.database.read() as session:
        flow.find(session, number)
    flow.discard(here.database, number, actor=actor())
    return Response(status=204)
