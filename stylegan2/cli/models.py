"""Model to faces, and to other files: `generate`, `swap`, `describe`, `convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stylegan2.cli.common import (
    FILMS,
    PICTURES,
    CheckpointPath,
    Device,
    Truncation,
    captions_of,
    check_folder,
    ending,
    existing,
    generator,
    load,
    make_room,
    new_file,
    or_numbered,
)
from stylegan2.cli.faces import Faces, parse_faces, ws_of
from stylegan2.cli.options import verb
from stylegan2.files import counted

SIDE, FILM_SIDE = 128, 256  # pixels of a face in a picture of many, and alone in a film, about and at least
TRIED = 8  # faces that say how far an export is off
LAYOUTS = {"ours": "our", "rosinality": "rosinality's"}


@verb()
def generate(
    checkpoint: CheckpointPath,
    out: Path | None = None,  # FILE.png, all in one; FILE.gif, one after the other; a folder, a file each. [faces.png]
    seeds: Faces = "0-31",
    truncation: Truncation = 0.7,
    grid: bool = False,  # All in one picture, also when OUT is a folder.
    columns: int = 8,  # Faces per row of that picture.
    noise: str = "const",  # const (fixed), random (another for each seed) or none.
    batch: int = 16,  # Images at once; changes nothing but memory and time.
    device: Device = "auto",
) -> None:
    """Draw faces. One seed is one face, whatever else is drawn.

    \b
    Examples:
      python -m stylegan2 generate checkpoints/pocket/photo.pt --seeds 0-31 --out faces.png
      python -m stylegan2 generate runs/webtoon --seeds 3,8,20-29 --truncation 1 --out faces/
    """
    from stylegan2 import display
    from stylegan2.editing import videos

    faces, out = parse_faces(seeds), or_numbered(out, "faces.png")
    if batch < 1 or columns < 1:
        raise ValueError(f"batch is {batch}, columns is {columns}, expected at least 1")
    if noise == "random" and any(isinstance(face, Path) for face in faces):
        raise ValueError("--noise random belongs to seeds: codes that `project` found are drawn with const or none")
    if out.suffix and not out.is_dir():
        ending(out, *PICTURES, *FILMS)
    if grid and out.suffix.lower() not in (*PICTURES, *FILMS):
        out = out / "grid.png"
    kind = out.suffix.lower()
    if kind in (*PICTURES, *FILMS):
        make_room(out, [checkpoint])
    else:
        check_folder(out)
    g = generator(checkpoint, device)
    images = _draw(g, faces, truncation, noise, batch)
    if kind in FILMS:
        videos.save([display.to_pil(image, side=FILM_SIDE) for image in images], out, fps=2)
    elif kind in PICTURES:
        display.save(display.grid(images, min(columns, len(images)), side=SIDE), out)
    else:
        files = (Path(f"seed{face:05d}") if isinstance(face, int) else face for face in faces)
        for name, image in zip(captions_of(files), images, strict=True):
            display.save(display.to_pil(image), out / f"{name}.png")
    typer.echo(f"{counted(len(images), 'face')} in {out}")


def _draw(g, faces: list, truncation: float, noise: str, batch: int):
    """Images of faces, [N, 3, R, R] on the CPU, with a progress bar."""
    import torch
    from tqdm import tqdm

    from stylegan2.editing.latents import noise_from_seeds, render

    images = []
    for start in tqdm(range(0, len(faces), batch), desc="generate", unit="batch", disable=len(faces) <= batch, delay=1):
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
    reverse: bool = False,  # Low resolutions from TARGET, the rest SOURCE's.
    strip: bool = False,  # A picture of all hard cuts, one row each.
    seeds: Faces = "1-8",
    truncation: Truncation = 0.7,
    half: bool = False,  # FILE.pt in half precision: half the size.
) -> None:
    """Swap layers: one model's structure in the style of another.

    FILE.pt can be used wherever a checkpoint can. A picture has the rows source, swapped, target; with --reverse the
    other way round. Codes always come from SOURCE's mapping, which FILE.pt gets too.

    \b
    Examples:
      python -m stylegan2 swap checkpoints/pocket/photo.pt checkpoints/pocket/webtoon_freeze-sg.pt --strip
      python -m stylegan2 swap checkpoints/pocket/photo.pt checkpoints/pocket/storybook_baseline.pt \\
          --out faces.png --resolution 32 --width 0.5 --reverse
      python -m stylegan2 swap checkpoints/pocket/photo.pt runs/webtoon --out swapped.pt --resolution 16 --half
    """
    from stylegan2.editing import layer_swapping

    faces, out = parse_faces(seeds), or_numbered(out, "swap.png")
    kind = ending(out, ".pt", *PICTURES)
    if strip and (width or kind == ".pt"):
        raise ValueError("--strip draws all hard cuts: --out must be a picture, and --width left out")
    make_room(out, [source, target])
    names = ("target", "source") if reverse else ("source", "target")  # who draws below the cut, and who above it
    paths = (target, source) if reverse else (source, target)
    pair = [generator(path, "auto") for path in paths]
    mapping = "target" if reverse else "source"  # of the pair; SOURCE's in either case
    swapped = layer_swapping.swap(*pair, resolution, width, mapping)
    if kind == ".pt":
        _save_swapped(out, swapped, paths, half, resolution=resolution, width=width, mapping=mapping)
    else:
        _draw_swapped(out, dict(zip(names, pair, strict=True)), swapped, faces, truncation, strip)


def _save_swapped(out: Path, swapped, paths: tuple[Path, Path], half: bool, **settings) -> None:
    """The new generator in a file that says what it was made of."""
    from stylegan2 import checkpoints

    below, above = map(str, paths)
    checkpoints.save(out, g_ema=swapped, half=half, meta={"swapped": {"source": below, "target": above} | settings})
    typer.echo(f"{out}: {below} below {settings['resolution']} px, {above} from there on")


def _draw_swapped(out: Path, pair: dict, swapped, faces: list, truncation: float, strip: bool) -> None:
    """The same codes through one model, the swapped one and the other, or through every hard cut."""
    from stylegan2 import display
    from stylegan2.editing import layer_swapping
    from stylegan2.editing.latents import render

    ws = ws_of(swapped, faces, truncation)
    (first, below), (last, above) = pair.items()
    if strip:
        rows = layer_swapping.strip(below, above, ws, names=(first, last))
    else:
        rows = {first: render(below, ws), "swapped": render(swapped, ws), last: render(above, ws)}
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
        opened = load(checkpoint, "cpu")
    except checkpoints.CheckpointError:
        if not checkpoint.is_file() or not is_clip(checkpoint):
            raise
        known = ClipModel.load(checkpoint).known_words()
        typer.echo(f"{checkpoint}: a CLIP, trained on about {len(known)} words:")
        typer.echo(", ".join(known))
        return
    described = {"format", "resolution", "parameters", "images"}  # by checkpoints.describe
    rest = [f"{key:>10}: {_short(value)}" for key, value in opened.info.items() if key not in described]
    typer.echo("\n".join([str(checkpoint), checkpoints.describe(opened), *rest]))


def _short(value) -> str:
    """A value of `info` in one line: the first few of many."""
    if not isinstance(value, list | tuple):
        return str(value)
    more = f" and {len(value) - 4} more" if len(value) > 4 else ""
    return (", ".join(map(str, value[:4])) or "none") + more


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

    if to not in LAYOUTS or (half and to != "ours"):
        raise ValueError(f"to is {to!r}, half {half}: expected ours or rosinality, and --half with ours only")
    out = new_file(out, "converted.pt", ".pt", inputs=[checkpoint])
    if checkpoints.is_encoder(checkpoint):
        _convert_encoder(checkpoint, out, to, half)
        typer.echo(f"{out}: an encoder in {LAYOUTS[to]} layout")
        return
    opened = load(checkpoint, "cpu")
    if to == "ours":
        networks = {"g_ema": opened.g_ema, "g": opened.g, "d": opened.d}
        checkpoints.save(out, **networks, half=half, meta={"converted from": opened.info["format"]} | opened.meta)
    else:
        checkpoints.export(out, opened)
        if (clamp := opened.g_ema.synthesis.clamp) is not None:
            what = f"this model's activations stay within +-{float(clamp):g} (conv_clamp)"
            typer.echo(f"note: {what}, which that layout cannot say: other tools draw without the bound", err=True)
    parts = ["g_ema", *[part for part in ("g", "d") if getattr(opened, part) is not None]]
    typer.echo(f"{out}: {', '.join(parts)} in {LAYOUTS[to]} layout")
    if to == "rosinality":
        _say_exported(opened)


def _say_exported(opened) -> None:
    """What other programs will miss, and what to do there."""
    from stylegan2.networks import SharedMapping

    if opened.g is None:
        typer.echo("g is a copy of g_ema: there was none")
    typer.echo("no optimisers (g_optim, d_optim): to train it there, leave out the lines that load them")
    mapping = opened.g_ema.mapping
    if isinstance(mapping, SharedMapping) and mapping.k < opened.g_ema.num_ws:
        typer.echo(
            f"note: the first {mapping.k} codes come from the source's mapping, for which that layout has no place; it "
            "is beside g_ema as style_source. Exact there: G([style_source(z), G.style(z)], input_is_latent=True, "
            f"inject_index={mapping.k}), and all codes found here. G([z]) is not: on {TRIED} faces it differs by "
            f"{_difference_of_one_mapping(opened.g_ema):.3f} (root mean square of colours from -1 to 1)",
            err=True,
        )


def _difference_of_one_mapping(g) -> float:
    """How far images are from the model's where its own mapping makes all codes."""
    import torch

    from stylegan2.editing.latents import render, z_from_seeds

    z = z_from_seeds(g.z_dim, range(TRIED))
    with torch.no_grad():
        own = g.mapping.w(z)[:, None].expand(-1, g.num_ws, -1)  # [N, L, w_dim]
        return float((render(g, own) - render(g, g.mapping(z))).square().mean().sqrt())


def _convert_encoder(path: Path, out: Path, to: str, half: bool) -> None:
    from stylegan2 import checkpoints

    opened = checkpoints.load_encoder(path, "cpu")
    if to == "ours":
        checkpoints.save_encoder(out, opened.encoder, opened.meta, half)
    else:
        checkpoints.export_encoder(out, opened.encoder)
        if opened.encoder.psi != checkpoints.PUBLISHED_PSI:
            typer.echo(
                f"note: this encoder's codes hold for psi {opened.encoder.psi:g}; tools that read that layout draw "
                f"with {checkpoints.PUBLISHED_PSI:g} (this package reads the right one from the file)",
                err=True,
            )
