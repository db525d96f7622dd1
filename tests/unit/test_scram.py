"""Verifiers are those that PostgreSQL makes, and are made only where another one is stored."""

from __future__ import annotations

import base64

from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.filter.scram import FilterModule, matches, scram_changes, verifier

PASSWORDS = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=40)


def test_the_example_of_the_standard() -> None:
    """RFC 7677, section 3: user `user`, password `pencil`."""
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    made = verifier("pencil", salt, 4096)
    head, keys = made.rsplit("$", 1)
    assert head == "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ=="
    stored, server = keys.split(":")
    assert stored == "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
    assert server == "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="


@settings(max_examples=20)
@given(PASSWORDS, PASSWORDS, st.binary(min_size=16, max_size=16))
def test_it_fits_its_password_and_no_other(one: str, other: str, salt: bytes) -> None:
    assert matches(one, verifier(one, salt))
    assert matches(other, verifier(one, salt)) == (one == other)


def test_only_what_differs_is_made_anew() -> None:
    stored = {"same": verifier("as before", b"0" * 16), "other": verifier("former", b"0" * 16)}
    wanted = {"same": "as before", "other": "latter", "new": "fresh", "old": "plain"}
    changes = scram_changes(wanted, {**stored, "old": "md5abc", "new": ""})
    assert set(changes) == {"other", "new", "old"}
    assert all(matches(wanted[role], made) for role, made in changes.items())
    assert scram_changes(wanted, {**stored, **changes}) == {}
    assert set(FilterModule().filters()) == {"scram_changes"}
