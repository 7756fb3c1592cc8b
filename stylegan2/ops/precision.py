"""Where a lower precision must not be used."""

import torch
from torch import Tensor


def upcast(x: Tensor) -> Tensor:
    """float16 and bfloat16 to float32; float32 and float64 as they are (float64 serves gradient checks)."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
