"""Where a lower precision must not be used, and what float16 needs so as not to overflow."""

import torch
from torch import Tensor

LARGEST = 256.0  # of float16 activations (ADA, arXiv 2006.06676, implementation details); the type ends at 65,504
HALF_BLOCKS = 4  # resolutions, the highest, that compute in float16; below, maps are small and the gain is too


def upcast(x: Tensor) -> Tensor:
    """float16 and bfloat16 to float32; float32 and float64 as they are (float64 serves gradient checks)."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def dtype_at(resolution: int, highest: int, dtype: torch.dtype) -> torch.dtype:
    """Type of the convolutions of one resolution: float16 only at the `HALF_BLOCKS` highest ones, float32 below.

    bfloat16 has float32's range, and serves everywhere.
    """
    low = dtype == torch.float16 and resolution * 2**HALF_BLOCKS <= highest
    return torch.float32 if low else dtype


def bounded(x: Tensor, clamp: float | None = None) -> Tensor:
    """Activations within +-clamp; float16 ones never beyond +-`LARGEST`, others without a clamp as they are."""
    if x.dtype == torch.float16:
        clamp = LARGEST if clamp is None else min(clamp, LARGEST)
    return x if clamp is None else x.clamp(-clamp, clamp)


def tamed(weight: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
    """Weights [O, I, k, k] and styles [N, I] of about unit size, for a convolution in float16 that is demodulated.

    Demodulation takes out whatever factor an output feature's weights, or an image's styles, have in common.
    """
    weight = weight / (weight.abs().amax((1, 2, 3), keepdim=True) * weight[0].numel() ** 0.5).clamp_min(1e-12)
    return weight, style / style.abs().amax(1, keepdim=True).clamp_min(1e-12)
