"""The original code's flags in our words: what `train.py --freezeG=4 --freezeStyle=4 ...` of Cartoon-StyleGAN means.

Its numbers say how many blocks *train*; our methods say what is frozen, by resolution. 0 trains everything, there and
here, and so does a flag that is not given (-1). Where the flags did not do there what they were meant to, here they do:
see `Flags.differences`.
"""
# ruff: noqa: N815  (the flags' own names)

from __future__ import annotations

import argparse
import shlex
from dataclasses import dataclass, fields
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


@dataclass(frozen=True)
class Flags:
    """The flags that say what a fine-tuned model keeps."""

    freezeG: int = OFF  # on 256-pixel images 4 is FreezeG(16): mapping, constant, all of 4x4 to 16x16
    freezeD: int = OFF  # 3 is FreezeD(64): from_rgb, the blocks that take in 256, 128 and 64 pixels
    freezeStyle: int = OFF  # 4 is FreezeStyle(4): the first 4 codes are the source's
    freezeFC: bool = False  # FreezeFC(): all codes are
    structure_loss: int = OFF  # 2 is StructureLoss((8, 16), on="features"), of weight 1

    def methods(self, resolution: int) -> list[Method]:
        """The methods that do the same on images of `resolution` pixels.

        Raises:
            ValueError: a number of blocks that the networks do not have.
        """
        blocks = len(resolutions(resolution)) - 1  # with two convolutions: all but 4x4
        most = {"freezeD": blocks - 1, "freezeG": blocks, "freezeStyle": 2 * blocks + 2, "structure_loss": blocks}
        for name, highest in most.items():
            if (value := getattr(self, name)) > highest:
                raise ValueError(f"--{name}={value}: expected at most {highest} at this size, or 0 for all to train")
        methods: list[Method] = []
        if self.freezeD > 0:
            methods.append(FreezeD(8 << self.freezeD))
        if self.freezeG > 0:
            methods.append(FreezeG(resolution >> self.freezeG))
        if self.freezeStyle > 0:
            methods.append(FreezeStyle(self.freezeStyle))
        elif self.freezeFC and self.freezeStyle < 0:  # beside freezeStyle it is ignored, as it was there
            methods.append(FreezeFC())
        if self.structure_loss > 0:
            methods.append(StructureLoss(tuple(8 << k for k in range(self.structure_loss)), on="features"))
        return methods

    def differences(self) -> list[str]:
        """Where the original's code did not do what these flags are for, and we do: a line each."""
        style, fc = self.freezeStyle, self.freezeFC
        lines = {
            "freezeStyle, freezeFC and structure_loss compared with a network of random weights there, since its "
            "source was never loaded; here with --source": style > 0 or fc or self.structure_loss > 0,
            "freezeStyle acted only where style mixing had sampled two codes there; here always": style > 0,
            "freezeFC acted on the discriminator's images only there; here always": fc and style < 0,
            "freezeFC beside freezeStyle was ignored there, and is here": fc and style >= 0,
            "freezeStyle=0 took no codes but switched style mixing off there; here nothing (--style-mixing 0 does "
            "that)": style == 0,
            "freezeG also freezes the mapping, so its codes are the source's anyway and freezeStyle adds nothing; the "
            "paper's FreezeSG is --method freeze-sg": self.freezeG > 0 and style > 0,
            "freezeG switched path length off there; here it stays on (--pl-weight 0 switches it off)": (
                self.freezeG >= 0
            ),
        }
        return [line for line, holds in lines.items() if holds]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"--original: {message}")


def read(text: str) -> tuple[Flags, dict[str, Any]]:
    """A line of flags as it stands in a shell script, "--freezeG=4 --augment" -> flags, and fields of `TrainConfig`.

    Augmentation is on there with --augment only, so without it the settings say "none". Numbers that are not given are
    left out: they keep our defaults.

    Raises:
        ValueError: flags that mean something else here or nothing at all, each with what to use.
    """
    parser = _Parser(add_help=False, allow_abbrev=False)
    for field in fields(Flags):
        kind = {"action": "store_true"} if field.default is False else {"type": int, "default": OFF}
        parser.add_argument(f"--{field.name}", **kind)
    parser.add_argument("--augment", action="store_true")
    for name in SETTINGS:
        parser.add_argument(f"--{name}", type=int if name in WHOLE else float)
    known, unknown = parser.parse_known_args(shlex.split(text))
    if unknown:
        raise ValueError(f"--original: {_instead(unknown)}")
    values = vars(known)
    flags = Flags(**{field.name: values[field.name] for field in fields(Flags)})
    given = {ours: values[name] for name, ours in SETTINGS.items() if values[name] is not None}
    if not known.augment:
        return flags, given | {"augment": "none"}
    return flags, ADA | given | ({"augment": "fixed"} if given.get("augment_p") else {})


def _instead(unknown: list[str]) -> str:
    """What to use for flags that are not read."""
    names = [word.lstrip("-").partition("=")[0] for word in unknown if word.startswith("--")] or unknown
    advice = [f"for --{name} use {ELSEWHERE[name]}" for name in names if name in ELSEWHERE]
    if other := [name for name in names if name not in ELSEWHERE]:
        advice.append(f"{', '.join(other)}: no flag of the original's train.py")
    read = [*(field.name for field in fields(Flags)), "augment", *SETTINGS]
    return f"{'; '.join(advice)}. What is read: {', '.join(read)}"
