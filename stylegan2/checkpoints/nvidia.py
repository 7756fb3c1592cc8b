"""NVIDIA's pickles of StyleGAN2-ADA-PyTorch, read without running any of the code that they carry.

Such a file is a dict of networks ("G", "D", "G_ema"). Each is pickled as a call of a function of theirs, with the
source code of its class as an argument, which their own loader executes. Here that call makes a plain record, and the
numbers are read off it: pickle may only name what is in `ALLOWED`, and of that only numbers and containers are made.

Their names are nearly ours, and no array is transposed.
"""

from __future__ import annotations

import collections
import io
import pickle
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylegan2.checkpoints import ours
from stylegan2.checkpoints.parts import check_low_pass, is_json, low_pass, networks
from stylegan2.files import EXPECTED, CheckpointError, few, reason
from stylegan2.networks import Discriminator, Generator

PARTS = {"g_ema": "G_ema", "g": "G", "d": "D"}  # our names of the networks, and theirs
MAKER = b"torch_utils.persistence"  # stands near the beginning of every such file
NAMES = (  # theirs -> ours
    (r"^mapping\.fc(\d+)", r"mapping.layers.\1"),
    (r"^mapping\.w_avg$", "mapping.w_mean"),
    (r"^synthesis\.b(\d+)", r"synthesis.blocks.\1"),
    (r"\.torgb\.", ".to_rgb."),
    (r"^b\d+\.fromrgb\.", "from_rgb."),
    (r"^b4\.", "head."),
    (r"^b(\d+)", r"blocks.\1"),
)


def to_our_name(name: str) -> str:
    """Of a parameter or buffer."""
    for theirs, ours_ in NAMES:
        name = re.sub(theirs, ours_, name)
    return name


# ---------------------------------------------------------------------------------------------------------- the pickle
class Record(dict):
    """What stands where they have an object: its entries, no methods, no code."""


def _persistent(meta: Mapping[str, Any]) -> Record:
    """Instead of `_reconstruct_persistent_obj`: the state of the object, without its source code."""
    state = meta.get("state") if isinstance(meta, dict) else None
    if not isinstance(state, dict):
        raise pickle.UnpicklingError("an object without a state")
    return Record(state)


def _numbers_of_storage(data: bytes) -> Tensor:
    """Instead of `torch.storage._load_from_bytes`, which would unpickle anything: all the numbers in a row."""
    storage = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return torch.empty(0, dtype=storage.dtype).set_(storage._untyped_storage)


def rebuilt(numbers: Tensor, offset: int, size: tuple, stride: tuple, *rest: Any) -> Tensor:
    """Instead of `torch._utils._rebuild_tensor_v2`: the same without hooks, and never beyond the numbers."""
    return numbers.as_strided(size, stride, offset)


def _bytes(text: str, encoding: str) -> bytes:
    """Instead of `_codecs.encode`, by which protocol 2 writes bytes: that encoding and no other."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in the encoding {encoding!r}")
    return text.encode("latin1")


class _Unread:
    """Instead of NumPy's arrays, which StyleGAN3's layers keep their sizes in: nothing of them is needed."""

    def __init__(self, *made_of: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        pass


ALLOWED: dict[tuple[str, str], Callable] = {
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _persistent,
    ("dnnlib.util", "EasyDict"): Record,
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("builtins", "set"): set,  # every module of PyTorch holds one; up to protocol 3 it is written as a call
    ("__builtin__", "set"): set,
    ("_codecs", "encode"): _bytes,
    ("torch._utils", "_rebuild_tensor_v2"): rebuilt,
    ("torch._utils", "_rebuild_parameter"): lambda data, *rest: data,
    ("torch.storage", "_load_from_bytes"): _numbers_of_storage,
    ("numpy", "dtype"): np.dtype,
    ("numpy", "ndarray"): _Unread,
    ("numpy.core.multiarray", "_reconstruct"): _Unread,
    ("numpy._core.multiarray", "_reconstruct"): _Unread,
    ("numpy.core.multiarray", "scalar"): np._core.multiarray.scalar,
    ("numpy._core.multiarray", "scalar"): np._core.multiarray.scalar,
}


def fresh(allowed: Any) -> Any:
    """A class or function of ours as a new one: a pickle may set attributes of what it names, for all later reads."""
    if isinstance(allowed, FunctionType):
        return lambda *args: allowed(*args)
    own = isinstance(allowed, type) and allowed.__module__.startswith("stylegan2.")
    return type(allowed.__name__, (allowed,), {}) if own else allowed


class Reader(pickle.Unpickler):
    """Makes numbers and containers, and refuses by name whatever is not in `allowed`."""

    allowed = ALLOWED

    def find_class(self, module: str, name: str) -> Callable:
        if (module, name) not in self.allowed:
            raise CheckpointError(f"holds Python objects or code ({module}.{name}): refused, nothing was run")
        return fresh(self.allowed[module, name])

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("refers to something outside of the file")


def looks_like(path: Path) -> bool:
    """Does the file begin as their pickles do?"""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(65536)
    return head.startswith(b"\x80") and MAKER in head


def unpickled(load: Callable[[], Any], path: Path, what: str) -> Any:
    """What `load` makes of a file with a `Reader`; whatever it raises becomes a CheckpointError that names the file."""
    try:
        return load()
    except CheckpointError as error:
        raise CheckpointError(f"'{path}' {error}") from error
    except Exception as error:  # a damaged pickle may raise anything
        raise CheckpointError(f"'{path}' is a damaged or truncated {what} ({reason(error)}): fetch it again") from error


def read(path: Path) -> dict[str, Any]:
    """The file's entries, networks as `Record`; nothing in it is executed.

    Raises CheckpointError: damaged, or with anything in it but what such files hold.
    """
    with path.open("rb") as file:
        content = unpickled(Reader(file).load, path, "NVIDIA pickle")
    if not isinstance(content, dict) or not isinstance(content.get("G_ema"), Record):
        raise CheckpointError(f"'{path}' is an NVIDIA pickle without 'G_ema', the averaged generator; {EXPECTED}")
    return content


def unpack(content: dict, parts: tuple[str, ...]) -> dict[str, Any]:
    """A file's content -> what `Checkpoint` takes. Raises CheckpointError: which entries do not fit."""
    states = {part: state_of(content[PARTS[part]]) for part in parts if isinstance(content.get(PARTS[part]), Record)}
    loaded = networks(states, parts, to_generator, to_discriminator)
    trained_on = content.get("training_set_kwargs")
    info = {"training_set": dict(trained_on)} if isinstance(trained_on, dict) and is_json(trained_on) else {}
    return loaded | {"info": {"format": "nvidia"} | info}


def state_of(network: Record) -> dict[str, Tensor]:
    """Parameters and buffers of a network by their names, as its own `state_dict` would give them, and "conv_clamp".

    That is the bound of its layers' activations, where they have one: 256 in their default training.
    Raises CheckpointError for a record that is no network.
    """
    try:
        modules = list(_modules(network, ""))
        layers = [module for path, module in modules if path.split(".")[-2:-1] != ["skip"]]  # of a residual block: none
        clamps = {None if m["conv_clamp"] is None else float(m["conv_clamp"]) for m in layers if "conv_clamp" in m}
        tensors = {
            f"{path}{name}": tensor
            for path, module in modules
            for name, tensor in {**module["_parameters"], **module["_buffers"]}.items()
            if tensor is not None
        }
    except (TypeError, ValueError, AttributeError, KeyError, RecursionError) as error:
        raise CheckpointError(f"its networks are not what PyTorch makes ({type(error).__name__}: {error})") from error
    if len(clamps) > 1:
        raise CheckpointError(f"its layers differ in conv_clamp ({few(sorted(map(str, clamps)))}), expected one")
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor):
            raise CheckpointError(f"{name} is a {type(tensor).__name__}, expected a tensor")
    clamp = clamps.pop() if clamps else None
    return tensors if clamp is None else tensors | {"conv_clamp": torch.tensor(clamp)}


def _modules(module: Record, path: str) -> Iterator[tuple[str, Record]]:
    """A network's modules by their paths, each with a point behind; itself first."""
    yield path, module
    for name, child in module["_modules"].items():
        yield from _modules(child, f"{path}{name}.")


# ------------------------------------------------------------------------------------------------------------ networks
def to_generator(theirs: Mapping[str, Tensor]) -> Generator:
    """Their state dict -> our G on the CPU, sizes read off the tensors. Raises CheckpointError: does not fit."""
    _check_architecture(theirs)
    return ours.to_generator(_numbers(theirs, clamp="synthesis.clamp"))


def to_discriminator(theirs: Mapping[str, Tensor]) -> Discriminator:
    """Their state dict -> our D on the CPU. Raises CheckpointError where it does not fit."""
    _check_architecture(theirs)
    return ours.to_discriminator(_numbers(theirs, clamp="clamp"))


def _check_architecture(theirs: Mapping[str, Tensor]) -> None:
    """Raises CheckpointError for a model of the same code that this package does not build, by what it has or lacks."""
    if any(re.match(r"synthesis\.L\d+", name) for name in theirs):
        raise CheckpointError("a StyleGAN3 generator: this package reads StyleGAN2's")
    generator = any(name.startswith("synthesis.") for name in theirs)
    if any(name.startswith("mapping.embed" if generator else "mapping.") for name in theirs):
        raise CheckpointError("a model with classes (conditional): this package reads those without")
    blocks, with_colours, with_skips = (
        {match[1] for match in (re.search(rf"(?:^|\.)b(\d+)\.{part}", name) for name in theirs) if match}
        for part in ("", r"(?:torgb|fromrgb)\.", r"skip\.weight")
    )
    usual = "skip" if generator else "resnet"
    kind = "resnet" if with_skips else "orig" if len(with_colours) == 1 else "skip"
    if len(blocks) > 1 and with_colours and kind != usual:
        which = "generator" if generator else "discriminator"
        raise CheckpointError(f"a {which} of the architecture '{kind}': this package reads '{usual}', the usual one")


def _numbers(theirs: Mapping[str, Tensor], clamp: str) -> dict[str, Tensor]:
    """By our names (`clamp`: that of "conv_clamp"), without the low-pass filters, which must be the usual ones."""
    numbers = {}
    for name, tensor in theirs.items():
        if name == "conv_clamp":
            numbers[clamp] = tensor
        elif name.endswith("resample_filter"):
            check_low_pass(name, tensor, low_pass())
        else:
            missing = 4 - tensor.ndim if name.endswith((".const", ".noise_const")) else 0  # axes: batch, and channel
            numbers[to_our_name(name)] = tensor.float()[(None,) * missing]
    return numbers
