"""What can be asked without touching anything: which dates, which plan, a copy beside it all."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from lookout.backup import manifest, parts
from lookout.backup.manifest import ManifestError
from lookout.backup.parts import Part
from lookout.backup.restic import Snapshot
from lookout.backup.restore import choice, fetch, plan
from lookout.backup.restore.choice import ChoiceError, shown
from lookout.backup.restore.context import Context, Stop
from lookout.backup.restore.journal import Entry, all_kept
from lookout.backup.restore.plan import Item
from lookout.backup.restore.put import undisturbed
from lookout.backup.sources import SourceError
from lookout.backup.sources.postgresql import PostgresqlSource

log = logging.getLogger("lookout.backup.restore")


def show_dates(context: Context) -> None:
    """Print which dates there are, and what former restores keep."""
    print(f"Good snapshots in the backup of {context.archive.host}, the newest first:")
    for part, times in choice.dates(context.archive.snapshots()).items():
        print(f"  {part}: {', '.join(map(shown, reversed(times)))}")
    for kept in all_kept(context.aside):
        names = ", ".join(entry.part.name for entry in kept.journal.touched)
        state = "" if kept.journal.finished else ", which was interrupted"
        print(
            f"Kept from before the restore of {shown(kept.journal.started)}{state}: "
            f"{names} ({kept.folder})"
        )


def planned(context: Context) -> list[Item]:
    """What the wishes mean. Raises Stop, or ChoiceError, with what there is instead."""
    wishes, now = context.wishes, time.time()
    local = _local(context.options.parts_dir)
    wanted = list(dict.fromkeys(wishes.parts)) or sorted(local)
    if not wanted:
        raise Stop(f"this host has no parts: there is nothing in {context.options.parts_dir}")
    unknown = [name for name in wanted if name not in local]
    if unknown:
        raise Stop(
            f"this host has no part {', '.join(unknown)}; it has {', '.join(sorted(local))}. "
            "`--to FOLDER` writes a copy out all the same"
        )
    snapshots = context.archive.snapshots()
    items, missing = [], []
    for name in wanted:
        try:
            found = choice.choose(snapshots, name, wishes.date, now)
            items.append(_item(context, local[name], found))
        except ChoiceError as error:
            missing.append(str(error))
    if missing and (wishes.parts or not items):
        raise Stop("\n".join(missing))
    for problem in missing:
        log.warning("left out: %s", problem)
    return plan.order(items)


def _local(folder: Path) -> dict[str, Part]:
    found, problems = parts.read(folder)
    for problem in problems:
        log.warning("%s", problem)
    return {part.name: part for part in found}


def _item(context: Context, local: Part, snapshot: Snapshot) -> Item:
    try:
        told = context.archive.manifest(snapshot.id)
    except ManifestError as error:
        raise Stop(
            f"{local.name}: snapshot {snapshot.id[:8]}: {error}. Take another date, or "
            "`--to FOLDER`, which writes out what there is"
        ) from error
    wishes = context.wishes
    part, notes = plan.fitting(local, told.part)
    part = plan.narrowed(part, wishes.file, wishes.database)
    return Item(
        part,
        plan.judged(local, told.part),
        snapshot,
        context.archive.size(snapshot),
        () if wishes.file or wishes.database else notes,
        wishes.database if part.postgresql else "",
        told.facts,
    )


def servers(context: Context, items: Sequence[Item]) -> Iterator[tuple[Path, int]]:
    """Where servers of databases need room, and how many bytes. Raises Stop if one is silent."""
    for item in items:
        entry = Entry(item.part, item.snapshot.id, item.snapshot.time, database=item.database)
        for source in context.sources(entry):
            if isinstance(source, PostgresqlSource):
                try:
                    yield source.room(item.facts[source.name])
                except (SourceError, KeyError) as error:
                    raise Stop(
                        f"{item.part.name}: how much room it needs cannot be told: {error}. "
                        "Nothing was touched"
                    ) from error


def plan_text(context: Context, items: Sequence[Item]) -> str:
    """The plan, for people."""
    return plan.text(items, context.archive.host, context.aside, time.time())


def write_out(context: Context, folder: Path) -> None:
    """Write copies below a folder, and touch nothing else."""
    for snapshot in _chosen(context):
        name = snapshot.part or "record"
        target = folder / name
        if target.exists():
            raise Stop(f"{target} is there already: name another folder")
        target.mkdir(mode=0o700, parents=True)
        try:
            context.archive.restore(snapshot.id, target, context.options.timeout_seconds)
        except KeyboardInterrupt as error:
            with undisturbed():
                fetch.forget(target)
            raise Stop(f"interrupted: {target} is deleted, as it was not whole") from error
        target.chmod(0o700)
        whole = (target / manifest.NAME).exists() or not snapshot.part
        note = "" if whole else ", without a manifest"
        print(f"{name}: {snapshot.id[:8]} of {shown(snapshot.time)} is in {target}{note}")


def _chosen(context: Context) -> Iterator[Snapshot]:
    wishes, snapshots = context.wishes, context.archive.snapshots()
    if wishes.snapshot:
        found = [one for one in snapshots if one.id.startswith(wishes.snapshot)]
        if len(found) != 1:
            raise Stop(f"{len(found)} snapshots have an id that begins with {wishes.snapshot}")
        yield found[0]
        return
    for part in wishes.parts or choice.dates(snapshots):
        yield choice.choose(snapshots, part, wishes.date, time.time())
