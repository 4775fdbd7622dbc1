"""What the shop sends and gets."""

from __future__ import annotations

from reclift.web.api.openapi.parts import (
    Json,
    anything,
    choice,
    closed,
    flag,
    ident,
    key,
    many,
    maybe,
    number,
    obj,
    ref,
    text,
    whole,
)

_ATTRIBUTES = anything("What is known of the user now: audiences look at it, strategies beside what is stored.")
_PREVIEW = text("The token of a preview link: shows its arm, and counts nothing.")
_ASSIGNMENT = {
    "experiment": "home-recs",
    "arm": "item-cf",
    "in_experiment": True,
    "reason": "bucketed",
    "strategy": "item_cf",
    "params": {"k": 200},
}

SCHEMAS: dict[str, Json] = {
    "GrowthBookPayload": obj(
        "As GrowthBook's SDKs read it.",
        {"features": anything("Key -> feature."), "status": whole("200.")},
        required=["features"],
        additionalProperties=True,
    ),
    "Plan": obj(
        "All that decides.",
        {
            "format": whole("Grows when an older reader would decide otherwise.", minimum=1),
            "version": whole("Of the configuration."),
            "experiments": many(anything("An experiment; of one that does not run, only its arms."), "By start."),
            "holdouts": many(anything("A holdout."), "By key."),
            "groups": many(anything("A saved group."), "By key."),
        },
        example={"format": 1, "version": 7, "experiments": [], "holdouts": [], "groups": []},
    ),
    "OfrepRequest": obj(
        "Whose flags.",
        {
            "context": obj(
                "The user's id, and attributes beside it.",
                {"targetingKey": ident("The user.")},
                additionalProperties=True,
            )
        },
        example={"context": {"targetingKey": "u1", "country": "CN"}},
        additionalProperties=True,
    ),
    "OfrepEvaluation": obj(
        "The arm of one experiment, in OpenFeature's words.",
        {
            "key": key("The experiment."),
            "reason": choice("OpenFeature's reason.", "SPLIT", "TARGETING_MATCH", "DEFAULT", "DISABLED"),
            "variant": key("The arm."),
            "value": key("The arm again: what a string flag answers."),
            "metadata": obj(
                "Our own words.",
                {"in_experiment": flag("As of /assign."), "reason": text("As of /assign.")},
            ),
        },
        example={
            "key": "home-recs",
            "reason": "SPLIT",
            "variant": "item-cf",
            "value": "item-cf",
            "metadata": {"in_experiment": True, "reason": "bucketed"},
        },
    ),
    "OfrepEvaluations": obj("All of them.", {"flags": many(ref("OfrepEvaluation"), "By start.")}),
    "OfrepFailure": obj(
        "Why a flag cannot be evaluated.",
        {
            "key": text("The flag, where one was asked for."),
            "errorCode": choice(
                "OFREP's code.", "FLAG_NOT_FOUND", "PARSE_ERROR", "TARGETING_KEY_MISSING", "INVALID_CONTEXT", "GENERAL"
            ),
            "errorDetails": text("What to mend."),
        },
        required=["errorCode", "errorDetails"],
        example={"key": "home", "errorCode": "FLAG_NOT_FOUND", "errorDetails": "experiment 'home' does not exist"},
    ),
    "AssignRequest": closed(
        "Whose arm is asked for.",
        {
            "user_id": ident("The user, or any id that stays the same."),
            "experiment": maybe(text("An experiment's key; left out: all that run.")),
            "attributes": maybe(_ATTRIBUTES),
            "expose": flag("Log that the user meets the arm now. Not needed with /recommend.", default=False),
            "preview": maybe(_PREVIEW),
        },
        required=["user_id"],
        example={"user_id": "u1", "experiment": "home-recs", "attributes": {"country": "CN"}},
    ),
    "Assignment": obj(
        "The arm of a user in one experiment.",
        {
            "experiment": key("The experiment."),
            "arm": key("The arm; the control's where the user is not in."),
            "in_experiment": flag("Whether the experiment decides what this user sees."),
            "reason": choice(
                "Why.",
                *("bucketed", "override", "sticky", "not_targeted", "not_in_traffic", "layer", "holdout"),
                "not_running",
            ),
            "strategy": maybe(text("The arm's strategy.")),
            "params": anything("The strategy's parameters."),
        },
        example=_ASSIGNMENT,
    ),
    "Assignments": obj(
        "Answer of /assign.",
        {"user_id": ident("As sent."), "assignments": many(ref("Assignment"), "One for each experiment asked for.")},
        example={"user_id": "u1", "assignments": [_ASSIGNMENT]},
    ),
    "RecommendRequest": closed(
        "What to show whom, and where. One of `user_id` and `session_id` is needed.",
        {
            "user_id": maybe(ident("The user.")),
            "session_id": maybe(ident("A guest's session, where there is no user.")),
            "placement": ident("A placement's key."),
            "k": whole("How many items (the server's setting bounds it).", minimum=1, maximum=200, default=10),
            "attributes": maybe(_ATTRIBUTES),
            "context": maybe(
                obj(
                    "What the page is about.",
                    {"item_id": maybe(text("The item that the page shows; it is not recommended itself."))},
                    required=[],
                    additionalProperties=True,
                )
            ),
            "exclude": maybe(many(text("An item's id.", minLength=1), "Never show these.", maxItems=10_000)),
            "candidates": maybe(
                many(text("An item's id.", minLength=1), "Show only these; null: any.", maxItems=10_000)
            ),
            "filters": maybe(
                closed(
                    "Show only what fulfils these.",
                    {
                        "category": maybe(
                            many(
                                text("A category, as items have it.", minLength=1),
                                "Only items of these; null: any.",
                                minItems=1,
                                maxItems=100,
                            )
                        )
                    },
                    example={"category": ["shirts", "trousers"]},
                )
            ),
            "request_id": maybe(
                ident("Makes a retry safe: the same id gives the same list and one impression. New for each list.")
            ),
            "timestamp": maybe(
                text("A past moment, for replays; needs a key with scope `replay`.", format="date-time")
            ),
            "preview": maybe(_PREVIEW),
        },
        required=["placement"],
        example={
            "user_id": "u1",
            "placement": "home",
            "k": 10,
            "attributes": {"country": "CN"},
            "context": {"item_id": "i9"},
            "exclude": ["i3"],
        },
    ),
    "RecommendedItem": obj(
        "One place of the list.",
        {
            "item_id": ident("The item."),
            "position": whole("From 1.", minimum=1),
            "score": number("The strategy's own measure; compare within one list only."),
            "source": text("The strategy that put it there; `explore` for a new item on trial."),
            "arm": text("The arm that it belongs to, in an experiment."),
            "propensity": number("Chance of being shown here, where it was drawn.", minimum=0, maximum=1),
            "reason": text("Why, in the strategy's words."),
        },
        required=["item_id", "position", "score", "source"],
        example={"item_id": "i7", "position": 1, "score": 0.83, "source": "item_cf", "arm": "item-cf"},
    ),
    "Fallback": obj(
        "Why others than the arm's strategy filled places.",
        {
            "reason": choice("What was wrong.", "no_model", "error", "timeout", "too_few"),
            "strategy": maybe(text("What filled in; null: nothing could.")),
        },
        example={"reason": "too_few", "strategy": "popularity"},
    ),
    "Recommendation": obj(
        "The list, whose impression is already logged.",
        {
            "recommendation_id": ident("Send it back with clicks and purchases."),
            "user_id": maybe(text("As sent.")),
            "session_id": maybe(text("As sent.")),
            "placement": key("As sent."),
            "experiment": maybe(key("The experiment that decided; null: none, the placement's default.")),
            "arm": maybe(key("Its arm.")),
            "strategy": text("The strategy asked."),
            "model": maybe(text("Its model's name and version; null: none is ready.")),
            "fallback": maybe(ref("Fallback")),
            "items": many(ref("RecommendedItem"), "Best first."),
        },
        example={
            "recommendation_id": "0006439a2f1c0d5f0c6a1e2b3d4f5a6b",
            "user_id": "u1",
            "session_id": None,
            "placement": "home",
            "experiment": "home-recs",
            "arm": "item-cf",
            "strategy": "item_cf",
            "model": "item_cf@3",
            "fallback": None,
            "items": [{"item_id": "i7", "position": 1, "score": 0.83, "source": "item_cf", "arm": "item-cf"}],
        },
    ),
    "Event": obj(
        "What a user did. One of `user_id` and `session_id` is needed; unknown fields are ignored with a warning.",
        {
            "event_id": maybe(ident("Makes a retry safe: an id counts once.")),
            "type": text(
                "`click`, `add_to_cart`, `purchase`, `rating`, any other name; `exposure` reports an arm that a "
                "client SDK decided.",
                minLength=1,
                maxLength=64,
            ),
            "user_id": maybe(ident("The user.")),
            "session_id": maybe(ident("A guest's session.")),
            "item_id": maybe(ident("The item.")),
            "recommendation_id": maybe(ident("Of the list in which it was seen: attributes the event to its arm.")),
            "value": maybe(number("Money or amount.", minimum=-1e15, maximum=1e15)),
            "timestamp": maybe(text("When it was; left out: now.", format="date-time")),
            "properties": maybe(anything("Anything else; at most 50 entries. Of an exposure: `experiment`, `arm`.")),
        },
        required=["type"],
        example={
            "event_id": "e-1",
            "type": "click",
            "user_id": "u1",
            "item_id": "i7",
            "recommendation_id": "0006439a2f1c0d5f0c6a1e2b3d4f5a6b",
            "value": 1.0,
            "timestamp": "2026-05-01T12:00:00Z",
            "properties": {"page": "home"},
        },
    ),
    "EventsRequest": closed(
        "A batch.",
        {"events": many(ref("Event"), "What is wrong with one is said of it alone.", maxItems=1000)},
        required=["events"],
        example={
            "events": [
                {"event_id": "e-1", "type": "click", "user_id": "u1", "item_id": "i7", "recommendation_id": "0006439a"},
                {"event_id": "e-2", "type": "purchase", "user_id": "u1", "item_id": "i7", "value": 19.9},
            ]
        },
    ),
    "EventsAnswer": obj(
        "What became of the batch. Accepted means durable.",
        {
            "accepted": whole("New events.", minimum=0),
            "duplicates": whole("Known by their id already; nothing changed.", minimum=0),
            "rejected": many(
                obj(
                    "A bad event.",
                    {"index": maybe(whole("Its place in the batch; null: all of it.")), "error": text("What to mend.")},
                ),
                "Not taken, with the reason.",
            ),
            "warnings": many(
                obj("A remark on an event.", {"index": whole("Its place."), "warning": text("What was ignored.")}),
                "Taken, but something in it was ignored. Left out when there is nothing to say.",
            ),
        },
        required=["accepted", "duplicates", "rejected"],
        example={
            "accepted": 1,
            "duplicates": 0,
            "rejected": [{"index": 3, "error": "value='12': must be a finite number"}],
        },
    ),
    "Item": closed(
        "An item of the catalogue.",
        {
            "item_id": ident("Its id."),
            "title": maybe(text("Its name.", maxLength=1_000)),
            "description": maybe(text("Words about it; content strategies read them.", maxLength=20_000)),
            "category": maybe(text("One category.", maxLength=200)),
            "price": maybe(number("Its price.", minimum=0)),
            "image_url": maybe(text("A picture, for people.", maxLength=2_000)),
            "available": flag("Whether it may be shown.", default=True),
            "attributes": maybe(anything("Anything else.")),
        },
        required=["item_id"],
        example={
            "item_id": "i7",
            "title": "Linen shirt",
            "category": "shirts",
            "price": 39.0,
            "available": True,
            "attributes": {"colour": "sand"},
        },
    ),
    "ItemsRequest": closed(
        "Items to add or replace.",
        {"items": many(ref("Item"), "Replaced whole by id.", minItems=1, maxItems=10_000)},
        required=["items"],
        example={"items": [{"item_id": "i7", "title": "Linen shirt", "category": "shirts", "price": 39.0}]},
    ),
    "ItemsAnswer": obj("How many.", {"items": whole("Items written.", minimum=0)}, example={"items": 1}),
    "UserRequest": closed(
        "What the shop knows of a user.",
        {"attributes": anything("Replaced whole. Strategies know them; audiences and reports see what calls send.")},
        required=["attributes"],
        example={"attributes": {"country": "CN", "segment": "returning"}},
    ),
    "UserAnswer": obj("The user.", {"user_id": ident("As sent.")}, example={"user_id": "u1"}),
    "AliasRequest": closed(
        "Another id of the same person.",
        {"alias": ident("A device's or guest's id.")},
        required=["alias"],
        example={"alias": "device-7"},
    ),
    "AliasAnswer": obj(
        "The alias.",
        {"user_id": ident("As sent."), "alias": ident("As sent."), "added": flag("false: it was known already.")},
        example={"user_id": "u1", "alias": "device-7", "added": True},
    ),
    "Erased": obj(
        "What was removed.",
        {
            "user_id": ident("As sent."),
            "removed": {
                "type": "object",
                "description": "Rows by table.",
                "additionalProperties": {"type": "integer", "minimum": 0},
            },
        },
        example={"user_id": "u1", "removed": {"events": 12, "impressions": 4, "exposures": 1, "profiles": 1}},
    ),
}
