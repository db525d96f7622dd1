"""Tokens: what is valid when, whatever is asked for in whatever order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookout.kit import config
from lookout.tokens import slots
from lookout.tokens.slots import DAY_SECONDS, HOUR_SECONDS, Slot, TokenError, TokenSet

NOW = 1_700_000_000.0


def made(client: str = "grafana", days: float = 90) -> tuple[TokenSet, Slot, str]:
    return slots.create(TokenSet(()), client, ("read",), NOW + days * DAY_SECONDS, NOW)


def test_a_token_is_found_by_itself_alone() -> None:
    held, slot, token = made()
    assert slots.find(held, token) == slot
    for wrong in ("", token[:-1], token + "x", token.upper(), slot.sha256, "x" * 10_000):
        assert slots.find(held, wrong) is None


def test_nothing_that_is_kept_gives_a_token_away() -> None:
    held, slot, token = made()
    secret = token.removeprefix(f"lookout_{slot.id}_")
    assert len(secret) == 43
    assert secret not in repr(held)


def test_the_former_one_ends_when_the_new_one_is_used() -> None:
    held, old, _ = made()
    held, new, _ = slots.rotate(held, "grafana", 24 * HOUR_SECONDS, NOW, {})
    former = held.tokens[0]
    assert (former.id, former.successor) == (old.id, new.id)
    assert former.state(NOW + 1, {}) == "replaced"
    assert former.state(NOW + 30, {new.id: NOW + 1}) == "replaced", "requests are on their way"
    assert former.state(NOW + 31, {new.id: NOW + 1}) == "ended"
    assert former.state(NOW + 31, {old.id: NOW}) == "replaced"
    assert former.state(NOW + 24 * HOUR_SECONDS, {}) == "ended"
    assert (new.scopes, new.expires - NOW) == (old.scopes, old.expires - old.created)


def test_a_second_rotation_leaves_two() -> None:
    held, old, _ = made()
    held, second, _ = slots.rotate(held, "grafana", 24 * HOUR_SECONDS, NOW, {})
    used = {old.id: NOW, second.id: NOW + 1}
    held, third, _ = slots.rotate(held, "grafana", 24 * HOUR_SECONDS, NOW + 2, used)
    assert [one.id for one in held.tokens] == [second.id, third.id]


def test_a_second_rotation_before_the_first_is_used_leaves_the_one_in_use() -> None:
    """Of which the token was lost: whoever runs the client cannot have it yet."""
    held, old, _ = made()
    for hours in range(3):
        now = NOW + hours * HOUR_SECONDS
        held, new, _ = slots.rotate(held, "grafana", 24 * HOUR_SECONDS, now, {old.id: NOW})
        assert [one.id for one in held.tokens] == [old.id, new.id]
        assert held.tokens[0].state(now + 24 * HOUR_SECONDS - 1, {old.id: NOW}) == "replaced"
        assert held.tokens[0].state(now + 24 * HOUR_SECONDS, {old.id: NOW}) == "ended"


def test_an_expired_token_is_not_rotated() -> None:
    held, slot, _ = made(days=1)
    assert slot.state(NOW + DAY_SECONDS, {}) == "expired"
    with pytest.raises(TokenError, match="no valid token: create one"):
        slots.rotate(held, "grafana", 60, NOW + DAY_SECONDS, {})
    slots.create(held, "grafana", ("read",), NOW + 9 * DAY_SECONDS, NOW + DAY_SECONDS)


@pytest.mark.parametrize(
    ("client", "scopes", "expires", "said"),
    [
        ("grafana", ("read",), NOW + 9, "rotate it, or revoke it"),
        ("A b", ("read",), NOW + 9, "is no name of a client"),
        ("other", (), NOW + 9, "without a scope"),
        ("other", ("read",), NOW, "would have expired"),
    ],
)
def test_what_makes_no_sense_is_not_made(
    client: str, scopes: tuple[slots.Scope, ...], expires: float, said: str
) -> None:
    held, _, _ = made()
    with pytest.raises(TokenError, match=said):
        slots.create(held, client, scopes, expires, NOW)


def test_tokens_are_revoked_by_id_and_by_client() -> None:
    held, one, _ = made()
    held, other, _ = slots.create(held, "robot", ("read", "train"), NOW + 9, NOW)
    assert slots.revoke(held, one.id)[0].tokens == (other,)
    assert slots.revoke(held, "robot") == (TokenSet((one,)), (other,))
    with pytest.raises(TokenError, match="there are tokens of grafana, robot"):
        slots.revoke(held, "nobody")


def test_what_ended_long_ago_is_forgotten() -> None:
    held, _, _ = made(days=1)
    assert slots.tidied(held, NOW + 30 * DAY_SECONDS, {}).tokens == held.tokens
    assert slots.tidied(held, NOW + 32 * DAY_SECONDS, {}).tokens == ()


def test_a_file_with_the_same_token_twice_is_refused() -> None:
    _, slot, _ = made()
    one = {
        "id": slot.id, "client": "a", "sha256": slot.sha256, "scopes": ["read"],
        "created": NOW, "expires": NOW + 1,
    }  # fmt: skip
    with pytest.raises(config.ConfigError, match="another token has the same"):
        config.build(TokenSet, {"tokens": [one, one]}, "tokens.json")


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["rotate", "use", "wait", "revoke"]), st.floats(0, 48 * HOUR_SECONDS)
        ),
        max_size=20,
    )
)
def test_two_at_most_are_valid_and_the_newest_always_is(steps: list[tuple[str, float]]) -> None:
    held, newest, _ = made(days=10_000)
    now, used = NOW, dict[str, float]()
    for step, seconds in steps:
        now += seconds
        if step == "rotate":
            held, newest, _ = slots.rotate(held, "grafana", 24 * HOUR_SECONDS, now, used)
        elif step == "use":
            used.setdefault(newest.id, now)
        elif step == "revoke":
            held, _ = slots.revoke(held, "grafana")
            held, newest, _ = slots.create(held, "grafana", ("read",), now + 9e8, now)
        valid = [one for one in held.tokens if one.state(now, used) in ("valid", "replaced")]
        assert newest in valid
        assert len(valid) <= (1 if now - used.get(newest.id, now) >= slots.HANDOVER_SECONDS else 2)
