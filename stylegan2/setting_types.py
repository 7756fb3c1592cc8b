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


def check_seed(seed: Any, name: str = "seed") -> int:
    """A seed as a plain number. Raises ValueError for what no random generator takes."""
    if not isinstance(seed, numbers.Integral) or isinstance(seed, bool) or not 0 <= seed <= LAST_SEED:
        raise ValueError(f"{name} is {seed!r:.100}, expected a whole number from 0 to {LAST_SEED} (2^63 - 1)")
    return int(seed)


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
