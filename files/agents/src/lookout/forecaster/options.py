"""The configuration of the forecaster."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from lookout.kit.config import option
from lookout.kit.options import Options

NAME = r"[a-z][a-z0-9_]{0,47}"
LABEL = r"[a-zA-Z_][a-zA-Z0-9_]{0,63}"
HOUR_SECONDS = 3600
DAY_SECONDS = 24 * HOUR_SECONDS
# The models cut a season into so many blocks (lookout.forecaster.series).
BLOCKS = 24


@dataclass(frozen=True, kw_only=True)
class Source:
    """A Prometheus, or a VictoriaMetrics, that is asked."""

    url: str = option(
        "http://127.0.0.1:9090", pattern=r"https?://[^\s?#]+", must="be an address, as https://…"
    )
    # The certificate that it asks for, and the CA that has signed its own
    certificate: Path | None = None
    key: Path | None = None
    ca: Path | None = None
    # Basic authentication: the password comes as a credential of the unit.
    user: str = ""
    password_credential: str = option("", pattern=r"[a-z0-9_]*", must="be a name of a credential")
    # For one answer
    timeout_seconds: float = option(60.0, at_least=1, at_most=600)

    def problems(self) -> Iterator[str]:
        """What no single field shows."""
        if (self.certificate is None) != (self.key is None):
            yield "certificate: needs key, and key needs it"
        if re.match(r"https?://[^/]*@", self.url):
            # The address is in the log, and in what the API says of a query without an answer.
            yield "url: has no user and password in it: say user and password_credential"
        if bool(self.user) != bool(self.password_credential):
            yield "user: needs password_credential, and that needs a user"
        if self.certificate and not self.url.startswith("https:"):
            yield "certificate: is of use with https alone"


@dataclass(frozen=True, kw_only=True)
class SeriesOptions:
    """What is forecast: a query, of which each series that it returns has a model of its own."""

    query: str = option(at_least=1, at_most=4000)
    # What people call it
    title: str = option("", at_most=80)
    unit: str = option("", at_most=16)
    step_seconds: int = option(300, at_least=15, at_most=3600)
    # With a season of a day a model finds out by itself whether the days of a week differ. One of a
    # week needs a history of seven weeks.
    season: Literal["day", "week"] = "day"
    # Of the path that the API answers with; a season at most
    horizon_hours: int = option(24, at_least=1, at_most=168)
    # What it cannot pass, or shall be told of: a number, or a query that gives it for each series
    lower: float | None = None
    upper: float | None = None
    lower_query: str = option("", at_most=4000)
    upper_query: str = option("", at_most=4000)
    # Labels that tell its series apart; without any, all but __name__ and job
    labels: tuple[str, ...] = ()
    # Series of this query that are forecast, at most
    most_series: int = option(50, at_least=1, at_most=500)

    @property
    def season_seconds(self) -> int:
        """What the models are told."""
        return DAY_SECONDS * (7 if self.season == "week" else 1)

    def problems(self) -> Iterator[str]:
        """What no single field shows."""
        if DAY_SECONDS % (self.step_seconds * BLOCKS):
            yield (
                f"step_seconds: has to divide an hour, as 60, 300 and 600 do,"
                f" got {self.step_seconds}"
            )
        if HOUR_SECONDS * self.horizon_hours > self.season_seconds:
            yield f"horizon_hours: is longer than a season, {self.horizon_hours} h"
        for side in ("lower", "upper"):
            if getattr(self, side) is not None and getattr(self, f"{side}_query"):
                yield f"{side}: is given twice, as a number and as a query"
        if self.lower is not None and self.upper is not None and self.lower >= self.upper:
            yield f"lower: has to be below upper, got {self.lower} and {self.upper}"


@dataclass(frozen=True)
class ApiOptions:
    """The API. Address and certificates are those of the section `metrics`."""

    port: int = option(9704, at_least=1, at_most=65535)
    tokens: Path = Path("/etc/lookout/forecaster.tokens/tokens.json")


@dataclass(frozen=True, kw_only=True)
class ForecasterOptions(Options):
    """All of it."""

    source: Source = Source()
    api: ApiOptions = ApiOptions()
    models_directory: Path = Path("/var/lib/lookout/models")
    # What is kept beside the models: results of trainings, requests, which tokens were used
    state_directory: Path = Path("/var/lib/lookout/forecaster")
    # In memory: the forecasts, which are made anew every few minutes
    run_directory: Path = Path("/run/lookout/forecaster")
    # Of a season of a day the models take 28.
    history_days: int = option(90, at_least=8, at_most=400)
    # Of all queries together; each takes memory and time
    most_series: int = option(500, at_least=1, at_most=5000)
    # A forecast is one of the past when the last run is older.
    stale_seconds: int = option(900, at_least=60, at_most=86_400)
    series: dict[str, SeriesOptions] = field(default_factory=dict)

    def problems(self) -> Iterator[str]:
        """What no single field shows."""
        for name, wanted in self.series.items():
            if not re.fullmatch(NAME, name):
                yield f"series.{name}: its name has to be of a-z, 0-9 and _, a letter first"
            for label in wanted.labels:
                if not re.fullmatch(LABEL, label):
                    yield f"series.{name}.labels: {label!r} is no name of a label"
