"""What transfer methods leave to train, block by block: `Blueprint.of(source).plan([FreezeD(64), FreezeSG(8, 4)])`.

Nothing here knows what a method freezes: the methods are applied to copies of the networks, and `requires_grad` is read
afterwards. The copies are shapes without numbers (PyTorch's "meta" device), so that one costs a millisecond.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from stylegan2 import transfer
from stylegan2.checkpoints import Checkpoint
from stylegan2.networks import Discriminator, Generator, SharedMapping
from stylegan2.pocket.studies.methods import constructor
from stylegan2.transfer import FreezeFC, FreezeStyle, Method

TRAINS, FROZEN, SOURCE, PARTLY = "trains", "frozen", "source", "partly"


class Part(NamedTuple):
    """A piece of a network: how many parameters it has, and how many of them are frozen."""

    parameters: int
    frozen: int

    @classmethod
    def of(cls, parameters: Iterable[Tensor]) -> Part:
        """Counted by `requires_grad`."""
        sizes = [(p.numel(), 0 if p.requires_grad else p.numel()) for p in parameters]
        return cls(*map(sum, zip(*sizes, strict=True)))

    @property
    def state(self) -> str:
        """ "trains", "frozen", or "partly"."""
        return TRAINS if not self.frozen else FROZEN if self.frozen == self.parameters else PARTLY


@dataclass(frozen=True)
class Plan:
    """What the methods leave to train."""

    methods: tuple[Method, ...]
    frozen: list[str]  # exact names of all frozen parameters, "G.…" and "D.…", as the trainer prints them
    g: dict[str, Part]  # "mapping", "4.const", "4.conv1", "4.to_rgb", "8.conv0", ...
    d: dict[str, Part]  # "from_rgb", "64", ..., "8", "head"
    codes: tuple[str, ...]  # where each of the L codes comes from: a mapping that "trains", a "frozen" one, or "source"
    copied: int  # parameters of the copy of the source's mapping, which is no part of `g` and never trains; or 0
    resolutions: tuple[int, ...]  # of the generator, 4 to R
    losses: tuple[str, ...]  # names of the losses that the methods add

    @property
    def effect(self) -> tuple:
        """All that makes a difference to training: what learns, which codes can move, which losses there are."""
        learning = [(name, part.parameters - part.frozen) for parts in (self.g, self.d) for name, part in parts.items()]
        return tuple(learning), tuple(code == TRAINS for code in self.codes), self.losses

    @property
    def frozen_codes(self) -> list[int]:
        """Codes that drive at least one frozen layer of the synthesis network."""
        return sorted({code for name, code in wiring(self.resolutions).items() if self.g[name].state == FROZEN})


class Blueprint:
    """Both networks as shapes without numbers, to try methods on; the networks given stay as they are."""

    def __init__(self, generator: Generator, discriminator: Discriminator):
        shapes = tuple(copy.deepcopy(network).to("meta") for network in (generator, discriminator))
        # unpickling is the deep copy: several times faster than copy.deepcopy, and every render needs several
        self._pickled = pickle.dumps(shapes)
        self._source, _ = self.networks()  # methods only read it
        self._plans: dict[tuple[Method, ...], Plan] = {}  # most moves of a control ask for some of the last ones again

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Blueprint:
        """Of the averaged generator, where fine-tuning starts. ValueError for a model without a discriminator."""
        if checkpoint.d is None:
            raise ValueError("the model has no discriminator, which fine-tuning needs: use a checkpoint with 'd'")
        return cls(checkpoint.g_ema, checkpoint.d)

    def networks(self) -> tuple[Generator, Discriminator]:
        """New copies."""
        return pickle.loads(self._pickled)

    def plan(self, methods: Sequence[Method]) -> Plan:
        """Apply methods to copies of the networks, in the trainer's order, and read off what trains. Errors: theirs."""
        methods = tuple(methods)
        if methods in self._plans:
            return self._plans[methods]
        g, d = self.networks()
        for method in methods:
            method.prepare(g, self._source)
        g.requires_grad_(True)
        d.requires_grad_(True)
        frozen = transfer.freeze(methods, g, d)
        shared = g.mapping if isinstance(g.mapping, SharedMapping) else None
        parts = {"mapping": Part.of(g.mapping.layers.parameters())}
        for r, block in g.synthesis.blocks.items():
            parts |= {f"{r}.{name}": Part.of([tensor]) for name, tensor in block.named_parameters(recurse=False)}
            parts |= {f"{r}.{name}": Part.of(layer.parameters()) for name, layer in block.named_children()}
        k, own = shared.k if shared else 0, FROZEN if parts["mapping"].state == FROZEN else TRAINS
        blocks = {"from_rgb": d.from_rgb, **d.blocks, "head": d.head}
        self._plans[methods] = Plan(
            methods=methods,
            frozen=frozen,
            g=parts,
            d={name: Part.of(block.parameters()) for name, block in blocks.items()},
            codes=(SOURCE,) * k + (own,) * (g.num_ws - k),
            copied=sum(p.numel() for p in shared.source.parameters()) if shared else 0,
            resolutions=tuple(g.synthesis.resolutions),
            losses=tuple(name for method in methods for name in method.loss_names),
        )
        return self._plans[methods]

    def idle(self, methods: Sequence[Method]) -> list[Method]:
        """The methods that change nothing beside the others: without any one of them training would be the same."""
        whole = self.plan(methods).effect
        return [m for i, m in enumerate(methods) if self.plan([*methods[:i], *methods[i + 1 :]]).effect == whole]


def wiring(resolutions: Sequence[int]) -> dict[str, int]:
    """Which code drives which layer: {"4.conv1": 0, "4.to_rgb": 1, "8.conv0": 1, "8.conv1": 2, "8.to_rgb": 3, ...}."""
    after = {"conv0": -1, "conv1": 0, "to_rgb": 1}
    layers = {f"{r}.{name}": 2 * i + k for i, r in enumerate(resolutions) for name, k in after.items()}
    return {name: code for name, code in layers.items() if code >= 0}  # 4x4 has no conv0


def call(methods: Sequence[Method]) -> str:
    """Python that makes the methods: "[FreezeD(64), FreezeSG(8, 4)]"."""
    return f"[{', '.join(map(constructor, methods))}]"


def notes(plan: Plan, idle_methods: Sequence[Method] = ()) -> list[tuple[str, str]]:
    """What to know of a plan, the most important first: ("good" | "plain" | "bad", one sentence)."""
    sentences = []
    for method in idle_methods:
        why = "the other methods freeze all of that already"
        if isinstance(method, (FreezeStyle, FreezeFC)) and plan.g["mapping"].state == FROZEN:
            why = "the mapping is frozen, so its codes are the source's anyway"
        sentences.append(("bad", f"{constructor(method)} changes nothing: {why}."))
    if all(part.state == FROZEN for part in plan.g.values()):
        return [*sentences, ("bad", "Nothing of the generator is left to train: the trainer will refuse.")]
    held = plan.frozen_codes
    free = [code for code in held if plan.codes[code] == TRAINS]
    taken = [code for code, state in enumerate(plan.codes) if state == SOURCE]
    if held and not free:
        sentences.append(("good", f"Frozen layers get the source's own codes ({_span(held)}): what they draw stays."))
    elif held:
        sentences.append(("plain", f"The mapping can still change codes {_span(free)}, which drive frozen layers."))
    elif TRAINS not in plan.codes:
        sentences.append(("plain", "All codes stay the source's, but every layer that they drive learns."))
    elif taken:
        sentences.append(("plain", f"Codes {_span(taken)} stay the source's, but the layers that they drive learn."))
    elif not plan.losses:
        sentences.append(("plain", "The whole generator learns: nothing holds on to the person."))
    if plan.losses:
        sentences.append(("plain", f"Added to the generator's loss: {', '.join(plan.losses)}."))
    return sentences


def _span(codes: Sequence[int]) -> str:
    return f"{codes[0]}-{codes[-1]}" if len(codes) > 1 else f"{codes[0]}"
