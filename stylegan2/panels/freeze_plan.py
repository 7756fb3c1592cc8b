"""What transfer methods leave to train, block by block: `Blueprint.of(source).plan([FreezeD(32), FreezeSG(8, 4)])`.

Nothing here knows what a method freezes: the methods are applied to copies of the networks, and `requires_grad` is read
afterwards. The copies are shapes without numbers (PyTorch's "meta" device), so that one costs a millisecond.
"""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from stylegan2 import transfer
from stylegan2.checkpoints import Checkpoint
from stylegan2.networks import Discriminator, Generator, SharedMapping, SynthesisBlock
from stylegan2.transfer import FreezeFC, FreezeStyle, Method

TRAINS, FROZEN, SOURCE, PARTLY = "trains", "frozen", "source", "partly"


@dataclass(frozen=True)
class Part:
    """A piece of a network: how many parameters it has, and how many of them are frozen."""

    parameters: int
    frozen: int

    @classmethod
    def of(cls, parameters: Iterable[Tensor]) -> Part:
        """Counted by `requires_grad`."""
        parameters = list(parameters)
        return cls(sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if not p.requires_grad))

    @property
    def state(self) -> str:
        """ "trains", "frozen", or "partly"."""
        return TRAINS if not self.frozen else FROZEN if self.frozen == self.parameters else PARTLY


@dataclass(frozen=True)
class Plan:
    """What the methods leave to train.

    Attributes:
        methods: as given.
        frozen: exact names of all frozen parameters, "G.…" and "D.…", as the trainer prints them.
        g: the generator's parts: "mapping", "4.const", "4.conv1", "4.to_rgb", "8.conv0", ...
        d: the discriminator's: "from_rgb", "64", ..., "8", "head".
        codes: where each of the L codes comes from: "trains" (a mapping that learns), "frozen" (one that does not), or
            "source" (the copy of the source's mapping that the model carries).
        copied: parameters of that copy, 0 without one. It is no part of `g` and never trains.
        resolutions: of the generator, 4 to R.
        losses: names of the losses that the methods add.
    """

    methods: tuple[Method, ...]
    frozen: list[str]
    g: dict[str, Part]
    d: dict[str, Part]
    codes: tuple[str, ...]
    copied: int
    resolutions: tuple[int, ...]
    losses: tuple[str, ...]

    @property
    def effect(self) -> tuple:
        """All that training can tell: what learns, which codes can move, which losses there are."""
        learning = [(name, part.parameters - part.frozen) for parts in (self.g, self.d) for name, part in parts.items()]
        return tuple(learning), tuple(code == TRAINS for code in self.codes), self.losses

    @property
    def frozen_codes(self) -> list[int]:
        """Codes that drive at least one frozen layer of the synthesis network."""
        return sorted({code for name, code in wiring(self.resolutions).items() if self.g[name].state == FROZEN})


class Blueprint:
    """Both networks as shapes without numbers: something to try methods on.

    Args:
        generator, discriminator: to start from; they stay as they are.
    """

    def __init__(self, generator: Generator, discriminator: Discriminator):
        # unpickling is the deep copy: several times faster than copy.deepcopy, and a panel needs several per redraw
        self._pickled = pickle.dumps((_without_numbers(generator), _without_numbers(discriminator)))
        self._source, _ = self.networks()  # methods only read it
        self._plans: dict[tuple[Method, ...], Plan] = {}  # most moves of a control ask for some of the last ones again

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Blueprint:
        """Of the averaged generator, from which fine-tuning starts. ValueError for a model without a discriminator."""
        if checkpoint.d is None:
            raise ValueError("the model has no discriminator, which fine-tuning needs: use a checkpoint with 'd'")
        return cls(checkpoint.g_ema, checkpoint.d)

    def networks(self) -> tuple[Generator, Discriminator]:
        """New copies."""
        return pickle.loads(self._pickled)

    def plan(self, methods: Sequence[Method]) -> Plan:
        """Apply methods to copies of the networks, in the trainer's order, and read off what trains.

        Raises what the methods raise (ValueError for a resolution or a number of codes that the networks lack).
        """
        methods = tuple(methods)
        if methods not in self._plans:
            self._plans[methods] = self._plan(methods)
        return self._plans[methods]

    def _plan(self, methods: tuple[Method, ...]) -> Plan:
        g, d = self.networks()
        for method in methods:
            method.prepare(g, self._source)
        g.requires_grad_(True)
        d.requires_grad_(True)
        frozen = transfer.freeze(methods, g, d)
        shared = isinstance(g.mapping, SharedMapping)
        return Plan(
            methods=methods,
            frozen=frozen,
            g=_parts_of_g(g),
            d=_parts_of_d(d),
            codes=_codes(g),
            copied=Part.of(g.mapping.source.parameters()).parameters if shared else 0,
            resolutions=tuple(g.synthesis.resolutions),
            losses=tuple(name for method in methods for name in method.loss_names),
        )

    def idle(self, methods: Sequence[Method]) -> list[Method]:
        """The methods that change nothing beside the others: without any one of them training would be the same."""
        whole = self.plan(methods).effect
        rest = {i: [*methods[:i], *methods[i + 1 :]] for i in range(len(methods))}
        return [methods[i] for i, others in rest.items() if self.plan(others).effect == whole]


def _without_numbers(network: nn.Module) -> nn.Module:
    """A copy on the meta device, made without copying the numbers first."""
    memo = {id(t): t.detach().to("meta") for t in network.buffers()}
    memo |= {id(p): nn.Parameter(p.detach().to("meta")) for p in network.parameters()}
    return copy.deepcopy(network, memo)


def wiring(resolutions: Sequence[int]) -> dict[str, int]:
    """Which code drives which layer: {"4.conv1": 0, "4.to_rgb": 1, "8.conv0": 1, "8.conv1": 2, "8.to_rgb": 3, ...}."""
    driven = {"4.conv1": 0, "4.to_rgb": 1}
    for i, r in enumerate(resolutions[1:], start=1):
        driven |= {f"{r}.conv0": 2 * i - 1, f"{r}.conv1": 2 * i, f"{r}.to_rgb": 2 * i + 1}
    return driven


def _parts_of_g(g: Generator) -> dict[str, Part]:
    parts = {"mapping": Part.of(g.mapping.layers.parameters())}
    for r, block in g.synthesis.blocks.items():
        parts |= {f"{r}.{name}": Part.of(layer) for name, layer in _layers(block).items()}
    return parts


def _layers(block: SynthesisBlock) -> dict[str, list[Tensor]]:
    """A block's boxes from left to right, with their parameters."""
    first = {"const": [block.const]} if block.resolution == 4 else {"conv0": list(block.conv0.parameters())}
    return first | {name: list(getattr(block, name).parameters()) for name in ("conv1", "to_rgb")}


def _parts_of_d(d: Discriminator) -> dict[str, Part]:
    modules = {"from_rgb": d.from_rgb, **d.blocks, "head": d.head}
    return {name: Part.of(module.parameters()) for name, module in modules.items()}


def _codes(g: Generator) -> tuple[str, ...]:
    taken = g.mapping.k if isinstance(g.mapping, SharedMapping) else 0
    own = FROZEN if Part.of(g.mapping.layers.parameters()).state == FROZEN else TRAINS
    return (SOURCE,) * taken + (own,) * (g.num_ws - taken)


# ----------------------------------------------------------------------------------------------------------- in words


def call(methods: Sequence[Method]) -> str:
    """Python that makes the methods: "[FreezeD(32), FreezeSG(8, 4)]"."""
    return f"[{', '.join(map(transfer.constructor, methods))}]"


def notes(plan: Plan, idle_methods: Sequence[Method] = ()) -> list[tuple[str, str]]:
    """What to know of a plan, the most important first: ("good" | "plain" | "bad", one sentence)."""
    sentences = [("bad", _why_idle(method, plan)) for method in idle_methods]
    learning = {name for name, part in plan.g.items() if part.state != FROZEN}
    if not learning:
        return [*sentences, ("bad", "Nothing of the generator is left to train: the trainer will refuse.")]
    held = plan.frozen_codes
    free = [code for code in held if plan.codes[code] == TRAINS]
    if held and not free:
        sentences.append(("good", f"Frozen layers get the source's own codes ({_span(held)}): what they draw stays."))
    elif held:
        sentences.append(("plain", f"The mapping can still change codes {_span(free)}, which drive frozen layers."))
    elif TRAINS not in plan.codes:
        sentences.append(("plain", "All codes stay the source's, but every layer that they drive learns."))
    elif SOURCE in plan.codes:
        taken = [i for i, code in enumerate(plan.codes) if code == SOURCE]
        sentences.append(("plain", f"Codes {_span(taken)} stay the source's, but the layers that they drive learn."))
    elif not plan.losses:
        sentences.append(("plain", "The whole generator learns: nothing holds on to the person."))
    if plan.losses:
        sentences.append(("plain", f"Added to the generator's loss: {', '.join(plan.losses)}."))
    return sentences


def _why_idle(method: Method, plan: Plan) -> str:
    name = transfer.constructor(method)
    if isinstance(method, (FreezeStyle, FreezeFC)) and plan.g["mapping"].state == FROZEN:
        return f"{name} changes nothing: the mapping is frozen, so its codes are the source's anyway."
    return f"{name} changes nothing: the other methods freeze all of that already."


def _span(codes: Sequence[int]) -> str:
    return f"{codes[0]}-{codes[-1]}" if len(codes) > 1 else f"{codes[0]}"
