"""A few broken inputs of every kind; `python -m benchmarks.malformed` tries thousands."""

from __future__ import annotations

import pytest

from benchmarks.malformed import KINDS, broken, tally


@pytest.mark.parametrize("kind", KINDS)
def test_broken_input_ends_in_a_clear_error_or_does_no_harm(kind):
    found = tally(kind, 15, seed=7)
    assert found.failures == [] and found.results + found.errors == 15


def test_inputs_are_really_broken():
    import random

    rng, data = random.Random(0), bytes(range(256)) * 4
    assert sum(broken(data, rng) != data for _ in range(100)) > 95
    assert broken(b"", rng)
