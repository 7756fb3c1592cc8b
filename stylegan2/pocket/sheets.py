"""Pictures of the shipped models and of the rendered world, for `checkpoints/pocket/`; see :mod:`recipe`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from stylegan2 import display
from stylegan2.editing import figures
from stylegan2.editing.latents import render, ws_from_seeds
from stylegan2.networks import Generator
from stylegan2.pocket import world

SMALL = 88  # pixels of a face where many rows are shown
SHOWN_SEEDS = (25, 41, 27, 42, 65, 79, 52, 75, 83, 110)  # chosen for what the baseline loses in them


def same_codes(source: Generator, targets: dict[str, Generator], side: int | None = None) -> Image.Image:
    """A row of the source's faces, and one of the same codes w through each target: {label: model}.

    side: pixels of a face; None: as rendered.
    """
    ws = ws_from_seeds(source, SHOWN_SEEDS, truncation=0.8)
    faces = {name: list(render(g, ws)) for name, g in ({"source": source} | targets).items()}
    return display.table(list(faces.values()), rows=list(faces), gap=2, side=side)


def contact_sheet(domain: str, generated: Tensor) -> Image.Image:
    """As many rendered faces of a domain above generated ones, [N, 3, R, R]."""
    rendered = world.render(world.sample(domain, len(generated), seed=7), domain, generated.shape[-1])
    sheets = {"rendered": rendered, "generated": generated}
    pictures = [display.label(display.grid(images, 8), f"{len(generated)} {kind}") for kind, images in sheets.items()]
    return display.stack(pictures, gap=10)


def learning_curve(points: Sequence[dict[str, float]]) -> Image.Image:
    """The error of the source's lessons against images shown, on faces that were not among them."""
    return figures.to_pil(figures.curves(points, {"lessons": ["held-out error"]}))


def timeline(samples: Sequence[Path], most: int = 6) -> Image.Image:
    """The first row of a run's sample pictures (IMAGES.png, sorted), from its start to its end."""
    rows = {}
    for file in sorted({samples[round(i * (len(samples) - 1) / (most - 1))] for i in range(most)}):
        with Image.open(file) as sheet:
            rows[f"{int(file.stem):,} images"] = sheet.convert("RGB").crop((0, 0, sheet.width, world.SIZE))
    return display.table([[row] for row in rows.values()], rows=list(rows))


def domains() -> Image.Image:
    """The same eight people in all four domains."""
    faces = world.sample("photo", 8, seed=3)
    return display.rows({domain: world.render(faces, domain) for domain in world.DOMAINS})


def worlds() -> Image.Image:
    """Each domain by its own statistics."""
    own = [display.grid(world.render(world.sample(domain, 24), domain, 96), 12) for domain in world.DOMAINS]
    return display.stack([display.label(sheet, domain) for sheet, domain in zip(own, world.DOMAINS, strict=True)])
