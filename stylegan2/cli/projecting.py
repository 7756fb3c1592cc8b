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
    app,
    captions_of,
    check_folder,
    check_writable,
    end,
    existing,
    load,
    make_room,
    on_device,
    or_numbered,
    shipped,
)
from stylegan2.cli.photos import Align, Box, Face, Photos, read
from stylegan2.files import counted

MODELS = Path("checkpoints/pocket")
SIDE = 192  # pixels of a face, about and at least
UNKNOWN = "this model was not trained on faces like this one"
SPACE = (
    "w+: a code per layer, nearer to the photo; w: one for all, which stays a face; auto: w for what the model does "
)
SPACE += "not know."
JUDGE, ENCODER = MODELS / "judge.pt", MODELS / "encoder.pt"


@app.command()
def project(
    checkpoint: CheckpointPath,
    photos: Photos,
    out: Annotated[
        Path | None, typer.Option(help="Folder for codes (NAME.pt), pictures (NAME.png). [projected]")
    ] = None,
    space: Annotated[str, typer.Option(help=SPACE)] = "auto",
    steps: Annotated[int, typer.Option(help="Steps of the optimisation; 0: the encoder's answer as it is.")] = 300,
    encoder: Annotated[
        str, typer.Option(help="Where to begin: an encoder's file, 'none' (the mean face), or auto.")
    ] = "auto",
    l2: Annotated[float, typer.Option(help="How strongly the codes are held where the search begins.")] = 0.0,
    tune: Annotated[int, typer.Option(help="Then steps of pivotal tuning: the model learns these very photos.")] = 0,
    judge: Annotated[
        Path, typer.Option(help="What compares pocket faces; larger ones are compared by LPIPS.", callback=shipped)
    ] = JUDGE,
    align: Align = "auto",
    face: Face = "1",
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
    import torch

    from stylegan2 import checkpoints, display
    from stylegan2.editing import projection
    from stylegan2.editing.cartoonize import is_outside
    from stylegan2.editing.perceptual import psnr
    from stylegan2.editing.photos import Cutting, parse_box, stacked
    from stylegan2.pocket.nets.perceptual import distance_for

    out = or_numbered(out, "projected")
    check_folder(out, photos)
    if steps < 0 or tune < 0:
        raise ValueError(f"steps is {steps}, tune {tune}: expected at least 0")
    free = space == "auto"
    config = projection.ProjectConfig(steps=max(1, steps), space="w+" if free else space, l2=l2)
    cutting, where = Cutting(align, face, parse_box(box)), on_device(device)
    g = load(checkpoint, where, g_ema_only=True).g_ema
    e, looks = _encoder(encoder, g, where), distance_for(g.resolution, judge, where)
    portraits, left_out = read(photos, g.resolution, cutting, taken=("tuned",) if tune else ())
    for path in [f"{name}{kind}" for name in portraits for kind in (".pt", ".png")] + ["tuned.pt"] * bool(tune):
        make_room(out / path, photos)
    images = stacked(portraits, where)
    nowhere = torch.zeros(len(images), dtype=torch.bool)
    outside = is_outside(g, images, looks, e) if steps else nowhere
    for name in (name for name, far in zip(portraits, outside.tolist(), strict=True) if far):
        how = "it becomes the most similar face that the model can draw (--space w+: nearer, but hardly a face)"
        typer.echo(f"{name}: {UNKNOWN}: {how if free else 'what it draws may be no face'}", err=True)
    found = _find(g, images, looks, config, e, steps, careful=outside if free else nowhere)
    made_from = {"generator": checkpoints.fingerprint(g), "psi": 1.0}
    chosen = list(found)  # all, or what was found before Ctrl-C
    if tune:
        codes = replace(found[chosen[0]], ws=torch.cat([found[i].ws for i in chosen]))
        g = projection.tune(g, codes, images[chosen], looks, tune, progress=True)
        checkpoints.save(out / "tuned.pt", g_ema=g, meta={"tuned_from": made_from["generator"], "steps": tune})
        made_from["generator"] = checkpoints.fingerprint(g)
    for i, (name, portrait) in enumerate(portraits.items()):
        if i not in found:
            typer.echo(f"{name}: not begun: you stopped the command first", err=True)
            continue
        one, image = replace(found[i], made_from=made_from | {"photo": name}), images[i : i + 1]
        one.save(out / f"{name}.pt")
        drawn = g.synthesis(one.ws, one.noise)
        picture = display.rows({"photo": image.cpu(), "drawn": drawn.cpu()}, side=SIDE)
        if portrait.seen is not None:
            picture = display.beside([portrait.seen, picture])
        display.save(picture, out / f"{name}.png")
        near = f"{psnr(drawn, image).item():.1f} dB (30: hard to tell apart; 15: other details)"
        typer.echo(f"{name}: drawn to within {near}, {out / name}.pt ({one.stopped})")
    if len(found) < len(portraits) or any(one.stopped == projection.INTERRUPTED for one in found.values()):
        _say_stopped(
            f"the codes of {len(found)} of {counted(len(portraits), 'face')}, as far as they were found, are in {out}"
        )
    end(left_out)


def _say_stopped(kept: str) -> None:
    """After Ctrl-C: say so, and what there is. Raises typer.Exit."""
    typer.echo(
        f"stopped early by Ctrl-C, before the search was at its end: {kept}; run it again for all of it", err=True
    )
    raise typer.Exit(INTERRUPTED)


def _find(g, images, looks, config, encoder, steps: int, careful) -> dict:
    """Codes of images, {number: Projection of one}: looked for in so many steps, or with none the encoder's answer.

    Those to be treated carefully (bool [N]) are held near the mean face, as `cartoonize` does it.
    """
    from stylegan2.editing.cartoonize import CAREFUL, encode, search
    from stylegan2.editing.projection import Projection

    if not steps:
        if encoder is None:
            raise ValueError(
                "steps is 0 and there is no encoder: nothing would be looked for; give --encoder, or steps"
            )
        codes = encode(encoder, images)
        return {i: Projection(config, ws, stopped="encoder only") for i, ws in enumerate(codes.split(1))}

    def how(some, far: bool):
        if far:
            return replace(CAREFUL, steps=config.steps, l2=config.l2 or CAREFUL.l2), None
        return config, None if encoder is None else encode(encoder, some)

    return search(g, images, looks, careful, how, progress=True)


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


@app.command("train-encoder")
def train_encoder(
    checkpoint: CheckpointPath,
    out: Annotated[Path, typer.Option(help="FILE.pt for the encoder; FILE.json: what it can.", show_default=False)],
    images: Annotated[int, typer.Option(help="Shown in all.")] = 200_000,
    batch: Annotated[int, typer.Option(help="Half of them generated, half rendered.")] = 16,
    faces: Annotated[int, typer.Option(help="Rendered photos to learn from.")] = 12_000,
    truncation: Annotated[float, typer.Option(help="psi of the generated ones.")] = 0.9,
    seed: Annotated[int, typer.Option(help="Of weights, faces and their order.")] = 0,
    judge: Annotated[Path, typer.Option(help="What compares faces.", callback=existing)] = JUDGE,
    scratch: Annotated[Path, typer.Option(help="Folder for an unfinished training.")] = Path("build/encoder"),
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

    config = EncoderConfig(images=images, batch=batch, faces=faces, psi=truncation, seed=seed)
    make_room(out)
    make_room(out.with_suffix(".json"))
    check_writable(scratch)
    g = load(checkpoint, on_device(device), g_ema_only=True).g_ema
    train(out, g, distance_for(g.resolution, judge, on_device(device)), config, device, scratch)
    typer.echo(f"{out}, {out.with_suffix('.json')}")


@app.command()
def cartoonize(
    photos: Photos,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the cartoons (NAME_STYLE.png) and a sheet of all. [cartoons]")
    ] = None,
    style: Annotated[
        list[str], typer.Option(help="all, or some: webtoon,storybook; or models of your own: runs/mine, FILE.pt.")
    ] = ["all"],  # noqa: B006
    resolution: Annotated[int, typer.Option(help="The first resolution that the cartoon draws; 4: all of it.")] = 4,
    width: Annotated[float, typer.Option(help="Softness of that cut, in resolutions; 0: hard.")] = 0.0,
    strength: Annotated[float, typer.Option(help="Of the cartoon: 0 the photo's model, 1 the cartoon's.")] = 1.0,
    steps: Annotated[int, typer.Option(help="Steps to find the codes; 0: the encoder's answer as it is.")] = 100,
    space: Annotated[str, typer.Option(help=SPACE)] = "auto",
    models: Annotated[
        Path, typer.Option(help="Folder with photo.pt, encoder.pt, judge.pt and the styles.", callback=existing)
    ] = MODELS,
    method: Annotated[str, typer.Option(help="Styles are the files STYLE_METHOD.pt of that folder.")] = "freeze-sg",
    align: Align = "auto",
    face: Face = "1",
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

    from stylegan2 import display
    from stylegan2.editing import cartoonize as editing
    from stylegan2.editing.latents import check_fits, draw
    from stylegan2.editing.layer_swapping import check_dials
    from stylegan2.editing.photos import Cutting, parse_box, stacked
    from stylegan2.pocket.nets.perceptual import distance_for

    out = or_numbered(out, "cartoons")
    check_folder(out, photos)
    if space not in ("auto", "w", "w+") or steps < 0:
        raise ValueError(f"space is {space!r}, steps {steps}: expected auto, w or w+, and at least 0")
    cutting, where = Cutting(align, face, parse_box(box)), on_device(device)
    chosen = _styles(models, ",".join(style), method)
    source = load(models / "photo.pt", where, g_ema_only=True).g_ema
    check_dials(source.resolution, resolution, width, strength)
    styles = {name: load(path, where, g_ema_only=True).g_ema for name, path in chosen.items()}
    for name, g in styles.items():
        check_fits(g, source.mapping.mean_ws, name)
    path = models / "encoder.pt"
    encoder = _encoder(str(path) if path.is_file() else "none", source, where)
    looks = distance_for(source.resolution, models / "judge.pt", where)
    portraits, left_out = read(photos, source.resolution, cutting)
    files = {(name, kind): make_room(out / f"{name}_{kind}.png", photos) for name in portraits for kind in styles}
    sheet = make_room(out / "cartoons.png", photos)
    images = stacked(portraits, where)
    forced = {"w": torch.ones, "w+": torch.zeros}.get(space)
    outside = None if forced is None else forced(len(images), dtype=torch.bool)
    ws, outside, stopped = editing.find_codes(source, images, looks, encoder, steps, outside, progress=True)
    for name in (name for name, far in zip(portraits, outside.tolist(), strict=True) if far):
        typer.echo(f"{name}: {UNKNOWN}: it becomes the most similar face that the model can draw", err=True)
    cartoons = editing.cartoonize(source, styles, ws, resolution, width, strength)
    for kind, drawn in cartoons.items():
        for name, image in zip(portraits, drawn, strict=True):
            display.save(display.to_pil(image, side=SIDE), files[name, kind])
    seen = [portrait.seen for portrait in portraits.values()]
    display.save(editing.sheet(images, draw(source, ws, batch=len(ws)), cartoons, seen=seen), sheet)
    typer.echo(f"{counted(len(portraits), 'face')} in {counted(len(cartoons), 'style')}: {sheet}")
    if stopped:
        _say_stopped("the cartoons were drawn with the codes that there were by then")
    end(left_out)


def _styles(models: Path, wanted: str, method: str) -> dict[str, Path]:
    """Files of the styles by name, and those that are named as files. Raises ValueError for one that there is not."""
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
