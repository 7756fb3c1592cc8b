"""Networks without their first random weights, for weights that are about to be loaded."""

import torch
from torch.overrides import TorchFunctionMode


class blank(TorchFunctionMode):
    """Within `with blank():` torch.randn leaves memory as it is: quick, and no random generator moves.

    (PyTorch's "meta" device would do the same, but its first use imports a second's worth of modules.)
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return (torch.empty if func is torch.randn else func)(*args, **(kwargs or {}))
