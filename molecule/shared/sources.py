"""Runs on a host: one step with the sources of a part, as a backup or a drill takes it.

sources.py save PART STAGE: the copy, and beside it STAGE.json with the facts
sources.py judge PART STAGE: a line for each problem; exit status 3 where nobody can tell here
sources.py put|undo|settle PART STAGE [DATABASE…]: with what gives way in STAGE.aside
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
import tempfile
from pathlib import Path

from lookout.backup.parts import Part
from lookout.backup.sources import CannotJudgeError, Source, SourceError, of
from lookout.backup.sources.postgresql import PostgresqlSource
from lookout.kit.config import load

CANNOT_JUDGE = 3


def save(sources: list[Source], stage: Path) -> int:
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(mode=0o700)
    facts = {}
    for source in sources:
        (stage / source.name).mkdir(mode=0o700)
        source.save(stage / source.name)
        facts[source.name] = source.describe(stage / source.name)
    stage.with_suffix(".json").write_text(json.dumps(facts), encoding="utf-8")
    return 0


def judge(sources: list[Source], stage: Path) -> int:
    facts = json.loads(stage.with_suffix(".json").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as scratch:
        for source in sources:
            room = Path(scratch) / source.name
            room.mkdir()
            for problem in source.judge(stage / source.name, facts[source.name], room):
                print(problem)
    return 0


def put(sources: list[Source], stage: Path) -> int:
    facts = json.loads(stage.with_suffix(".json").read_text(encoding="utf-8"))
    for source in sources:
        aside = stage.with_suffix(".aside") / source.name
        source.put(stage / source.name, facts[source.name], aside)
    return 0


def undo(sources: list[Source], stage: Path) -> int:
    for source in sources:
        source.undo(stage.with_suffix(".aside") / source.name)
    return 0


def settle(sources: list[Source], stage: Path) -> int:
    for source in sources:
        source.settle(stage.with_suffix(".aside") / source.name)
    shutil.rmtree(stage.with_suffix(".aside"))
    return 0


def main() -> int:
    verb, part, stage, *databases = sys.argv[1:]
    sources = of(load(Part, Path(part)))
    if databases:
        sources = [
            dataclasses.replace(source, databases=tuple(databases))
            for source in sources
            if isinstance(source, PostgresqlSource)
        ]
    try:
        return {"save": save, "judge": judge, "put": put, "undo": undo, "settle": settle}[verb](
            sources, Path(stage)
        )
    except CannotJudgeError as error:
        print(error, file=sys.stderr)
        return CANNOT_JUDGE
    except (SourceError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
