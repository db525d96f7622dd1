"""What is asked of PostgreSQL, and what is made of its answers: no input, no output.

A table's checksum is the sum of the hashes of its rows, as text. It is the same whatever the order
of the rows, and in every major version: what text looks like is settled by SETTINGS.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lookout.backup.sources import Facts

# How values look as text; without a search path names of objects are written out.
SETTINGS: dict[str, str] = {
    "search_path": "",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "iso_8601",
    "TimeZone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "client_encoding": "UTF8",
    "row_security": "off",
}

# Not those of extensions, which bring their own, and no partitioned ones, which hold no rows
TABLES = """
select coalesce(json_agg(json_build_array(n.nspname, c.relname)), '[]')
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and c.relpersistence <> 't'
and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
and not exists (select from pg_depend d
  where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
"""

DATABASES = """
select coalesce(json_agg(d.datname order by d.datname), '[]') from pg_database d
where d.datallowconn and not d.datistemplate
"""

# Of the bootstrap superuser there is one in every cluster, which no dump makes.
SERVER = """
select json_build_object(
  'version', current_setting('server_version_num')::int,
  'superuser', (select rolname from pg_roles where oid = 10),
  'roles', (select json_agg(rolname order by rolname) from pg_roles where rolname !~ '^pg_'),
  'bytes', (select sum(pg_database_size(oid)) from pg_database where datallowconn),
  'standby', pg_is_in_recovery())
"""

# Where the server writes, and how large its log of changes may grow while a database is loaded
PLACE = """
select json_build_object(
  'data', current_setting('data_directory'),
  'log_bytes', pg_size_bytes(current_setting('max_wal_size')))
"""

# On disk, with its indexes: more than its dump
SIZE = "select pg_database_size(current_database())"

# What pg_dump writes only together with CREATE DATABASE, which names the database.
# Column of the ICU locale: daticulocale, from 17 on datlocale.
PROPERTIES = """
select json_build_object(
  'owner', pg_get_userbyid(d.datdba), 'encoding', pg_encoding_to_char(d.encoding),
  'collate', d.datcollate, 'ctype', d.datctype, 'provider', to_jsonb(d)->>'datlocprovider',
  'locale', coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale'),
  'limit', d.datconnlimit,
  'large_objects', (select count(*) from pg_largeobject_metadata),
  'privileges', (select json_agg(json_build_array(
      case when a.grantee = 0 then '' else pg_get_userbyid(a.grantee) end,
      a.privilege_type, a.is_grantable)) from aclexplode(d.datacl) a),
  'settings', (select json_agg(json_build_array(
      case when s.setrole = 0 then '' else pg_get_userbyid(s.setrole) end, one.setting))
    from pg_db_role_setting s, unnest(s.setconfig) as one(setting) where s.setdatabase = d.oid))
from pg_database d where d.datname = current_database()
"""

# Settings whose value is a list of names, kept as it is written
_LISTS = {
    *("local_preload_libraries", "search_path", "session_preload_libraries"),
    *("shared_preload_libraries", "temp_tablespaces", "unix_socket_directories"),
}
_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}
_WHOLE = r"""(?:[^'"]|'[^']*'|"[^"]*")*;\s*"""
_NAME = r'(?:"(?:[^"]|"")+"|[^\s";]+)'


def identifier(name: str) -> str:
    """A name, quoted."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Text, quoted; a backslash means itself."""
    return "'" + text.replace("'", "''") + "'"


def setup() -> str:
    """Statements that settle what text looks like."""
    return "; ".join(f"set {name} to {literal(value)}" for name, value in SETTINGS.items())


def summed(schema: str, table: str) -> str:
    """The query for a table's rows and checksum, as JSON."""
    # `t.*` within ROW() is the columns, whatever their names are.
    return (
        "select json_build_array(count(*),"  # noqa: S608
        " coalesce(sum(('x' || substr(h, 1, 16))::bit(64)::bigint), 0)::text || ' ' ||"
        " coalesce(sum(('x' || substr(h, 17, 16))::bit(64)::bigint), 0)::text)"
        f" from (select md5(row(t.*)::text) as h from only {identifier(schema)}.{identifier(table)}"
        " as t) as hashes"
    )


def create(name: str, known: Mapping[str, Any]) -> str:
    """CREATE DATABASE with the properties that only that can set."""
    parts = [
        f"create database {identifier(name)} template template0",
        f"owner {identifier(known['owner'])}",
        f"encoding {literal(known['encoding'])}",
        f"lc_collate {literal(known['collate'])}",
        f"lc_ctype {literal(known['ctype'])}",
    ]
    # Unknown before PostgreSQL 15
    if known["provider"]:
        parts.append(f"locale_provider {_PROVIDERS[known['provider']]}")
    if known["provider"] in ("i", "b"):
        word = {"i": "icu_locale", "b": "builtin_locale"}[known["provider"]]
        parts.append(f"{word} {literal(known['locale'])}")
    return " ".join(parts)


def create_plain(name: str, known: Mapping[str, Any]) -> str:
    """CREATE DATABASE with the encoding alone: a locale may be unknown to this host."""
    locale = "C.UTF-8" if known["encoding"] == "UTF8" else "C"
    return (
        f"create database {identifier(name)} template template0"
        f" encoding {literal(known['encoding'])} locale {literal(locale)}"
    )


def dress(name: str, known: Mapping[str, Any]) -> Iterator[str]:
    """Statements for the properties that a database can get later."""
    database = identifier(name)
    yield f"alter database {database} connection limit {int(known['limit'])}"
    if known["privileges"] is not None:
        yield f"revoke all on database {database} from public, {identifier(known['owner'])}"
        for grantee, privilege, grantable in known["privileges"]:
            to = identifier(grantee) if grantee else "public"
            option = " with grant option" if grantable else ""
            yield f"grant {privilege} on database {database} to {to}{option}"
    for role, setting in known["settings"] or ():
        key, _, value = setting.partition("=")
        raw = key.lower() in _LISTS and value not in ("", '""')
        written = value if raw else literal("" if value == '""' else value)
        whom = f"role {identifier(role)} in database {database}" if role else f"database {database}"
        yield f"alter {whom} set {_setting(key)} to {written}"


def _setting(key: str) -> str:
    return ".".join(identifier(part) for part in key.split("."))


def statements(script: str) -> Iterator[str]:
    """The statements of what pg_dumpall wrote, without comments and without psql's own commands."""
    kept: list[str] = []
    for line in script.splitlines(keepends=True):
        if not kept and (not line.strip() or line.startswith(("--", "\\"))):
            continue
        kept.append(line)
        so_far = "".join(kept)
        # Its end is neither within text nor within a name.
        if line.rstrip().endswith(";") and re.fullmatch(_WHOLE, so_far):
            yield so_far.strip()
            kept = []


def of_roles(script: str, existing: Sequence[str]) -> list[str]:
    """The statements that make roles which are not there yet, with passwords and memberships.

    Nothing about a role that exists is changed. Who granted a membership is left out: that role
    may not be there, or may not do so in a newer version.
    """
    there, wanted = set(existing), []

    def is_there(name: str) -> bool:
        return _bare(name) in there or name.startswith("pg_")

    for one in statements(script):
        made = re.match(rf"(?:CREATE|ALTER) ROLE ({_NAME})", one)
        granted = re.match(rf"GRANT ({_NAME}) TO ({_NAME})", one)
        if made and not is_there(made[1]):
            wanted.append(one)
        elif granted and not (is_there(granted[1]) and is_there(granted[2])):
            wanted.append(re.sub(rf" GRANTED BY {_NAME};$", ";", one))
    return wanted


def _bare(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name


def problems(facts: Facts) -> Iterator[str]:
    """What makes facts of a server unbelievable."""
    if not facts.get("databases"):
        yield "no database was saved"
    if not facts.get("roles"):
        yield "no role was saved"


def differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    """Where two descriptions of one database differ: its tables and large objects."""
    before, now = wanted["tables"], found["tables"]
    yield from (f"table {name} is missing" for name in sorted(set(before) - set(now)))
    yield from (
        f"table {name} is not part of the backup" for name in sorted(set(now) - set(before))
    )
    for name in sorted(set(before) & set(now)):
        if before[name][0] != now[name][0]:
            yield f"table {name} has {now[name][0]} rows, had {before[name][0]}"
        elif before[name] != now[name]:
            yield f"table {name} has other rows than it had"
    if wanted["large_objects"] != found["large_objects"]:
        yield f"{found['large_objects']} large objects, were {wanted['large_objects']}"


def table_name(schema: str, table: str) -> str:
    """How the facts name a table."""
    return f"{schema}.{table}"


def parsed(line: str) -> Any:
    """The JSON of one line of an answer."""
    return json.loads(line)
