"""Transfer methods: small objects that say what is kept of a trained model when it learns another domain.

    FreezeD(64)                    the discriminator's layers towards the image do not train
    FreezeG(8)                     the generator's blocks up to 8x8, and its mapping, do not train
    FreezeStyle(4), FreezeFC()     the first 4 (all) codes come from the source's mapping
    FreezeSG(8, 4)                 FreezeG without the mapping, and FreezeStyle
    StructureLoss((4, 8, 16))      small versions of the image stay as the source's

They compose. The trainer knows none of them by name: each may replace part of the codes ws, freeze parameters, and add
named losses. FreezeSG and StructureLoss: arXiv 2106.12445, sections 3.2 and 3.3; FreezeG: FreezeD for the generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylegan2.distributed import World
from stylegan2.inputs import Fakes, Inputs
from stylegan2.networks import Discriminator, Generator, SharedMapping, Stage
from stylegan2.ops import upcast


class Method:
    """Base of all transfer methods; on its own it changes nothing."""

    loss_names: ClassVar[tuple[str, ...]] = ()  # of the losses that `losses` returns, for the log

    def prepare(self, generator: Generator, source: Generator) -> None:
        """Change what makes the codes, once, before anything is frozen. Also called for the averaged generator."""

    def freeze(self, generator: Generator, discriminator: Discriminator) -> list[str]:
        """Freeze parameters once, before the optimisers are made. Returns their names, "D.…" or "G.…"."""
        return []

    def losses(self, fakes: Fakes, source: Generator) -> dict[str, Tensor]:
        """Scalars to add to the generator's loss, by name, weights included. `source` takes no gradient."""
        return {}


# ------------------------------------------------------------------------------------------------- what does not train
@dataclass(frozen=True)
class FreezeD(Method):
    """Freeze the discriminator's layers at `min_resolution` and above, towards the image (arXiv 2002.10964).

    What low-level features look like is known from the source domain; only the judgement of shape is learnt anew.
    `from_rgb` freezes too. Raises ValueError in `freeze` for a resolution the discriminator does not have.
    """

    min_resolution: int

    def freeze(self, generator: Generator, discriminator: Discriminator) -> list[str]:
        sizes = [int(r) for r in discriminator.blocks]  # blocks are named by the resolution they take in
        _check_resolutions(self, [self.min_resolution], sizes, "the discriminator's resolutions")
        frozen = {"from_rgb": discriminator.from_rgb}
        frozen |= {f"blocks.{r}": discriminator.blocks[str(r)] for r in sizes if r >= self.min_resolution}
        return _freeze_all("D", frozen)


@dataclass(frozen=True)
class FreezeG(Method):
    """Freeze the synthesis network up to and including `max_resolution`: constant, convolutions, tRGB, styles, noise.

    mapping: freeze the mapping network too, as the original does. Then every z keeps its w.
    Raises ValueError in `freeze` for a resolution the generator does not have.
    """

    max_resolution: int
    mapping: bool = True

    def freeze(self, generator: Generator, discriminator: Discriminator) -> list[str]:
        blocks, sizes = generator.synthesis.blocks, generator.synthesis.resolutions
        _check_resolutions(self, [self.max_resolution], sizes, "the generator's resolutions")
        frozen = {f"synthesis.blocks.{r}": blocks[str(r)] for r in sizes if r <= self.max_resolution}
        frozen |= {"mapping": generator.mapping} if self.mapping else {}
        return _freeze_all("G", frozen)


@dataclass(frozen=True)
class FreezeStyle(Method):
    """Take the first k of the L codes from the source's mapping, which does not train; the mapping itself does.

    The model that comes out carries both mappings, see `SharedMapping`. With k = L its own, unused one is frozen too.

    Raises ValueError in `prepare` for a k that is not 1 to L, or a generator that shares codes already.
    """

    k: int

    def prepare(self, generator: Generator, source: Generator) -> None:
        if isinstance(generator.mapping, SharedMapping):
            raise ValueError(
                f"{self}: the first {generator.mapping.k} codes come from another model already: use one method that "
                "takes codes, and start from a model with one mapping"
            )
        generator.mapping = SharedMapping(generator.mapping, source.mapping, self.k)

    def freeze(self, generator: Generator, discriminator: Discriminator) -> list[str]:
        unused = {"mapping": generator.mapping} if self.k == generator.num_ws else {}
        return _freeze_all("G", {"mapping.source": generator.mapping.source} | unused)


@dataclass(frozen=True)
class FreezeFC(Method):
    """Take all codes from the source's mapping: `FreezeStyle` with k = L."""

    def prepare(self, generator: Generator, source: Generator) -> None:
        FreezeStyle(generator.num_ws).prepare(generator, source)

    def freeze(self, generator: Generator, discriminator: Discriminator) -> list[str]:
        return FreezeStyle(generator.num_ws).freeze(generator, discriminator)


@dataclass(frozen=True)
class FreezeSG(Method):
    """Freeze style and generator (arXiv 2106.12445, section 3.2): coarse blocks *and* the codes that drive them.

    `FreezeG(max_resolution, mapping=False)` with `FreezeStyle(k)`: the mapping trains, else taking k of its codes from
    the source would change nothing. The blocks up to R are driven by the first 2 log2(R) - 2 codes: 6 for R = 16.
    """

    max_resolution: int
    k: int

    def prepare(self, generator: Generator, source: Generator) -> None:
        FreezeStyle(self.k).prepare(generator, source)

    def freeze(self, generator: Generator, discriminator: Discriminator) -> list[str]:
        parts = FreezeG(self.max_resolution, mapping=False), FreezeStyle(self.k)
        return [name for part in parts for name in part.freeze(generator, discriminator)]


# ----------------------------------------------------------------------------------------------------- what is compared
@dataclass(frozen=True)
class StructureLoss(Method):
    """Keep the image's small versions near the source's (arXiv 2106.12445, section 3.3): pose and layout live there.

    sum over r in `resolutions` of mean((y_r(G, w_t) - y_r(G_source, w_s))^2), times `weight`, where y_r is the running
    RGB sum at r (`on="rgb"`, the paper) or the features after the last convolution at r (`on="features"`, the original
    code, at 8, 16, ...). Both codes come from the same z, crossover and noise, each through its own mapping.

    relative: divide each resolution's term by the variance of the source's values there, over the batch (or its part,
    with `accumulate`) of all processes. Low resolutions add little to the image (in our source the sums at 4, 8 and 16
    vary 10,500, 5,000 and 2,600 times less than it), so that the paper's sum hardly counts beside the adversarial
    loss. Divided, each term is 0 for the same structure and 0.2 to 0.4 for unrelated images.

    Raises ValueError for another `on`, no resolution, or a negative weight; in `prepare` for an unknown resolution.
    """

    resolutions: tuple[int, ...] = (4, 8, 16)
    weight: float = 1.0
    on: Literal["rgb", "features"] = "rgb"
    relative: bool = False

    loss_names: ClassVar[tuple[str, ...]] = ("structure",)

    def __post_init__(self) -> None:
        if self.on not in ("rgb", "features"):
            raise ValueError(f"StructureLoss compares {self.on!r}, expected 'rgb' or 'features'")
        if isinstance(self.resolutions, int) or not self.resolutions:
            raise ValueError("StructureLoss without resolutions: name at least one, as a tuple: (4, 8, 16)")
        if not 0 <= self.weight < float("inf"):
            raise ValueError(f"StructureLoss weighs {self.weight}, expected a number of at least 0")

    def prepare(self, generator: Generator, source: Generator) -> None:
        _check_resolutions(self, self.resolutions, generator.synthesis.resolutions, "the generator's resolutions")

    def losses(self, fakes: Fakes, source: Generator) -> dict[str, Tensor]:
        return {"structure": self.weight * self.distance(fakes, source)}

    def distance(self, fakes: Fakes, source: Generator) -> Tensor:
        """The sum above without its weight, a scalar."""
        theirs = source_stages(source, fakes.inputs, max(self.resolutions))
        pairs = [(self._compared(fakes.stages[r]), self._compared(theirs[r])) for r in self.resolutions]
        return sum(F.mse_loss(own, other) / self._unit(other) for own, other in pairs)

    def _unit(self, values: Tensor) -> Tensor | float:
        return World.here().variance(values).mean().clamp_min(1e-8) if self.relative else 1.0

    def _compared(self, stage: Stage) -> Tensor:
        return stage.rgb if self.on == "rgb" else upcast(stage.x)


@torch.no_grad()
def source_stages(source: Generator, inputs: Inputs, max_resolution: int) -> dict[int, Stage]:
    """The source's stages for the same random numbers, up to `max_resolution`: {resolution: Stage}."""
    stages = {}
    for stage in source.synthesis.stages(inputs.ws(source.mapping), inputs.noise):
        stages[stage.resolution] = stage
        if stage.resolution >= max_resolution:
            break
    return stages


# -------------------------------------------------------------------------------------------------------------- helpers
def _check_resolutions(method: Method, wanted: Sequence[int], available: Sequence[int], what: str) -> None:
    missing = [r for r in wanted if r not in available]
    if missing:
        raise ValueError(f"{method}: no resolution {missing[0]}, expected some of {list(available)}, {what}")


def _freeze_all(network: str, modules: dict[str, nn.Module]) -> list[str]:
    """Switch off gradients of all parameters of modules of "G" or "D"; their names."""
    for module in modules.values():
        module.requires_grad_(False)
    return [f"{network}.{prefix}.{name}" for prefix, module in modules.items() for name, _ in module.named_parameters()]


def freeze(methods: Sequence[Method], generator: Generator, discriminator: Discriminator) -> list[str]:
    """Apply every method in turn; the sorted names of all that is frozen, each once.

    Codes that a generator takes from another model stay that model's, whatever the methods.
    """
    names = {name for method in methods for name in method.freeze(generator, discriminator)}
    if isinstance(generator.mapping, SharedMapping):
        names |= set(_freeze_all("G", {"mapping.source": generator.mapping.source}))
    return sorted(names)
