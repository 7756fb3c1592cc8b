"""From pictures to codes: `project`, `train-encoder`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from stylegan2.cli.common import (
    INTERRUPTED,
    CheckpointPath,
    Device,
    Input,
    captions_of,
    check_folder,
    check_writable,
    end,
    existing,
    generator,
    make_room,
    on_device,
    or_numbered,
    shipped,
)
from stylegan2.cli.options import Settings, verb
from stylegan2.cli.photos import Box, Photos, Square, read
from stylegan2.files import counted

MODELS = Path("checkpoints/pocket")
SIDE = 192  # pixels of a face, about and at least
UNKNOWN = "this model was not trained on faces like this one"
SPACE = "w+: a code per layer, nearer to the photo; w: one for all, which stays a face; auto: w for unknown worlds."
Space = Annotated[str, typer.Option(help=SPACE)]
Training = Settings(
    "pocket.nets.encoder_training",
    "EncoderConfig",
    only=("images", "batch", "faces", "psi", "seed"),
    psi=typer.Option("--truncation", help="psi of the generated ones."),
    seed=typer.Option(help="Of weights, faces and their order."),
)
JUDGE, ENCODER = MODELS / "judge.pt", MODELS / "encoder.pt"


@verb()
def project(
    checkpoint: CheckpointPath,
    photos: Photos,
    *,
    out: Path | None = None,  # Folder for codes (NAME.pt), pictures (NAME.png). [projected]
    space: Space = "auto",
    steps: int = 300,  # Steps of the optimisation; 0: the encoder's answer as it is.
    encoder: str = "auto",  # Where to begin: an encoder's file, 'none' (the mean face), or auto.
    l2: float = 0.0,  # How strongly the codes are held where the search begins.
    tune: int = 0,  # Then steps of pivotal tuning: the model learns these very photos.
    judge: Annotated[Path, typer.Option(callback=shipped)] = JUDGE,  # What compares pocket faces; LPIPS larger ones.
    square: Square,
    box: Box = None,
    device: Device = "auto",
) -> None:
    """Find the codes that draw your photos: then edit them, or draw them with any model fine-tuned from CKPT.

    Faces are found, turned upright and cut (--align). NAME.pt holds the codes: give it to `edit`, `mix` or
    `apply-factor` instead of seeds, or to Python (`editing.projection.Projection.load`). With --tune a copy of the
    model that draws exactly these photos is kept as tuned.pt. Ctrl-C keeps what there is.

    \b
    Examples:
      python -m stylegan2 project checkpoints/pocket/photo.pt data/samples/grace_hopper.jpg --out projected
      python -m stylegan2 project checkpoints/pocket/photo.pt "album/*.jpg" --out projected --steps 0
      python -m stylegan2 project checkpoints/pocket/photo.pt data/samples/eileen_collins.jpg --out projected \\
          --space w --encoder none --tune 200
      python -m stylegan2 edit checkpoints/pocket/photo.pt "black hair" --seeds projected/grace_hopper.pt \\
          --learn 100-115 --layers 0-3
    """
    from stylegan2.checkpoints import fingerprint
    from stylegan2.editing import optimise, projection
    from stylegan2.editing.photos import Cutting, parse_box, stacked
    from stylegan2.pocket.nets.perceptual import distance_for

    out = or_numbered(out, "projected")
    check_folder(out, photos)
    if steps < 0 or tune < 0:
        raise ValueError(f"steps is {steps}, tune {tune}: expected at least 0")
    free = space == "auto"
    config = projection.ProjectConfig(steps=max(1, steps), space="w+" if free else space, l2=l2)
    cutting, where = Cutting(**square, box=parse_box(box)), on_device(device)
    g = generator(checkpoint, where)
    e, looks = _encoder(encoder, g, where), distance_for(g.resolution, judge, where)
    portraits, left_out = read(photos, g.resolution, cutting, taken=("tuned",) if tune else ())
    for name in [f"{name}{kind}" for name in portraits for kind in (".pt", ".png")] + ["tuned.pt"] * bool(tune):
        make_room(out / name, photos)
    images = stacked(portraits, where)
    codes = _find(g, list(portraits), images, looks, config, e, steps, free)
    if tune:
        g = _tuned(g, codes, images, looks, tune, out / "tuned.pt")
    made_from = {"generator": fingerprint(g), "psi": 1.0}
    for i, (name, portrait) in enumerate(portraits.items()):
        if i in codes:
            _keep(out / name, g, replace(codes[i], made_from=made_from | {"photo": name}), images[i : i + 1], portrait)
        else:
            typer.echo(f"{name}: not begun: you stopped the command first", err=True)
    if len(codes) < len(portraits) or any(one.stopped == optimise.INTERRUPTED for one in codes.values()):
        _say_stopped(f"the codes of {len(codes)} of {counted(len(portraits), 'face')}, as far as found, are in {out}")
    end(left_out)


def _say_stopped(kept: str) -> None:
    """After Ctrl-C: say so, and what there is. Raises typer.Exit."""
    typer.echo(
        f"stopped early by Ctrl-C, before the search was at its end: {kept}; run it again for all of it", err=True
    )
    raise typer.Exit(INTERRUPTED)


def _tuned(g, codes: dict, images, looks, steps: int, path: Path):
    """A copy of the model that draws these photos, kept in a file."""
    import torch

    from stylegan2 import checkpoints
    from stylegan2.editing.projection import tune

    chosen = list(codes)  # all, or what was found before Ctrl-C
    together = replace(codes[chosen[0]], ws=torch.cat([codes[i].ws for i in chosen]))
    tuned = tune(g, together, images[chosen], looks, steps, progress=True)
    checkpoints.save(path, g_ema=tuned, meta={"tuned_from": checkpoints.fingerprint(g), "steps": steps})
    return tuned


def _keep(path: Path, g, one, image, portrait) -> None:
    """The codes of one face, and a picture of what they draw."""
    from stylegan2 import display
    from stylegan2.editing.perceptual import psnr

    one.save(Path(f"{path}.pt"))
    drawn = g.synthesis(one.ws, one.noise)
    picture = display.rows({"photo": image.cpu(), "drawn": drawn.cpu()}, side=SIDE)
    display.save(picture if portrait.seen is None else display.beside([portrait.seen, picture]), Path(f"{path}.png"))
    near = f"{psnr(drawn, image).item():.1f} dB (30: hard to tell apart; 15: other details)"
    typer.echo(f"{path.name}: drawn to within {near}, {path}.pt ({one.stopped})")


def _find(g, names: list[str], images, looks, config, encoder, steps: int, free: bool) -> dict:
    """Codes of images, {number: Projection of one}: looked for in so many steps, or with none the encoder's answer.

    Where the space is free, photos of a world that the model does not know are held near the mean face, as
    `cartoonize` does it.
    """
    import torch

    from stylegan2.editing.cartoonize import is_outside, search

    careful = torch.zeros(len(names), dtype=torch.bool)
    if steps:
        outside = is_outside(g, images, looks, encoder)
        likely = "it becomes the most similar face that the model can draw (--space w+: nearer, but hardly a face)"
        _say_unknown(names, outside, likely if free else "what it draws may be no face")
        careful = outside if free else careful
    return search(g, images, looks, encoder, careful, steps, config)


def _say_unknown(names: list[str], outside, what: str) -> None:
    for name in (name for name, far in zip(names, outside.tolist(), strict=True) if far):
        typer.echo(f"{name}: {UNKNOWN}: {what}", err=True)


def _encoder(encoder: str, g, where):
    """The encoder that is meant, or None."""
    from stylegan2 import checkpoints

    if encoder == "none" or (encoder == "auto" and not (g.resolution == 64 and shipped(ENCODER).is_file())):
        return None
    path = shipped(ENCODER if encoder == "auto" else Path(encoder))
    opened = checkpoints.load_encoder(path, where)
    e, meant = opened.encoder, opened.meta.get("generator")
    if (e.resolution, e.num_ws, e.w_dim) != (g.resolution, g.num_ws, g.w_dim):
        raise ValueError(
            f"'{path}' is for {e.resolution} pixels and {e.num_ws} codes of {e.w_dim}, the model has "
            f"{g.resolution} and {g.num_ws} of {g.w_dim}: give its own with --encoder, or --encoder none"
        )
    if meant not in (None, checkpoints.fingerprint(g)):
        if encoder == "auto":
            return None  # the course's encoder and somebody else's model
        typer.echo(f"note: '{path}' was trained for another model; its codes are only a beginning", err=True)
    return e.around(g.mapping)


@verb("train-encoder")
def train_encoder(
    checkpoint: CheckpointPath,
    *,
    out: Path,  # FILE.pt for the encoder; FILE.json: what it can.
    settings: Training,
    judge: Input = JUDGE,  # What compares faces.
    scratch: Path = Path("build/encoder"),  # Folder for an unfinished training.
    device: Device = "auto",
) -> None:
    """Train an encoder for a pocket model: from an image straight to codes (arXiv 2004.00049). Goes on after a stop.

    \b
    Examples:
      python -m stylegan2 train-encoder checkpoints/pocket/photo.pt --out build/encoder.pt
      python -m stylegan2 train-encoder checkpoints/pocket/photo.pt --out build/quick.pt --images 20000
    """
    from stylegan2.pocket.nets.encoder_training import EncoderConfig
    from stylegan2.pocket.nets.encoder_training import train_encoder as train
    from stylegan2.pocket.nets.perceptual import distance_for

    config = EncoderConfig(**settings)
    make_room(out)
    make_room(out.with_suffix(".json"))
    check_writable(scratch)
    g = generator(checkpoint, device)
    train(out, g, distance_for(g.resolution, judge, on_device(device)), config, device, scratch)
    typer.echo(f"{out}, {out.with_suffix('.json')}")


@verb()
def cartoonize(
    photos: Photos,
    *,
    out: Path | None = None,  # Folder for the cartoons (NAME_STYLE.png) and a sheet of all. [cartoons]
    style: list[str] = ("all",),  # all, or some: webtoon,storybook; or models of your own: runs/mine, FILE.pt.
    resolution: int = 4,  # The first resolution that the cartoon draws; 4: all of it.
    width: float = 0.0,  # Softness of that cut, in resolutions; 0: hard.
    strength: float = 1.0,  # Of the cartoon: 0 the photo's model, 1 the cartoon's.
    steps: int = 100,  # Steps to find the codes; 0: the encoder's answer as it is.
    space: Space = "auto",
    models: Annotated[
        Path, typer.Option(callback=existing)
    ] = MODELS,  # Folder of photo.pt, encoder.pt, judge.pt, styles.
    method: str = "freeze-sg",  # Styles are the files STYLE_METHOD.pt of that folder.
    square: Square,
    box: Box = None,
    device: Device = "auto",
) -> None:
    """Turn photos into cartoons: find their codes in the photo model, and draw these in every style.

    The pocket model was trained on rendered faces only: of a real photo it draws the most similar face that it can.

    \b
    Examples:
      python -m stylegan2 cartoonize data/samples/grace_hopper.jpg --out cartoons
      python -m stylegan2 cartoonize party.jpg --face all --out cartoons --style webtoon --resolution 16 --strength 0.8
      python -m stylegan2 cartoonize "album/*.jpg" --out cartoons --style webtoon,runs/mine
    """
    import torch

    from stylegan2.editing import cartoonize as editing
    from stylegan2.editing.layer_swapping import check_dials
    from stylegan2.editing.photos import Cutting, parse_box, stacked
    from stylegan2.pocket.nets.perceptual import distance_for

    out = or_numbered(out, "cartoons")
    check_folder(out, photos)
    if space not in ("auto", "w", "w+") or steps < 0:
        raise ValueError(f"space is {space!r}, steps {steps}: expected auto, w or w+, and at least 0")
    cutting, where = Cutting(**square, box=parse_box(box)), on_device(device)
    paths = _styles(models, ",".join(style), method)
    source = generator(models / "photo.pt", where)
    check_dials(source.resolution, resolution, width, strength)
    styles = _opened(paths, source, where)
    encoder = _encoder(next(map(str, models.glob("encoder.pt")), "none"), source, where)
    looks = distance_for(source.resolution, models / "judge.pt", where)
    portraits, left_out = read(photos, source.resolution, cutting)
    files = {(name, kind): make_room(out / f"{name}_{kind}.png", photos) for name in portraits for kind in styles}
    sheet = make_room(out / "cartoons.png", photos)
    images = stacked(portraits, where)
    careful = {"w": torch.ones, "w+": torch.zeros}.get(space)
    outside = None if careful is None else careful(len(images), dtype=torch.bool)
    ws, outside, stopped = editing.find_codes(source, images, looks, encoder, steps, outside, progress=True)
    _say_unknown(list(portraits), outside, "it becomes the most similar face that the model can draw")
    cartoons = editing.cartoonize(source, styles, ws, resolution, width, strength)
    _keep_cartoons(source, portraits, images, ws, cartoons, files, sheet)
    typer.echo(f"{counted(len(portraits), 'face')} in {counted(len(cartoons), 'style')}: {sheet}")
    if stopped:
        _say_stopped("the cartoons were drawn with the codes that there were by then")
    end(left_out)


def _keep_cartoons(source, portraits: dict, images, ws, cartoons: dict, files: dict, sheet: Path) -> None:
    """A picture of every face in every style, and one of all."""
    from stylegan2 import display
    from stylegan2.editing.cartoonize import sheet as drawn_sheet
    from stylegan2.editing.latents import render

    for kind, drawn in cartoons.items():
        for name, image in zip(portraits, drawn, strict=True):
            display.save(display.to_pil(image, side=SIDE), files[name, kind])
    seen = [portrait.seen for portrait in portraits.values()]
    display.save(drawn_sheet(images, render(source, ws, batch=len(ws)), cartoons, seen=seen), sheet)


def _opened(paths: dict[str, Path], source, where) -> dict:
    """Models that draw the source's codes. Raises ValueError for one that cannot."""
    from stylegan2.editing.latents import check_fits

    styles = {name: generator(path, where) for name, path in paths.items()}
    for name, g in styles.items():
        check_fits(g, source.mapping.mean_ws, name)
    return styles


def _styles(models: Path, wanted: str, method: str) -> dict[str, Path]:
    """Files of the styles by name, and those that are named as files. Raises ValueError for others."""
    known = {path.stem.rsplit("_", 1)[0]: path for path in sorted(models.glob(f"*_{method}.pt"))}
    names = list(known) if wanted == "all" else [name.strip() for name in wanted.split(",")]
    own = [shipped(Path(name)) for name in names if name not in known and shipped(Path(name)).exists()]
    missing = [name for name in names if name not in known and shipped(Path(name)) not in own]
    if missing or not names:
        what = f"no style {', '.join(missing)}" if missing else "no styles"
        raise ValueError(
            f"{what} by {method} in '{models}'; there are: {', '.join(known) or 'none'}, and models of your own by "
            "their paths, such as runs/mine"
        )
    return captions_of(own, {name: known[name] for name in names if name in known})
