"""Secrets of any nesting are masked, the longest first, and nothing else is."""

from __future__ import annotations

from plugins.filter.redact import redact


def test_nested_secrets_are_masked_and_the_rest_stays() -> None:
    secrets = {"a": ["hunter22", {"url": "https://hooks.example.com/hunter22"}], "n": 5}
    text = "bad URL https://hooks.example.com/hunter22 with hunter22 in line 5"
    assert redact(text, secrets) == "bad URL ******** with ******** in line 5"


def test_short_strings_and_nothing_at_all_are_left() -> None:
    assert redact("a: unknown field", ["a", ""]) == "a: unknown field"
    assert redact("text", None) == "text"
