"""Pieces that descriptions of an API are made of (OpenAPI 3.1)."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number", "minimum": 0}
COUNT: Schema = {"type": "integer", "minimum": 0}
BOOLEAN: Schema = {"type": "boolean"}
MOMENT: Schema = {"type": "string", "format": "date-time"}
DAY: Schema = {"type": "string", "format": "date"}
NAME: Schema = {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]*$", "maxLength": 48}


def thing(**properties: Schema) -> Schema:
    """An object that has all of these properties and no other."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def listed(schema: str) -> Schema:
    """A list of a schema that has a name."""
    return {"type": "array", "items": {"$ref": f"#/components/schemas/{schema}"}}


def or_null(schema: Schema) -> Schema:
    """What may be missing."""
    return {"anyOf": [schema, {"type": "null"}]}


def parameter(where: str, name: str, schema: Schema, said: str) -> Schema:
    """One parameter."""
    return {
        "name": name, "in": where, "required": where == "path", "schema": schema,
        "description": said,
    }  # fmt: skip
