"""The routes for people and automation: what each does, takes and answers."""

from __future__ import annotations

from reclift.web.api.openapi.parts import Json, in_path, in_query, key, operation, text, whole

_PLACEMENT = in_path("key", key("The placement's key."))


def _limit(most: int) -> Json:
    return in_query("limit", whole("How many.", minimum=1, maximum=1_000, default=most))


def _id(name: str, about: str) -> Json:
    return in_path(name, whole(about, minimum=1, maximum=2**31 - 1))


_LETTER = _id("letter_id", "The dead letter's id.")

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
    "/api/v1/evaluations": {
        "get": operation(
            "Read offline results",
            "Newest first. Each strategy has the online lifts of the arms that show it with the same parameters, and "
            "what offline said of the same two.",
            {200: ("Results.", "EvaluationList")},
            parameters=[in_query("limit", whole("How many.", minimum=1, maximum=20, default=1))],
            refusals=[422, 503],
        ),
        "post": operation(
            "Evaluate strategies offline",
            "Asks the worker: strategies are fitted on the past and asked for what people chose later.",
            {202: ("Asked for.", "Job")},
            body="EvaluationRequest",
            refusals=[503],
        ),
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
    "/api/v1/jobs/{job_id}/again": {
        "post": operation(
            "Run a job again",
            "Asks the worker for the same task with the same arguments, once the run has ended; what only the schedule "
            "runs is refused. An equal job that is still queued is the answer if there is one.",
            {202: ("Asked for.", "Job")},
            parameters=[_id("job_id", "The id of the run that ended.")],
            refusals=[404, 409, 503],
        )
    },
    "/api/v1/dead-letters": {
        "get": operation(
            "List dead letters",
            "Facts that were acknowledged and cannot be written, newest first.",
            {200: ("Dead letters.", "DeadLetterList")},
            parameters=[_limit(100)],
            refusals=[422, 503],
        )
    },
    "/api/v1/dead-letters/{letter_id}": {
        "get": operation(
            "Read a dead letter",
            "What came, and why it cannot be written.",
            {200: ("The dead letter.", "DeadLetter")},
            parameters=[_LETTER],
            refusals=[404, 503],
        ),
        "delete": operation(
            "Discard a dead letter",
            "For good.",
            {204: ("Gone.", None)},
            parameters=[_LETTER],
            refusals=[404, 503],
        ),
    },
    "/api/v1/dead-letters/{letter_id}/replay": {
        "post": operation(
            "Replay a dead letter",
            "Writes it into the tables now and removes the letter; while it is still refused, 409 says why.",
            {200: ("Written.", "DeadLetterReplayed")},
            parameters=[_LETTER],
            refusals=[404, 409, 503],
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
