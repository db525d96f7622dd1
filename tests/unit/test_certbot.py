"""Public certificates: what is refused, why one is issued anew, how it gets into use."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.modules import certbot_certificate as module

ROOT = Path(__file__).parents[2]


def _load(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


plugin = _load("plugins/filter/certbot.py")

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
SETTINGS: dict[str, Any] = {
    "email": "admin@example.org",
    "agree_terms": True,
    "server": LETS_ENCRYPT,
    "default_server": LETS_ENCRYPT,
    "staging": False,
    "dns": {"server": "192.0.2.53", "name": "lookout.", "secret": "c2VjcmV0IQ=="},
}
STATUS = {"name": "status.example.org", "domains": ["status.example.org"]}
WILD = {"name": "example.org", "domains": ["*.example.org"], "challenge": "dns"}


def problems(*certificates: dict[str, Any], **settings: Any) -> list[str]:
    found: list[str] = plugin.certbot_problems(certificates, {**SETTINGS, **settings})
    return found


# --- what is refused ---


def test_what_holds_together_is_accepted() -> None:
    assert problems(STATUS, WILD) == []


def test_without_certificates_nothing_is_asked_for() -> None:
    assert problems(email="", agree_terms=False, server="", dns={}) == []


@pytest.mark.parametrize(
    ("certificate", "settings", "words"),
    [
        (STATUS, {"email": ""}, "certbot_email is missing"),
        (STATUS, {"email": "admin"}, "as in admin@example.com, got admin"),
        (STATUS, {"email": "a@example.org,b@example.org"}, "must be one address"),
        (STATUS, {"agree_terms": False}, "certbot_agree_terms must be true"),
        (STATUS, {"server": "http://acme.example.org/dir"}, "must be the https URL"),
        (STATUS, {"server": "https://acme/dir", "staging": True}, "leave it false"),
        ({**STATUS, "name": "../etc"}, {}, "must look like a domain"),
        ({**STATUS, "name": "Status.example.org"}, {}, "in lower case"),
        ({**STATUS, "domains": []}, {}, "needs at least one domain"),
        ({**STATUS, "domains": ["https://status.example.org"]}, {}, "without scheme"),
        ({**STATUS, "domains": ["localhost"]}, {}, "is no domain name"),
        ({**STATUS, "domains": ["a.example.org"] * 2}, {}, "stands there 2 times"),
        ({**STATUS, "domains": [f"n{n}.example.org" for n in range(101)]}, {}, "100 are possible"),
        ({**STATUS, "domains": ["*.example.org"]}, {}, "with challenge: dns alone"),
        ({**STATUS, "challenge": "tls"}, {}, "challenge is http or dns, got tls"),
        (WILD, {"dns": {}}, "needs server, name, secret"),
        (WILD, {"dns": {**SETTINGS["dns"], "server": "ns.example.org"}}, "must be an IP address"),
        (WILD, {"dns": {**SETTINGS["dns"], "algorithm": "md5"}}, "algorithm is one of"),
        (WILD, {"dns": {**SETTINGS["dns"], "secret": "two\nlines"}}, "must be the base64 text"),
    ],
)
def test_a_mistake_is_named(
    certificate: dict[str, Any], settings: dict[str, Any], words: str
) -> None:
    (problem,) = problems(certificate, **settings)
    assert words in problem
    assert "two\nlines" not in problem


def test_two_certificates_of_one_name_are_refused() -> None:
    (problem,) = problems(STATUS, STATUS)
    assert "2 are named status.example.org" in problem


@given(st.text())
def test_any_domain_is_judged(domain: str) -> None:
    found = problems({**STATUS, "domains": [domain]})
    if not found:
        assert domain == domain.lower()
        assert not set(domain) & set("/: \n")


def test_troubles_are_in_the_words_of_whoever_said_them() -> None:
    results: list[dict[str, Any]] = [
        {"results": [{"failed": True, "msg": "refused"}, {"msg": "fine"}]},
        {"skipped": True},
        {"failed": True, "msg": "non-zero return code", "stderr": "nginx did not reload"},
    ]
    assert plugin.certbot_troubles(results) == ["refused", "nginx did not reload"]


# --- why a certificate is issued ---

ASKED: dict[str, Any] = {
    "name": "status.example.org",
    "domains": ["status.example.org", "www.example.org"],
    "challenge": "http",
    "server": LETS_ENCRYPT,
    "email": "admin@example.org",
    "ca_file": "",
    "webroot": "/var/lib/lookout/acme",
    "credentials_file": "/etc/letsencrypt/lookout-rfc2136.ini",
    "propagation_seconds": 60,
}
FOUND = {
    "server": LETS_ENCRYPT,
    "authenticator": "webroot",
    "key_type": "ecdsa",
    "webroot_path": "/var/lib/lookout/acme,",
}


def test_equal_settings_are_no_reason() -> None:
    assert module.setting_reasons(ASKED, FOUND) == []


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("server", "https://acme-staging-v02.api.letsencrypt.org/directory"),
        ("authenticator", "dns-rfc2136"),
        ("key_type", "rsa"),
        ("elliptic_curve", "secp384r1"),
        ("webroot_path", "/var/www/html,"),
    ],
)
def test_a_setting_that_differs_is_a_reason(setting: str, value: str) -> None:
    (reason,) = module.setting_reasons(ASKED, {**FOUND, setting: value})
    assert setting in reason
    assert value.strip(",") in reason


def test_dns_compares_what_belongs_to_it() -> None:
    found = {
        **FOUND,
        "authenticator": "dns-rfc2136",
        "dns_rfc2136_credentials": ASKED["credentials_file"],
        "dns_rfc2136_propagation_seconds": "60",
    }
    asked = {**ASKED, "challenge": "dns"}
    assert module.setting_reasons(asked, found) == []
    (reason,) = module.setting_reasons({**asked, "propagation_seconds": 90}, found)
    assert "was 60, 90 is wanted" in reason


def test_the_command_line_holds_no_secret_and_all_domains() -> None:
    for challenge in ("http", "dns"):
        line = module.issue_arguments({**ASKED, "challenge": challenge})
        assert [line[n + 1] for n, word in enumerate(line) if word == "--domain"] == ASKED[
            "domains"
        ]
        assert "--no-directory-hooks" in line
        assert ("/etc/letsencrypt/lookout-rfc2136.ini" in line) == (challenge == "dns")


def test_names_of_a_certificate_are_read() -> None:
    shown = "X509v3 Subject Alternative Name: \n    DNS:www.Example.org, DNS:*.example.org\n"
    assert module.read_names(shown) == {"www.example.org", "*.example.org"}


def test_certbots_words_are_quoted_without_noise() -> None:
    said = (
        "Saving debug log to /var/log/letsencrypt/letsencrypt.log\n\n"
        "Requesting a certificate for status.example.org\n"
        "  Detail: 192.0.2.1: Fetching http://…: Connection refused\n"
        "Ask for help or search for solutions at https://community.letsencrypt.org.\n"
    )
    assert module.quoted(said) == "Detail: 192.0.2.1: Fetching http://…: Connection refused"
    assert "/var/log/letsencrypt" in module.quoted("\n")


def test_what_a_killed_issue_left_is_cleared(tmp_path: Path) -> None:
    for folder in ("live/a.example", "archive/a.example", "renewal", "live/b.example"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "renewal/a.example.conf").touch()
    assert module.reasons({**ASKED, "name": "a.example"}, tmp_path) == ["it is not whole"]
    module.clear("a.example", tmp_path)
    assert not module.is_there("a.example", tmp_path)
    assert module.is_there("b.example", tmp_path)
    assert module.reasons({**ASKED, "name": "a.example"}, tmp_path) == ["there is none"]


# --- how it gets into use ---

NAME = "status.example.org"


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two certificates with their keys, of today, and one that has ended."""
    folder = tmp_path_factory.mktemp("pairs")
    for pair in ("first", "second"):
        (folder / pair).mkdir()
        subprocess.run(
            [
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-nodes", "-days", "9", "-subj", f"/CN={pair}",
                "-keyout", f"{folder}/{pair}/privkey.pem", "-out", f"{folder}/{pair}/fullchain.pem",
            ],
            check=True,
            capture_output=True,
        )  # fmt: skip
    return folder


@pytest.fixture
def hook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pairs: Path) -> ModuleType:
    """The hook in a place of its own, where reloads are only noted down."""
    loaded = _load("roles/certbot/files/lookout_hook.py")
    for place in ("LIVE", "SERVED", "HOST", "USERS", "STATE"):
        (tmp_path / place).mkdir()
        monkeypatch.setattr(loaded, place, tmp_path / place)
    monkeypatch.setattr(loaded, "WANTED", tmp_path / "STATE/certificates")
    monkeypatch.setattr(loaded, "RELOADED", tmp_path / "STATE/reloaded")
    monkeypatch.setattr(loaded, "reloads", [], raising=False)
    monkeypatch.setattr(loaded, "reload", loaded.reloads.append)
    monkeypatch.delenv("SERVICE_RESULT", raising=False)
    for name in ("fullchain.pem", "privkey.pem"):
        (loaded.HOST / name).write_bytes((pairs / "first" / name).read_bytes())
    (loaded.USERS / NAME).mkdir()
    (loaded.USERS / NAME / "nginx.service").touch()
    (loaded.SERVED / NAME).symlink_to(loaded.HOST)
    return loaded


def issue(hook: ModuleType, pair: Path) -> None:
    (hook.LIVE / NAME).mkdir(exist_ok=True)
    for name in ("fullchain.pem", "privkey.pem"):
        (hook.LIVE / NAME / name).write_bytes((pair / name).read_bytes())


def target(hook: ModuleType) -> str:
    link: Path = hook.SERVED / NAME
    return os.readlink(link)


def test_a_certificate_is_put_into_use_once(hook: ModuleType, pairs: Path) -> None:
    issue(hook, pairs / "second")
    hook.deploy(NAME)
    assert target(hook) == str(hook.LIVE / NAME)
    hook.deploy(NAME)
    assert hook.reloads == ["nginx.service"]


def test_a_reload_that_was_lost_is_made_good(hook: ModuleType, pairs: Path) -> None:
    issue(hook, pairs / "first")
    hook.deploy(NAME)
    issue(hook, pairs / "second")
    hook.deploy(NAME)
    assert hook.reloads == ["nginx.service"] * 2


def test_without_a_lineage_the_site_ca_serves_and_nobody_is_reloaded(hook: ModuleType) -> None:
    hook.deploy(NAME)
    assert target(hook) == str(hook.HOST)
    assert hook.reloads == []


def test_what_left_is_served_by_the_site_ca_before_its_files_go(
    hook: ModuleType, pairs: Path
) -> None:
    issue(hook, pairs / "second")
    hook.deploy(NAME)
    hook.retire(NAME)
    assert target(hook) == str(hook.HOST)
    assert hook.reloads == ["nginx.service"] * 2
    hook.retire(NAME)
    assert hook.reloads == ["nginx.service"] * 2


def test_a_key_of_another_certificate_is_refused(hook: ModuleType, pairs: Path) -> None:
    issue(hook, pairs / "second")
    (hook.LIVE / NAME / "privkey.pem").write_bytes((pairs / "first/privkey.pem").read_bytes())
    with pytest.raises(hook.DeployError, match="do not fit"):
        hook.deploy(NAME)
    assert target(hook) == str(hook.HOST)


def test_one_that_has_ended_is_not_put_into_use(
    hook: ModuleType, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    issue(hook, pairs / "second")
    later = time.time() + 10 * 86400
    monkeypatch.setattr(hook.time, "time", lambda: later)
    with pytest.raises(hook.DeployError, match="has expired"):
        hook.deploy(NAME)
    assert target(hook) == str(hook.HOST)


def test_a_unit_that_fails_keeps_no_other_from_its_reload(
    hook: ModuleType, pairs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(unit: str) -> None:
        if unit == "broken.service":
            raise hook.DeployError("broken.service did not reload")
        hook.reloads.append(unit)

    monkeypatch.setattr(hook, "reload", refuse)
    (hook.USERS / NAME / "broken.service").touch()
    issue(hook, pairs / "second")
    assert hook.each([NAME], hook.deploy) == [f"{NAME}: broken.service did not reload"]
    assert hook.reloads == ["nginx.service"]


def test_lineages_that_nobody_uses_are_none_of_ours(hook: ModuleType) -> None:
    (hook.LIVE / "mail.example.org").mkdir()
    assert hook.in_use() == {NAME}


def test_metrics_keep_the_last_success(
    hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pairs: Path
) -> None:
    file = tmp_path / "lookout_certbot.prom"
    issue(hook, pairs / "second")
    hook.WANTED.mkdir()
    (hook.WANTED / NAME).touch()
    (hook.WANTED / "more.example.org").touch()

    hook.write_metrics(file, broken=False)
    assert hook.read_samples(file.read_text()) == {}, "nothing was tried"
    monkeypatch.setenv("SERVICE_RESULT", "success")
    hook.write_metrics(file, broken=False)
    good = hook.read_samples(file.read_text())
    assert good["renewal_failed"] == 0
    assert good["last_success_timestamp_seconds"] == good["last_attempt_timestamp_seconds"]
    monkeypatch.setenv("SERVICE_RESULT", "exit-code")
    hook.write_metrics(file, broken=False)
    bad = hook.read_samples(file.read_text())
    assert bad["renewal_failed"] == 1
    assert bad["last_success_timestamp_seconds"] == good["last_success_timestamp_seconds"]

    text = file.read_text()
    assert f'lookout_certbot_certificate_missing{{certificate="{NAME}"}} 0\n' in text
    assert 'lookout_certbot_certificate_missing{certificate="more.example.org"} 1\n' in text
    assert file.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("result", ["success", None])
def test_what_is_not_in_use_counts_as_failed(hook: ModuleType, result: str | None) -> None:
    said = hook.result_of_try({}, result, True, 1.0)
    assert said["renewal_failed"] == 1
    assert "last_success_timestamp_seconds" not in said


def test_a_copy_is_checked(hook: ModuleType, tmp_path: Path, pairs: Path) -> None:
    copy = tmp_path / "copy"
    (copy / "live" / NAME).mkdir(parents=True)
    for name in ("fullchain.pem", "privkey.pem"):
        (copy / "live" / NAME / name).write_bytes((pairs / "first" / name).read_bytes())
    assert hook.check_copy(copy) == 0
    (copy / "live" / NAME / "privkey.pem").unlink()
    assert hook.check_copy(copy) == 1
