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
    app,
    ending,
    load,
    make_folder,
    make_room,
    on_device,
    or_numbered,
    there,
)
from stylegan2.cli.faces import FACES, parse_faces, ws_of

SIDE, FILM_SIDE = 128, 256  # pixels of a face in a picture of many, and alone in a film, about and at least
TRIED = 8  # faces that say how far an export is off
LAYOUTS = {"ours": "our", "rosinality": "rosinality's"}


@app.command()
def generate(
    checkpoint: CheckpointPath,
    out: Annotated[
        Path | None,
        typer.Option(help="FILE.png, all in one; FILE.gif, one after the other; a folder, a file each. [faces.png]"),
    ] = None,
    seeds: Annotated[str, typer.Option(help=FACES)] = "0-31",
    truncation: Truncation = 0.7,
    grid: Annotated[bool, typer.Option("--grid", help="All in one picture, also when OUT is a folder.")] = False,
    columns: Annotated[int, typer.Option(help="Faces per row of that picture.")] = 8,
    noise: Annotated[str, typer.Option(help="const (fixed), random (another for each seed) or none.")] = "const",
    batch: Annotated[int, typer.Option(help="Images at once; changes nothing but memory and time.")] = 16,
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
    single, film = _one_file(out)
    if grid and not (single or film):
        out, single = out / "grid.png", True
    if single or film:
        make_room(out, [checkpoint])
    else:
        make_folder(out)
    g = load(checkpoint, on_device(device), g_ema_only=True).g_ema
    images = _draw(g, faces, truncation, noise, batch)
    if film:
        videos.save([display.to_pil(image, side=FILM_SIDE) for image in images], out, fps=2)
    elif single:
        display.save(display.grid(images, min(columns, len(images)), side=SIDE), out)
    else:
        for face, image in zip(faces, images, strict=True):
            name = f"seed{face:05d}" if isinstance(face, int) else face.stem
            display.save(display.to_pil(image), out / f"{name}.png")
    typer.echo(f"{len(images)} faces in {out}")


def _one_file(out: Path) -> tuple[bool, bool]:
    """Is it a picture, is it a film? Else it is a folder. Raises ValueError for a file of another kind."""
    if out.suffix and not out.is_dir():
        ending(out, *PICTURES, *FILMS)
    return out.suffix.lower() in PICTURES, out.suffix.lower() in FILMS


def _draw(g, faces: list, truncation: float, noise: str, batch: int):
    """Images of faces, [N, 3, R, R] on the CPU, with a progress bar."""
    import torch
    from tqdm import tqdm

    from stylegan2.editing.latents import draw, noise_from_seeds

    images = []
    for start in tqdm(range(0, len(faces), batch), desc="generate", unit="batch", disable=len(faces) <= batch, delay=1):
        chunk = faces[start : start + batch]
        noises = noise_from_seeds(g, chunk) if noise == "random" else noise
        images.append(draw(g, ws_of(g, chunk, truncation), noises, batch).cpu())
    return torch.cat(images)


@app.command()
def swap(
    source: Annotated[
        Path, typer.Argument(metavar="SOURCE", help="Model of the low resolutions, e.g. photos.", callback=there)
    ],
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="Model of the others, fine-tuned from SOURCE.", callback=there)
    ],
    out: Annotated[
        Path | None, typer.Option(help="FILE.pt: the new generator; FILE.png: a picture. [swap.png]")
    ] = None,
    resolution: Annotated[int, typer.Option(help="The first resolution taken from TARGET.")] = 16,
    width: Annotated[float, typer.Option(help="0: a hard cut; above: blended over about so many resolutions.")] = 0.0,
    reverse: Annotated[bool, typer.Option("--reverse", help="Low resolutions from TARGET, the rest SOURCE's.")] = False,
    strip: Annotated[bool, typer.Option("--strip", help="A picture of all hard cuts, one row each.")] = False,
    seeds: Annotated[str, typer.Option(help=FACES)] = "1-8",
    truncation: Truncation = 0.7,
    half: Annotated[bool, typer.Option("--half", help="FILE.pt in half precision: half the size.")] = False,
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
    pair = [load(path, g_ema_only=True).g_ema for path in paths]
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
    from stylegan2.editing.latents import draw

    ws = ws_of(swapped, faces, truncation)
    (first, below), (last, above) = pair.items()
    if strip:
        rows = layer_swapping.strip(below, above, ws, names=(first, last))
    else:
        rows = {first: draw(below, ws), "swapped": draw(swapped, ws), last: draw(above, ws)}
    typer.echo(f"{len(faces)} faces in {display.save(display.rows(rows, side=SIDE), out)}")


@app.command()
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
        found = load(checkpoint, "cpu")
    except checkpoints.CheckpointError:
        if not checkpoint.is_file() or not is_clip(checkpoint):
            raise
        known = ClipModel.load(checkpoint).known_words()
        typer.echo(f"{checkpoint}: a CLIP, trained on about {len(known)} words (some are ends of longer ones):")
        typer.echo(", ".join(known))
        return
    shown = {"format", "resolution", "parameters", "images"}  # by checkpoints.describe
    rest = [f"{key:>10}: {_short(value)}" for key, value in found.info.items() if key not in shown]
    typer.echo("\n".join([str(checkpoint), checkpoints.describe(found), *rest]))


def _short(value) -> str:
    """A value of `info` in one line: the first few of many."""
    if not isinstance(value, list | tuple):
        return str(value)
    more = f" and {len(value) - 4} more" if len(value) > 4 else ""
    return (", ".join(map(str, value[:4])) or "none") + more


@app.command()
def convert(
    checkpoint: CheckpointPath,
    out: Annotated[Path | None, typer.Option(help="FILE.pt to write. [converted.pt]")] = None,
    to: Annotated[str, typer.Option(help="rosinality (what most other tools read), or ours.")] = "rosinality",
    half: Annotated[bool, typer.Option("--half", help="With --to ours: half precision, half the size.")] = False,
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
    out = or_numbered(out, "converted.pt")
    ending(out, ".pt")
    make_room(out, [checkpoint])
    if checkpoints.is_encoder(checkpoint):
        _convert_encoder(checkpoint, out, to, half)
        typer.echo(f"{out}: an encoder in {LAYOUTS[to]} layout")
        return
    found = load(checkpoint, "cpu")
    if to == "ours":
        networks = {"g_ema": found.g_ema, "g": found.g, "d": found.d}
        checkpoints.save(out, **networks, half=half, meta={"converted from": found.info["format"]} | found.meta)
    else:
        checkpoints.export(out, found)
        if (clamp := found.g_ema.synthesis.clamp) is not None:
            what = f"this model's activations stay within +-{float(clamp):g} (conv_clamp)"
            typer.echo(f"note: {what}, which that layout cannot say: other tools draw without the bound", err=True)
    parts = ["g_ema", *[part for part in ("g", "d") if getattr(found, part) is not None]]
    typer.echo(f"{out}: {', '.join(parts)} in {LAYOUTS[to]} layout")
    if to == "rosinality":
        _say_exported(found)


def _say_exported(found) -> None:
    """What other programs will miss, and what to do there."""
    from stylegan2.networks import SharedMapping

    if found.g is None:
        typer.echo("g is a copy of g_ema: there was none")
    typer.echo("no optimisers (g_optim, d_optim): to train it there, leave out the lines that load them")
    mapping = found.g_ema.mapping
    if isinstance(mapping, SharedMapping) and mapping.k < found.g_ema.num_ws:
        typer.echo(
            f"note: the first {mapping.k} codes come from the source's mapping, for which that layout has no place; it "
            "is beside g_ema as style_source. Exact there: G([style_source(z), G.style(z)], input_is_latent=True, "
            f"inject_index={mapping.k}), and all codes found here. G([z]) is not: on {TRIED} faces it differs by "
            f"{_difference_of_one_mapping(found.g_ema):.3f} (root mean square of colours from -1 to 1)",
            err=True,
        )


def _difference_of_one_mapping(g) -> float:
    """How far images are from the model's where its own mapping makes all codes."""
    import torch

    from stylegan2.editing.latents import draw, z_from_seeds

    z = z_from_seeds(g.z_dim, range(TRIED))
    with torch.no_grad():
        own = g.mapping.w(z)[:, None].expand(-1, g.num_ws, -1)  # [N, L, w_dim]
        return float((draw(g, own) - draw(g, g.mapping(z))).square().mean().sqrt())


def _convert_encoder(path: Path, out: Path, to: str, half: bool) -> None:
    from stylegan2 import checkpoints

    found = checkpoints.load_encoder(path, "cpu")
    if to == "ours":
        checkpoints.save_encoder(out, found.encoder, found.meta, half)
    else:
        checkpoints.export_encoder(out, found.encoder)
        if found.encoder.psi != checkpoints.PUBLISHED_PSI:
            typer.echo(
                f"note: this encoder's codes hold for psi {found.encoder.psi:g}; tools that read that layout draw with "
                f"{checkpoints.PUBLISHED_PSI:g} (this package reads the right one from the file)",
                err=True,
            )
