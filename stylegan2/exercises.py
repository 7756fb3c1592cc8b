"""Exercises that check themselves: `check("00-truncation", my_function)` says exact, close, or how far off.

Each exercise holds a reference answer and the inputs to compare on. An answer that is still `...` is told so
kindly: the notebooks run top to bottom with nothing filled in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

CLOSE = 1e-4  # relative to the largest expected number: right up to rounding


@dataclass(frozen=True)
class Exercise:
    """What is asked for: a function that is compared with `reference` on `inputs`, or (no inputs) a value."""

    reference: Any
    inputs: Sequence[tuple] = field(default_factory=tuple)
    hint: str = ""


def _normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _truncate(w: Tensor, w_mean: Tensor, psi: float) -> Tensor:
    return w_mean + psi * (w - w_mean)


def _ada_step(p: float, r_t: float, batch: int) -> float:
    step = batch * 4 / 100_000
    return min(max(p + (step if r_t > 0.6 else -step), 0.0), 1.0)


EXERCISES: dict[str, Exercise] = {
    "00-truncation": Exercise(
        _truncate,
        [(_normal(3, 8), _normal(8, seed=1), psi) for psi in (0.7, 0.0, -0.5, 1.4)],
        "start at the mean and go psi times the way to w",
    ),
    "00-codes": Exercise(10, hint="two for each resolution, from 4x4 to 64x64"),
    "00-walk": Exercise(
        lambda a, b, steps: torch.stack([a + (b - a) * i / (steps - 1) for i in range(steps)]),
        [(_normal(8), _normal(8, seed=1), steps) for steps in (2, 5)],
        "torch.lerp(a, b, t) for t from 0 to 1, both ends included",
    ),
    "02-key": Exercise(
        lambda size, index: f"{size}-{index:05d}".encode(),
        [(64, 0), (64, 37), (256, 123456)],
        "an f-string with :05d pads with zeros; LMDB wants bytes, so .encode() it",
    ),
    "02-crop": Exercise(
        lambda width, height: (
            (width - min(width, height)) // 2,
            (height - min(width, height)) // 2,
            (width + min(width, height)) // 2,
            (height + min(width, height)) // 2,
        ),
        [(640, 480), (480, 640), (64, 64)],
        "the shorter side fits whole; half of what is too much goes off at each end",
    ),
    "03-ema": Exercise(
        lambda batch, half_life: 0.5 ** (batch / half_life),
        [(16, 10_000.0), (4, 1_000.0), (64, 64.0)],
        "after half_life / batch iterations a weight must have shrunk to one half",
    ),
    "03-ada": Exercise(
        _ada_step,
        [(0.2, 0.7, 16), (0.2, 0.5, 16), (0.0, 0.1, 16), (1.0, 0.9, 8)],
        "one move is batch * 4 / 100_000, up when r_t is above 0.6, down when it is below; p stays within 0 and 1",
    ),
    "03-freeze": Exercise(
        {"from_rgb", "blocks.64", "blocks.32", "blocks.16"},
        hint="from the image down to and including the block that takes in 16x16 features",
    ),
}


def check(name: str, answer: Any) -> str:
    """Compare an answer with the reference; prints and returns the verdict.

    Args:
        name: of the exercise.
        answer: a function, or the value itself; `...` (or a function that returns it) counts as not answered.

    Raises:
        ValueError: for an unknown name.
    """
    if name not in EXERCISES:
        raise ValueError(f"no exercise {name!r}; there are: {', '.join(EXERCISES)}")
    verdict = _verdict(EXERCISES[name], answer)
    print(f"{name}: {verdict}")
    return verdict


def _verdict(exercise: Exercise, answer: Any) -> str:
    if not exercise.inputs:
        return _unanswered(answer) or _compare(exercise, answer, exercise.reference)
    if not callable(answer):
        return "not answered yet" if answer in (None, ...) else "this asks for a function"
    verdicts = []
    for inputs in exercise.inputs:
        given = answer(*(x.clone() if isinstance(x, Tensor) else x for x in inputs))
        verdict = _unanswered(given) or _compare(exercise, given, exercise.reference(*inputs))
        if not verdict.startswith(("exact", "close")):
            return verdict
        verdicts.append(verdict)
    return max(verdicts, key=len)  # "close ..." is longer than "exact"


def _unanswered(value: Any) -> str:
    return "not answered yet" if value is None or value is ... else ""


def _compare(exercise: Exercise, given: Any, expected: Any) -> str:
    if isinstance(expected, (Tensor, float)):
        return _compare_numbers(exercise, given, torch.as_tensor(expected))
    if given == expected and type(given) is type(expected):
        return "exact"
    return f"not yet: got {given!r}. Hint: {exercise.hint}"


def _compare_numbers(exercise: Exercise, given: Any, expected: Tensor) -> str:
    given = torch.as_tensor(given)
    if given.shape != expected.shape:
        return f"not yet: shape {list(given.shape)}, expected {list(expected.shape)}. Hint: {exercise.hint}"
    difference = (given.double() - expected.double()).abs().max().item()
    if difference == 0:
        return "exact"
    if difference <= CLOSE * max(expected.abs().max().item(), 1e-12):
        return f"close: right up to rounding (largest difference {difference:.1e})"
    return f"not yet: largest difference {difference:.3g}. Hint: {exercise.hint}"
