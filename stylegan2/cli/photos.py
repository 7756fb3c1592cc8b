"""From photos to faces, people and codes: `align`, `read-face`, `project`."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stylegan2.cli import common
from stylegan2.cli.common import JUDGE, MODELS, CheckpointPath, Device, Natural, Positive, shipped
from stylegan2.cli.options import Settings, verb
from stylegan2.files import counted

if TYPE_CHECKING:
    from stylegan2.editing.photos import Cutting, Portrait

SIDE = 192  # pixels of a face, about and at least
ENCODER = MODELS / "encoder.pt"
Photos = Annotated[
    list[Path],
    typer.Argument(metavar="PHOTO...", help="Pictures with a face in each.", callback=common.some_existing),
]
Square = Settings(
    "editing.photos",
    "Cutting",
    without=("frame",),
    align=typer.Option(
        help="yes: turn and cut to the face; no: the middle square; auto: no if it has the model's size."
    ),
    face=typer.Option(help="Of several: 1 (the surest), 2, ..., or all."),
)
Box = Annotated[str | None, typer.Option(help="LEFT,TOP,SIDE in pixels: this square, whatever is in it.")]
SPACE = "w+: a code per layer, nearer to the photo; w: one for all, which stays a face; auto: w for unknown worlds."
Space = Annotated[str, typer.Option(help=SPACE)]
Corrections = Annotated[list[str] | None, typer.Option("--set", help="ATTRIBUTE=VALUE: you know better; repeat.")]


def read(
    photos: list[Path], resolution: int, cutting: Cutting, taken: Container[str] = ()
) -> tuple[dict[str, Portrait], list[str]]:
    """The faces of photos by name, ready for a generator; says how each was cut.

    Of several photos, those that cannot be read or have no face are named and left out: the second part of the answer.
    Raises ValueError where none is left.
    """
    from stylegan2.editing.photos import read_photo
    from stylegan2.pocket.nets.perceptual import frame_for

    cutting = replace(cutting, frame=frame_for(resolution))
    portraits, left_out = {}, []
    for name, path in common.captions_of(photos).items():
        with common.leaving_out(path, left_out, alone=len(photos) == 1):
            portraits |= read_photo(name, path, resolution, cutting, {*portraits, *taken})
    if not portraits:
        raise ValueError(f"none of the {len(photos)} photos can be used: see above, and --box")
    for name, portrait in portraits.items():
        if portrait.seen is not None:  # else it was asked for, and needs no word
            typer.echo(f"{name}: {portrait.how}", err=True)
    return portraits, left_out


@verb()
def align(
    photos: Photos,
    out: Path | None = None,  # Folder for the faces (NAME.png). [faces]
    size: Annotated[int, typer.Option(min=16, max=4096)] = 256,  # Side of a face in pixels.
    face: str = "1",  # Of several: 1 (the surest), 2, ..., or all.
    box: Box = None,
    marked: bool = True,  # Also NAME_faces.jpg: the photo, its faces, their numbers.
) -> None:
    """Turn photos so that faces are upright, and cut them as FFHQ's are.

    Photos are turned as their camera says, and mirrored beyond their edges. A file that is no picture, or has no face,
    is named and left out; then the return code is 1.

    \b
    Examples:
      python -m stylegan2 align album/*.jpg --out faces --size 1024 --face all
      python -m stylegan2 align profile.jpg --out faces --box 120,40,300
    """
    from stylegan2 import display
    from stylegan2.collect import align as module
    from stylegan2.editing.photos import Cutting, names_of, open_photo, parse_box, portraits
    from stylegan2.pocket.nets.perceptual import frame_for

    cutting = Cutting("yes", face, parse_box(box), frame_for(size))
    out = common.new_folder(out, "faces", photos)
    done, left_out = set(), []
    for name, path in common.captions_of(photos).items():
        with common.leaving_out(path, left_out, alone=len(photos) == 1):
            photo = open_photo(path)
            people = [] if cutting.box else module.find_people(photo)
            faces = portraits(photo, size, cutting, people)
            for own, portrait in zip(names_of(name, len(faces), done), faces, strict=True):
                to = display.save(portrait.image, out / f"{own}.png")
                typer.echo(f"{to}: {portrait.how}")
                done.add(own)
            if marked and people:
                display.save(module.marked(photo, people), out / f"{name}_faces.jpg")
    if not done:
        raise ValueError(f"none of the {len(photos)} photos can be used: see above, and --box")
    common.end(left_out)


@verb("read-face")
def read_face(
    photo: Annotated[Path, typer.Argument(metavar="PHOTO", help="A picture with a face.", callback=common.existing)],
    *,
    out: Path | None = None,  # Picture of the reading. [PHOTO_read.png]
    face: Positive = 1,  # Of several: 1 (the surest), 2, ...
    correct: Corrections = None,
    json: bool = False,  # Print all attributes as JSON, too.
) -> None:
    """Read the person in a photo: pose, features, hair, colours, glasses, beard, and roughly how sure each is.

    The picture shows the mesh on the photo, all attributes, and the pocket face that they make. What is less than half
    sure moves towards the mean face.

    \b
    Examples:
      python -m stylegan2 read-face me.jpg --set glasses=round --set hair_colour=brown --set smile=0.5
      python -m stylegan2 read-face party.jpg --face 2 --out second.png --json
    """
    from stylegan2 import display
    from stylegan2.collect.align import NoFace
    from stylegan2.editing.photos import open_photo
    from stylegan2.pocket.portrait import corrections, describe, figure

    out = common.new_file(out, f"{photo.stem}_read.png", *common.PICTURES, inputs=[photo])
    changes = corrections(correct or ())
    try:
        reading = describe(open_photo(photo), face)
    except NoFace as error:
        raise NoFace(f"'{photo}': {error}") from error
    reading = reading.corrected(changes)
    if json:
        typer.echo(reading.to_json())
    for note in reading.notes:
        common.note(note)
    if reading.found > 1:
        common.note(f"this is face {face} of {reading.found}; --face reads another")
    path = display.save(figure(reading), out)
    typer.echo(f"{photo.stem}: {reading.summary()}; {path}", err=json)


@verb()
def project(
    checkpoint: CheckpointPath,
    photos: Photos,
    *,
    out: Path | None = None,  # Folder for codes (NAME.pt), pictures (NAME.png). [projected]
    space: Space = "auto",
    steps: Natural = 300,  # Steps of the optimisation; 0: the encoder's answer as it is.
    encoder: str = "auto",  # Where to begin: an encoder's file, 'none' (the mean face), or auto.
    l2: float = 0.0,  # How strongly the codes are held where the search begins.
    tune: Natural = 0,  # Then steps of pivotal tuning: the model learns these very photos.
    judge: Annotated[Path, typer.Option(callback=shipped)] = JUDGE,  # What compares pocket faces; LPIPS larger ones.
    square: Square,
    box: Box = None,
    device: Device = "auto",
) -> None:
    """Find the codes that render your photos: then edit them, or render them with any model fine-tuned from CKPT.

    Faces are found, turned upright and cut (--align). NAME.pt holds the codes: give it to `edit`, `mix` or
    `apply-factor` instead of seeds, or to Python (`editing.projection.Projection.load`). With --tune a copy of the
    model that renders exactly these photos is kept as tuned.pt. Ctrl-C keeps what there is.

    \b
    Examples:
      python -m stylegan2 project checkpoints/pocket/photo.pt album/*.jpg --out projected --steps 0
      python -m stylegan2 project checkpoints/pocket/photo.pt data/samples/eileen_collins.jpg --out projected \\
          --space w --encoder none --tune 200
      python -m stylegan2 edit checkpoints/pocket/photo.pt "black hair" --seeds projected/grace_hopper.pt \\
          --learn 100-115 --layers 0-3
    """
    import torch

    from stylegan2.editing.cartoonize import is_outside, search
    from stylegan2.editing.optimise import INTERRUPTED as STOPPED
    from stylegan2.editing.photos import Cutting, parse_box, stacked
    from stylegan2.editing.projection import ProjectConfig
    from stylegan2.pocket.nets.perceptual import distance_for

    out = common.new_folder(out, "projected", photos)
    free = space == "auto"
    config = ProjectConfig(steps=max(1, steps), space="w+" if free else space, l2=l2)
    cutting = Cutting(**square, box=parse_box(box))
    g = common.generator(checkpoint, device)
    e, distance = find_encoder(encoder, g), distance_for(g.resolution, judge, g.mapping.w_mean.device)
    portraits, left_out = read(photos, g.resolution, cutting, taken=("tuned",) if tune else ())
    images = stacked(portraits, g.mapping.w_mean.device)
    careful = torch.zeros(len(images), dtype=torch.bool)
    if steps:
        outside = is_outside(g, images, distance, e)
        likely = f"{common.NEAREST} (--space w+: nearer, but hardly a face)"
        common.say_unknown(portraits, outside, likely if free else "what it renders may be no face")
        careful = outside if free else careful
    codes = search(g, images, distance, e, careful, steps, config)
    if tune:
        g = _tuned(g, codes, images, distance, tune, out / "tuned.pt")
    _keep(out, g, codes, images, portraits)
    if len(codes) < len(portraits) or any(one.stopped == STOPPED for one in codes.values()):
        found = f"{len(codes)} of {counted(len(portraits), 'face')}"
        common.stop_search(f"the codes of {found}, as far as found, are in {out}")
    common.end(left_out)


def _tuned(g, codes: dict, images, distance, steps: int, path: Path):
    """A copy of the model that renders these photos, kept in a file."""
    import torch

    from stylegan2 import checkpoints
    from stylegan2.editing.projection import tune

    chosen = list(codes)  # all, or what was found before Ctrl-C
    together = replace(codes[chosen[0]], ws=torch.cat([codes[i].ws for i in chosen]))
    tuned = tune(g, together, images[chosen], distance, steps)
    checkpoints.save(path, g_ema=tuned, meta={"tuned_from": checkpoints.fingerprint(g), "steps": steps})
    return tuned


def _keep(out: Path, g, codes: dict, images, portraits: dict) -> None:
    """Write the codes of each face, and a picture of what they render; name those that were not begun."""
    from stylegan2 import display
    from stylegan2.checkpoints import fingerprint
    from stylegan2.editing.perceptual import psnr

    made_from = {"generator": fingerprint(g), "psi": 1.0}
    for i, (name, portrait) in enumerate(portraits.items()):
        if i not in codes:
            typer.echo(f"{name}: not begun: you stopped the command first", err=True)
            continue
        found, image = replace(codes[i], made_from=made_from | {"photo": name}), images[i : i + 1]
        path = out / f"{name}.pt"
        found.save(path)
        rendered = g.synthesis(found.ws, "const")
        picture = display.rows({"photo": image.cpu(), "drawn": rendered.cpu()}, side=SIDE)
        picture = picture if portrait.seen is None else display.beside([portrait.seen, picture])
        display.save(picture, out / f"{name}.png")
        near = f"{psnr(rendered, image).item():.1f} dB (30: hard to tell apart; 15: other details)"
        typer.echo(f"{name}: rendered to within {near}, {path} ({found.stopped})")


def find_encoder(encoder: str, g):
    """The encoder that is meant, or None."""
    from stylegan2 import checkpoints
    from stylegan2.editing.encoder import load_encoder

    path = shipped(ENCODER if encoder == "auto" else Path(encoder))
    if encoder == "none" or (encoder == "auto" and not path.is_file()):
        return None
    opened = load_encoder(path, g.mapping.w_mean.device)
    sizes = [(net.resolution, net.num_ws, net.w_dim) for net in (opened.encoder, g)]
    of_g = sizes[0] == sizes[1] and opened.meta.get("generator") in (None, checkpoints.fingerprint(g))
    if encoder == "auto" and not of_g:
        return None  # the course's encoder and somebody else's model
    if sizes[0] != sizes[1]:
        its, ours = (f"{side} pixels and {codes} codes of {width}" for side, codes, width in sizes)
        raise ValueError(f"'{path}' is for {its}, the model has {ours}: give its own with --encoder, or --encoder none")
    if not of_g:
        common.note(f"'{path}' was trained for another model; its codes are only a beginning")
    return opened.encoder.around(g.mapping)
