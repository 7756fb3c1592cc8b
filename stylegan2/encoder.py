"""The in-domain encoder (arXiv 2004.00049): the discriminator's residual blocks, read out as codes."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from stylegan2.discriminator import ResidualBlocks
from stylegan2.layers import normal_kernels
from stylegan2.networks import MappingNetwork


class Encoder(ResidualBlocks):
    """Image -> one code per layer, W+: residual blocks (see there for resolution and channels), then one 4x4 filter.

    num_ws, w_dim: of the generator whose codes it gives. psi: its output e stands for mean + psi * (e - mean); with psi
    other than 1 it needs that mean, see `around`.
    """

    def __init__(
        self, resolution: int, num_ws: int, w_dim: int = 512, channels: Mapping[int, int] | None = None, psi=1.0
    ):
        super().__init__(resolution, channels)
        self.num_ws, self.w_dim, self.psi = num_ws, w_dim, psi
        self.register_buffer("mean_ws", None, persistent=False)
        self.head = normal_kernels(num_ws * w_dim, self.channels[4], 4)

    def around(self, mapping: MappingNetwork) -> "Encoder":
        """Take the mean w of the generator whose codes it gives; itself. Raises ValueError for another mapping."""
        if mapping.mean_ws.shape != (self.num_ws, self.w_dim):
            sizes = f"[{self.num_ws}, {self.w_dim}]"
            raise ValueError(f"the mapping's mean is {list(mapping.mean_ws.shape)}, this encoder's codes are {sizes}")
        self.mean_ws = mapping.mean_ws.detach().to(self.head.device, copy=True)
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Codes to be rendered as they are: [N, 3, R, R] in [-1, 1] -> ws [N, num_ws, w_dim] (float32).

        Raises ValueError: images of another size, or psi is not 1 and `around` was not called.
        """
        if self.psi != 1 and self.mean_ws is None:
            raise ValueError(f"this encoder's codes hold for psi {self.psi:g}: call encoder.around(g.mapping) first")
        filters = self.head.flatten(1)  # [num_ws * w_dim, C * 16]
        w = F.linear(self.features(images).flatten(1), filters / math.sqrt(filters.shape[1]))
        ws = w.unflatten(1, (self.num_ws, self.w_dim))
        return ws if self.psi == 1 else torch.lerp(self.mean_ws.expand_as(ws), ws, self.psi)
