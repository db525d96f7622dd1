"""Models in files: one JSON document each, with a version and a hash; nothing in it is executed.

    {"format": "lookout-forecast-model", "version": 2, "sha256": "...", "model": {...}}

The hash is of `model` as `json.dumps` writes it without spaces and with sorted keys. Python writes
a float with the digits that bring the same float back, so that a loaded model forecasts exactly as
the saved one did.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, fields
from math import inf, isfinite
from pathlib import Path
from typing import Any

import numpy as np

from lookout.forecaster.anomalies import Thresholds
from lookout.forecaster.backtest import Quality
from lookout.forecaster.candidates import WEEKLY, period
from lookout.forecaster.memory import horizons
from lookout.forecaster.model import Model
from lookout.forecaster.series import BLOCKS, Settings
from lookout.kit.files import write_atomically

FORMAT = "lookout-forecast-model"
VERSION = 2
# Before there was a floor, all series were read as they are.
WITHOUT_FLOOR = 1
# A weekly model at a step of 5 minutes has 90 kB.
MOST_BYTES = 8_000_000


class ModelError(Exception):
    """A file that is no whole model, and what to do about it."""


def save(path: Path, series: str, model: Model) -> None:
    """Write a model of the series of that name, atomically. Raises OSError."""
    write_atomically(path, encode(series, model), 0o640)


def load(path: Path, series: str) -> Model:
    """Read it back. Raises ModelError, and OSError when there is none."""
    if path.stat().st_size > MOST_BYTES:
        raise ModelError(f"{path}: has more than {MOST_BYTES} bytes and is no model: remove it")
    try:
        return decode(path.read_bytes(), series)
    except ModelError as error:
        raise ModelError(
            f"{path}: {error}: remove it, and the next training makes it anew"
        ) from None


def encode(series: str, model: Model) -> bytes:
    """The document of a model. Raises ValueError when a number in it is not finite."""
    content: dict[str, Any] = {"series": series}
    for field in fields(Model):
        value = getattr(model, field.name)
        content[field.name] = value.tolist() if isinstance(value, np.ndarray) else value
    content["settings"] = {
        name: None if name in {"lower", "upper"} and not isfinite(value) else value
        for name, value in asdict(model.settings).items()
    }
    content["quality"], content["limit"] = asdict(model.quality), asdict(model.limit)
    text = canonical(content)
    head = {"format": FORMAT, "version": VERSION, "sha256": digest(text)}
    return (json.dumps(head)[:-1] + ', "model": ' + text + "}\n").encode()


def decode(raw: bytes, series: str) -> Model:
    """The model of a document. Raises ModelError."""
    try:
        document = json.loads(raw, parse_constant=finite, parse_float=finite)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"is truncated or damaged ({error})") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ModelError("is no model of the forecaster")
    if document.get("version") not in {VERSION, WITHOUT_FLOOR}:
        raise ModelError(f"has version {document.get('version')}, this program reads {VERSION}")
    content = document.get("model")
    if not isinstance(content, dict) or document.get("sha256") != digest(canonical(content)):
        raise ModelError("does not match its hash")
    if content.get("series") != series:
        raise ModelError(f"is of series {content.get('series')!r}, not of {series!r}")
    known = {"floor": 0.0} if document["version"] == WITHOUT_FLOOR else {}
    try:
        return build(known | {name: value for name, value in content.items() if name != "series"})
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ModelError(f"holds what no model holds ({error})") from None


def build(content: dict[str, Any]) -> Model:
    """The model of checked content; numbers and lengths are looked at once more.

    The hash keeps damage out, not somebody who can write a hash.
    """
    bounds = content["settings"]
    settings = Settings(
        **{
            **bounds,
            "lower": -inf if bounds["lower"] is None else bounds["lower"],
            "upper": inf if bounds["upper"] is None else bounds["upper"],
        }
    )
    if content["method"] not in WEEKLY:
        raise ValueError(f"there is no method {content['method']!r}")
    count = len(horizons(settings.slots))
    shapes: dict[str, tuple[int, ...]] = {
        "profile": (period(content["method"]) * settings.slots,),
        "near": (count,),
        "far": (count,),
        "band": (2, count),
        "usual": np.shape(content["usual"]),
        "width": (BLOCKS,),
        "noise": (BLOCKS,),
        "step_noise": (BLOCKS,),
        "rise": (3,),
    }
    if shapes["usual"] not in {(settings.slots,), (7 * settings.slots,)}:
        raise ValueError("usual has a wrong length")
    arrays = {}
    for name, shape in shapes.items():
        arrays[name] = np.array(content[name], dtype=float)
        if arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
            raise ValueError(f"{name} must be {shape} finite numbers")
    quality, limit = Quality(**content["quality"]), Thresholds(**content["limit"])
    numbers = [content["slope"], content["drift"], limit.sudden, limit.far]
    if not np.isfinite([content["floor"], *numbers, *asdict(quality).values()]).all():
        raise ValueError("a number is not finite")
    if content["floor"] < 0:
        raise ValueError("floor is below nought")
    whole = {**content, **arrays, "settings": settings, "quality": quality, "limit": limit}
    return Model(**{**whole, "notes": tuple(content["notes"])})


def canonical(content: dict[str, Any]) -> str:
    """JSON that does not depend on who wrote it. Raises ValueError when a number is not finite."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(text: str) -> str:
    """SHA-256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def finite(text: str) -> float:
    """A number of a document; NaN and infinities are no JSON, though Python reads them."""
    value = float(text)
    if not isfinite(value):
        raise ValueError(f"it holds {text}")
    return value
