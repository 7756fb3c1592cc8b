"""Pickles with the structure of NVIDIA's, made without their code: what they call, as stand-ins that only pickle."""

from __future__ import annotations

import pickle
import sys
from collections import OrderedDict
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

SOURCE = "open('was_run', 'w').close()\nraise SystemExit('their source code was run')\n"


def _reconstruct_persistent_obj(meta):
    raise AssertionError("called by pickle: nothing of ours may do that")


class EasyDict(dict):
    """Theirs is a dict, too."""


def _pretend(function_or_class, module: str) -> None:
    """Let pickle find it in a module that is not there."""
    function_or_class.__module__ = module
    for i in range(1, module.count(".") + 2):
        name = ".".join(module.split(".")[:i])
        sys.modules.setdefault(name, ModuleType(name))
    setattr(sys.modules[module], function_or_class.__name__, function_or_class)


BOUNDED = ("conv0", "conv1", "conv", "torgb", "fromrgb")  # layers with a `conv_clamp`; that of "skip" is None


class Network:
    """A module as their pickles hold it: its state, and the source code of its class."""

    def __init__(self, name: str = "Generator", clamp: float | None = None, **own):
        self.name, self.clamp, self.own = name, clamp, own
        self.parameters, self.buffers, self.modules = OrderedDict(), OrderedDict(), OrderedDict()

    def child(self, name: str) -> Network:
        bounds = {name: self.clamp for name in BOUNDED} | {"skip": None}
        own = {"conv_clamp": bounds[name]} if name in bounds else {}
        return self.modules.setdefault(name, Network("Layer", self.clamp, **own))

    def put(self, name: str, tensor: Tensor) -> None:
        """An entry by its full name: noise images, filters and means are buffers, the rest parameters."""
        first, dot, rest = name.partition(".")
        if dot:
            return self.child(first).put(rest, tensor)
        is_buffer = name in ("noise_const", "resample_filter", "w_avg")
        (self.buffers if is_buffer else self.parameters)[name] = tensor if is_buffer else torch.nn.Parameter(tensor)

    def __reduce__(self):
        state = EasyDict(
            training=False, _parameters=self.parameters, _buffers=self.buffers, _modules=self.modules,
            _non_persistent_buffers_set=set(), _forward_hooks=OrderedDict(), _init_kwargs=EasyDict(z_dim=512),
            z_dim=512, **self.own,
        )  # fmt: skip
        meta = EasyDict(type="class", version=6, module_src=SOURCE, class_name=self.name, state=state)
        return _reconstruct_persistent_obj, (meta,)


def network(entries: dict[str, Tensor], clamp: float | None = None) -> Network:
    """Of a state dict by their names; `clamp` is what they call conv_clamp."""
    made = Network(clamp=clamp)
    for name, tensor in entries.items():
        made.put(name, tensor)
    return made


def dump(path: Path, content: dict, protocol: int = 4) -> Path:
    """Write it as they would. (The stand-ins are there for this moment only.)"""
    names = ("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util")
    before = {name: sys.modules.get(name) for name in names}
    try:
        _pretend(_reconstruct_persistent_obj, "torch_utils.persistence")
        _pretend(EasyDict, "dnnlib.util")
        path.write_bytes(pickle.dumps(content, protocol))
    finally:
        for name, module in before.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module
    return path
