"""TorchScript archives, such as OpenAI's files of CLIP: their numbers, without running the program that they hold.

Such a zip holds the module as a pickle (`data.pkl`), its numbers in `data/`, and the program in `code/`, which is not
read. Every module in the pickle, an object of a class of that program, becomes a plain record.
"""

from __future__ import annotations

import collections
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan2.checkpoints.nvidia import Reader, Record, fresh, rebuilt, unpickled
from stylegan2.files import CheckpointError, zip_names

MOST = 100_000  # modules of an archive
PROGRAM = "/constants.pkl"  # is in every TorchScript archive, and in no file of `torch.save`
STORAGES = ("Half", "BFloat16", "Float", "Double", "Long", "Int", "Bool")  # of numbers of these types


class _Module(Record):
    def __setstate__(self, state: dict[str, Any]) -> None:
        self.update(state)


class _ArchiveReader(Reader):
    allowed = {
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): rebuilt,
        ("torch.jit._pickle", "build_intlist"): list,  # settings of modules, which are not used
        ("torch.jit._pickle", "build_doublelist"): list,
        ("torch.jit._pickle", "restore_type_tag"): lambda value, tag: value,
    } | {("torch", f"{name}Storage"): getattr(torch, name.lower()) for name in STORAGES}

    def __init__(self, archive: zipfile.ZipFile, folder: str):
        super().__init__(archive.open(f"{folder}/data.pkl"))
        self.archive, self.folder = archive, folder
        self.numbers: dict[str, Tensor] = {}

    def find_class(self, module: str, name: str) -> Callable:
        return fresh(_Module) if module.split(".")[0] == "__torch__" else super().find_class(module, name)

    def persistent_load(self, pid: Any) -> Tensor:
        """All the numbers of a storage, in a row, on the CPU."""
        _, dtype, key, _, _ = pid
        if key not in self.numbers:
            entry = self.archive.getinfo(f"{self.folder}/data/{key}")
            if entry.compress_type != zipfile.ZIP_STORED:  # PyTorch writes them as they are
                raise ValueError("compressed numbers")
            held = bytearray(self.archive.read(entry))
            self.numbers[key] = torch.frombuffer(held, dtype=dtype) if held else torch.empty(0, dtype=dtype)
        return self.numbers[key]


def looks_like(path: Path) -> bool:
    """Is it a TorchScript archive?"""
    return any(name.endswith(PROGRAM) for name in zip_names(path) or ())


def read(path: Path) -> dict[str, Tensor]:
    """Parameters and buffers by their names, on the CPU, as its `state_dict` would give them; nothing is executed.

    Raises CheckpointError: damaged, or with anything but modules and numbers in it.
    """

    def load() -> Any:
        with zipfile.ZipFile(path) as archive:
            folder = next(name for name in archive.namelist() if name.endswith(PROGRAM)).removesuffix(PROGRAM)
            return _ArchiveReader(archive, folder).load()

    module = unpickled(load, path, "TorchScript archive")
    if not isinstance(module, _Module):
        raise CheckpointError(f"'{path}' is a TorchScript archive of a {type(module).__name__}, expected a module")
    return dict(_walk(module, "", iter(range(MOST))))


def _walk(module: _Module, prefix: str, left: Iterator[int]) -> Iterator[tuple[str, Tensor]]:
    if next(left, None) is None or prefix.count(".") > 50:
        raise CheckpointError(f"'{prefix[:50]}...' lies too deep, or there are too many: modules that hold themselves")
    for name, value in module.items():
        if isinstance(value, _Module):
            yield from _walk(value, f"{prefix}{name}.", left)
        elif isinstance(value, Tensor):
            yield f"{prefix}{name}", value
