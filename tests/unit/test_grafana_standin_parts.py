"""Parts of the stand-in for Grafana that need no server: files, mappings, secrets, queries."""

from __future__ import annotations

from pathlib import Path

import pytest
from grafana.standin import directory, ini, provisioning, queries, secrets_store, sql
from grafana.standin.log import quoted

SERVER = """[[servers]]
host = "127.0.0.1"
search_filter = "(uid=%s)"
search_base_dns = ["dc=example"]
[[servers.group_mappings]]
group_dn = "cn=a"
org_role = "admin"
"""


def test_values_are_read_as_ini_v1_reads_them() -> None:
    found = ini.parse(
        'top = 1\n[a]\nplain = x y \ncolon: z\ncut = secret#1\nraw = """se#c;ret"""\n'
        'tick = `a#b`\nquoted = "q"\n; no = thing\nempty =\n[a.b]\nk = """two\nlines"""\n',
        "test",
    )
    assert found["DEFAULT"] == {"top": "1"}
    assert found["a"] == {
        "plain": "x y", "colon": "z", "cut": "secret", "raw": "se#c;ret", "tick": "a#b",
        "quoted": "q", "empty": "",
    }  # fmt: skip
    assert found["a.b"] == {"k": "two\nlines"}


@pytest.mark.parametrize("text", ["nonsense\n", "[server\nx = 1\n", 'a = """open\n'])
def test_lines_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ini.RefusedError, match="failed to parse"):
        ini.parse(text, "grafana.ini")


def test_expansion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret").write_text(" s$cret\n", encoding="utf-8")
    monkeypatch.setenv("LOOKOUT_X", "x")
    assert ini.expand(f"$__file{{{tmp_path}/secret}}") == "s$cret"
    assert ini.expand("${LOOKOUT_X}-$__env{LOOKOUT_X}-$__other{a}") == "x-x-$__other{a}"
    assert provisioning.interpolated({"a": ["$LOOKOUT_X $$1 ${LOOKOUT_X}", 1]}) == {
        "a": ["x $1 x", 1]
    }


def test_ldap_toml_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LDAP_PASSWORD", "from the environment")
    text = SERVER.replace('host = "127', 'bind_password = "${LDAP_PASSWORD}"\nhost = "127')
    (tmp_path / "ldap.toml").write_text(text, encoding="utf-8")
    (server,) = directory.read(tmp_path / "ldap.toml")
    assert server["bind_password"].endswith("the environment")
    (tmp_path / "secret").write_text("in a file\n", encoding="utf-8")
    text = text.replace("${LDAP_PASSWORD}", f"$__file{{{tmp_path}/secret}}")
    (tmp_path / "ldap.toml").write_text(text, encoding="utf-8")
    assert directory.read(tmp_path / "ldap.toml")[0]["bind_password"].endswith("a file")
    assert server["group_mappings"][0]["org_role"] == "Admin"


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (["cn=viewers"], ("Viewer", False)),
        (["CN=Viewers", "cn=admins"], ("Admin", True)),
        (["cn=operators"], (None, True)),
        (["cn=others"], (None, False)),
    ],
)
def test_first_mapping_that_fits_decides(groups: list[str], expected: tuple[object, bool]) -> None:
    mappings: list[dict[str, object]] = [
        {"group_dn": "cn=operators", "grafana_admin": True},
        {"group_dn": "cn=admins", "org_role": "Admin", "grafana_admin": True},
        {"group_dn": "cn=viewers", "org_role": "Viewer"},
    ]
    assert directory.mapped(mappings, groups) == expected


def test_secrets_need_the_key_they_were_made_with() -> None:
    sealed = secrets_store.encrypt({"password": "x"}, "one")
    assert secrets_store.decrypt(sealed, "one") == {"password": "x"}
    assert "password" not in sealed
    with pytest.raises(secrets_store.WrongKeyError):
        secrets_store.decrypt(sealed, "two")
    assert secrets_store.token_hash("t", "one") != secrets_store.token_hash("t", "two")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$__timeFilter(at)", "at BETWEEN '1970-01-01T00:00:00Z' AND '1970-01-01T01:00:00Z'"),
        ("$__timeGroup(at, '5m')", "floor(extract(epoch from at)/300)*300"),
        ("$__unixEpochFilter(at)", "at >= 0 AND at <= 3600"),
        ("100 % $$x$$", "100 % $$x$$"),
    ],
)
def test_macros_of_sql(text: str, expected: str) -> None:
    assert sql.macros(text, 0, 3600) == expected


def test_variables_of_an_expression() -> None:
    text = "rate(a[$__rate_interval]) + b[${__interval}] + c[$__range] + $__range_s"
    assert queries.interpolated(text, 0, 3600, 15) == ("rate(a[60s]) + b[15s] + c[3600s] + 3600")


def test_log_lines_are_logfmt() -> None:
    assert [quoted(v) for v in ("a", "a b", 'a"b', "", 1)] == ["a", '"a b"', '"a\\"b"', '""', "1"]
