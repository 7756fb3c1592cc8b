"""From photos and clips to cartoons: `cartoonize`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from stylegan2.cli import clips, common
from stylegan2.cli.common import MODELS, Device, Existing, at_least, shipped
from stylegan2.cli.options import Settings, verb
from stylegan2.cli.photos import SIDE, SPACE, Box, Corrections, Square, find_encoder, read
from stylegan2.files import counted

if TYPE_CHECKING:
    from stylegan2.editing.photos import Portrait
    from stylegan2.pocket.person import PersonCodes, Wishes
    from stylegan2.pocket.portrait import Reading

Wished = Settings(
    "pocket.person",
    "Wishes",
    space=typer.Option(help=SPACE),
    steps=at_least(0),
    keep_colours=typer.Option(min=0, max=1),
)


@verb()
def cartoonize(
    photos: clips.PhotosOrClip,
    *,
    out: Path | None = None,  # Folder for the cartoons (NAME_STYLE.png) and a sheet of all [cartoons]; a clip's MP4.
    style: list[str] = ("all",),  # all, or some: webtoon,storybook; or models of your own: runs/mine, FILE.pt.
    correct: Corrections = None,
    wishes: Wished,
    models: Existing = MODELS,  # Folder of photo.pt, codes.pt, encoder.pt, judge.pt, styles.
    method: str = "freeze-sg",  # Styles are the files STYLE_METHOD.pt of that folder.
    square: Square,
    box: Box = None,
    face_only: bool = False,  # Of a clip: only the aligned face; else it is put back into the frames.
    device: Device = "auto",
) -> None:
    """Turn photos into cartoons: make codes of the photo model, and render these in every style.

    At pocket scale the person in a real photo is read, as by read-face, and becomes codes; --set corrects the reading.
    For pictures of the model's own world, and at full scale, the codes are searched. The sheet says what was read, and
    what of it is seen in each cartoon.

    Of a clip one face is followed, and rendered in one style; its sound is kept. A clip that was killed goes on.

    \b
    Examples:
      python -m stylegan2 cartoonize data/samples/grace_hopper.jpg --out cartoons
      python -m stylegan2 cartoonize me.jpg --set glasses=round --set hair_colour=brown --keep-colours 0.5
      python -m stylegan2 cartoonize party.jpg --face all --out cartoons --style webtoon --resolution 16 --strength 0.8
      python -m stylegan2 cartoonize "album/*.jpg" --out cartoons --style webtoon,runs/mine
      python -m stylegan2 cartoonize clip.mp4 --out cartoon.mp4
      python -m stylegan2 cartoonize pocket:clip --out cartoon.mp4 --style storybook --face-only
    """
    from stylegan2.editing.layer_swapping import cuts, target_share
    from stylegan2.editing.photos import Cutting, parse_box
    from stylegan2.pocket.nets.perceptual import distance_for
    from stylegan2.pocket.person import Wishes
    from stylegan2.pocket.portrait import corrections

    clip = clips.open_clip(photos)
    out, changes, wishes = clips.check_out(clip, out, photos), corrections(correct or ()), Wishes(**wishes)
    cutting, paths = Cutting(**square, box=parse_box(box)), _styles(models, clips.style_for(clip, style), method)
    styles = common.generators({"": models / "photo.pt"} | paths, device)
    target_share(cuts(styles[""].resolution), *wishes.dials)  # raises ValueError for impossible dials
    encoder = find_encoder(next(map(str, models.glob("encoder.pt")), "none"), styles[""])
    distance = distance_for(styles[""].resolution, models / "judge.pt", styles[""].mapping.w_mean.device)
    if clip:
        return _clip(clip, out, styles, wishes, changes, distance, encoder, cutting, face_only)
    portraits, left_out = read(photos, styles[""].resolution, cutting)
    people = _person_codes(models, styles[""], wishes, changes, len(portraits))
    readings = _read(people, portraits, wishes, changes, distance, encoder, left_out) if people else {}
    others = {name: portrait for name, portrait in portraits.items() if name not in readings}
    drawn, stopped = _render(people, styles, readings, others, wishes, distance, encoder)
    _keep(out, {name: portraits[name] for name in [*readings, *others]}, readings, drawn, distance)
    if stopped:
        common.stop_search("the cartoons were rendered with the codes that there were by then")
    common.end(left_out)


def _clip(clip, out: Path, styles: dict, wishes: Wishes, changes, distance, encoder, cutting, face_only: bool) -> None:
    """The cartoon of a clip. Raises ValueError for wishes that only photos have."""
    from stylegan2.editing.layer_swapping import swap

    if changes or wishes.codes == "read":
        raise ValueError("a clip's codes are searched: leave out --set and --codes read")
    (source, style), (resolution, width, strength) = styles.values(), wishes.dials
    style = swap(source, style, resolution, width, strength=strength)
    how = {"steps": wishes.steps, "space": wishes.space, "face_only": face_only}
    clips.make(clip, out, source, style, distance, encoder, cutting, **how)


def _person_codes(models: Path, source, wishes: Wishes, changes: Mapping, faces: int) -> PersonCodes | None:
    """What makes codes of a reading; None: all codes are searched. Raises ValueError where it is needed and missing."""
    from stylegan2.pocket.person import PersonCodes

    if changes and faces > 1:
        raise ValueError(f"--set corrects one person, and here are {faces} faces: give one photo, and --face NUMBER")
    if changes and wishes.codes == "search":
        raise ValueError("--set corrects what is read off a photo: not with --codes search")
    people = None if wishes.codes == "search" else PersonCodes.find(models / "codes.pt", source)
    if people is None and (changes or wishes.codes == "read"):
        raise ValueError(f"'{models}' has no codes.pt that belongs to its photo.pt, so nobody can be read for it")
    return people


def _read(
    people: PersonCodes, portraits: dict, wishes: Wishes, changes: Mapping, distance, encoder, left_out: list[str]
) -> dict[str, Reading]:
    """The people in real photos, as read and corrected; says of whom nothing can be read.

    Their codes are searched, or, where reading is asked for, they are left out, also of `portraits`.
    """
    from stylegan2.pocket.person import is_real, read_person

    readings, must = {}, bool(changes) or wishes.codes == "read"
    for name, portrait in list(portraits.items()):
        if not must and not is_real(portrait, people.source, distance, encoder):
            continue
        try:
            readings[name] = read_person(portrait).corrected(changes)
        except ValueError as error:
            if not must:
                common.note(f"{name}: the codes are searched, since the person cannot be read: {error}")
                continue
            with common.leaving_out(portrait.path, left_out, alone=len(portraits) == 1):
                raise ValueError(f"'{portrait.path}': {error}") from error
            del portraits[name]
            continue
        for note in readings[name].notes:
            common.note(f"{name}: {note}")
    return readings


def _render(
    people: PersonCodes | None, styles: dict, readings: dict, others: dict, wishes: Wishes, distance, encoder
) -> tuple[dict, bool]:
    """Images of those who were read, then of the others, by style, "" the source; did Ctrl-C stop the search?"""
    import torch

    from stylegan2.editing import cartoonize as editing
    from stylegan2.editing.photos import stacked
    from stylegan2.pocket import world

    parts, stopped = [], False
    if readings:
        faces = world.Faces.concatenate([reading.faces() for reading in readings.values()])
        parts.append(people.cartoonize(styles, faces, *wishes.dials, keep_colours=wishes.keep_colours))
    if others:
        source, space = styles[""], wishes.space
        images = stacked(others, source.mapping.w_mean.device)
        outside = None if space == "auto" else torch.full((len(images),), space == "w")
        ws, outside, stopped = editing.find_codes(source, images, distance, encoder, wishes.steps, outside)
        common.say_unknown(others, outside, common.NEAREST)
        parts.append(editing.cartoonize(source, styles, ws, *wishes.dials))
    return {name: torch.cat([part[name] for part in parts]) for name in styles}, stopped


def _keep(out: Path, portraits: Mapping[str, Portrait], readings: Mapping[str, Reading], drawn: dict, distance) -> None:
    """Write every cartoon, and a sheet of all beside the photos and what the source renders of them."""
    from stylegan2 import display
    from stylegan2.editing import cartoonize as editing
    from stylegan2.editing.photos import stacked
    from stylegan2.pocket.person import verdicts

    again, cartoons = drawn[""], {kind: images for kind, images in drawn.items() if kind}
    for kind, rendered in cartoons.items():
        for name, image in zip(portraits, rendered, strict=True):
            display.save(display.to_pil(image, side=SIDE), out / f"{name}_{kind}.png")
    notes = []
    for i, (name, reading) in enumerate(readings.items()):
        images = {kind: images[i : i + 1] for kind, images in {editing.AGAIN: again, **cartoons}.items()}
        notes.append(verdicts(distance, reading, images))
        typer.echo(f"{name}: read: {reading.summary()}")
    seen = [portrait.seen for portrait in portraits.values()]
    picture = editing.sheet(stacked(portraits, again.device), again, cartoons, seen=seen, notes=notes)
    path = display.save(picture, out / "cartoons.png")
    typer.echo(f"{counted(len(portraits), 'face')} in {counted(len(cartoons), 'style')}: {path}")


def _styles(models: Path, wanted: str, method: str) -> dict[str, Path]:
    """Files of the styles by name, and those that are named as files. Raises ValueError for others."""
    known = {path.stem.rsplit("_", 1)[0]: path for path in sorted(models.glob(f"*_{method}.pt"))}
    names = list(known) if wanted == "all" else [name.strip() for name in wanted.split(",")]
    own = {name: shipped(Path(name)) for name in names if name not in known}
    missing = [name for name, path in own.items() if not path.exists()]
    if missing or not names:
        what = f"no style {', '.join(missing)}" if missing else "no styles"
        raise ValueError(
            f"{what} by {method} in '{models}'; there are: {', '.join(known) or 'none'}, and models of your own by "
            "their paths, such as runs/mine"
        )
    return common.captions_of(own.values(), {name: known[name] for name in names if name in known})
