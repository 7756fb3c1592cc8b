"""What the formats share: networks without their first random weights, parts of a file, plain values."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from stylegan2.files import CheckpointError, few

PARTS = ("g_ema", "g", "d")
PLAIN = (type(None), bool, int, float, str, Tensor)


class blank(TorchFunctionMode):
    """Within `with blank():` torch.randn leaves memory as it is: quick, and no random generator moves.

    (PyTorch's "meta" device would do the same, but its first use imports a second's worth of modules.)
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return (torch.empty if func is torch.randn else func)(*args, **(kwargs or {}))


def low_pass(gain: float = 1.0) -> Tensor:
    """The filter [1, 3, 3, 1] in x and y as their files hold it, summing to `gain`: [4, 4]."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(taps, taps) * (gain / taps.sum() ** 2)


def check_low_pass(name: str, kernel: Tensor, expected: Tensor) -> None:
    """Raises CheckpointError for a model that was made with another filter."""
    if kernel.shape != expected.shape or not torch.allclose(kernel.float(), expected, atol=1e-3):
        raise CheckpointError(f"{name} is not the low-pass filter [1, 3, 3, 1] that this package uses")


def networks(content: dict, parts: tuple[str, ...], to_generator: Callable, to_discriminator: Callable) -> dict:
    """The networks of a file's state dicts, by part. Raises CheckpointError: which entries do not fit."""
    if "g_ema" not in content:
        raise CheckpointError(f"'g_ema', the averaged generator, is missing; there are {few(list(content))}")
    loaded = {}
    for part in parts:
        if content.get(part) is None and part != "g_ema":
            continue
        state = entry(content, part)
        if not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
            raise CheckpointError(f"{part!r} must map names to tensors")
        try:
            loaded[part] = (to_discriminator if part == "d" else to_generator)(state)
        except ValueError as error:
            raise CheckpointError(f"{part!r}: {error}") from error
    return loaded


def entry(content: dict, key: str) -> dict:
    """An entry that must be a dict, {} where there is none."""
    value = content.get(key, {})
    if not isinstance(value, Mapping):
        raise CheckpointError(f"{key!r} must be a dict, is a {type(value).__name__}")
    return dict(value)


def plain(value: Any, where: str) -> Any:
    """`value` with plain containers, or a TypeError that names the first thing which could not be read back safely."""
    if isinstance(value, Mapping):
        return {plain(k, f"a key of {where}"): plain(v, f"{where}[{k!r}]") for k, v in value.items()}
    if type(value) in (list, tuple):
        return type(value)(plain(v, f"{where}[{i}]") for i, v in enumerate(value))
    if type(value) in PLAIN:
        return value
    raise TypeError(f"{where} is a {type(value).__name__}: save plain values, lists, dicts and tensors only")


def is_json(value: Any) -> bool:
    """Does it hold plain values only, no tensors?"""
    if isinstance(value, dict):
        return all(isinstance(k, str) and is_json(v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return all(is_json(v) for v in value)
    return isinstance(value, PLAIN) and not isinstance(value, Tensor)
