"""The original code's flags in our words: what `train.py --freezeG=4 --freezeStyle=4 ...` of Cartoon-StyleGAN means.

Its numbers say how many blocks *train*; our methods say what is frozen, by resolution. On 256-pixel images:

| original | ours | frozen |
|---|---|---|
| `--freezeG=4` | `FreezeG(16)` | mapping, constant, all of 4x4 to 16x16 |
| `--freezeD=3` | `FreezeD(64)` | from_rgb, the blocks that take in 256, 128 and 64 pixels |
| `--freezeStyle=4` | `FreezeStyle(4)` | the first 4 codes are the source's |
| `--freezeFC` | `FreezeFC()` | all codes are the source's |
| `--structure_loss=2` | `StructureLoss((8, 16), on="features")` | – (a loss, weight 1) |

0 trains everything, there and here, and so does a flag that is not given (-1). What differs is in `differences`: there
the flags did not do what they were meant to, here they do. `read` takes the flags as text, as they stand in a shell
script: `train --original "--freezeG=4 --freezeD=3 --augment"`.
"""

from __future__ import annotations

import argparse
import shlex
from typing import Any, NoReturn

from stylegan2.networks import resolutions
from stylegan2.transfer import FreezeD, FreezeFC, FreezeG, FreezeStyle, Method, StructureLoss

OFF = -1  # the flags' own default
SETTINGS = {  # flags that are settings here: our field of `TrainConfig`
    "batch": "batch", "lr": "lr", "r1": "r1_gamma", "d_reg_every": "r1_interval", "path_regularize": "pl_weight",
    "g_reg_every": "pl_interval", "path_batch_shrink": "pl_batch_shrink", "mixing": "style_mixing",
    "augment_p": "augment_p", "ada_target": "augment_target", "ada_length": "augment_images",
}  # fmt: skip
WHOLE = ("batch", "d_reg_every", "g_reg_every", "path_batch_shrink", "ada_length")  # of these, those in whole numbers
ADA = {"augment": "adaptive", "augment_interval": 8, "augment_images": 500_000}  # what `--augment` stood for there
ELSEWHERE = {  # flags that are said otherwise here
    "path": "--data", "ckpt": "--source", "size": "--size", "iter": "--images (iterations times batch)",
    "n_sample": "--sample-rows and --sample-columns", "wandb": "--tensorboard", "local_rank": "torchrun",
    "channel_multiplier": "nothing, it is read off --source", "arch": "nothing, it is always stylegan2",
    "ada_every": "nothing, it had no effect",
}  # fmt: skip


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"--original: {message}")


def read(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The flags of `from_original_flags`, and fields of `TrainConfig`, that a line of flags stands for.

    Augmentation is on there with --augment only, so without it the settings say "none". Numbers that are not given are
    left out: they keep our defaults.

    Raises:
        ValueError: flags that mean something else here or nothing at all, each with what to use.
    """
    parser = _Parser(add_help=False, allow_abbrev=False)
    for name in ("freezeG", "freezeD", "freezeStyle", "structure_loss"):
        parser.add_argument(f"--{name}", type=int, default=OFF)
    for name in ("freezeFC", "augment"):
        parser.add_argument(f"--{name}", action="store_true")
    for name in SETTINGS:
        parser.add_argument(f"--{name}", type=int if name in WHOLE else float)
    found, unknown = parser.parse_known_args(shlex.split(text))
    if unknown:
        raise ValueError(f"--original: {_instead(unknown)}")
    flags = vars(found)
    given = {ours: flags[name] for name, ours in SETTINGS.items() if flags[name] is not None}
    if not flags.pop("augment"):
        return {name: flags[name] for name in flags if name not in SETTINGS}, given | {"augment": "none"}
    fixed = {"augment": "fixed"} if given.get("augment_p") else {}
    return {name: flags[name] for name in flags if name not in SETTINGS}, ADA | given | fixed


def _instead(unknown: list[str]) -> str:
    """What to use for flags that are not read."""
    names = [word.lstrip("-").partition("=")[0] for word in unknown if word.startswith("--")] or unknown
    said = [f"for --{name} use {ELSEWHERE[name]}" for name in names if name in ELSEWHERE]
    other = [name for name in names if name not in ELSEWHERE]
    if other:
        said.append(f"{', '.join(other)}: no flag of the original's train.py")
    return f"{'; '.join(said)}. What is read: freezeG, freezeD, freezeStyle, freezeFC, structure_loss, augment, " + (
        ", ".join(SETTINGS)
    )


def from_original_flags(
    resolution: int,
    freezeG: int = OFF,  # noqa: N803  (these are the flags' names)
    freezeD: int = OFF,  # noqa: N803
    freezeStyle: int = OFF,  # noqa: N803
    freezeFC: bool = False,  # noqa: N803
    structure_loss: int = OFF,
) -> list[Method]:
    """The methods that do what the original's flags do on images of `resolution` pixels; 0 or less (False): nothing.

    freezeFC beside freezeStyle is ignored, as it was there.

    Raises:
        ValueError: a number of blocks that the networks do not have.
    """
    blocks = len(resolutions(resolution)) - 1  # with two convolutions: all but 4x4
    methods: list[Method] = []
    if _given("freezeD", freezeD, blocks - 1):
        methods.append(FreezeD(8 << freezeD))
    if _given("freezeG", freezeG, blocks):
        methods.append(FreezeG(resolution >> freezeG))
    if _given("freezeStyle", freezeStyle, 2 * blocks + 2):
        methods.append(FreezeStyle(freezeStyle))
    elif freezeFC and freezeStyle < 0:
        methods.append(FreezeFC())
    if _given("structure_loss", structure_loss, blocks):
        methods.append(StructureLoss(tuple(8 << k for k in range(structure_loss)), on="features"))
    return methods


def _given(name: str, value: int, highest: int) -> bool:
    if value > highest:
        raise ValueError(f"--{name}={value}: expected at most {highest} at this size, or 0 for all to train")
    return value > 0


def differences(
    freezeG: int = OFF,  # noqa: N803
    freezeD: int = OFF,  # noqa: N803
    freezeStyle: int = OFF,  # noqa: N803
    freezeFC: bool = False,  # noqa: N803
    structure_loss: int = OFF,
) -> list[str]:
    """Where the original's code did not do what these flags are for, and we do: a line each."""
    said = {
        "freezeStyle, freezeFC and structure_loss compared with a network of random weights there, since its source "
        "was never loaded; here with --source": freezeStyle > 0 or freezeFC or structure_loss > 0,
        "freezeStyle acted only where style mixing had drawn two codes there; here always": freezeStyle > 0,
        "freezeFC acted on the discriminator's images only there; here always": freezeFC and freezeStyle < 0,
        "freezeFC beside freezeStyle was ignored there, and is here": freezeFC and freezeStyle >= 0,
        "freezeStyle=0 took no codes but switched style mixing off there; here nothing (--style-mixing 0 does that)": (
            freezeStyle == 0
        ),
        "freezeG also freezes the mapping, so its codes are the source's anyway and freezeStyle adds nothing; the "
        "paper's FreezeSG is --method freeze-sg": freezeG > 0 and freezeStyle > 0,
        "freezeG switched path length off there; here it stays on (--pl-weight 0 switches it off)": freezeG >= 0,
    }
    return [line for line, holds in said.items() if holds]
