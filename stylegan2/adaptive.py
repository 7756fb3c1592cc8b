"""The controller of ADA's augmentation probability p (arXiv 2006.06676, section 3)."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

LENGTH_FROM_SCRATCH = 500_000  # images it takes p at most to climb from 0 to 1 (paper, section 3.2)
LENGTH_FINE_TUNING = 100_000  # a transfer run is short and starts from a good D, so p must move faster


@dataclass
class AdaptiveP:
    """Keeps p where the discriminator overfits just a little (section 3.2, equation 1).

    r_t = E[sign(D(augmented reals))] is 0 for a discriminator that guesses and 1 for one that knows every real image
    by heart. Every `interval` iterations p moves one step up when r_t is above `target`, else one step down;
    steps are such that `length_images` images lead from 0 to 1.

    Raises ValueError for settings out of range.
    """

    p: float = 0.0  # the starting value; read it as the current one
    target: float = 0.6
    interval: int = 4  # iterations
    length_images: int = LENGTH_FROM_SCRATCH
    max_p: float = 1.0
    fixed: bool = False  # True: p stays, r_t is still measured
    over_all: Callable[[float], float] = float  # the sum of a number over all processes of a run
    r_t: float = field(default=0.0, init=False)  # the last measured value
    _sign_sum: Tensor | float = field(default=0.0, init=False, repr=False)  # stays on the device of the logits
    _images: int = field(default=0, init=False, repr=False)
    _iterations: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.p <= self.max_p <= 1:
            raise ValueError(f"p is {self.p} and max_p {self.max_p}, expected 0 <= p <= max_p <= 1")
        if not -1 < self.target < 1:
            raise ValueError(f"target is {self.target}, expected a number between -1 and 1")
        if self.interval < 1 or self.length_images < 1:
            raise ValueError(f"interval is {self.interval}, length_images {self.length_images}, expected at least 1")

    def observe(self, real_logits: Tensor) -> None:
        """Count the signs of D's outputs for augmented real images, any shape; no wait for the device."""
        self._sign_sum = self._sign_sum + real_logits.detach().sign().sum(dtype=torch.float32)
        self._images += real_logits.numel()

    def step(self) -> float:
        """End an iteration; every `interval`-th moves p. Returns the current p.

        The images that count are those observed since the last move: batch size times interval.
        """
        self._iterations += 1
        if self._iterations % self.interval == 0 and self._images:
            self._move()
        return self.p

    def _move(self) -> None:
        signs, images = self.over_all(float(self._sign_sum)), self.over_all(self._images)
        self.r_t = signs / images
        if not self.fixed:
            direction = (self.r_t > self.target) - (self.r_t < self.target)
            self.p = min(max(self.p + direction * images / self.length_images, 0.0), self.max_p)
        self._sign_sum, self._images = 0.0, 0

    def state_dict(self) -> dict[str, float | int]:
        """Everything that changes in a run, as plain numbers: p, r_t, the unfinished interval (of all processes)."""
        return {
            "p": self.p,
            "r_t": self.r_t,
            "sign_sum": self.over_all(float(self._sign_sum)),
            "images": int(self.over_all(self._images)),
            "iterations": self._iterations,
        }

    def load_state_dict(self, state: dict[str, float | int], is_first: bool = True) -> None:
        """Continue exactly where `state_dict` was taken; the settings stay those of this object.

        Of several processes the first one alone goes on with the unfinished interval.

        Raises ValueError when entries are missing or unknown, or p is out of range.
        """
        expected = set(self.state_dict())
        if set(state) != expected:
            raise ValueError(f"ADA state has {sorted(state)}, expected {sorted(expected)}")
        if not 0 <= state["p"] <= 1:
            raise ValueError(f"ADA state has p = {state['p']}, expected a number from 0 to 1")
        self.p, self.r_t = float(state["p"]), float(state["r_t"])
        self._sign_sum, self._images = (float(state["sign_sum"]), int(state["images"])) if is_first else (0.0, 0)
        self._iterations = int(state["iterations"])
