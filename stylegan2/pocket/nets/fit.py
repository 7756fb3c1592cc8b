"""One training loop for all pocket networks but the GANs: seeded, saved as it goes, resumed to the bit."""

from __future__ import annotations

import math
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from stylegan2 import files
from stylegan2.bars import bar
from stylegan2.pocket import world
from stylegan2.pocket.nets.judge import read_dict
from stylegan2.runtime import pick_device
from stylegan2.setting_types import check_types

UNFINISHED = "stylegan2 pocket network, in training"
FORMAT = "stylegan2 pocket network, trained"
STATES = 20  # saved in a training: a killed one loses a twentieth at most


class FitConfig:
    """What the dataclasses of settings share; they have fields `images`: shown in all, `batch` and `seed`.

    Raises ValueError for numbers that cannot work.
    """

    may_be_zero = ("seed",)
    halves = ""  # of a batch, which must be even then

    def __post_init__(self) -> None:
        check_types(self)
        if not self.images >= self.batch >= 2:
            raise ValueError(f"expected images >= batch >= 2, got images={self.images}, batch={self.batch}")
        if self.halves and self.batch % 2:
            raise ValueError(f"expected batch even, {self.halves}, got {self.batch}")
        for name, value in vars(self).items():
            if isinstance(value, (int, float)) and (value < 0 or value == 0 and name not in self.may_be_zero):
                kind = "not negative" if name in self.may_be_zero else "positive"
                raise ValueError(f"{name} must be {kind}, got {value}")

    @property
    def steps(self) -> int:
        """Batches in all."""
        return self.images // self.batch


class Fit(ABC):
    """A training: network, optimiser and place in the schedule.

    A step depends on the seed, its number and the weights alone, so a killed training goes on to the same bits.
    Subclasses set `optimiser` and `schedule`, and write `batch`, `losses` and `finish`.

    Args:
        config: lengths and seed.
        make: makes the network; its initial weights are seeded by `config.seed`.
        device: where to compute, see `runtime.pick_device`.

    Attributes:
        step: batches learned from.
        settings: plain values on which the result depends; a saved state is resumed only by a training with the same.
        curve: plain values that subclasses note on the way; saved and resumed with the network.
    """

    clip_norm = 1.0  # of the gradient
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler

    def __init__(self, config: FitConfig, make: Callable[[], nn.Module], device: torch.device | str):
        self.config, self.device, self.step, self.started = config, pick_device(device), 0, time.perf_counter()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.model = make().to(self.device)
        self.settings: dict[str, Any] = asdict(config) | {"renderer": world.VERSION}
        self.curve: list[dict[str, float]] = []

    @abstractmethod
    def batch(self) -> tuple:
        """The arguments of `losses` at this step."""

    @abstractmethod
    def losses(self, *batch: Any) -> dict[str, Tensor]:
        """Named losses of this step, whose sum is minimised; those without a gradient are only shown."""

    @abstractmethod
    def finish(self, path: Path, meta: dict) -> tuple[Any, dict]:
        """Save the weights at `path` with `meta`; -> (what `train` returns, results for the JSON file)."""

    def write(self, path: Path, meta: dict) -> None:
        """The network's weights in float32, for `load_weights`."""
        weights = {name: value.cpu() for name, value in self.model.state_dict().items()}
        files.write(path, {"format": FORMAT, "weights": weights, "meta": meta})

    def rng(self, device: torch.device | str = "cpu") -> torch.Generator:
        """This step's random numbers."""
        return step_rng(self.config.seed, self.step, device)

    def train_step(self, *batch: Any) -> dict[str, Tensor]:
        """Learn from one batch; -> its losses, detached."""
        parts = self.losses(*batch)
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack([part for part in parts.values() if part.requires_grad]).sum().backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.optimiser.step()
        self.schedule.step()
        self.step += 1
        return {name: part.detach() for name, part in parts.items()}

    def save(self, path: Path) -> None:
        """Write the state of the training, atomically."""
        state = {name: getattr(self, name).state_dict() for name in ("model", "optimiser", "schedule")}
        rest = {name: getattr(self, name) for name in ("curve", "step", "settings")}
        files.write(path, {"format": UNFINISHED, **state, **rest})

    def resume(self, path: Path) -> None:
        """Go on where a training with the same settings was saved; other settings or formats are passed over."""
        content = read_dict(path, UNFINISHED)
        if content.get("settings") == self.settings and "curve" in content:
            for name in ("model", "optimiser", "schedule"):
                getattr(self, name).load_state_dict(content[name])
            self.curve, self.step = content["curve"], content["step"]

    def train(self, path: str | os.PathLike, scratch: str | os.PathLike) -> Any:
        """Train to the end; called again after an interruption, it goes on from the last state. -> as `finish`.

        Args:
            path: where the weights go; a JSON file with settings and errors goes beside them.
            scratch: folder for the state, which is removed at the end.
        """
        path, config = Path(path), self.config
        state = Path(scratch) / f"{path.stem}_training.pt"
        if state.is_file():
            self.resume(state)
        amount = {"total": config.steps * config.batch, "initial": self.step * config.batch, "mininterval": 5}
        with bar(what=path.stem, unit="image", **amount) as shown:
            while self.step < config.steps:
                parts = self.train_step(*self.batch())
                shown.update(config.batch)
                if self.step % 50 == 0:
                    shown.set_postfix({name: f"{float(value):.4f}" for name, value in parts.items()}, refresh=False)
                if self.step % max(1, config.steps // STATES) == 0 or self.step == config.steps:
                    self.save(state)
        meta = {**self.settings, "minutes": round((time.perf_counter() - self.started) / 60, 1)}
        result, measured = self.finish(path, meta)
        files.write_json(path.with_suffix(".json"), {"training": meta, **measured})
        state.unlink(missing_ok=True)
        return result


def load_weights(path: str | os.PathLike) -> tuple[dict[str, Tensor], dict]:
    """(weights, meta) of a file that `Fit.write` wrote. Raises as `judge.read_dict`."""
    content = read_dict(path, FORMAT)
    return content["weights"], content["meta"]


def warm_cosine(optimiser: torch.optim.Optimizer, steps: int, warm_up: float, flat: float = 0.0) -> LambdaLR:
    """The learning rate: linear up over the share `warm_up` of `steps`, then half a cosine, from the share `flat` on,
    down to 0."""

    def factor(step: int) -> float:
        t = (step + 1) / steps
        return min(t / warm_up, 0.5 + 0.5 * math.cos(math.pi * max(0.0, t - flat) / (1 - flat)))

    return LambdaLR(optimiser, factor)


def step_rng(seed: int, step: int, device: torch.device | str = "cpu") -> torch.Generator:
    """The random numbers of one step."""
    return torch.Generator(device).manual_seed((seed * 1_000_003 + step) % 2**63)


def mirrored(images: Tensor, chosen: Tensor) -> Tensor:
    """Images [N, 3, H, W], those where `chosen` (bool [N]) is true flipped left to right."""
    return torch.where(chosen[:, None, None, None], images.flip(3), images)


def sets_of_faces(own: int, cross: int, seed: int) -> Iterator[tuple[str, str, int, int]]:
    """(statistics, domain, count, seed) for all pairs, other people in each; `own` faces where both are the same."""
    for d, domain in enumerate(world.DOMAINS):
        for statistics in world.DOMAINS:
            yield statistics, domain, own if statistics == domain else cross, seed + d
