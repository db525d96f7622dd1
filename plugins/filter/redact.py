"""Take secrets out of a text that people have to read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

# Shorter strings stand in a text for many reasons, and are no secrets worth the name.
SHORTEST = 6


def strings(values: Any) -> Iterator[str]:
    """Every string in a nested structure of mappings and lists."""
    if isinstance(values, str):
        yield values
    elif isinstance(values, Mapping):
        for value in values.values():
            yield from strings(value)
    elif isinstance(values, list | tuple):
        for value in values:
            yield from strings(value)


def redact(text: str, secrets: Any) -> str:
    """The text with every string of `secrets` (any nesting, six characters or more) masked."""
    for secret in sorted(set(strings(secrets)), key=len, reverse=True):
        if len(secret) >= SHORTEST:
            text = text.replace(secret, "********")
    return text


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"redact": redact}
