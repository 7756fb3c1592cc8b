"""Look through a dataset page by page, and at what augmentation makes of its images."""

from __future__ import annotations

from functools import partial

import ipywidgets as w
import torch
from PIL import Image

from stylegan2 import display
from stylegan2.augment import AugmentPipe
from stylegan2.data.dataset import LMDBDataset
from stylegan2.panels.controls import choice, float_slider, int_slider
from stylegan2.panels.panel import Panel

ROWS, COLUMNS = 4, 8  # of a page


def render_dataset(dataset: LMDBDataset, page: int, mirror: bool, zoom: int) -> Image.Image:
    """One page (from 0) of a dataset, with the indices of its images on top. Raises ValueError beyond the last page."""
    first = page * ROWS * COLUMNS
    if not 0 <= first < len(dataset):
        raise ValueError(f"page is {page}, expected 0 to {_last_page(dataset)}")
    last = min(first + ROWS * COLUMNS, len(dataset))
    images = torch.stack([dataset[i, mirror] for i in range(first, last)])
    return display.label(display.grid(images, COLUMNS, zoom), f"images {first} to {last - 1} of {len(dataset):,}")


def dataset_panel(dataset: LMDBDataset) -> Panel:
    """Browse a dataset page by page."""
    controls = {
        "page": int_slider("page", 0, 0, _last_page(dataset)),
        "mirror": w.Checkbox(False, description="mirrored"),
        "zoom": int_slider("zoom", 1 if dataset.resolution > 64 else 2, 1, 4),
    }
    return Panel(partial(render_dataset, dataset), controls, "dataset", record={"dataset": dataset.path.name})


def _last_page(dataset: LMDBDataset) -> int:
    return max(0, (len(dataset) - 1) // (ROWS * COLUMNS))


def render_augmented(images: torch.Tensor, p: float, seed: int, kinds: str) -> Image.Image:
    """Images [N, 3, R, R] in [-1, 1] above what the discriminator gets to see of them."""
    rng = torch.Generator().manual_seed(seed)
    seen = AugmentPipe(kinds)(images, p, rng)
    return display.rows({"image": images, "what D sees": seen}, side=128)


def augment_panel(images: torch.Tensor) -> Panel:
    """Preview adaptive augmentation: what probability p does to images [N, 3, R, R] in [-1, 1]."""
    controls = {
        "p": float_slider("p", 0.3, 0.0, 1.0, 0.05, "probability of each transform"),
        "seed": int_slider("seed", 0, 0, 99),
        "kinds": choice("transforms", ["bgc", "bg", "b"]),
    }
    return Panel(partial(render_augmented, images), controls, "augmented")
