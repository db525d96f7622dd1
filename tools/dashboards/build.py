"""Make every dashboard's JSON from its source, `dashboard()` in roles/<role>/dashboards/<name>.py.

The result lies beside it, in roles/<role>/files/dashboards/<uid>.json, where role grafana collects
it. `--check` writes nothing and says which files differ.
"""

from __future__ import annotations

import os
import runpy
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

ROOT = Path(__file__).resolve().parents[2]


def sources(root: Path = ROOT) -> list[Path]:
    """Return the source of every dashboard."""
    return sorted(root.glob("roles/*/dashboards/*.py"))


def load(source: Path) -> Dashboard:
    """Return what a source makes."""
    made = runpy.run_path(str(source))["dashboard"]()
    if not isinstance(made, Dashboard):
        raise TypeError(f"{source}: dashboard() returns {type(made).__name__}, not a Dashboard")
    return made


def as_text(made: Dashboard) -> str:
    """Return a dashboard as it is stored; panels are numbered in their order."""
    for number, panel in enumerate(made.panels or [], 1):
        panel.id_val = number
    return JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False).encode(made) + "\n"


def target(source: Path) -> Path:
    """Return where the JSON of a source belongs: Grafana's name for a dashboard has no `_`."""
    name = source.stem.replace("_", "-")
    return source.parents[1] / "files/dashboards" / f"{name}.json"


def built(root: Path = ROOT) -> Iterator[tuple[Path, str]]:
    """Yield the file and the text of every dashboard."""
    for source in sources(root):
        yield target(source), as_text(load(source))


def write(file: Path, text: str) -> None:
    """Put a file into its place as a whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with open(descriptor, "w", encoding="utf-8") as new:
            new.write(text)
        os.chmod(name, 0o644)
        os.replace(name, file)
    except BaseException:
        os.unlink(name)
        raise


def differing(root: Path = ROOT) -> dict[Path, str]:
    """Return the files that are not what their source makes; an empty text has no source."""
    wanted = dict(built(root))
    found = sorted(root.glob("roles/*/files/dashboards/*.json"))
    stray = {file: "" for file in found if file not in wanted}
    return stray | {
        file: text
        for file, text in wanted.items()
        if not file.exists() or file.read_text(encoding="utf-8") != text
    }


def main(arguments: list[str]) -> int:
    """Write what differs, or with --check say so and return 1."""
    changes = differing()
    for file, text in changes.items():
        name = file.relative_to(ROOT)
        if arguments == ["--check"]:
            print(f"{name}: {'differs from' if text else 'has no'} source; run `make dashboards`")
        elif text:
            write(file, text)
            print(f"{name}: written")
        else:
            file.unlink()
            print(f"{name}: removed, it has no source")
    return 1 if changes and arguments == ["--check"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
