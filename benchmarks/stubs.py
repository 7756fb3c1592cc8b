"""What lets other people's checkouts import and run here. Only what would stop them is replaced, never what is timed.

Their code is imported from the folder it lies in and none of it is kept in this repository. Everything below acts on
the process it is called in: a worker that measures one contestant and ends.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
import types
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from torch.nn import functional as F

PHOTO_ENDINGS = (".jpg", ".jpeg", ".png")


def stub(name: str, **contents) -> types.ModuleType:
    """A module of that name with these contents, unless the real one is installed; parents are made as needed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        module = types.ModuleType(name)
        module.__dict__.update(contents)
        sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(stub(parent), child, module)
    return module


def no_compiler() -> None:
    """Importing rosinality's `op` compiles CUDA kernels. Without that, its own CPU path is what runs on a CPU."""
    import torch.utils.cpp_extension

    torch.utils.cpp_extension.load = lambda *args, **options: None


def missing_packages() -> None:
    """Packages that are imported at the top of a file and do nothing for what is measured (or very little)."""
    stub("nsml", report=lambda **values: None)
    stub("click")
    stub("requests")
    stub("scipy.signal", convolve=_convolve_rows)  # once, when the augmentation is set up
    stub("distutils.util", strtobool=lambda text: text.lower() in ("1", "true", "yes", "on", "y", "t"))


def _convolve_rows(a, b) -> np.ndarray:
    """Full 2-D convolution with a kernel of one row."""
    (kernel,) = b
    return np.stack([np.convolve(row, kernel) for row in np.asarray(a)])


def torchvision() -> bool:
    """The few parts of torchvision that are used, by Pillow, where it is not installed; returns whether it was not."""
    if importlib.util.find_spec("torchvision"):
        return False
    stub("torchvision.transforms.functional", resize=_resize, center_crop=_center_crop)
    stub("torchvision.datasets", ImageFolder=_ImageFolder)
    stub("torchvision.utils")
    return True


def _resize(image: Image.Image, size: int, resample: Image.Resampling) -> Image.Image:
    """The shorter side becomes `size`."""
    scale = size / min(image.size)
    return image.resize((max(size, int(image.width * scale)), max(size, int(image.height * scale))), resample)


def _center_crop(image: Image.Image, size: int) -> Image.Image:
    left, top = round((image.width - size) / 2), round((image.height - size) / 2)
    return image.crop((left, top, left + size, top + size))


class _ImageFolder:
    """One folder per class; `imgs` lists (path, number of the class)."""

    def __init__(self, root: str):
        classes = sorted(path for path in Path(root).iterdir() if path.is_dir())
        self.imgs = [
            (str(file), number)
            for number, folder in enumerate(classes)
            for file in sorted(folder.rglob("*"))
            if file.suffix.lower() in PHOTO_ENDINGS
        ]


def plain_grid_sample(module: types.ModuleType) -> None:
    """Their twice differentiable sampling calls an internal of old PyTorch; today's own is twice differentiable."""
    module.grid_sample = lambda images, grid: F.grid_sample(images, grid, align_corners=False)


# ------------------------------------------------------------------------------------------------- widths as we like


class _Widths(ast.NodeTransformer):
    """Replaces a literal table {4: ..., 8: ..., 16: ...} of widths per resolution."""

    def __init__(self, widths: Mapping[int, int]):
        self.widths, self.found = widths, 0

    def visit_Dict(self, node: ast.Dict) -> ast.AST:
        keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
        if keys[:3] != [4, 8, 16]:
            return self.generic_visit(node)
        self.found += 1
        table = ast.Constant(0) if not self.widths else ast.parse(repr(dict(self.widths)), mode="eval").body
        return ast.copy_location(table, node)


def import_with_widths(file: Path, name: str, widths: Mapping[int, int]) -> types.ModuleType:
    """Import a file under a name, its hard-wired tables of widths per resolution replaced while it is compiled.

    Raises ImportError where the file holds no such table.
    """
    replace = _Widths(widths)
    tree = ast.fix_missing_locations(replace.visit(ast.parse(file.read_text())))
    if not replace.found:
        raise ImportError(f"{file.name} holds no table of widths per resolution")
    module = types.ModuleType(name)
    module.__file__ = str(file)
    sys.modules[name] = module
    exec(compile(tree, file.name, "exec"), module.__dict__)
    return module
