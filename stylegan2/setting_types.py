"""Dataclasses of settings check their values' types by their own annotations, before anything is done with them."""

from __future__ import annotations

import dataclasses
import math
import numbers
from typing import Any

# annotation of a field -> (does a value fit?, in words)
KINDS = {
    "int": (lambda value: isinstance(value, numbers.Integral) and not isinstance(value, bool), "a whole number"),
    "float": (lambda value: isinstance(value, numbers.Real) and math.isfinite(value), "a finite number"),
    "bool": (lambda value: isinstance(value, bool), "True or False"),
    "str": (lambda value: isinstance(value, str), "a text"),
}

LAST_SEED = 2**63 - 1  # what PyTorch's generators take
MOST = 1_000_000  # numbers in one range


def check_seed(seed: Any, name: str = "seed") -> int:
    """A seed as a plain number. Raises ValueError for what no random generator takes."""
    if not isinstance(seed, numbers.Integral) or isinstance(seed, bool) or not 0 <= seed <= LAST_SEED:
        raise ValueError(f"{name} is {seed!r:.100}, expected a whole number from 0 to {LAST_SEED} (2^63 - 1)")
    return int(seed)


def parse_numbers(text: str, name: str, expected: str) -> list[int]:
    """Numbers of a text such as "0-3,8" -> [0, 1, 2, 3, 8]. Raises ValueError for anything else: what is `expected`."""
    found: list[int] = []
    for part in text.split(","):
        ends = [end.strip() for end in part.split("-")]
        if len(ends) > 2 or not all(end.isdecimal() for end in ends):
            raise ValueError(f"{name} {text!r}: expected {expected}")
        first, last = (check_seed(int(end), name) for end in (ends[0], ends[-1]))
        if first > last:
            raise ValueError(f"{name} {text!r}: expected the smaller number first, as in {last}-{first}")
        if last - first >= MOST:
            count = last - first + 1
            raise ValueError(f"{name} {part.strip()!r}: {count:,} numbers, expected at most {MOST:,} at once")
        found += range(first, last + 1)
    return found


def check_types(settings: Any) -> None:
    """Raises ValueError for the first field annotated as int, float, bool or str (or None) that holds something else.

    For modules with future annotations.
    """
    for field in dataclasses.fields(settings):
        kind, _, optional = str(field.type).partition(" | ")
        value = getattr(settings, field.name)
        if kind in KINDS and optional in ("", "None") and not (optional and value is None):
            fits, expected = KINDS[kind]
            if not fits(value):
                raise ValueError(f"{field.name} is {value!r:.100}, expected {expected}{' or None' * bool(optional)}")
        if field.name == "seed" and value is not None:
            check_seed(value)
