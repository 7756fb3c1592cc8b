"""Networks that others trained, for full-scale measures: Inception, VGG, LPIPS, DINO.

Each needs a package (extra `full`) and a file of weights, which is fetched once into PyTorch's cache
(`torch.hub.get_dir()`), or taken from a folder that is named. All raise ImportError (no package), FileNotFoundError or
ConnectionError (no weights), and ValueError (other weights).
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from stylegan2 import files
from stylegan2.published.fetch import Published, Where
from stylegan2.runtime import pick_device

Extractor = Callable[[Tensor], Tensor]  # uint8 images [N, 3, H, W] -> features [N, F]
Distance = Callable[[Tensor, Tensor], Tensor]  # images [N, 3, H, W] in [-1, 1], twice -> [N]

FIDELITY, LPIPS, TIMM = "torch-fidelity>=0.4,<0.5", "lpips>=0.1.4", "timm>=1.0"
INCEPTION = Published(
    "weights-inception-2015-12-05-6726825d.pth",
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    megabytes=96,
    sha256="6726825d",
)
VGG = Published("vgg16-397923af.pth", "https://download.pytorch.org/models/vgg16-397923af.pth", 553, "397923af")
DINO = Published(
    "dino_vitbase8_pretrain.pth",
    "https://dl.fbaipublicfiles.com/dino/dino_vitbase8_pretrain/dino_vitbase8_pretrain.pth",
    megabytes=343,
)


@contextmanager
def _fitting(path: Path, weights: Published) -> Iterator[None]:
    """Turn errors of entries that do not fit a network into one that names the file and the right one."""
    try:
        yield
    except (RuntimeError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"'{path}' holds other weights than expected: download {weights.url}") from error


def need(module: str, package: str) -> ModuleType:
    """Import a module of an optional package. Raises ImportError, which says what to install."""
    try:
        return importlib.import_module(module)
    except (ImportError, RuntimeError) as error:  # RuntimeError: torchvision of another build than torch
        raise ImportError(
            f"this measure needs the package {package.split('>')[0]}, which cannot be imported ({error}): "
            f"python -m pip install '{package}' (everything at once, in the course's folder: "
            "python -m pip install --constraint constraints.txt --editable '.[full]')"
        ) from error


def inception(weights: Where = None, device: torch.device | str = "auto") -> Extractor:
    """The Inception of FID and KID: uint8 [N, 3, H, W], any size (it resizes as the original does) -> [N, 2048]."""
    return _of_fidelity("FeatureExtractorInceptionV3", "2048", INCEPTION, weights, device)


def vgg(weights: Where = None, device: torch.device | str = "auto") -> Extractor:
    """The VGG-16 of precision and recall (arXiv 1904.06991): uint8 [N, 3, H, W], any size -> [N, 4096]."""
    return _of_fidelity("FeatureExtractorVGG16", "fc2_relu", VGG, weights, device)


def _of_fidelity(kind: str, layer: str, weights: Published, where: Where, device: torch.device | str) -> Extractor:
    package = need("torch_fidelity", FIDELITY)
    path = weights.find(where)
    files.read(path, mmap=True)  # raises for a pickle with code, which torch-fidelity would run
    with _fitting(path, weights):
        network = getattr(package, kind)(kind, [layer], feature_extractor_weights_path=str(path))
    network = network.to(pick_device(device))
    return lambda images: network(images)[0]


def lpips_distance(weights: Where = None, device: torch.device | str = "auto") -> Distance:
    """LPIPS on VGG-16 (arXiv 1801.03924, version 0.1): two batches [N, 3, H, W] in [-1, 1] -> [N].

    The package brings what LPIPS learned; the VGG below it is the file of `vgg`.
    """
    package = need("lpips", LPIPS)
    path = VGG.find(weights)
    state = files.read(path)  # torchvision's names; lpips puts the same layers into slices: features.10 is slice3.10
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it calls torchvision in a deprecated way
        network = package.LPIPS(net="vgg", pnet_rand=True, verbose=False)
    with _fitting(path, VGG):
        own = network.net.state_dict()
        network.net.load_state_dict({name: state[f"features.{name.partition('.')[2]}"] for name in own})
    network = network.to(pick_device(device)).eval().requires_grad_(False)
    return lambda a, b: network(a, b).flatten()


def dino(weights: Where = None, device: torch.device | str = "auto") -> nn.Module:
    """DINO ViT-B/8 (arXiv 2104.14294), a timm `VisionTransformer` for images of 224 pixels."""
    package = need("timm", TIMM)
    path = DINO.find(weights)
    overlay = {"state_dict": files.read(path)}
    with _fitting(path, DINO):
        network = package.create_model(
            "vit_base_patch8_224.dino", pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay
        )
    return network.to(pick_device(device)).eval().requires_grad_(False)
