"""The loop that trains the pocket networks: its learning rate, and what a state is resumed for."""

from __future__ import annotations

import math

import pytest
import torch

from stylegan2.pocket.nets.fit import warm_cosine


def rates(steps: int, warm_up: float, lr: float = 1e-3, flat: float = 0.0) -> list[float]:
    optimiser = torch.optim.SGD([torch.zeros(1)], lr)
    schedule, seen = warm_cosine(optimiser, steps, warm_up, flat), []
    for _ in range(steps):
        seen.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        schedule.step()
    return seen


@pytest.mark.parametrize("warm_up", (0.05, 0.02))
def test_the_learning_rate_is_the_formulas_to_the_bit(warm_up):
    times = [(step + 1) / 200 for step in range(200)]
    assert rates(200, warm_up) == [1e-3 * min(t / warm_up, 0.5 + 0.5 * math.cos(math.pi * t)) for t in times]


def test_the_learning_rate_stays_level_before_it_falls():
    seen = rates(200, 0.02, flat=0.3)
    assert seen[3:60] == [1e-3] * 57 and seen[60:] == sorted(seen[60:], reverse=True)
    assert seen[59] > seen[60] > 0.99e-3 and seen[129] == pytest.approx(0.5e-3) and seen[-1] == pytest.approx(0)


@pytest.mark.parametrize("warm_up, first, last", ((0.05, 5, 15), (0.02, 0, 9)))
def test_the_learning_rate_rises_and_falls(warm_up, first, last):
    seen = rates(200, warm_up)
    top = seen.index(max(seen))
    assert seen[0] == pytest.approx(1e-3 / 200 / warm_up) and 0.9e-3 < max(seen) <= 1e-3
    assert seen[: top + 1] == sorted(seen[: top + 1]) and seen[top:] == sorted(seen[top:], reverse=True)
    assert first <= top <= last and seen[-1] == pytest.approx(0, abs=1e-9)
