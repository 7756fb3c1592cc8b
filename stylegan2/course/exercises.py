"""Exercises that check themselves: `check("00-truncation", my_function)` says exact, close, or how far off.

Each exercise holds a reference answer and the inputs to compare on. An answer that is still `...` counts as not given:
the notebooks run top to bottom with nothing filled in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from stylegan2 import losses
from stylegan2.collect.boxes import overlap
from stylegan2.editing.directions import upright
from stylegan2.editing.style_mixing import mix
from stylegan2.pocket.studies.scoreboard_view import pareto

CLOSE = 1e-4  # relative to the largest expected number: right up to rounding


@dataclass(frozen=True)
class Exercise:
    """What is asked for: a function that is compared with `reference` on `inputs`, or (no inputs) a value."""

    reference: Any
    inputs: Sequence[tuple] = ()
    hint: str = ""


def _normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _sums(*seeds: int) -> list[dict[int, Tensor]]:
    """Running RGB sums {r: [2, 3, r, r]}, one dict per seed."""
    return [{r: _normal(2, 3, r, r, seed=seed + r) for r in (4, 8, 16, 32)} for seed in seeds]


def _similarities(images: Tensor, text: Tensor, encode: Callable, mean: Tensor, sd: Tensor) -> Tensor:
    seen = encode(((images * 0.5 + 0.5).clamp(0, 1) - mean) / sd)
    return functional.normalize(seen, dim=1) @ text.T


def _encode(x: Tensor) -> Tensor:
    """In place of CLIP's image tower: [N, 3, 4, 4] -> [N, 6]."""
    return x.flatten(1) @ _normal(48, 6, seed=9)


def _crossing(holds: Callable[[float], bool], low: float, high: float, rounds: int) -> float:
    for _ in range(rounds):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


_TEXTS = functional.normalize(_normal(5, 6))
_COLOURS = torch.tensor([0.5, 0.4, 0.3])[:, None, None], torch.tensor([0.2, 0.3, 0.4])[:, None, None]

EXERCISES: dict[str, Exercise] = {
    "00-truncation": Exercise(
        lambda w, w_mean, psi: w_mean + psi * (w - w_mean),
        [(_normal(3, 8), _normal(8, seed=1), psi) for psi in (0.7, 0.0, -0.5, 1.4)],
        "start at the mean and go psi times the way to w",
    ),
    "00-same": Exercise(
        {"a", "c"}, hint="z is brought to a fixed length before the mapping; noise is added at every layer"
    ),
    "00-mean": Exercise(0, hint="the mean of many codes is the code towards which psi pulls"),
    "01-overlap": Exercise(
        lambda a, b: float(overlap(a, b)),
        [*combinations([(0, 0, 10, 10), (5, 0, 15, 10), (10, 0, 14, 4), (1, 2, 5, 9)], 2), ((1, 2, 5, 9),) * 2],
        "intersection over union: where both are, over where at least one is; boxes apart share nothing",
    ),
    "01-tiles": Exercise(
        lambda length, tile, step: sorted({*range(0, length - tile, step), length - tile}),
        [(1000, 400, 200), (410, 400, 200), (1024, 256, 128)],
        "one every step, and a last one that ends where the page ends",
    ),
    "01-sure": Exercise("recall", hint="a higher threshold removes boxes, and adds none"),
    "02-kept": Exercise({"a", "c"}, hint="what can be read whole as a picture, and lies inside the archive"),
    "02-crop": Exercise(
        lambda width, height: tuple(
            (side + sign * min(width, height)) // 2 for sign in (-1, 1) for side in (width, height)
        ),
        [(640, 480), (480, 640), (64, 64)],
        "the shorter side fits whole; half of what is too much goes off at each end",
    ),
    "02-epoch": Exercise(125, hint="how many batches show every picture once?"),
    "03-loss": Exercise(
        losses.discriminator_loss,
        [(_normal(4, 1), _normal(4, 1, seed=1)), (torch.zeros(2, 1), torch.zeros(2, 1))],
        "the mean of softplus(-real), plus the mean of softplus(fake)",
    ),
    "03-images": Exercise(50_000, hint="count the moves until p is 0.5; between two moves lie 4 batches of 16 images"),
    "03-ada": Exercise(
        lambda p, r_t, batch: min(max(p + batch * 4 / 100_000 * (1 if r_t > 0.6 else -1), 0.0), 1.0),
        [(0.2, 0.7, 16), (0.2, 0.5, 16), (0.0, 0.1, 16), (1.0, 0.9, 8)],
        "one move is batch * 4 / 100_000, up when r_t is above 0.6, down when it is below; p stays within 0 and 1",
    ),
    "03-freeze": Exercise(
        {"from_rgb", "blocks.128", "blocks.64", "blocks.32", "blocks.16"},
        hint="from the image down to and including the block that takes in 16x16 features",
    ),
    "04-codes": Exercise(
        lambda max_resolution: 2 * math.log2(max_resolution) - 2,
        [(4,), (8,), (16,), (256,)],
        "the 4x4 block listens to codes 0 and 1, and every doubling brings two more; log2 counts doublings",
    ),
    "04-style": Exercise(
        lambda source_ws, own_ws, k: torch.cat([source_ws[:, :k], own_ws[:, k:]], dim=1),
        [(_normal(2, 12, 8), _normal(2, 12, 8, seed=1), k) for k in (6, 1, 12)],
        "codes lie along dimension 1: the first k of one tensor, then the others of the other one",
    ),
    "04-same": Exercise({"a", "d"}, hint="ask two things of each: which parameters learn, and which codes can move"),
    "05-structure": Exercise(
        lambda own, other, resolutions: sum((own[r] - other[r]).square().mean() for r in resolutions),
        [(*_sums(0, 100), resolutions) for resolutions in ((4, 8, 16), (8,), (4, 32))],
        "one mean squared difference per resolution, and their sum",
    ),
    "05-zero": Exercise(
        {"a", "d"}, hint="which layers make the sum at 16x16, and which codes drive them? Are all the source's?"
    ),
    "05-pareto": Exercise(
        lambda points: sorted(pareto(points)),
        [
            ([(0.13, 22.0), (0.11, 19.0), (0.07, 25.0), (0.04, 40.0), (0.12, 18.0)],),
            ([(1.0, 1.0), (2.0, 2.0), (1.0, 3.0)],),
            ([(3.0, 1.0)],),
        ],
        "a point stays unless another one is at most as large in both numbers, and smaller in one of them",
    ),
    "06-share": Exercise(
        lambda r, swap_resolution, width: 1 / (1 + math.exp(-(math.log2(r / swap_resolution) + 0.5) / width)),
        [(16, 16, 1.0), (8, 16, 1.0), (64, 16, 0.5), (4, 64, 2.0)],
        "x = log2(r / swap_resolution) + 1/2 goes into 1 / (1 + exp(-x / width))",
    ),
    "06-still": Exercise({4, 8, 16}, hint="a swap changes blocks below the cut; the frozen ones, up to 8x8, are equal"),
    "06-codes": Exercise(
        {5},
        hint="a tRGB shares its code with the up-convolution of the next block, and the cut lies between the two",
    ),
    "07-factorise": Exercise(
        lambda a, count: upright(torch.linalg.svd(functional.normalize(a, dim=1)).Vh[:count]),
        [(_normal(40, 8), 3), (_normal(12, 5, seed=1), 5), (_normal(30, 6, seed=2) * _normal(30, 1), 2)],
        "every row to length 1; torch.linalg.svd(rows).Vh has the directions as rows, the largest value first; then "
        "multiply each by the sign of its entry of largest size",
    ),
    "07-edit": Exercise(
        lambda w, w_mean, psi, n, degree: w_mean + psi * (w - w_mean) + degree * n,
        [
            (_normal(3, 8), _normal(8, seed=1), psi, _normal(8, seed=2), d)
            for psi, d in ((0.5, 3.0), (0, -2), (-0.7, 4))
        ],
        "psi pulls w towards the mean first; what the edit adds is never scaled",
    ),
    "07-cleanest": Exercise(
        lambda changes, column: int((changes.abs()[:, column] / changes.abs().sum(dim=1)).argmax()),
        [(_normal(6, 5), 2), (torch.tensor([[2.0, 2.0], [0.1, 1.0], [-1.0, 0.05]]), 0), (_normal(4, 9, seed=3), 8)],
        "sizes without their signs; a row's share of the attribute is its size over the sum of the row's sizes",
    ),
    "08-similarity": Exercise(
        _similarities,
        [(gain * _normal(3, 3, 4, 4), _TEXTS, _encode, *_COLOURS) for gain in (0.4, 1.5)],
        "from -1..1 to 0..1, clamp, minus the mean, over the sd; encode; to length 1; a matrix product with text.T",
    ),
    "08-crossing": Exercise(
        _crossing,
        [(lambda s: s > 0.37, 0.0, 2.0, 10), (lambda s: s >= 1.0, 0.0, 4.0, 6), (lambda s: s > -0.2, -1.0, 0.5, 3)],
        "look in the middle; where it holds there, the middle is the new upper end, else the new lower one; "
        "return the upper end",
    ),
    "08-combine": Exercise(
        lambda start, ends, strengths: start + sum(s * (e - start) for s, e in zip(strengths, ends, strict=True)),
        [
            (_normal(2, 10, 8), [_normal(2, 10, 8, seed=1), _normal(2, 10, 8, seed=2)], [1.0, 1.5]),
            (_normal(1, 4, 8), [_normal(1, 4, 8, seed=3)], [-0.5]),
        ],
        "each edit adds its strength times (end - start); the start itself counts once",
    ),
    "09-mix": Exercise(
        mix,
        [(_normal(2, 10, 8), _normal(2, 10, 8, seed=1), layers) for layers in ([0, 1], [3], [2, 7, 9], [])],
        "copy the row's codes, then put the column's in at [..., layers, :]",
    ),
    "09-layer": Exercise(
        5, hint="look for the row that is dark under 'eyes' and 'mouth' and pale under 'pose' and 'hair'"
    ),
    "09-same": Exercise(
        {"a", "b", "d"},
        hint="write down for each layer whose code it ends up with; in a chain the last exchange wins",
    ),
    "10-off": Exercise(20, hint="the mean squared error is 0.2 squared; the peak is 2"),
    "10-psnr": Exercise(
        lambda a, b: 10 * math.log10(4 / (a - b).square().mean().item()),
        [
            (_normal(3, 8, 8).clamp(-1, 1), _normal(3, 8, 8, seed=1).clamp(-1, 1)),
            (torch.zeros(3, 4, 4), torch.ones(3, 4, 4)),
        ],
        "the peak is the whole range: from -1 to 1 it is 2, squared 4; over the mean squared difference, in dB",
    ),
    "10-settled": Exercise(
        lambda value, sure, mean: mean + min(1.0, 2 * sure) * (value - mean),
        [(0.8, 0.9, 0.2), (0.8, 0.25, 0.2), (-0.6, 0.4, 0.1), (1.0, 0.0, 0.3)],
        "how far it goes from the mean to the value: twice the sureness, but never farther than the value",
    ),
    "11-pairs": Exercise(
        lambda drawing, random, layers: mix(drawing.expand_as(random), random, layers),
        [(_normal(1, 10, 8), _normal(4, 10, 8, seed=1), layers) for layers in ([3, 4, 5], [9], list(range(10)))],
        "as many copies of the drawing's codes as there are random ones; only those of the layers are replaced",
    ),
    "11-distance": Exercise(
        lambda ours, theirs: sum((a - b).abs().mean() for a, b in zip(ours, theirs, strict=True)),
        [([_normal(2, 4, r, r, seed=r) for r in (8, 4)], [_normal(2, 4, r, r, seed=r + 1) for r in (8, 4)])],
        "the mean absolute difference of each pair of maps; then their sum",
    ),
    "11-all": Exercise("b", hint="no code of the drawing is left in the pairs: what could tell one face from another?"),
    "12-direction": Exercise(
        lambda text, source: functional.normalize(text.mean(0) - source.mean(0), dim=0),
        [(_TEXTS, functional.normalize(_normal(5, 6, seed=1))), (_TEXTS[:1], _TEXTS[1:2])],
        "the mean over the sentences of each, their difference, and that brought to length 1",
    ),
    "12-loss": Exercise(
        lambda before, after, way: (1 - functional.cosine_similarity(after - before, way, dim=1)).mean(),
        [(_normal(4, 6), _normal(4, 6, seed=1), _TEXTS[0]), (_TEXTS, -_TEXTS, _TEXTS[2])],
        "each picture's way is after - before; 1 minus its cosine with the way of the texts; the mean over pictures",
    ),
    "12-shift": Exercise(
        "b", hint="what is after - before of a face, if every face ends at the same point, and if all move alike?"
    ),
}


def check(name: str, answer: Any) -> str:
    """Compare an answer (a function, or the value itself) with the reference; prints and returns the verdict.

    `...`, or a function that returns it, counts as not answered. Raises ValueError for an unknown name.
    """
    if name not in EXERCISES:
        raise ValueError(f"no exercise {name!r}; there are: {', '.join(EXERCISES)}")
    verdict = _verdict(EXERCISES[name], answer)
    print(f"{name}: {verdict}")
    return verdict


def _verdict(exercise: Exercise, answer: Any) -> str:
    if not exercise.inputs or answer is None or answer is ...:
        return _compare(exercise, answer, exercise.reference)
    if not callable(answer):
        return "this asks for a function"
    verdicts = []
    for inputs in exercise.inputs:
        handed = [x.clone() if isinstance(x, Tensor) else x for x in inputs]
        given = answer(*handed)
        if any(isinstance(x, Tensor) and not torch.equal(x, y) for x, y in zip(inputs, handed, strict=True)):
            return "not yet: it changes what it is given; work on a copy"
        verdict = _compare(exercise, given, exercise.reference(*inputs))
        if not verdict.startswith(("exact", "close")):
            return verdict
        verdicts.append(verdict)
    return max(verdicts, key=len)  # "close ..." is longer than "exact"


def _compare(exercise: Exercise, given: Any, expected: Any) -> str:
    if given is None or given is ...:
        return "not answered yet"
    if not isinstance(expected, (Tensor, float)):
        if given == expected and type(given) is type(expected):
            return "exact"
        return f"not yet: got {given!r}. Hint: {exercise.hint}"
    given, expected = torch.as_tensor(given), torch.as_tensor(expected)
    if given.shape != expected.shape:
        return f"not yet: shape {list(given.shape)}, expected {list(expected.shape)}. Hint: {exercise.hint}"
    difference = (given.double() - expected.double()).abs().max().item()
    if difference == 0:
        return "exact"
    if difference <= CLOSE * max(expected.abs().max().item(), 1e-12):
        return f"close: right up to rounding (largest difference {difference:.1e})"
    return f"not yet: largest difference {difference:.3g}. Hint: {exercise.hint}"
