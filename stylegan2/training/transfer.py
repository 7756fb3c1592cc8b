"""Transfer methods: small objects that say what is frozen when a trained model learns another domain.

They are given in resolutions and return the exact parameter names they froze, which the trainer prints. The trainer
knows none of them by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from stylegan2.networks import Discriminator, Generator


class Method:
    """Base of all transfer methods; on its own it changes nothing."""

    def freeze(self, generator: Generator, discriminator: Discriminator) -> list[str]:
        """Freeze parameters once, before the optimisers are made. Returns their names, "D.…" or "G.…"."""
        return []


@dataclass(frozen=True)
class FreezeD(Method):
    """Freeze the discriminator's layers at `min_resolution` and above, towards the image (arXiv 2002.10964).

    What low-level features look like is known from the source domain; only the judgement of shape is learnt anew.
    At the image's own resolution `from_rgb` freezes too. `FreezeD(16)` on a 64-pixel model leaves the blocks that work
    on 8 pixels and below, and the head.

    Raises ValueError in `freeze` for a resolution the discriminator does not have.
    """

    min_resolution: int

    def freeze(self, generator: Generator, discriminator: Discriminator) -> list[str]:
        sizes = [int(r) for r in discriminator.blocks]  # blocks are named by the resolution they take in
        if self.min_resolution not in sizes:
            raise ValueError(
                f"FreezeD({self.min_resolution}): expected one of {sizes}, the discriminator's resolutions"
            )
        frozen = {"from_rgb": discriminator.from_rgb}
        frozen |= {f"blocks.{r}": discriminator.blocks[str(r)] for r in sizes if r >= self.min_resolution}
        return [f"D.{name}" for prefix, module in frozen.items() for name in freeze_module(module, prefix)]


def freeze_module(module: nn.Module, prefix: str) -> list[str]:
    """Switch off gradients of all parameters of a module; their names, with `prefix` in front."""
    names = []
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(False)
        names.append(f"{prefix}.{name}")
    return names


def freeze(methods: Sequence[Method], generator: Generator, discriminator: Discriminator) -> list[str]:
    """Apply every method in turn; the sorted names of all that is frozen, each once."""
    return sorted({name for method in methods for name in method.freeze(generator, discriminator)})
