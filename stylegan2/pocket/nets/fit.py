"""One training loop for all pocket networks but the GANs: seeded, saved as it goes, resumed to the bit."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from itertools import repeat
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from stylegan2 import files
from stylegan2.bars import bar
from stylegan2.pocket import world
from stylegan2.pocket.nets.judge import read_dict
from stylegan2.setting_types import check_types

FORMAT = "stylegan2 pocket network, in training"


class FitConfig:
    """What the dataclasses of settings share; they have fields `batch`, `seed` and `save_every`.

    Raises ValueError for numbers that cannot work.
    """

    unit = "images"  # name of the field that says how many are shown in all
    smallest_batch = 2
    may_be_zero = ("seed",)
    no_effect = ("save_every",)  # fields that may change when a training goes on

    def __post_init__(self) -> None:
        check_types(self)
        unit, least, amount = self.unit, self.smallest_batch, getattr(self, self.unit)
        if not amount >= self.batch >= least:
            raise ValueError(f"expected {unit} >= batch >= {least}, got {unit}={amount}, batch={self.batch}")
        for name, value in vars(self).items():
            if isinstance(value, (int, float)) and (value < 0 or value == 0 and name not in self.may_be_zero):
                kind = "not negative" if name in self.may_be_zero else "positive"
                raise ValueError(f"{name} must be {kind}, got {value}")

    @property
    def steps(self) -> int:
        """Batches in all."""
        return getattr(self, self.unit) // self.batch

    @property
    def settings(self) -> dict[str, Any]:
        """What the result depends on, as plain values."""
        names = [field.name for field in fields(self) if field.name not in self.no_effect]
        return {name: getattr(self, name) for name in names} | {"renderer": world.VERSION}


class Fit:
    """A training: network, optimiser and place in the schedule.

    A step depends on the seed, its number and the weights alone, so a killed training goes on to the same bits.
    Subclasses set `optimiser` and `schedule`, and write `losses` and `finish`.

    Args:
        config: lengths and seed.
        make: makes the network; its initial weights are seeded by `config.seed`.
        device: where to compute.

    Attributes:
        step: batches learned from.
        settings: plain values; a saved state is resumed only by a training with the same ones.
        extra: tensors that are saved and resumed besides the network's.
    """

    clip_norm = 1.0  # of the gradient
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler

    def __init__(self, config: FitConfig, make: Callable[[], nn.Module], device: torch.device):
        self.config, self.device, self.step, self.started = config, device, 0, time.perf_counter()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.model = make().to(device)
        self.settings = config.settings
        self.extra: dict[str, Tensor] = {}

    def batches(self, pool: Any) -> Iterable[tuple]:
        """The arguments of `losses`, once for every step that is left."""
        return repeat((pool,), self.config.steps - self.step)

    def losses(self, *batch: Any) -> dict[str, Tensor]:
        """Named losses of this step, whose sum is minimised; those without a gradient are only shown."""
        raise NotImplementedError

    def finish(self, path: Path, pool: Any, meta: dict) -> tuple[Any, dict]:
        """Save the weights at `path` with `meta`; -> (what `train` returns, results for the JSON file)."""
        raise NotImplementedError

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
        rest = {"extra": self.extra, "step": self.step, "settings": self.settings}
        files.write(path, {"format": FORMAT, **state, **rest})

    def resume(self, path: Path) -> None:
        """Go on where a training with the same settings was saved; a file of other settings is passed over."""
        content = read_dict(path, FORMAT)
        if content["settings"] == self.settings:
            for name in ("model", "optimiser", "schedule"):
                getattr(self, name).load_state_dict(content[name])
            self.extra = {name: value.to(self.device) for name, value in content["extra"].items()}
            self.step = content["step"]

    def train(self, path: str | os.PathLike, pool: Any, scratch: str | os.PathLike) -> Any:
        """Train to the end; called again after an interruption, it goes on from the last state. -> as `finish`.

        Args:
            path: where the weights go; a JSON file with settings and errors goes beside them.
            pool: what `batches` takes from.
            scratch: folder for the state, which is written every `save_every` images and removed at the end.
        """
        path = Path(path)
        state = Path(scratch) / f"{path.stem}_training.pt"
        if state.is_file():
            self.resume(state)
        self._loop(pool, state)
        meta = {**self.settings, "minutes": round((time.perf_counter() - self.started) / 60, 1)}
        result, measured = self.finish(path, pool, meta)
        files.write_json(path.with_suffix(".json"), {"training": meta, **measured})
        state.unlink(missing_ok=True)
        return result

    def _loop(self, pool: Any, state: Path) -> None:
        config, recent = self.config, {}
        every = max(1, config.save_every // config.batch)
        amount = {"total": config.steps * config.batch, "initial": self.step * config.batch, "mininterval": 5}
        with bar(what=state.stem.removesuffix("_training"), unit=config.unit[:-1], **amount) as shown:
            for batch in self.batches(pool):
                for name, value in self.train_step(*batch).items():
                    recent[name] = recent.get(name, value) * 0.98 + value * 0.02
                shown.update(config.batch)
                if self.step % 50 == 0:
                    shown.set_postfix({name: f"{float(value):.4f}" for name, value in recent.items()}, refresh=False)
                if self.step % every == 0:
                    self.save(state)


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
