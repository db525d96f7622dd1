"""The last hour as one page: numbers and small pictures, without scripts, for a phone too."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from lookout.sensor.history import SLOT_SECONDS, SLOTS, Key
from lookout.sensor.values import FAMILIES

WIDE, TALL, PAD = 240.0, 56.0, 3.0
REFRESH_SECONDS = 30
MINUTES = SLOT_SECONDS * SLOTS // 60

STYLE = """
:root{color-scheme:light dark;--line:#0b62a8;--area:#0b62a822;--quiet:#555;--edge:#ccc}
@media(prefers-color-scheme:dark){:root{--line:#6cb6ff;--area:#6cb6ff22;--quiet:#aaa;--edge:#444}}
body{font:16px/1.4 system-ui,sans-serif;margin:0 auto;max-width:75rem;padding:.75rem}
h1{font-size:1.25rem;margin:0 0 .25rem}h2{font-size:.95rem;font-weight:600;margin:0;
overflow-wrap:anywhere}
p{margin:0;color:var(--quiet)}
main{display:grid;gap:.75rem;margin-top:.75rem;
grid-template-columns:repeat(auto-fill,minmax(min(100%,15rem),1fr))}
section{border:1px solid var(--edge);border-radius:.5rem;padding:.6rem}
strong{font-size:1.4rem;font-variant-numeric:tabular-nums}
svg{display:block;width:100%;height:3.5rem}
polyline{fill:none;stroke:var(--line);stroke-width:2;vector-effect:non-scaling-stroke;
stroke-linejoin:round;stroke-linecap:round}
polygon{fill:var(--area)}
.range{font-size:.85rem}
"""


def number(value: float, unit: str) -> str:
    """A number as a person reads it, with its unit: 1.5 GB, 42 %, 0.31."""
    if not math.isfinite(value):
        return "no data"
    if unit in ("B", "B/s"):
        for prefix in ("", "k", "M", "G"):
            if abs(value) < 1000:  # noqa: PLR2004
                return f"{value:.3g} {prefix}{unit}"
            value /= 1000
        return f"{value:.4g} T{unit}"
    size = abs(value)
    text = f"{value:.0f}" if size >= 100 else f"{value:.3g}" if size >= 0.001 else f"{value:.2g}"  # noqa: PLR2004
    return f"{'0' if value == 0 else text} {unit}".rstrip()


def runs(values: Sequence[float]) -> list[list[tuple[int, float]]]:
    """The stretches without a gap."""
    found: list[list[tuple[int, float]]] = []
    for place, value in enumerate(values):
        if math.isnan(value):
            continue
        if found and found[-1][-1][0] == place - 1:
            found[-1].append((place, value))
        else:
            found.append([(place, value)])
    return found


def picture(values: Sequence[float], what: str) -> str:
    """The hour as an SVG: time to the right, from the smallest value to the largest."""
    known = [value for value in values if not math.isnan(value)]
    least, most = min(known), max(known)
    # A flat line lies in the middle.
    span = most - least
    parts = []
    for run in runs(values):
        points = [
            (
                PAD + (WIDE - 2 * PAD) * place / (SLOTS - 1),
                TALL - PAD - (TALL - 2 * PAD) * ((value - least) / span if span > 0 else 0.5),
            )
            for place, value in run
        ]
        if len(points) == 1:
            # A point alone is drawn as a short line.
            points.append((points[0][0] + 0.5, points[0][1]))
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(
            f'<polygon points="{points[0][0]:.1f},{TALL:.0f} {line} {points[-1][0]:.1f},{TALL:.0f}"'
            f'/><polyline points="{line}"/>'
        )
    return (
        f'<svg viewBox="0 0 {WIDE:.0f} {TALL:.0f}" preserveAspectRatio="none" role="img"'
        f' aria-label="{escape(what)}">{"".join(parts)}</svg>'
    )


def card(key: Key, values: Sequence[float]) -> str:
    """One series: its name, what it is now, and its hour."""
    about = FAMILIES[key[0]]
    title = about.title.format(*key[1])
    unit = about.unit.format(*key[1])
    known = [value for value in values if not math.isnan(value)]
    now = number(values[-1], unit)
    least, most = number(min(known), unit), number(max(known), unit)
    what = f"{title}: from {least} to {most} within {MINUTES} minutes"
    return (
        f"<section><h2>{escape(title)}</h2><strong>{escape(now)}</strong>"
        f"{picture(values, what)}"
        f'<p class="range">{escape(least)} to {escape(most)}</p></section>'
    )


def render(instance: str, moment: str, series: Iterable[tuple[Key, Sequence[float]]]) -> str:
    """The whole page."""
    cards = [card(key, values) for key, values in series if not all(math.isnan(v) for v in values)]
    body = "\n".join(cards) or "<p>Nothing was measured yet.</p>"
    name = escape(instance)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">'
        f"<title>{name}</title><style>{STYLE}</style></head>\n"
        f"<body><h1>{name}</h1><p>The last {MINUTES} minutes, as of {escape(moment)}</p>"
        f"<main>\n{body}\n</main></body></html>\n"
    )
