"""The original code's flags in our words: what `train.py --freezeG=4 --freezeStyle=4 ...` of Cartoon-StyleGAN means.

Its numbers say how many blocks *train*; our methods say what is frozen, by resolution. On 256-pixel images:

| original | ours | frozen |
|---|---|---|
| `--freezeG=4` | `FreezeG(16)` | mapping, constant, all of 4x4 to 16x16 |
| `--freezeD=3` | `FreezeD(64)` | from_rgb, the blocks that take in 256, 128 and 64 pixels |
| `--freezeStyle=4` | `FreezeStyle(4)` | the first 4 codes are the source's |
| `--freezeFC` | `FreezeFC()` | all codes are the source's |
| `--structure_loss=2` | `StructureLoss((8, 16), on="features")` | – (a loss, weight 1) |

These are the flags of happy-jihye/Cartoon-StyleGAN. Its freezeG also freezes the mapping, so that freezeStyle changes
nothing beside it; the paper's FreezeSG, which freezes 4x4 and 8x8, is `FreezeSG(8, 4)` here. freezeFC takes all codes,
also beside freezeStyle. Path length, which the original switches off under freezeG, stays on.
"""

from __future__ import annotations

from stylegan2.networks import resolutions
from stylegan2.training.transfer import FreezeD, FreezeFC, FreezeG, FreezeStyle, Method, StructureLoss


def from_original_flags(
    resolution: int,
    freezeG: int = -1,  # noqa: N803  (these are the flags' names)
    freezeD: int = -1,  # noqa: N803
    freezeStyle: int = -1,  # noqa: N803
    freezeFC: bool = False,  # noqa: N803
    structure_loss: int = -1,
) -> list[Method]:
    """The methods that do what the original's flags do on images of `resolution` pixels; -1 (False): not given.

    Raises:
        ValueError: a number of blocks that the networks do not have.
    """
    blocks = len(resolutions(resolution)) - 1  # with two convolutions: all but 4x4
    methods: list[Method] = []
    if _given("freezeD", freezeD, 0, blocks - 1):
        methods.append(FreezeD(8 << freezeD))
    if _given("freezeG", freezeG, 0, blocks):
        methods.append(FreezeG(resolution >> freezeG))
    if _given("freezeStyle", freezeStyle, 1, 2 * blocks + 2) and not freezeFC:
        methods.append(FreezeStyle(freezeStyle))
    if freezeFC:
        methods.append(FreezeFC())
    if _given("structure_loss", structure_loss, 1, blocks):
        methods.append(StructureLoss(tuple(8 << k for k in range(structure_loss)), on="features"))
    return methods


def _given(name: str, value: int, lowest: int, highest: int) -> bool:
    if value != -1 and not lowest <= value <= highest:
        raise ValueError(f"--{name}={value}: expected {lowest} to {highest} at this size, or -1 for off")
    return value != -1
