"""How far do gradients in float16 and bfloat16 lie from those in float32? Of G's loss, for the shipped source.

    python -m benchmarks.precision [--size 64 | 256]

64: the shipped networks. 256: config-f with random weights (on a CPU without float16 that takes ten minutes). The loss
is also made 64 and 1,024 times smaller, as for larger batches: what is lost in float16 then, a loss scale would save.
"""

from __future__ import annotations

import argparse

import torch

from benchmarks.worker import ROOT
from stylegan2 import checkpoints
from stylegan2.losses import generator_loss
from stylegan2.networks import build

CASES = [(torch.float16, 1), (torch.float16, 64), (torch.float16, 1024), (torch.bfloat16, 1)]


def main() -> None:
    """Print relative error and cosine of all gradients together, and the worst cosine of a parameter."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, choices=(64, 256), default=64)
    if parser.parse_args().size == 64:
        found = checkpoints.load(ROOT / "checkpoints" / "pocket" / "photo.pt")
        g, d = found.g_ema, found.d
    else:
        g, d = build(256, "config-f", seed=0)
    g.requires_grad_(True)
    d.requires_grad_(False)
    z = torch.randn(2, g.z_dim, generator=torch.Generator().manual_seed(0))
    noise = g.synthesis.draw_noise(2, torch.Generator().manual_seed(1))

    def gradients(dtype: torch.dtype, smaller: int) -> list[torch.Tensor]:
        g.synthesis.compute_dtype = d.compute_dtype = dtype
        loss = generator_loss(d(g.synthesis(g.mapping(z), noise))) / smaller
        return [x.double() * smaller for x in torch.autograd.grad(loss, list(g.parameters()))]

    exact = gradients(torch.float32, 1)
    whole = torch.cat([x.flatten() for x in exact])
    for dtype, smaller in CASES:
        rough = gradients(dtype, smaller)
        together = torch.cat([x.flatten() for x in rough])
        error = (together - whole).norm() / whole.norm()
        pairs = [(a.flatten(), b.flatten()) for a, b in zip(rough, exact, strict=True) if b.numel() > 1 and b.any()]
        worst = min(torch.cosine_similarity(a, b, dim=0).item() for a, b in pairs)
        print(
            f"{str(dtype)[6:]:9} loss / {smaller:<5} relative error {error:.3f}, worst cosine of a tensor {worst:.4f}"
        )


if __name__ == "__main__":
    main()
