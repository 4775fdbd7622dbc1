"""The shop's routes, those of SDKs and of health: what each does, takes and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reclift.web.api.openapi.parts import Json, choice, content, ident, in_header, in_path, in_query, operation, text

_USER = in_path("user_id", ident("The user's id, percent-encoded."))


def _ofrep(
    summary: str, about: str, answers: Mapping[int, tuple[str, str | None]], *, parameters: Sequence[Json]
) -> Json:
    """An OFREP route. Its bad bodies are always 400, so what `operation` adds for bodies does not apply."""
    described = operation(summary, about, answers, parameters=parameters, refusals=[413, 503])
    return {**described, "requestBody": {"required": True, "content": content("OfrepRequest")}}


SHOP: dict[str, dict[str, Json]] = {
    "/assign": {
        "post": operation(
            "Which arm a user is in",
            "Decided in memory from a hash of user and experiment: the same user always gets the same arm, from every "
            "process. Assigning is not exposing; with `expose` the meeting is logged.",
            {200: ("The decisions.", "Assignments")},
            body="AssignRequest",
            refusals=[404, 503],
        ),
        "get": operation(
            "The same by query string",
            "For clients that only read. `attributes` is a JSON object, percent-encoded.",
            {200: ("The decisions.", "Assignments")},
            parameters=[
                in_query("user_id", ident("The user."), required=True),
                in_query("experiment", text("An experiment's key; left out: all that run.")),
                in_query("attributes", text("A JSON object.", examples=['{"country":"CN"}'])),
                in_query("expose", choice("Log the exposure.", "true", "false")),
                in_query("preview", text("The token of a preview link.")),
            ],
            refusals=[404, 422, 503],
        ),
    },
    "/recommend": {
        "post": operation(
            "What to show this user here",
            "Assigns, asks the arm's strategy, filters what must not be shown, fills up by the fallback chain, and "
            "logs the impression before it answers.",
            {200: ("The list.", "Recommendation")},
            body="RecommendRequest",
            refusals=[404, 503],
        )
    },
    "/events": {
        "post": operation(
            "What users did",
            "Up to 1,000 events. Good ones are durable when the answer comes; bad ones are named with the reason. "
            "With `event_id` a retry changes nothing.",
            {202: ("The good ones are taken.", "EventsAnswer")},
            body="EventsRequest",
            refusals=[503],
        )
    },
    "/items": {
        "put": operation(
            "Add or replace items",
            "By id, up to 10,000 a call; all of them or none.",
            {200: ("Written.", "ItemsAnswer")},
            body="ItemsRequest",
            refusals=[503],
        )
    },
    "/items/{item_id}": {
        "delete": operation(
            "Remove an item",
            "It is never shown again.",
            {204: ("Removed.", None)},
            parameters=[in_path("item_id", ident("The item's id, percent-encoded."))],
            refusals=[404, 503],
        )
    },
    "/users/{user_id}": {
        "put": operation(
            "Keep what is known of a user",
            "Replaces the user's attributes. The next list is made with them, in other processes within "
            "RECLIFT_PLAN_POLL_SECONDS. Arms do not follow from them: audiences see what a call sends. All of them "
            "together may take 16,000 bytes as JSON.",
            {200: ("Kept.", "UserAnswer")},
            body="UserRequest",
            parameters=[_USER],
            refusals=[503],
        ),
        "delete": operation(
            "Erase a person",
            "Events, impressions, exposures, profile and aliases of all the person's ids. Stored reports hold sums "
            "only, and stay.",
            {200: ("Erased.", "Erased")},
            parameters=[_USER],
            refusals=[422, 503],
        ),
    },
    "/users/{user_id}/aliases": {
        "post": operation(
            "Say that another id is the same person",
            "From now on both ids get the same arm, and their events count together.",
            {201: ("Added.", "AliasAnswer"), 200: ("Known already.", "AliasAnswer")},
            body="AliasRequest",
            parameters=[_USER],
            refusals=[409, 503],
        )
    },
}

SDKS: dict[str, dict[str, Json]] = {
    "/api/features/{client_key}": {
        "get": {
            **operation(
                "Running experiments for GrowthBook's SDKs",
                "Give an SDK this server as its API host and a key with scope `client`. It decides by itself and gets "
                "the same arms as /assign. Public to whoever has the key; nothing secret in it. Send `If-None-Match`.",
                {200: ("The features.", "GrowthBookPayload"), 304: ("Unchanged.", None)},
                parameters=[in_path("client_key", text("A client key."))],
                refusals=[404, 409, 503],
            ),
            "security": [],
        }
    },
    "/api/v1/plan": {
        "get": operation(
            "The plan, to decide without asking",
            "For `reclift.client` on a shop's server: whoever evaluates it decides as /assign does. Testers and saved "
            "groups are in clear, so it is not for browsers. Send `If-None-Match`.",
            {200: ("The plan.", "Plan"), 304: ("Unchanged.", None)},
            parameters=[in_header("If-None-Match", text("The ETag of the answer before."))],
            refusals=[503],
        )
    },
    "/ofrep/v1/evaluate/flags/{key}": {
        "post": _ofrep(
            "Evaluate one flag (OFREP 0.3)",
            "For OpenFeature's clients: a flag is an experiment, its value and variant are the arm's key. Keys with "
            "scope `shop` or `client`, as bearer or in `X-API-Key`. `Reclift-Expose: true` logs the exposure, too.",
            {
                200: ("The arm.", "OfrepEvaluation"),
                400: ("The context cannot be read.", "OfrepFailure"),
                404: ("There is no such experiment.", "OfrepFailure"),
            },
            parameters=[
                in_path("key", text("The experiment's key.")),
                in_header("Reclift-Expose", choice("Log the exposure; scope `shop` only.", "true", "false")),
            ],
        )
    },
    "/ofrep/v1/evaluate/flags": {
        "post": _ofrep(
            "Evaluate all flags (OFREP 0.3)",
            "All running experiments. Send the answer's ETag as `If-None-Match`, and unchanged arms cost nothing.",
            {
                200: ("The arms.", "OfrepEvaluations"),
                304: ("Unchanged.", None),
                400: ("The context cannot be read.", "OfrepFailure"),
            },
            parameters=[in_header("If-None-Match", text("The ETag of the answer before."))],
        )
    },
}

HEALTH: dict[str, dict[str, Json]] = {
    "/health/live": {
        "get": operation("Is it alive", "The process answers.", {200: ("It does.", "Live")}),
    },
    "/health/ready": {
        "get": operation(
            "Is it ready",
            "It has a plan to decide from; it says how old that is, and whether the database answers.",
            {200: ("It can serve.", "Ready"), 503: ("It cannot yet.", "NotReady")},
        )
    },
    "/metrics": {
        "get": {
            **operation("Figures for Prometheus", "What this process counts.", {200: ("Text.", None)}),
            "operationId": "get_prometheus",
            "responses": {
                "200": {"description": "Prometheus' text format.", "content": {"text/plain": {"schema": text("")}}}
            },
        }
    },
}
