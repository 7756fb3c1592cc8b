"""Directions in W: what they are, what keeps them and moves faces along them.

    directions = sefa.factorize(g, layers="coarse")             # or ganspace.principal_directions(g)
    ws = ws_from_seeds(g, [14], truncation=0.7)
    image = g.synthesis(move(ws, directions, {0: 4.0, 3: -2.0}), "const")

An edit is ws + degree * vector on some of the layers' codes (arXiv 2007.06600, equation 1). `ws` has been truncated
before: psi never scales the degree. :mod:`stylegan2.pocket.studies.changes` measures what a direction does to faces.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from stylegan2 import display, files
from stylegan2.checkpoints import CheckpointError, fingerprint
from stylegan2.editing.latents import check_fits, render
from stylegan2.editing.layers import layers_text, parse_layers
from stylegan2.networks import Generator

FORMAT = "stylegan2 directions"
EXPECTED = "expected directions, as `factorize` writes them"
Layers = str | Sequence[int]  # as for `parse_layers`


# -------------------------------------------------------------------------------------------------------- what they are
@dataclass
class Directions:
    """K directions in W. Raises ValueError for shapes, lengths or names that do not fit."""

    vectors: Tensor  # [K, w_dim], of length 1 (float32, CPU)
    values: Tensor  # [K], the largest first: eigenvalues (SeFa), standard deviations of w (GANSpace); NaN: unknown
    layers: tuple[int, ...] | None  # which of the L codes they move; None: all of them
    names: list[str] = field(default_factory=list)  # one each; empty: "direction 0", "direction 1", ...
    # plain values: "method", "layers", "normalise", "generator" (its fingerprint), "sha256" of the file
    made_from: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        self.vectors, self.values = (t.detach().float().cpu() for t in (self.vectors, self.values))
        self.layers = None if self.layers is None else tuple(int(i) for i in self.layers)
        self.made_from = dict(self.made_from)
        self.names = list(self.names) or [f"direction {k}" for k in range(len(self.vectors))]
        if self.vectors.ndim != 2 or len(self) == 0 or self.values.shape != self.vectors.shape[:1]:
            shapes = f"vectors {list(self.vectors.shape)} and values {list(self.values.shape)}"
            raise ValueError(f"{shapes}: expected [K, w_dim] and [K], K at least 1")
        lengths = self.vectors.norm(dim=1)
        if not ((lengths - 1).abs() < 1e-3).all():
            raise ValueError(f"vectors must have length 1, theirs go from {lengths.min():.3g} to {lengths.max():.3g}")
        if len(self.names) != len(self) or len(set(self.names)) != len(self):
            names = ", ".join(map(str, self.names))
            raise ValueError(f"names {names}: expected {len(self)}, for every direction one of its own")

    def __len__(self) -> int:
        return len(self.vectors)

    def index(self, which: int | str) -> int:
        """Number of a direction, given by number or by name. Raises ValueError for one there is not."""
        if isinstance(which, str):
            if which not in self.names:
                raise ValueError(f"no direction is called {which!r}; there are: {', '.join(self.names)}")
            return self.names.index(which)
        if not 0 <= which < len(self):
            raise ValueError(f"there is no direction {which}: expected 0 to {len(self) - 1}")
        return int(which)

    def select(self, which: Iterable[int | str]) -> Directions:
        """Some of them, by number or name, in the order given."""
        rows = [self.index(w) for w in which]
        return replace(self, vectors=self.vectors[rows], values=self.values[rows], names=[self.names[k] for k in rows])

    def rename(self, which: int | str, name: str) -> None:
        """Call a direction by what it does ("pose")."""
        names = list(self.names)
        names[self.index(which)] = name
        self.names = replace(self, names=names).names

    def mix(self, degrees: Mapping[int | str, float], name: str) -> Directions:
        """sum of degree * vector, brought to length 1, as one direction. Raises ValueError for degrees that are all 0.

        Its value: the mean of the eigenvalues (v'A'Av), or of the variances, weighted by the squared degrees.
        `made_from["degree"]` is the length of the sum.
        """
        used = {self.index(which): float(degree) for which, degree in degrees.items() if degree}
        summed = sum((degree * self.vectors[k] for k, degree in used.items()), torch.zeros(self.vectors.shape[1]))
        length = float(summed.norm())
        if length < 1e-6:
            raise ValueError("a mixture of nothing: move at least one direction away from 0")
        power = 2 if self.made_from.get("method") == "ganspace" else 1
        rows, weight = list(used), torch.tensor(list(used.values())).square()
        value = ((weight * self.values[rows] ** power).sum() / weight.sum()) ** (1 / power)
        parts = {self.names[k]: degree for k, degree in used.items()}
        made_from = self.made_from | {"mixed_from": parts, "degree": length}
        return Directions(summed[None] / length, value[None], self.layers, [name], made_from)

    def save(self, path: str | Path) -> Path:
        """Write a `.pt` file, atomically."""
        content = {name: getattr(self, name) for name in ("vectors", "values", "names", "made_from")}
        layers = None if self.layers is None else list(self.layers)
        files.write(Path(path), {"format": FORMAT, "version": 1, "layers": layers} | content)
        return Path(path)

    @staticmethod
    def load(path: str | Path) -> Directions:
        """Open a file of `save`, or a `factor.pt` of the original's closed_form_factorization.py; nothing is executed.

        In the latter an edit comes before truncation: its degree d at psi is ours psi * d. Raises CheckpointError for a
        file that is neither.
        """
        try:
            content = files.read(Path(path))
        except CheckpointError as error:  # says what the file is; but not a checkpoint was expected
            raise CheckpointError(str(error).replace(files.EXPECTED, EXPECTED)) from error
        original = isinstance(content, dict) and isinstance(content.get("eigvec"), Tensor)
        if not original and (not isinstance(content, dict) or content.get("format") != FORMAT):
            raise CheckpointError(f"'{path}' holds no directions; {EXPECTED}")
        try:
            if original:
                return _of_the_original(content)
            return Directions(*(content[k] for k in ("vectors", "values", "layers", "names", "made_from")))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise CheckpointError(f"'{path}' holds damaged directions ({error}); {EXPECTED}") from error


def _of_the_original(content: dict[str, Any]) -> Directions:
    """Of {"ckpt": file, "eigvec": [w_dim, K], a column each}."""
    vectors, ckpt = content["eigvec"], str(content.get("ckpt", ""))
    made_from = {"method": "sefa", "normalise": False, "checkpoint": ckpt.replace("\\", "/").rpartition("/")[2]}
    return Directions(vectors.T, torch.full(vectors.shape[-1:], torch.nan), None, made_from=made_from)


def first(
    g: Generator, vectors: Tensor, values: Tensor, layers: Layers, count: int | None, **made_from: Any
) -> Directions:
    """The first `count` directions that a method found in g, upright; None: all. ValueError for an impossible count."""
    if count is not None and not 1 <= count <= len(vectors):
        raise ValueError(f"count is {count}, expected 1 to {len(vectors)}, the number of directions of these layers")
    made_from |= {"layers": layers_text(layers), "generator": fingerprint(g)}
    chosen = parse_layers(layers, g.num_ws)
    return Directions(upright(vectors[:count]), values[:count], chosen, made_from=made_from)


def upright(vectors: Tensor) -> Tensor:
    """Directions have no sign: make the component of largest size positive, so that every machine has the same one."""
    rows = torch.arange(len(vectors), device=vectors.device)
    return vectors * vectors[rows, vectors.abs().argmax(dim=1)].sign()[:, None]


# --------------------------------------------------------------------------------------------------------- moving along
def move(
    ws: Tensor, directions: Directions, degrees: Mapping[int | str, float | Tensor], layers: Layers | None = None
) -> Tensor:
    """ws [N, L, w_dim] + sum of degree * vector on the chosen layers; the other layers stay as they are.

    `ws` has been truncated: psi must never scale an edit. degrees: {number or name: degree}, lengths in W; a tensor [N]
    gives every image a degree of its own. layers: see `parse_layers`; None: those that the directions were found for.

    Raises ValueError for a direction there is not, layers that the model does not have, or another w_dim.
    """
    if ws.ndim != 3 or ws.shape[2] != directions.vectors.shape[1]:
        raise ValueError(f"ws must be [N, L, {directions.vectors.shape[1]}] for these directions, got {list(ws.shape)}")
    wanted = directions.layers if layers is None else layers
    chosen = parse_layers("all" if wanted is None else wanted, ws.shape[1])
    step = ws.new_zeros(len(ws), ws.shape[2])
    for which, degree in degrees.items():
        amount = torch.as_tensor(degree, dtype=ws.dtype, device=ws.device)
        vector = directions.vectors[directions.index(which)].to(ws)
        step = step + amount.reshape(-1, 1) * vector  # [N, w_dim]
    moved = torch.zeros(ws.shape[1], 1, dtype=ws.dtype, device=ws.device)
    moved[list(chosen)] = 1
    return ws + step[:, None] * moved


def strip(
    generators: Mapping[str, Generator],
    ws: Tensor,
    directions: Directions,
    which: int | str,
    degrees: Sequence[float],
    layers: Layers | None = None,
    faces: Sequence[str] | None = None,
) -> dict[str, Tensor]:
    """The same codes at every degree of a direction, through generators: {"FACE NAME": [len(degrees), 3, R, R]}.

    `generators` by name are a source and models fine-tuned from it; `faces` are N names, each another one (None: their
    numbers, or nothing for one face). Other arguments, and errors, as those of `move`.
    """
    if faces is None:
        faces = range(len(ws)) if len(ws) > 1 else [""]
    if len(set(faces)) != len(ws):
        raise ValueError(f"faces {faces}: expected a name of its own for each of {len(ws)} codes")
    for name, g in generators.items():
        check_fits(g, ws, name)
    amounts, rows = torch.tensor(list(degrees), dtype=ws.dtype), {}
    for face, code in zip(faces, ws, strict=True):
        moved = move(code.expand(len(amounts), -1, -1), directions, {which: amounts}, layers)
        rows |= {f"{face} {name}".strip(): render(g, moved) for name, g in generators.items()}
    return rows


def picture(
    rows: Mapping[str, Tensor], degrees: Sequence[float], scale: int = 1, side: int | None = None
) -> Image.Image:
    """Rows of `strip` with their names on the left and the degrees above; `scale`, `side`: see `display.grid`."""
    cells = [[display.to_pil(image, scale, side) for image in images] for images in rows.values()]
    return display.table(cells, [f"{degree:+.3g}" if degree else "0" for degree in degrees], list(rows), gap=2, band=22)
