"""The line for `nginx_users` holds a hash that nginx takes, and no password that is too weak."""

from __future__ import annotations

import bcrypt
import pytest

from plugins.filter.routes import user_problems
from tools import password

GOOD = "correct horse battery"


def test_the_line_is_one_that_the_role_takes() -> None:
    user, _, quoted = password.line("alice", GOOD).strip().partition(": ")
    hashed = quoted.strip('"')
    assert user_problems({user: hashed}, "make password") == []
    assert hashed.startswith("$2y$08$")
    assert bcrypt.checkpw(GOOD.encode(), hashed.replace("$2y$", "$2b$", 1).encode())


@pytest.mark.parametrize(
    ("user", "first", "again", "said"),
    [
        ("alice", GOOD, GOOD + "x", "differ"),
        ("alice", "short", "short", "12 characters"),
        ("alice", "x" * 73, "x" * 73, "72 bytes"),
        ("a:b", GOOD, GOOD, "user name"),
        ("", GOOD, GOOD, "user name"),
    ],
)
def test_what_cannot_be_used_is_said(user: str, first: str, again: str, said: str) -> None:
    assert said in str(password.problem_of(user, first, again))


def test_what_can_be_used() -> None:
    assert password.problem_of("alice@example.com", GOOD, GOOD) is None
