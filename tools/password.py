"""Ask for a password twice, print the line for `nginx_users`: a bcrypt hash, not the password."""

from __future__ import annotations

import getpass
import re
import sys

import bcrypt

# What nginx spends on each request of somebody who is signed in: about 20 ms at cost 8, four times
# as much at 10. The length of the password makes up for it.
COST = 8
SHORTEST = 12
# bcrypt reads no more.
LONGEST_BYTES = 72
USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


def problem_of(user: str, password: str, again: str) -> str | None:
    """What is wrong with what was typed, or None."""
    if not USER.fullmatch(user):
        return "a user name has letters, digits, dots, hyphens, @ and _"
    if password != again:
        return "the two passwords differ"
    if len(password) < SHORTEST:
        return f"use {SHORTEST} characters or more; three or four random words are easy to remember"
    if len(password.encode()) > LONGEST_BYTES:
        return f"bcrypt reads {LONGEST_BYTES} bytes, this password has more"
    return None


def line(user: str, password: str) -> str:
    """The line of `nginx_users`. Apache's `$2y$` is the same as bcrypt's `$2b$`."""
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(COST)).decode()
    return f'  {user}: "$2y${hashed.removeprefix("$2b$")}"'


def main() -> None:
    """Talk to the person at the terminal."""
    try:
        # On the error output, so that the answer alone can be sent to a file.
        print("User name: ", end="", file=sys.stderr, flush=True)
        user = sys.stdin.readline().strip()
        password = getpass.getpass("Password: ")
        again = getpass.getpass("Once more: ")
    except (EOFError, KeyboardInterrupt):
        sys.exit("\nnothing was made")
    if problem := problem_of(user, password, again):
        sys.exit(f"password: {problem}")
    print(
        "Put this below nginx_users:, best in a file that ansible-vault encrypts.", file=sys.stderr
    )
    print(line(user, password))


if __name__ == "__main__":
    main()
