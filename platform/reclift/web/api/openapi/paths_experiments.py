"""The routes of experiments: their life, their traffic and their reports: what each does, takes and answers."""

from __future__ import annotations

from reclift.web.api.openapi.parts import Json, choice, flag, in_path, in_query, key, number, operation, text, whole

_EXPERIMENT = in_path("key", key("The experiment's key."))
_GROUP = in_path("key", key("The group's key."))
_LIFE = {
    "start": ("Start", "From draft. Trains what its arms need and lets users in."),
    "pause": ("Pause", "From running. Everybody sees the placement's default until it resumes."),
    "resume": ("Resume", "From paused. Users come back to their arms."),
    "stop": ("Stop", "From running or paused, for good. Its report is computed once more."),
    "archive": ("Archive", "From draft or stopped: out of the lists, kept for the record."),
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
            "As stored, with what people should know of it.",
            {200: ("The experiment.", "ExperimentWithWarnings")},
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

TRAFFIC: dict[str, dict[str, Json]] = {
    "/api/v1/experiments/{key}/phase": {
        "post": operation(
            "Begin a new phase",
            "Other weights, and traffic if given. Everybody is hashed anew, and data of the phases never mix.",
            {200: ("The experiment.", "Experiment")},
            body="PhaseRequest",
            parameters=[_EXPERIMENT],
            refusals=[404, 409, 503],
        )
    },
    "/api/v1/experiments/{key}/weights": {
        "post": operation(
            "Change the weights of a sticky experiment",
            "For users who are yet to come; whoever has met an arm keeps it.",
            {200: ("The experiment.", "Experiment")},
            body="WeightsRequest",
            parameters=[_EXPERIMENT],
            refusals=[404, 409, 503],
        )
    },
    "/api/v1/experiments/{key}/ramp": {
        "put": operation(
            "Plan the traffic",
            "Grows on a schedule, and stops by itself when a guardrail or the sample ratio fails. No steps: no plan.",
            {200: ("The experiment.", "Experiment")},
            body="RampRequest",
            parameters=[_EXPERIMENT],
            refusals=[404, 409, 503],
        )
    },
    "/api/v1/experiments/{key}/preview": {
        "post": operation(
            "Make a preview link",
            "Its token, as `preview` in /assign and /recommend, shows an arm. Nothing of it enters the data.",
            {201: ("The token.", "PreviewToken")},
            body="PreviewRequest",
            parameters=[_EXPERIMENT],
            refusals=[404, 409, 503],
        )
    },
    "/api/v1/groups": {
        "get": operation("List saved groups", "By key.", {200: ("Groups.", "GroupList")}, refusals=[503])
    },
    "/api/v1/groups/{key}": {
        "get": operation(
            "Read a saved group",
            "As stored.",
            {200: ("The group.", "Group")},
            parameters=[_GROUP],
            refusals=[404, 503],
        ),
        "put": operation(
            "Make or replace a saved group",
            "A list of users or values, or a named condition, for use in audiences.",
            {200: ("The group.", "Group")},
            body="GroupRequest",
            parameters=[_GROUP],
            refusals=[503],
        ),
        "delete": operation(
            "Delete a saved group",
            "Only one that nothing uses.",
            {204: ("Deleted.", None)},
            parameters=[_GROUP],
            refusals=[404, 409, 503],
        ),
    },
    "/api/v1/holdouts": {
        "post": operation(
            "Make a holdout",
            "A share of users that no experiment may take. It is started, stopped and reported like an experiment.",
            {201: ("Made; `Location` says where.", "Experiment")},
            body="HoldoutRequest",
            refusals=[409, 503],
        )
    },
    "/api/v1/layers": {
        "get": operation(
            "List layers", "Who holds what, and what is free.", {200: ("Layers.", "LayerList")}, refusals=[503]
        )
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
REPORTS["/api/v1/power"] = {
    "get": operation(
        "Plan how long an experiment takes",
        "Units and days that a lift needs, and what is found in how many days, from the placement's own last 28 days.",
        {200: ("The plan; `reasons` say what the past does not tell.", "Power")},
        parameters=[
            in_query("placement", key("Where."), required=True),
            in_query("metric", key("The primary metric."), required=True),
            in_query("arms", whole("The control and the others, equally large.", minimum=2, maximum=50, default=2)),
            in_query("effect", number("Relative lift to find: 0.05 = 5 %.", minimum=0.0001, maximum=10, default=0.05)),
            in_query("traffic", number("Share of units that come in.", minimum=0.0001, maximum=1, default=1)),
            in_query("level", number("1 less the false positive rate.", minimum=0.5, maximum=0.999, default=0.95)),
            in_query("power", number("Probability of finding it.", minimum=0.1, maximum=0.999, default=0.8)),
            in_query("regime", choice("fixed: read once, at the end.", "fixed", "sequential")),
            in_query("corrected", flag("Whether arms are corrected for being several.", default=True)),
            in_query("audience", text("A condition as JSON, as an experiment's: only those it lets in are counted.")),
            in_query("exclude", text("Likewise: who fulfils it stays out.")),
            in_query("cuped", flag("Whether CUPED will take out what the past tells.", default=False)),
            in_query("cuped_days", whole("How long it looks back; else the metric's window.", minimum=1, maximum=90)),
            in_query("days", whole("A length for which `by_days` has an entry, too.", minimum=1, maximum=365)),
        ],
        refusals=[404, 422, 503],
    )
}
REPORTS["/api/v1/experiments/{key}/report"]["get"]["responses"]["200"]["content"]["text/csv"] = {
    "schema": {"type": "string", "description": "A line for each metric and arm."}
}
