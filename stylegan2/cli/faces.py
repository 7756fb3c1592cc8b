"""Which faces a verb works on: seeds, or codes that `project` found for photos."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from stylegan2.cli.common import note, parse_seeds

Face = int | Path  # a seed, or a file of codes
Faces = Annotated[str, typer.Option(help="Which faces: 7, or 0-7, or 1,5,20-29; or codes that `project` found: me.pt.")]


def parse_faces(text: str, name: str = "seeds") -> list[Face]:
    """Faces of a text: "0-3,me.pt" -> [0, 1, 2, 3, Path("me.pt")]. Raises ValueError, or FileNotFoundError."""
    faces: list[Face] = []
    for part in (part.strip() for part in text.split(",")):
        if not part.lower().endswith(".pt"):
            try:
                faces += parse_seeds(part, name)
            except ValueError as error:
                raise ValueError(f"{error}; or a file of codes that `project` wrote, such as projected/me.pt") from None
        elif Path(part).is_file():
            faces.append(Path(part))
        else:
            raise FileNotFoundError(f"{name}: there is no '{part}', expected codes that `project` wrote")
    return faces


def ws_of(g, faces: Sequence[Face], truncation: float):
    """Codes [N, L, w_dim] for a generator. Those of seeds are truncated; those of photos are what they are.

    Raises ValueError for codes that the generator does not take.
    """
    import torch

    from stylegan2.editing.latents import ws_from_seeds

    codes = []
    for seeds, together in groupby(faces, lambda face: isinstance(face, int)):
        these = list(together)
        codes += [ws_from_seeds(g, these, truncation)] if seeds else [_projected(g, path) for path in these]
    return torch.cat(codes)


def _projected(g, path: Path):
    from stylegan2.checkpoints import fingerprint
    from stylegan2.editing.latents import check_fits
    from stylegan2.editing.projection import Projection

    kept = Projection.load(path, g.mapping.w_mean.device)
    check_fits(g, kept.ws, path.name)
    if len(kept.ws) != 1:
        raise ValueError(f"'{path}' holds the codes of {len(kept.ws)} faces, expected one, as `project` writes them")
    if kept.made_from.get("generator") not in (None, fingerprint(g)):
        note(f"the codes of '{path}' were found in another model, which would render another face")
    return kept.ws
