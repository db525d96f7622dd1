"""The API as OpenAPI describes it. Times are Unix seconds."""

from __future__ import annotations

from lookout import __version__
from lookout.forecaster.options import NAME as SERIES_NAME
from lookout.forecaster.requests import ID
from lookout.kit.web.openapi import (
    BOOLEAN,
    COUNT,
    NUMBER,
    TEXT,
    Schema,
    listed,
    or_null,
    parameter,
    thing,
)

MOST = 200
DEFAULT = 50

VALUE: Schema = {"type": "number"}
KEY: Schema = {"type": "string", "pattern": f"^{ID}$"}
NAME: Schema = {"type": "string", "pattern": f"^{SERIES_NAME}$"}
MAYBE = or_null(VALUE)
SHARE = or_null(NUMBER)
NOTES: Schema = {"type": "array", "items": TEXT}
LABELS: Schema = {"type": "object", "additionalProperties": TEXT}
VALUES: Schema = {"type": "array", "items": VALUE}


def one_of(*words: str) -> Schema:
    """One of a few words."""
    return {"type": "string", "enum": [*words]}


NAMES = {"id": KEY, "series": NAME, "target": TEXT}
ABOUT = {**NAMES, "host": TEXT, "labels": LABELS, "title": TEXT, "unit": TEXT}
BAND = {"value": VALUE, "lower": VALUE, "upper": VALUE}
SCHEMAS: Schema = {
    "Series": thing(
        **ABOUT,
        state=one_of("forecast", "refused", "untrained", "unknown"),
        reason=TEXT,
        notes=NOTES,
        skilled=or_null(BOOLEAN),
        measured=or_null(thing(time=NUMBER, value=VALUE)),
        expected=or_null(thing(**BAND)),
        anomaly=or_null(thing(score=MAYBE, anomalous=BOOLEAN, raised=BOOLEAN)),
        horizons={
            "type": "array",
            "items": thing(horizon=one_of("1h", "6h", "24h"), time=NUMBER, **BAND),
        },
        bounds={
            "type": "array",
            "items": thing(
                bound=one_of("lower", "upper"), value=VALUE, seconds=SHARE, earliest_seconds=SHARE
            ),
        },
        recent_error_ratio=SHARE,
    ),
    "Path": thing(
        **NAMES, unit=TEXT, first=NUMBER, step_seconds=COUNT,
        values=VALUES, lower=VALUES, upper=VALUES,
    ),
    "Anomaly": thing(
        **NAMES, raised=BOOLEAN, started=NUMBER, ended=SHARE, score=MAYBE,
        measured=MAYBE, expected=MAYBE, lower=MAYBE, upper=MAYBE,
    ),
    "Model": thing(
        **ABOUT,
        state=one_of("trained", "kept", "refused", "failed", "unanswered"),
        reason=TEXT,
        trained=NUMBER,
        duration_seconds=NUMBER,
        failures=COUNT,
        model=or_null(
            thing(
                method=TEXT, skilled=BOOLEAN, reason=TEXT, notes=NOTES, trained_to=NUMBER,
                seasons=COUNT, season_seconds=COUNT, step_seconds=COUNT,
                error=SHARE, mase=SHARE, error_ratio=SHARE, coverage=SHARE, measured=COUNT,
            )
        ),
    ),
    "Training": thing(
        id=KEY, client=TEXT, asked=NUMBER, series={"type": "array", "items": NAME},
        state=one_of("waiting", "running", "done", "failed"), started=NUMBER, ended=NUMBER,
        said=TEXT,
    ),
    "Problem": thing(title=TEXT, status=COUNT, detail=TEXT),
}  # fmt: skip
MADE = {"made": NUMBER, "stale": BOOLEAN}
TRAINED = {"trained": NUMBER, "succeeded": NUMBER}
NEXT = or_null(KEY)
REFUSALS = {
    "400": "A parameter or the body is wrong",
    "401": "A token is needed, or this one is none",
    "403": "This token may not do that",
    "404": "There is no such thing",
    "413": "The body is too long",
    "415": "The body is no JSON",
    "429": "Too many wrong tokens, or too many trainings wait",
    "503": "There is nothing to answer with yet",
}


def named(schema: str) -> Schema:
    """A schema by its name."""
    return {"$ref": f"#/components/schemas/{schema}"}


def operation(said: str, ok: Schema, *parameters: Schema, wrong: str) -> Schema:
    """One operation, with the ways in which it is refused."""
    content = {"application/problem+json": {"schema": named("Problem")}}
    answers = {
        code: {"description": REFUSALS[code], "content": content}
        for code in ("400", "401", "403", "429", *wrong.split())
    }
    return {"summary": said, "parameters": [*parameters], "responses": {**ok, **answers}}


def get(said: str, schema: Schema, *parameters: Schema, wrong: str = "503") -> Schema:
    """An operation that reads."""
    tag = parameter("header", "If-None-Match", TEXT, "the ETag of an answer that is held already")
    ok = {
        "200": {"description": said, "content": {"application/json": {"schema": schema}}},
        "304": {"description": "It is as it was"},
    }
    return operation(said, ok, tag, *parameters, wrong=wrong)


def document() -> Schema:
    """The whole description; its addresses count from where it lies itself."""
    key = parameter("path", "id", KEY, "as in the list")
    series = parameter("query", "series", NAME, "of this query alone")
    size = {"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT}
    limit = parameter("query", "limit", size, "so many at most")
    after = parameter("query", "after", KEY, "`next` of the page before")
    training = {"application/json": {"schema": named("Training")}}
    body = {"type": "object", "additionalProperties": False,
            "properties": {"series": {"type": "array", "items": NAME}}}  # fmt: skip
    train = operation(
        "Ask for a training",
        {"202": {"description": "It waits; Location says where to look", "content": training}},
        wrong="404 413 415 503",
    )
    train["requestBody"] = {"content": {"application/json": {"schema": body}}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Lookout: forecasts", "version": __version__},
        "servers": [{"url": "."}],
        "security": [{"token": []}],
        "paths": {
            "/series": {"get": get(
                "All series with what is known of them now",
                thing(**MADE, series=listed("Series"), next=NEXT), series, limit, after,
                wrong="404 503")},
            "/series/{id}": {"get": get(
                "One series", thing(**MADE, series=named("Series")), key, wrong="404 503")},
            "/forecast/{id}": {"get": get(
                "One series with its forecast, step by step",
                thing(**MADE, series=named("Series"), path=or_null(named("Path"))), key,
                wrong="404 503")},
            "/anomalies": {"get": get(
                "Anomalies of the last season, the newest first",
                thing(**MADE, anomalies=listed("Anomaly")), series, limit, wrong="404 503")},
            "/models": {"get": get(
                "All models with how good they are, and what became of the last training",
                thing(**TRAINED, models=listed("Model"), next=NEXT), series, limit, after,
                wrong="404 503")},
            "/models/{id}": {"get": get(
                "One model", thing(**TRAINED, model=named("Model")), key, wrong="404 503")},
            "/train": {
                "get": get("Trainings that were asked for", thing(trainings=listed("Training")),
                           wrong=""),
                "post": train,
            },
            "/train/{id}": {"get": get("One of them", named("Training"), key, wrong="404")},
        },
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }  # fmt: skip
