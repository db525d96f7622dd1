"""Ways to damage a backup, and what the drill has to say of each.

Those of `CONTENT` are backups whose content is bad: what was saved is restored, changed, and saved
again as a good run would. Those of `REPOSITORY` are files of the repository that the store lost or
changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest

TRIXIE, BOOKWORM = "trixie", "bookworm"
PARTS = ("postgresql", "prometheus", "shop", "status_page")
# The content of a small file is one blob, named for its hash; it is in part shop.
SMALL_FILE = b"name: shop\nport: 8080\n"

# A database as it would be dumped after a mistake, with the manifest of before
DUMP = """
runuser -u postgres -- createdb --template=shop mutant
echo "$SQL" | runuser -u postgres -- psql -q -v ON_ERROR_STOP=1 mutant
runuser -u postgres -- pg_dump -Fc -Z0 mutant > postgresql/shop.dump
runuser -u postgres -- dropdb mutant
"""
# Changes the manifest by a statement on `it`
MANIFEST = """
python3 - <<'.'
import json
it = json.load(open("manifest.json"))
STATEMENT
json.dump(it, open("manifest.json", "w"))
.
"""


@dataclass(frozen=True)
class Mutation:
    """One way: a script that is run in the restored stage, or with $repository and $name."""

    name: str
    host: str
    part: str
    script: str
    # What the drill says
    reason: str

    def __str__(self) -> str:
        return f"{self.host} {self.part}: {self.name}"


def dump(sql: str) -> str:
    return f"SQL='{sql}'\n{DUMP}"


def manifest(statement: str) -> str:
    return MANIFEST.replace("STATEMENT", statement)


def sqlite(statement: str) -> str:
    return f"""python3 - <<'.'
import sqlite3
with sqlite3.connect("sqlite/status.db") as it:
    it.execute("{statement}")
.
"""


CONTENT = [
    Mutation("a table was dropped before the dump", TRIXIE, "postgresql",
             dump("DROP TABLE customers"), r"shop: .*customers.* (is )?missing"),
    Mutation("rows were deleted", TRIXIE, "postgresql",
             dump("DELETE FROM store.orders WHERE id > 1990"), "shop: .*orders.*1990 rows"),
    Mutation("one value of a row was changed", TRIXIE, "postgresql",
             dump("UPDATE store.orders SET price = price + 1e-9 WHERE id = 77"),
             "shop: .*orders"),
    Mutation("a byte of a bytea was changed", TRIXIE, "postgresql",
             dump("UPDATE store.orders SET photo = set_byte(photo, 3, 7) WHERE id = 5"),
             "shop: .*orders"),
    Mutation("the dump is cut off", BOOKWORM, "postgresql",
             "truncate -s $(($(stat -c %s postgresql/shop.dump) / 2)) postgresql/shop.dump",
             "postgresql: shop: "),
    Mutation("the dump is empty", BOOKWORM, "postgresql", ": > postgresql/shop.dump",
             "postgresql: shop: "),
    Mutation("the roles are missing", BOOKWORM, "postgresql", "rm postgresql/globals.sql",
             "globals.sql is missing"),
    Mutation("the manifest is missing", BOOKWORM, "postgresql", "rm manifest.json",
             "manifest.json cannot be read"),
    Mutation("a block is missing", TRIXIE, "prometheus",
             'rm -r "$(find prometheus -mindepth 1 -maxdepth 1 -type d | sort | head -n 1)"',
             "block .* is missing"),
    Mutation("the samples of a block are cut off", TRIXIE, "prometheus",
             'truncate -s -100 "$(find prometheus -path "*/chunks/*" | sort | head -n 1)"',
             "block .* has changed"),
    Mutation("the canary has another value", TRIXIE, "prometheus",
             manifest('it["facts"]["prometheus"]["canaries"]["hour"]["value"] += 1'),
             "the canary at the hour moment"),
    Mutation("a byte of an index is flipped", BOOKWORM, "prometheus",
             'printf "\\377" | dd conv=notrunc bs=1 seek=300 status=none'
             ' of="$(find prometheus -name index | sort | head -n 1)"',
             "block .* has changed"),
    Mutation("the manifest is that of another host", BOOKWORM, "prometheus",
             manifest('it["host"] = "trixie"'), "is that of trixie/prometheus, not of bookworm"),
    Mutation("the newest run did not save it", BOOKWORM, "prometheus", "",
             "has no good snapshot of it"),
    Mutation("a page is damaged", TRIXIE, "status_page",
             "dd if=/dev/urandom of=sqlite/status.db bs=4096 seek=3 count=1 conv=notrunc"
             " status=none", "sqlite: "),
    Mutation("a table was emptied", TRIXIE, "status_page", sqlite("DELETE FROM runs"),
             "table runs has 0 rows, had 500"),
    Mutation("one value of a row was changed", TRIXIE, "status_page",
             sqlite("UPDATE runs SET took = took + 1e-9 WHERE id = 99"),
             "table runs has other rows"),
    Mutation("a table was dropped", BOOKWORM, "status_page", sqlite("DROP TABLE runs"),
             "table runs is missing"),
    Mutation("the data is too old", BOOKWORM, "status_page",
             manifest('it["run"] -= 60 * 3600'), "older than 50 hours"),
    Mutation("the database is missing", BOOKWORM, "status_page", "rm sqlite/status.db", "sqlite: "),
    Mutation("a configuration has another byte", TRIXIE, "shop",
             "sed -i s/shop/shoq/ files/etc/shop/shop.yml", "/etc/shop/shop.yml: sha256 is"),
    Mutation("a mode was changed", TRIXIE, "shop", "chmod 0644 files/etc/shop/conf.d/secret",
             "/etc/shop/conf.d/secret: mode is"),
    Mutation("the part's own check does not hold", TRIXIE, "shop",
             "sed -i s/8080/9090/ files/etc/shop/shop.yml\n" + manifest(
                 'import hashlib; it["facts"]["files"]["entries"]["/etc/shop/shop.yml"]["sha256"]'
                 ' = hashlib.sha256(open("files/etc/shop/shop.yml", "rb").read()).hexdigest()'),
             "its check grep ended with 1"),
    Mutation("a file is missing", BOOKWORM, "shop", "rm files/etc/shop/conf.d/secret",
             "/etc/shop/conf.d/secret: missing"),
    Mutation("there is a file more", BOOKWORM, "shop", "touch files/etc/shop/conf.d/more",
             "/etc/shop/conf.d/more: not part of the backup"),
    Mutation("a link leads elsewhere", BOOKWORM, "shop",
             "ln -sfn shop.yml files/etc/shop/current", "/etc/shop/current: target is"),
]  # fmt: skip

FLIP = (
    'printf "\\%o" $((0$(od -An -to1 -j "$at" -N 1 "$file" | tr -d " ") ^ 0377)) | '
    'dd of="$file" bs=1 seek="$at" conv=notrunc status=none'
)

# $pack holds the blob at $at, $index names it; $snapshot is the part's own file.
REPOSITORY = [
    Mutation("a byte of a pack is flipped", BOOKWORM, "shop", f"file=$pack; {FLIP}",
             "restic restore ended with 1.*ciphertext verification failed"),
    Mutation("a pack is cut off", BOOKWORM, "shop", 'truncate -s "$at" "$pack"',
             "restic check ended with 1"),
    Mutation("a pack is missing", BOOKWORM, "shop", 'rm "$pack"', "restic check ended with 1"),
    Mutation("a byte of the index is flipped", BOOKWORM, "shop", f"file=$index; at=60; {FLIP}",
             "restic check ended with 1"),
    Mutation("the index is missing", BOOKWORM, "shop", 'rm "$index"',
             "restic check ended with 1"),
    Mutation("the snapshot is missing", BOOKWORM, "shop", 'rm "$snapshot"', "it is not there"),
    Mutation("the repository is gone", BOOKWORM, "shop", 'rm "$repository/config"',
             "the store has no repository of bookworm"),
]  # fmt: skip


def batches() -> list[list[Mutation]]:
    """The mutations of content, no two of one part in a batch: a drill judges all parts."""
    by_part: dict[tuple[str, str], list[Mutation]] = {}
    for one in CONTENT:
        by_part.setdefault((one.host, one.part), []).append(one)
    return [[one for one in row if one] for row in zip_longest(*by_part.values())]
