"""Model to faces, and to other files: `generate`, `swap`, `describe`, `convert`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stylegan2.cli import common
from stylegan2.cli.common import PICTURES, CheckpointPath, Device, Positive, Truncation, existing
from stylegan2.cli.faces import Faces, parse_faces, ws_of
from stylegan2.cli.options import verb
from stylegan2.files import counted, few

if TYPE_CHECKING:
    from stylegan2.checkpoints import Checkpoint

SIDE = 128  # pixels of a face in a picture of many, about and at least
TRIED = 8  # faces that say how far an export is off
LAYOUTS = {"ours": "our", "rosinality": "rosinality's"}


@verb()
def generate(
    checkpoint: CheckpointPath,
    out: Path | None = None,  # FILE.png, all in one; a folder, a file each. [faces.png]
    seeds: Faces = "0-31",
    truncation: Truncation = 0.7,
    columns: Positive = 8,  # Faces per row of that picture.
    noise: str = "const",  # const (fixed), random (another for each seed) or none.
    batch: Positive = 16,  # Images at once; changes nothing but memory and time.
    device: Device = "auto",
) -> None:
    """Render faces. One seed is one face, whatever else is rendered.

    \b
    Examples:
      python -m stylegan2 generate checkpoints/pocket/photo.pt --seeds 0-31 --out faces.png
      python -m stylegan2 generate runs/webtoon --seeds 3,8,20-29 --truncation 1 --out faces/
    """
    from stylegan2 import display

    faces, out = parse_faces(seeds), common.or_numbered(out, "faces.png")
    if noise == "random" and any(isinstance(face, Path) for face in faces):
        raise ValueError("--noise random belongs to seeds: codes that `project` found are rendered with const or none")
    is_folder = not out.suffix or out.is_dir()
    if is_folder:
        common.check_folder(out)
    else:
        common.check_file(out, *PICTURES, inputs=[checkpoint])
    images = _render(common.generator(checkpoint, device), faces, truncation, noise, batch)
    if is_folder:
        files = (Path(f"seed{face:05d}") if isinstance(face, int) else face for face in faces)
        for name, image in zip(common.captions_of(files), images, strict=True):
            display.save(display.to_pil(image), out / f"{name}.png")
    else:
        display.save(display.grid(images, min(columns, len(images)), side=SIDE), out)
    typer.echo(f"{counted(len(images), 'face')} in {out}")


def _render(g, faces: list, truncation: float, noise: str, batch: int):
    """Images of faces, [N, 3, R, R] on the CPU."""
    import torch

    from stylegan2.bars import bar
    from stylegan2.editing.latents import noise_from_seeds, render

    images = []
    for start in bar(range(0, len(faces), batch), "generate", "batch"):
        chunk = faces[start : start + batch]
        noises = noise_from_seeds(g, chunk) if noise == "random" else noise
        images.append(render(g, ws_of(g, chunk, truncation), noises, batch).cpu())
    return torch.cat(images)


@verb()
def swap(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", callback=existing)],  # Model of the low resolutions.
    target: Annotated[Path, typer.Argument(metavar="TARGET", callback=existing)],  # Fine-tuned from it: all others.
    out: Path | None = None,  # FILE.pt: the new generator; FILE.png: a picture. [swap.png]
    resolution: int = 16,  # The first resolution taken from TARGET.
    width: float = 0.0,  # 0: a hard cut; above: blended over about so many resolutions.
    strip: bool = False,  # A picture of all hard cuts, one row each.
    seeds: Faces = "1-8",
    truncation: Truncation = 0.7,
) -> None:
    """Swap layers: one model's structure in the style of another.

    FILE.pt can be used wherever a checkpoint can. A picture has the rows source, swapped, target. Codes always come
    from SOURCE's mapping, which FILE.pt gets too.

    \b
    Examples:
      python -m stylegan2 swap checkpoints/pocket/photo.pt checkpoints/pocket/webtoon_freeze-sg.pt --strip
      python -m stylegan2 swap checkpoints/pocket/photo.pt runs/webtoon --out swapped.pt --resolution 16
    """
    from stylegan2 import checkpoints, display
    from stylegan2.editing import layer_swapping
    from stylegan2.editing.latents import render

    faces = parse_faces(seeds)
    out = common.new_file(out, "swap.png", ".pt", *PICTURES, inputs=[source, target])
    to_model = out.suffix.lower() == ".pt"
    if strip and (width or to_model):
        raise ValueError("--strip renders all hard cuts: --out must be a picture, and --width left out")
    below, above = common.generator(source), common.generator(target)
    swapped = layer_swapping.swap(below, above, resolution, width)
    if to_model:
        origin = {"source": str(source), "target": str(target), "resolution": resolution, "width": width}
        checkpoints.save(out, g_ema=swapped, meta={"swapped": origin | {"mapping": "source"}})
        typer.echo(f"{out}: {source} below {resolution} px, {target} from there on")
        return
    ws = ws_of(swapped, faces, truncation)
    if strip:
        rows = layer_swapping.strip(below, above, ws)
    else:
        rows = {"source": render(below, ws), "swapped": render(swapped, ws), "target": render(above, ws)}
    typer.echo(f"{counted(len(faces), 'face')} in {display.save(display.rows(rows, side=SIDE), out)}")


@verb()
def describe(checkpoint: CheckpointPath) -> None:
    """Say what a checkpoint holds: networks, sizes, history; of a CLIP the words it knows.

    \b
    Examples:
      python -m stylegan2 describe checkpoints/pocket/photo.pt
      python -m stylegan2 describe checkpoints/pocket/clip.pt
    """
    from stylegan2 import checkpoints
    from stylegan2.published.clip_model import ClipModel, is_clip

    try:
        opened = common.load(checkpoint, "cpu")
    except checkpoints.CheckpointError:
        if not checkpoint.is_file() or not is_clip(checkpoint):
            raise
        words = ClipModel.load(checkpoint).known_words()
        typer.echo(f"{checkpoint}: a CLIP, trained on about {len(words)} words:\n{', '.join(words)}")
        return
    typer.echo(f"{checkpoint}\n{summary(opened)}")
    for key, value in opened.info.items():
        if key not in ("format", "resolution", "parameters", "images"):  # which `summary` says
            typer.echo(f"{key:>10}: {few(list(map(str, value))) if isinstance(value, list | tuple) else value}")


def parts_of(checkpoint: Checkpoint) -> list[str]:
    """The networks that it holds."""
    return [part for part in ("g_ema", "g", "d") if getattr(checkpoint, part) is not None]


def summary(checkpoint: Checkpoint) -> str:
    """A few lines for people: size, parts, widths, depth, images seen."""
    g, info = checkpoint.g_ema, checkpoint.info
    lines = {
        "format": info["format"],
        "holds": ", ".join(parts_of(checkpoint)) + (" and training state" if checkpoint.training is not None else ""),
        "image": f"{g.resolution} x {g.resolution}, {g.num_ws} codes of {g.w_dim}, z of {g.z_dim}",
        "generator": f"{sum(p.numel() for p in g.parameters()):,} parameters, {len(g.mapping.layers)} mapping layers",
        "widths": ", ".join(f"{r}: {c}" for r, c in g.synthesis.channels.items()),
    }
    if g.synthesis.clamp is not None:
        lines["clamp"] = f"activations within +-{float(g.synthesis.clamp):g}"
    if "images" in info:
        lines["trained on"] = f"{info['images']:,} images"
    return "\n".join(f"{name:>10}: {text}" for name, text in lines.items())


@verb()
def convert(
    checkpoint: CheckpointPath,
    out: Path | None = None,  # FILE.pt to write. [converted.pt]
    to: str = "rosinality",  # rosinality (what most other tools read), or ours.
    half: bool = False,  # With --to ours: half precision, half the size.
) -> None:
    """Write a model or an encoder in another layout: ours, rosinality's .pt, NVIDIA's .pkl (only read) go in.

    The optimisers of a training stay behind; an .pkl is not written, since it must hold NVIDIA's source code. FreezeSG
    and FreezeStyle have two mappings, and rosinality's layout one: the other lies beside it (`style_source`), is read
    back here, and how to use it there is said.

    \b
    Examples:
      python -m stylegan2 convert checkpoints/pocket/photo.pt --out photo_rosinality.pt
      python -m stylegan2 convert stylegan2-ada.pkl --out faces.pt --to ours --half
      python -m stylegan2 convert encoder_ffhq.pt --out encoder.pt --to ours
    """
    from stylegan2 import checkpoints
    from stylegan2.editing.encoder import export_encoder, is_encoder, load_encoder, save_encoder

    if to not in LAYOUTS or (half and to != "ours"):
        raise ValueError(f"to is {to!r}, half {half}: expected ours or rosinality, and --half with ours only")
    out = common.new_file(out, "converted.pt", ".pt", inputs=[checkpoint])
    if is_encoder(checkpoint):
        opened, parts = load_encoder(checkpoint, "cpu"), ["an encoder"]
        if to == "ours":
            save_encoder(out, opened.encoder, opened.meta, half)
        else:
            export_encoder(out, opened.encoder)
    else:
        opened = common.load(checkpoint, "cpu")
        parts = parts_of(opened)
        if to == "ours":
            meta = {"converted from": opened.info["format"]} | opened.meta
            checkpoints.save(out, **{part: getattr(opened, part) for part in parts}, half=half, meta=meta)
        else:
            checkpoints.export(out, opened)
    typer.echo(f"{out}: {', '.join(parts)} in {LAYOUTS[to]} layout")
    if to == "rosinality":
        for line in _lost(opened):
            typer.echo(line, err=True)


def _lost(opened) -> Iterator[str]:
    """What rosinality's layout cannot say, and what to do about it in other programs: a line each."""
    from stylegan2.editing.encoder import PUBLISHED_PSI, EncoderFile
    from stylegan2.editing.latents import render, z_from_seeds
    from stylegan2.networks import SharedMapping

    if isinstance(opened, EncoderFile):
        if (psi := opened.encoder.psi) != PUBLISHED_PSI:
            yield (
                f"note: this encoder's codes hold for psi {psi:g}; tools that read that layout render with "
                f"{PUBLISHED_PSI:g} (this package reads the right one from the file)"
            )
        return
    g = opened.g_ema
    if (clamp := g.synthesis.clamp) is not None:
        what = f"this model's activations stay within +-{float(clamp):g} (conv_clamp)"
        yield f"note: {what}, which that layout cannot say: other tools render without the bound"
    if opened.g is None:
        yield "g is a copy of g_ema: there was none"
    yield "no optimisers (g_optim, d_optim): to train it there, leave out the lines that load them"
    if isinstance(g.mapping, SharedMapping) and g.mapping.k < g.num_ws:
        z = z_from_seeds(g.z_dim, range(TRIED))
        own = g.mapping.w(z)[:, None].expand(-1, g.num_ws, -1)  # [N, L, w_dim]
        difference = (render(g, own) - render(g, g.mapping(z))).square().mean().sqrt()
        yield (
            f"note: the first {g.mapping.k} codes come from the source's mapping, for which that layout has no place; "
            "it is beside g_ema as style_source. Exact there: G([style_source(z), G.style(z)], input_is_latent=True, "
            f"inject_index={g.mapping.k}), and all codes found here. G([z]) is not: on {TRIED} faces it differs by "
            f"{difference:.3f} (root mean square of colours from -1 to 1)"
        )
