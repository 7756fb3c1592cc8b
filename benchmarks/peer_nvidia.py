"""NVlabs/stylegan2-ada-pytorch, driven through the interface of `ours.Ours`.

It computes with its own code as it ships; here is only what its own scripts would do around it. Its training loop
cannot run without CUDA, so the phases of an iteration are called here.
"""

from __future__ import annotations

import copy
import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks import stubs
from benchmarks.ours import Drawing, Schedule
from stylegan2.checkpoints.nvidia import to_their_name
from stylegan2.networks import Discriminator, Generator

# the transforms of the pipeline "bgc", by the names of its arguments
BGC = ("xflip", "rotate90", "xint", "scale", "rotate", "aniso", "xfrac")
BGC += ("brightness", "contrast", "lumaflip", "hue", "saturation")


class Nvidia:
    """NVlabs/stylegan2-ada-pytorch; arguments as for `Rosinality`. On a CPU it takes its reference operations.

    precision: "mixed" is its default for training, float16 in the four highest resolutions (CUDA only).
    """

    def __init__(self, folder: Path, device: torch.device, precision: str = "float32"):
        if precision != "float32" and device.type != "cuda":
            raise ValueError("it has lower precision on CUDA only")
        self.device, self.notes = device, []
        self.precision = {"num_fp16_res": 4, "conv_clamp": 256} if precision != "float32" else {}
        stubs.missing_packages()
        sys.path.insert(0, str(folder))

    def generator(self, g: Generator) -> Drawing:
        """Their generator with our weights, in eval mode (where it fuses modulation and convolution)."""
        net = self._their_generator(g).eval().requires_grad_(False)
        return Drawing(
            lambda z: net(z, None, noise_mode="const"),
            lambda ws: net.synthesis(ws, noise_mode="const"),
        )

    def _their_generator(self, g: Generator) -> nn.Module:
        networks = importlib.import_module("training.networks")
        net = networks.Generator(
            g.z_dim, 0, g.w_dim, g.resolution, 3,
            mapping_kwargs={"num_layers": len(g.mapping.layers)},
            synthesis_kwargs={**_base_and_max(g.synthesis.channels), **self.precision},
        )  # fmt: skip
        _fill(net, g.state_dict())
        return net.to(self.device)

    def _their_discriminator(self, d: Discriminator) -> nn.Module:
        networks = importlib.import_module("training.networks")
        sizes = _base_and_max(d.channels)
        group = {"mbstd_group_size": 4}
        net = networks.Discriminator(0, d.resolution, 3, **sizes, **self.precision, epilogue_kwargs=group)
        _fill(net, {f"b{d.resolution}.{k}" if k.startswith("from_rgb") else k: v for k, v in d.state_dict().items()})
        return net.to(self.device)

    def trainer(self, g: Generator, d: Discriminator, real: Tensor, schedule: Schedule) -> Callable[[int], None]:
        """Their losses, augmentation and optimiser settings, in the phases of their training loop (CUDA only there)."""
        net, critic = self._their_generator(g).requires_grad_(False), self._their_discriminator(d).requires_grad_(False)
        average, misc = copy.deepcopy(net).eval(), importlib.import_module("torch_utils.misc")
        augment = importlib.import_module("training.augment").AugmentPipe(**dict.fromkeys(BGC, 1)).to(self.device)
        augment.p.fill_(schedule.augment_p)
        loss = importlib.import_module("training.loss").StyleGAN2Loss(
            self.device, net.mapping, net.synthesis, critic, augment, schedule.style_mixing, schedule.r1_gamma,
            schedule.pl_batch_shrink, pl_weight=schedule.pl_weight,
        )  # fmt: skip
        adam = {
            module: torch.optim.Adam(module.parameters(), lr=schedule.lr * c, betas=(0.0, 0.99**c), eps=1e-8)
            for module, c in ((net, schedule.g_ratio), (critic, schedule.d_ratio))
        }
        phases = [
            ("Gmain", net, 1),
            ("Greg", net, schedule.pl_interval),
            ("Dmain", critic, 1),
            ("Dreg", critic, schedule.r1_interval),
        ]
        labels = torch.empty(len(real), 0, device=self.device)
        step = 0

        def run(iterations: int) -> None:
            nonlocal step
            for _ in range(iterations):
                images = real.to(self.device).float() / 127.5 - 1
                for name, module, interval in phases:
                    if step % interval == 0:
                        z = torch.randn(len(real), g.z_dim, device=self.device)
                        module.requires_grad_(True)
                        adam[module].zero_grad(set_to_none=True)
                        loss.accumulate_gradients(name, images, labels, z, labels, True, interval)
                        module.requires_grad_(False)
                        for p in module.parameters():
                            if p.grad is not None:
                                misc.nan_to_num(p.grad, nan=0, posinf=1e5, neginf=-1e5, out=p.grad)
                        adam[module].step()
                _average(average, net, schedule.ema_beta)
                step += 1

        return run


@torch.no_grad()
def _average(average: nn.Module, model: nn.Module, beta: float) -> None:
    """One parameter after the other, as there, but in place."""
    for a, b in zip(average.parameters(), model.parameters(), strict=True):
        a.lerp_(b, 1 - beta)
    for a, b in zip(average.buffers(), model.buffers(), strict=True):
        a.copy_(b)


def _base_and_max(channels: dict[int, int]) -> dict[str, int]:
    """Widths min(base / r, max) by their two numbers."""
    largest = max(channels)
    return {"channel_base": channels[largest] * largest, "channel_max": max(channels.values())}


@torch.no_grad()
def _fill(net: nn.Module, ours: dict[str, Tensor]) -> None:
    """Copy our numbers into their network; nothing but its filters may be left over, on either side."""
    theirs = {name: tensor for name, tensor in net.state_dict().items() if not name.endswith("resample_filter")}
    numbers = {to_their_name(name): tensor for name, tensor in ours.items()}
    if theirs.keys() != numbers.keys():
        raise ValueError(f"names differ: {sorted(theirs.keys() ^ numbers.keys())[:6]}")
    for name, tensor in theirs.items():
        tensor.copy_(numbers[name].reshape(tensor.shape))
