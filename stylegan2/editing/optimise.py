"""What every search for latent codes shares: checks, learning rate, a step of Adam, the loop, its result and file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from stylegan2 import files
from stylegan2.bars import bar
from stylegan2.editing.free_threads import free_threads
from stylegan2.editing.latents import slices
from stylegan2.files import CheckpointError
from stylegan2.networks import Generator
from stylegan2.runtime import images_at_once, pick_device, threads

RAMP_UP, RAMP_DOWN = 0.05, 0.25  # parts of the run in which the learning rate rises and falls (arXiv 1912.04958, D)
DONE, INTERRUPTED = "done", "interrupted"  # why a search ended: after all steps; by Ctrl-C or the stop button


def check_settings(config, *weights: str) -> None:
    """Raises ValueError for `steps`, `lr`, `space`, or numbers of these names with which no search can work."""
    if config.steps < 1 or config.lr <= 0 or min(getattr(config, name) for name in weights) < 0:
        given = ", ".join(f"{name} {getattr(config, name):g}" for name in ("lr", *weights))
        raise ValueError(f"steps is {config.steps}, {given}: expected steps >= 1, lr > 0, the others >= 0")
    if config.space not in ("w", "w+"):
        raise ValueError(f"space is {config.space!r}, expected 'w+' (each layer by itself) or 'w' (all alike)")


def learning_rate(config, step: int) -> float:
    """Linear up over the first part of the run, a half cosine down over the last; at its highest `config.lr`."""
    up = (step + 1) / config.steps / RAMP_UP
    down = min(1.0, (1 - step / config.steps) / RAMP_DOWN)  # above 0 in the last step too
    return config.lr * min(1.0, up) * (0.5 - 0.5 * torch.tensor(torch.pi * down).cos().item())


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """No gradients for the weights of these modules; afterwards as before."""
    trainable = [p for module in modules for p in module.parameters() if p.requires_grad]
    for p in trainable:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in trainable:
            p.requires_grad_(True)


class LatentSearch:
    """A search under way, step by step; `history` has a row of each. A subclass says what is optimised, and the loss.

    On a CPU the number of threads is chosen when it begins, by what other programs leave; it changes how sums round.
    g and critic render and compare `count` images, and stay as they are; Adam moves the `variables`.
    """

    def __init__(self, g: Generator, critic: nn.Module, config, count: int, variables: list[Tensor]):
        self.g, self.critic, self.config, self.count = g, critic, config, count
        self.optimiser = torch.optim.Adam(variables, lr=config.lr)
        self.history: list[dict[str, float]] = []
        on_cpu = variables[0].device.type == "cpu"
        self._threads = free_threads(look=0.1 if on_cpu else 0.0)  # for all steps: another number rounds differently

    @property
    def stopped(self) -> str:
        """Why there is nothing left to do, or ""."""
        return DONE if len(self.history) >= self.config.steps else ""

    def step(self) -> dict[str, float]:
        """One step of Adam; returns its row of `history`."""
        number = len(self.history)
        self.optimiser.param_groups[0]["lr"] = learning_rate(self.config, number)
        self.optimiser.zero_grad(set_to_none=True)
        at_once = images_at_once(self.g.synthesis, self.count, graph=True)
        with frozen(self.g, self.critic), threads(self._threads):
            parts = [self._backward(part, number) for part in slices(self.count, at_once)]
        self.history.append({"step": number} | self._row(*map(torch.cat, zip(*parts, strict=True))))
        self.optimiser.step()
        return self.history[-1]

    def _backward(self, part: slice, number: int) -> tuple[Tensor, ...]:
        """Add the gradient of some of the images; -> what `_row` sums up, of each image, without graphs."""
        raise NotImplementedError

    def _row(self, *of_images: Tensor) -> dict[str, float]:
        """The numbers of a step, the loss first."""
        raise NotImplementedError

    def run(self, what: str, on_step: Callable[[Self], None] | None = None, progress: bool = True) -> str:
        """All steps that are left; returns why they ended: as `stopped`, or `INTERRUPTED`.

        `what` stands before the progress bar; `on_step` is called with the search after a step.
        """
        try:
            with bar(what=what, unit="step", shown=progress, total=self.config.steps) as shown:
                while not self.stopped:
                    shown.set_postfix(self.step(), refresh=False)
                    shown.update()
                    if on_step is not None:
                        on_step(self)
        except KeyboardInterrupt:
            return INTERRUPTED
        return self.stopped


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a search found, and its file. A subclass has a `config` and tensors besides."""

    format: ClassVar[str]  # of its files, as they name it
    settings: ClassVar[type]  # class of `config`
    refusal: ClassVar[str]  # said of another file: what was expected

    history: list[dict[str, float]] = field(default_factory=list)  # a row of each step
    stopped: str = DONE  # why it ended
    made_from: dict[str, Any] = field(default_factory=dict)  # plain values, e.g. the generator's fingerprint

    @classmethod
    def _tensors(cls) -> list[str]:
        return [field.name for field in fields(cls) if field.type == "Tensor"]

    def save(self, path: str | os.PathLike) -> None:
        """Write a `.pt` file, atomically."""
        content = {field.name: getattr(self, field.name) for field in fields(self)}
        content |= {name: content[name].cpu().contiguous() for name in self._tensors()}
        files.write(Path(path), content | {"format": self.format, "config": asdict(self.config)})

    @classmethod
    def load(cls, path: str | os.PathLike, device: torch.device | str = "auto") -> Self:
        """Open a file of `save`; nothing in it is executed. Raises CheckpointError for another, or damaged, file."""
        device, content = pick_device(device), files.read(Path(path))
        if not isinstance(content, dict) or content.get("format") != cls.format:
            raise CheckpointError(f"'{path}' {cls.refusal}")
        try:
            values = {field.name: content[field.name] for field in fields(cls)}
            values |= {name: values[name].to(device) for name in cls._tensors()}
            return cls(**values | {"config": cls.settings(**values["config"])})
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise CheckpointError(f"'{path}' is damaged or of an older version ({error}): make it again") from error
