"""Data frames: the shape in which Grafana answers queries."""

from __future__ import annotations

from typing import Any

Frame = dict[str, Any]


def frame(ref: str, fields: list[dict[str, Any]], values: list[list[Any]], **meta: object) -> Frame:
    schema: dict[str, Any] = {"refId": ref, "fields": fields}
    if meta:
        schema["meta"] = meta
    return {"schema": schema, "data": {"values": values}}


def field(name: str, kind: str, go: str, **more: object) -> dict[str, Any]:
    return {"name": name, "type": kind, "typeInfo": {"frame": go}, **more}
