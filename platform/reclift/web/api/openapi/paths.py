"""Every route: what it does, takes and answers. Who may call it is read from the views themselves."""

from __future__ import annotations

from reclift.web.api.openapi.parts import Json, choice, ident, in_path, in_query, key, operation, text, whole

_USER = in_path("user_id", ident("The user's id, percent-encoded."))
_EXPERIMENT = in_path("key", key("The experiment's key."))
_PLACEMENT = in_path("key", key("The placement's key."))
_LIFE = {
    "start": ("Start", "From draft. Trains what its arms need and lets users in."),
    "pause": ("Pause", "From running. Everybody sees the placement's default until it resumes."),
    "resume": ("Resume", "From paused. Users come back to their arms."),
    "stop": ("Stop", "From running or paused, for good. Its report is computed once more."),
    "archive": ("Archive", "From draft or stopped: out of the lists, kept for the record."),
}

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
            "Replaces the user's attributes.",
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

EXPERIMENTS: dict[str, dict[str, Json]] = {
    "/api/v1/experiments": {
        "get": operation(
            "List experiments",
            "Newest first; archived ones only when asked for.",
            {200: ("Experiments.", "ExperimentList")},
            parameters=[in_query("status", choice("Only these.", "draft", "running", "paused", "stopped", "archived"))],
            refusals=[422, 503],
        ),
        "post": operation(
            "Make a draft",
            "Every broken rule is named at once.",
            {201: ("Made; `Location` says where.", "ExperimentWithWarnings")},
            body="ExperimentRequest",
            refusals=[409, 503],
        ),
    },
    "/api/v1/experiments/{key}": {
        "get": operation(
            "Read an experiment",
            "As stored.",
            {200: ("The experiment.", "Experiment")},
            parameters=[_EXPERIMENT],
            refusals=[404, 503],
        ),
        "patch": operation(
            "Change an experiment",
            "A draft may change whole. A running one may change what moves no user who is in.",
            {200: ("The experiment.", "Experiment")},
            body="ExperimentChange",
            parameters=[_EXPERIMENT],
            refusals=[404, 409, 503],
        ),
    },
    **{
        f"/api/v1/experiments/{{key}}/{action}": {
            "post": operation(
                f"{title} an experiment",
                about,
                {200: ("The experiment.", "ExperimentWithWarnings")},
                parameters=[_EXPERIMENT],
                refusals=[404, 409, 422, 503],
            )
        }
        for action, (title, about) in _LIFE.items()
    },
}

REPORTS: dict[str, dict[str, Json]] = {
    "/api/v1/experiments/{key}/report": {
        "get": operation(
            "Read the lift report",
            "The newest stored one; the first is computed on the spot. As JSON, or its numbers as CSV.",
            {200: ("The report.", "Report")},
            parameters=[
                _EXPERIMENT,
                in_query("segment", text("An attribute: adds the primary metric by its values.", maxLength=64)),
                in_query("format", choice("json if left out.", "json", "csv")),
            ],
            refusals=[404, 409, 422, 503],
        )
    },
    "/api/v1/experiments/{key}/report/refresh": {
        "post": operation(
            "Compute the report anew",
            "Asks the worker; read the job to see when it is done.",
            {202: ("Asked for.", "Job")},
            parameters=[_EXPERIMENT],
            refusals=[404, 503],
        )
    },
}
REPORTS["/api/v1/experiments/{key}/report"]["get"]["responses"]["200"]["content"]["text/csv"] = {
    "schema": {"type": "string", "description": "A line for each metric and arm."}
}


def _limit(most: int) -> Json:
    return in_query("limit", whole("How many.", minimum=1, maximum=1_000, default=most))


def _id(name: str, about: str) -> Json:
    return in_path(name, whole(about, minimum=1, maximum=2**31 - 1))


CONFIGURATION: dict[str, dict[str, Json]] = {
    "/api/v1/metrics": {
        "get": operation("List metrics", "Built-in ones and yours.", {200: ("Metrics.", "MetricList")}, refusals=[503]),
        "post": operation(
            "Add a metric",
            "A definition never changes afterwards: reports would not mean what they meant.",
            {201: ("Added.", "Metric")},
            body="MetricRequest",
            refusals=[409, 503],
        ),
    },
    "/api/v1/placements": {
        "get": operation("List placements", "By key.", {200: ("Placements.", "PlacementList")}, refusals=[503])
    },
    "/api/v1/placements/{key}": {
        "get": operation(
            "Read a placement",
            "As stored.",
            {200: ("The placement.", "Placement")},
            parameters=[_PLACEMENT],
            refusals=[404, 503],
        ),
        "put": operation(
            "Make or change a placement",
            "Trains what it needs.",
            {200: ("The placement.", "Placement")},
            body="PlacementRequest",
            parameters=[_PLACEMENT],
            refusals=[503],
        ),
    },
    "/api/v1/strategies": {
        "get": operation("List strategies", "With the schema of their parameters.", {200: ("All.", "StrategyList")})
    },
}

OPERATIONS: dict[str, dict[str, Json]] = {
    "/api/v1/models": {
        "get": operation(
            "List models",
            "Newest first.",
            {200: ("Models.", "ModelList")},
            parameters=[in_query("strategy", text("Only of this strategy."))],
            refusals=[422, 503],
        ),
        "post": operation(
            "Train a model",
            "Asks the worker; the new version answers when it is sound.",
            {202: ("Asked for.", "Job")},
            body="TrainRequest",
            refusals=[503],
        ),
    },
    "/api/v1/models/{model_id}/activate": {
        "post": operation(
            "Let a model answer",
            "In place of the active one of the same strategy and parameters: roll back, or forward.",
            {200: ("The model.", "Model")},
            parameters=[_id("model_id", "The model's id.")],
            refusals=[404, 409, 503],
        )
    },
    "/api/v1/jobs": {
        "get": operation(
            "List jobs",
            "Newest first.",
            {200: ("Jobs.", "JobList")},
            parameters=[_limit(100)],
            refusals=[422, 503],
        )
    },
    "/api/v1/jobs/{job_id}": {
        "get": operation(
            "Read a job",
            "How far it is, and how it ended.",
            {200: ("The job.", "Job")},
            parameters=[_id("job_id", "The job's id.")],
            refusals=[404, 503],
        )
    },
    "/api/v1/keys": {
        "get": operation("List API keys", "Without secrets.", {200: ("Keys.", "KeyList")}, refusals=[503]),
        "post": operation(
            "Make an API key",
            "The answer is the only place that ever shows it.",
            {201: ("Made.", "NewKey")},
            body="KeyRequest",
            refusals=[503],
        ),
    },
    "/api/v1/keys/{key_id}": {
        "delete": operation(
            "Revoke an API key",
            "For good; every process refuses it within about a second.",
            {204: ("Revoked.", None)},
            parameters=[_id("key_id", "The key's id.")],
            refusals=[404, 503],
        )
    },
    "/api/v1/audit": {
        "get": operation(
            "Read the audit log",
            "Who changed what, newest first.",
            {200: ("Changes.", "AuditList")},
            parameters=[
                in_query("kind", text("Only of this kind of thing.", examples=["experiment"])),
                in_query("subject", text("Only of this thing.", examples=["home-recs"])),
                _limit(200),
            ],
            refusals=[422, 503],
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
            "responses": {
                "200": {"description": "Prometheus' text format.", "content": {"text/plain": {"schema": text("")}}}
            },
        }
    },
}
