"""Bias followed by a leaky ReLU that keeps the signal's magnitude (StyleGAN2, arXiv 1912.04958, appendix B)."""

import math

from torch import Tensor
from torch.nn import functional as F

SLOPE = 0.2
GAIN = math.sqrt(2)  # a leaky ReLU roughly halves the variance of a normal input; this gives it back


def bias_act(x: Tensor, bias: Tensor, gain: float = GAIN) -> Tensor:
    """leaky_relu(x + bias) * gain, with slope 0.2.

    Args:
        x: activations [N, C] or [N, C, H, W].
        bias: one number per channel [C].
        gain: what the result is multiplied with.
    """
    bias = bias.to(x.dtype).reshape(1, -1, *[1] * (x.ndim - 2))  # [1, C, 1, 1]
    return F.leaky_relu(x + bias, SLOPE) * gain
