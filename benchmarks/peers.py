"""Other implementations of StyleGAN2, driven through the interface of `workloads.Ours`.

They compute with their own code, imported from the checkout it lies in; none of it is kept in this repository. Here is
only what their own scripts would do around it, and what stops them from importing. Everything acts on the process it is
called in: a worker that measures one contestant and ends.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import itertools
import re
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.workloads import Render
from stylegan2.checkpoints import rosinality
from stylegan2.checkpoints.nvidia import to_our_name
from stylegan2.config import TrainConfig
from stylegan2.networks import Discriminator, Generator

# the transforms of NVIDIA's pipeline "bgc", by the names of its arguments
BGC = ("xflip", "rotate90", "xint", "scale", "rotate", "aniso", "xfrac")
BGC += ("brightness", "contrast", "lumaflip", "hue", "saturation")


class Rosinality:
    """rosinality/stylegan2-pytorch, and Cartoon-StyleGAN, which was made from it."""

    def __init__(self, folder: Path):
        self.folder = folder
        # importing its `op` compiles CUDA kernels; without, its own CPU path is what runs
        importlib.import_module("torch.utils.cpp_extension").load = lambda *args, **options: None
        sys.path.insert(0, str(folder))

    def generator(self, g: Generator) -> Render:
        """Their generator with our weights. Their projector leaves gradients of the weights on; they are off here."""
        model = import_with_widths(self.folder / "model.py", "model", g.synthesis.channels)
        net = model.Generator(g.resolution, g.w_dim, len(g.mapping.layers))
        net.load_state_dict(rosinality.from_generator(g))
        net.eval().requires_grad_(False)
        return Render(
            lambda z: net([z], randomize_noise=False)[0],
            lambda ws: net([ws], input_is_latent=True, randomize_noise=False)[0],
        )


class Nvidia:
    """NVlabs/stylegan2-ada-pytorch. On a CPU it takes its reference operations, in float32."""

    def __init__(self, folder: Path):
        sys.path.insert(0, str(folder))

    def generator(self, g: Generator) -> Render:
        """Their generator with our weights, in eval mode (where it fuses modulation and convolution)."""
        net = self._their_generator(g).eval().requires_grad_(False)
        return Render(lambda z: net(z, None, noise_mode="const"), lambda ws: net.synthesis(ws, noise_mode="const"))

    def _their_generator(self, g: Generator) -> nn.Module:
        net = importlib.import_module("training.networks").Generator(
            g.z_dim, 0, g.w_dim, g.resolution, 3,
            mapping_kwargs={"num_layers": len(g.mapping.layers)},
            synthesis_kwargs=_base_and_max(g.synthesis.channels),
        )  # fmt: skip
        return _fill(net, g.state_dict())

    def trainer(self, g: Generator, d: Discriminator, real: Tensor, config: TrainConfig) -> Callable[[int], None]:
        """Their losses, augmentation and optimiser settings, in the phases of their training loop (CUDA only there)."""
        net = self._their_generator(g).requires_grad_(False)
        networks, sizes = importlib.import_module("training.networks"), _base_and_max(d.channels)
        critic = networks.Discriminator(0, d.resolution, 3, **sizes, epilogue_kwargs={"mbstd_group_size": 4})
        _fill(critic, d.state_dict()).requires_grad_(False)
        average = copy.deepcopy(net).eval()
        augment = importlib.import_module("training.augment").AugmentPipe(**dict.fromkeys(BGC, 1))
        augment.p.fill_(config.augment_p)
        loss = importlib.import_module("training.loss").StyleGAN2Loss(
            torch.device("cpu"), net.mapping, net.synthesis, critic, augment, config.style_mixing, config.r1_gamma,
            config.pl_batch_shrink, pl_weight=config.pl_weight,
        )  # fmt: skip
        adam = {net: _adam(net, config.lr, config.pl_interval)}
        adam[critic] = _adam(critic, config.lr, config.r1_interval)
        phases = [("Gmain", net, 1), ("Greg", net, config.pl_interval)]
        phases += [("Dmain", critic, 1), ("Dreg", critic, config.r1_interval)]
        labels = torch.empty(len(real), 0)
        steps = itertools.count()

        def run(iterations: int) -> None:
            for step in itertools.islice(steps, iterations):
                images = real.float() / 127.5 - 1
                for name, module, interval in (phase for phase in phases if step % phase[2] == 0):
                    z = torch.randn(len(real), g.z_dim)
                    module.requires_grad_(True)
                    adam[module].zero_grad(set_to_none=True)
                    loss.accumulate_gradients(name, images, labels, z, labels, True, interval)
                    module.requires_grad_(False)
                    for grad in (p.grad for p in module.parameters() if p.grad is not None):
                        torch.nan_to_num(grad, nan=0, posinf=1e5, neginf=-1e5, out=grad)
                    adam[module].step()
                for a, b in zip(average.parameters(), net.parameters(), strict=True):  # one by one, as there
                    a.lerp_(b, 0.001)

        return run


def _adam(module: nn.Module, lr: float, interval: int) -> torch.optim.Adam:
    """Corrected for one extra, regularising step every `interval` iterations."""
    c = interval / (interval + 1)
    return torch.optim.Adam(module.parameters(), lr=lr * c, betas=(0.0, 0.99**c), eps=1e-8)


def _base_and_max(channels: dict[int, int]) -> dict[str, int]:
    """Widths min(base / r, max) by their two numbers."""
    largest = max(channels)
    return {"channel_base": channels[largest] * largest, "channel_max": max(channels.values())}


@torch.no_grad()
def _fill(net: nn.Module, ours: dict[str, Tensor]) -> nn.Module:
    """Copy our numbers into their network; nothing but its filters may be left over, on either side."""
    state = net.state_dict().items()
    theirs = {to_our_name(name): tensor for name, tensor in state if not name.endswith("resample_filter")}
    if theirs.keys() != ours.keys():
        raise ValueError(f"names differ: {sorted(theirs.keys() ^ ours.keys())[:6]}")
    for name, tensor in theirs.items():
        tensor.copy_(ours[name].reshape(tensor.shape))
    return net


def import_with_widths(file: Path, name: str, widths: Mapping[int, int]) -> types.ModuleType:
    """Import a file under a name, its literal table {4: ..., 8: ..., ...} of widths per resolution replaced.

    Raises ImportError where the file holds no such table.
    """
    text, replaced = re.subn(r"\{\s*4:\s[^{}]*?\b8:\s[^{}]*\}", repr(dict(widths)), file.read_text(encoding="utf-8"))
    if not replaced:
        raise ImportError(f"{file.name} holds no table of widths per resolution")
    module = types.ModuleType(name)
    module.__file__ = str(file)
    sys.modules[name] = module
    exec(compile(text, file.name, "exec"), module.__dict__)
    return module


# kind -> class, and files that no other peer has under these names: a wrong folder shows before anything is measured
PEERS = {
    "rosinality": (Rosinality, ("model.py", "non_leaking.py", "swagan.py")),
    "cartoon": (Rosinality, ("model.py", "non_leaking.py", "run_optimization.py")),
    "nvidia": (Nvidia, ("training/networks.py", "torch_utils/persistence.py")),
}


def peer(text: str) -> tuple[str, Path]:
    """ "nvidia=DIR" -> ("nvidia", Path). ArgumentTypeError for an unknown peer or a folder that is not its checkout."""
    name, _, folder = text.partition("=")
    path = Path(folder).expanduser().resolve()
    if not folder:
        problem = f"expected NAME=DIR, NAME one of {', '.join(PEERS)}"
    elif name not in PEERS:
        problem = f"unknown peer {name!r}; there are {', '.join(PEERS)}"
    elif not path.is_dir():
        problem = "there is no such folder"
    elif missing := [file for file in PEERS[name][1] if not (path / file).is_file()]:
        problem = f"not a checkout of {name}, it lacks {', '.join(missing)}"
    else:
        return name, path
    raise argparse.ArgumentTypeError(f"{text}: {problem}")
