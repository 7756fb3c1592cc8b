"""From photos, or a clip, to cartoons: `cartoonize`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from stylegan2.cli import common
from stylegan2.cli.common import MODELS, Device, Existing, shipped
from stylegan2.cli.options import Settings, verb
from stylegan2.cli.photos import SIDE, SPACE, Box, Corrections, Square, find_encoder, read
from stylegan2.files import counted

ENDINGS = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".3gp")  # of clips
RENDERED = "pocket:clip"  # a clip that is no file
FIRST = "webtoon"  # the style of a clip where none is asked for
REST = "a gap of up to a second shows the cartoon before it, a longer one the clip's own frames"
Wished = Settings(
    "pocket.person",
    "Wishes",
    space=typer.Option(help=SPACE),
    steps=typer.Option(min=0),
    keep_colours=typer.Option(min=0, max=1),
)


def _is_rendered(path: Path) -> bool:
    return str(path).startswith(RENDERED)


PhotosOrClip = Annotated[
    list[Path],
    typer.Argument(
        metavar="PHOTO...",
        help="Faces; or one clip: a video, or pocket:clip.",
        callback=lambda given: given if any(map(_is_rendered, given)) else common.some_existing(given),
    ),
]


@verb()
def cartoonize(
    photos: PhotosOrClip,
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
      python -m stylegan2 cartoonize me.jpg --set glasses=round --set hair_colour=brown --keep-colours 0.5
      python -m stylegan2 cartoonize party.jpg --face all --out cartoons --style webtoon --resolution 16 --strength 0.8
      python -m stylegan2 cartoonize album/*.jpg --out cartoons --style webtoon,runs/mine
      python -m stylegan2 cartoonize clip.mp4 --out cartoon.mp4 --style storybook --face-only
    """
    from stylegan2.editing.photos import Cutting, parse_box
    from stylegan2.pocket.person import Wishes
    from stylegan2.pocket.portrait import corrections

    clip = _open_clip(photos)
    if clip is None:
        out = common.new_folder(out, "cartoons", photos)
    else:
        out = common.new_file(out, "cartoon.mp4", ".mp4", inputs=photos)
    wishes, changes, cutting = Wishes(**wishes), corrections(correct or ()), Cutting(**square, box=parse_box(box))
    paths = _styles(models, ",".join(style), method, clip is not None)
    maker = _Cartoonist(models, common.generators({"": models / "photo.pt"} | paths, device), wishes, changes)
    if clip is not None:
        maker.film(clip, out, cutting, face_only)
        return
    portraits, left_out = read(photos, maker.source.resolution, cutting)
    people = maker.people(len(portraits))
    readings = maker.read(portraits, left_out) if people else {}
    others = {name: portrait for name, portrait in portraits.items() if name not in readings}
    rendered, stopped = maker.render(people, readings, others)
    _keep(out, {name: portraits[name] for name in [*readings, *others]}, readings, rendered, maker.distance)
    if stopped:
        common.stop_search("the cartoons were rendered with the codes that there were by then")
    common.end(left_out)


def _open_clip(inputs: Sequence[Path]):
    """The clip among the inputs; None: photos. Raises ValueError for a clip with others, or one that cannot be read."""
    from stylegan2.editing.clips import VideoFile
    from stylegan2.pocket import clip

    if not any(_is_rendered(path) or path.suffix.lower() in ENDINGS for path in inputs):
        return None
    if len(inputs) > 1:
        raise ValueError(f"{counted(len(inputs), 'input')} with a clip among them: expected one clip, or only photos")
    return clip.open_clip(str(inputs[0])) if _is_rendered(inputs[0]) else VideoFile(inputs[0])


def _styles(models: Path, wanted: str, method: str, one: bool) -> dict[str, Path]:
    """Files of the styles by name, and of those that are named as files; `one`: of a clip."""
    known = {path.stem.rsplit("_", 1)[0]: path for path in sorted(models.glob(f"*_{method}.pt"))}
    wanted = FIRST if one and wanted == "all" else wanted
    names = list(known) if wanted == "all" else [name.strip() for name in wanted.split(",")]
    if one and len(names) > 1:
        raise ValueError(f"style is {wanted}: of a clip one style is made at a time, such as {FIRST}")
    own = {name: shipped(Path(name)) for name in names if name not in known}
    missing = [name for name, path in own.items() if not path.exists()]
    if missing or not names:
        what = f"no style {', '.join(missing)}" if missing else "no styles"
        raise ValueError(
            f"{what} by {method} in '{models}'; there are: {', '.join(known) or 'none'}, and models of your own by "
            "their paths, such as runs/mine"
        )
    return common.captions_of(own.values(), {name: known[name] for name in names if name in known})


class _Cartoonist:
    """What makes cartoons: the generators of all styles, "" the source, and what finds codes of the source."""

    def __init__(self, models: Path, styles: dict, wishes, changes: dict):
        from stylegan2.editing.layer_swapping import cuts, target_share
        from stylegan2.pocket.nets.perceptual import distance_for

        self.models, self.styles, self.source, self.wishes, self.changes = models, styles, styles[""], wishes, changes
        target_share(cuts(self.source.resolution), *wishes.dials)  # raises ValueError for impossible dials
        self.must_read = bool(changes) or wishes.codes == "read"
        self.encoder = find_encoder(next(map(str, models.glob("encoder.pt")), "none"), self.source)
        self.device = self.source.mapping.w_mean.device
        self.distance = distance_for(self.source.resolution, models / "judge.pt", self.device)

    def film(self, clip, out: Path, cutting, face_only: bool) -> None:
        """Write the cartoon of a clip, and say what came of it."""
        from stylegan2.editing.cartoon_clip import ClipConfig, cartoonize_clip
        from stylegan2.editing.layer_swapping import swap
        from stylegan2.pocket.clip import ReadSitter
        from stylegan2.pocket.nets.perceptual import frame_for

        (source, style), people, sitter = self.styles.values(), self.people(1), None
        if people:
            sitter = ReadSitter(people, list(self.styles)[1], style, self.wishes, self.changes, self.must_read)
        resolution, width, strength = self.wishes.dials
        mixed = swap(source, style, resolution, width, strength=strength)
        config = ClipConfig(self.wishes.steps, face_only=face_only)
        cutting = replace(cutting, frame=frame_for(source.resolution))
        outside = {"w": True, "w+": False}.get(self.wishes.space)
        found = self.distance, self.encoder, config, cutting, outside
        try:
            report = cartoonize_clip(clip, out, source, mixed, *found, sitter=sitter)
        except KeyboardInterrupt:
            common.stop("stopped by Ctrl-C: the same command goes on after the last part that was finished")
        _report(report, clip, out)

    def people(self, faces: int):
        """What makes codes of a reading; None: all are searched. Raises ValueError where it is needed and missing."""
        from stylegan2.pocket.person import PersonCodes

        if self.changes and faces > 1:
            raise ValueError(
                f"--set corrects one person, and here are {faces} faces: give one photo, and --face NUMBER"
            )
        if self.changes and self.wishes.codes == "search":
            raise ValueError("--set corrects what is read off a photo: not with --codes search")
        if self.wishes.codes == "search":
            return None
        people = PersonCodes.find(self.models / "codes.pt", self.source)
        if people is None and self.must_read:
            raise ValueError(
                f"'{self.models}' has no codes.pt that belongs to its photo.pt, so nobody can be read for it"
            )
        return people

    def read(self, portraits: dict, left_out: list[str]) -> dict:
        """Readings of the people in real photos, by name; who must be read and cannot leaves `portraits`."""
        from stylegan2.pocket.person import is_real, read_person

        readings = {}
        for name, portrait in list(portraits.items()):
            if not (self.must_read or is_real(portrait, self.source, self.distance, self.encoder)):
                continue
            try:
                readings[name] = read_person(portrait).corrected(self.changes)
            except ValueError as error:
                if self.must_read:
                    with common.leaving_out(portrait.path, left_out, alone=len(portraits) == 1):
                        raise ValueError(f"'{portrait.path}': {error}") from error
                    del portraits[name]
                else:
                    common.note(f"{name}: the codes are searched, since the person cannot be read: {error}")
            else:
                for note in readings[name].notes:
                    common.note(f"{name}: {note}")
        return readings

    def render(self, people, readings: dict, others: dict) -> tuple[dict, bool]:
        """Images of those who were read, then of the others, by style; did Ctrl-C stop the search?"""
        import torch

        from stylegan2.editing import cartoonize as editing
        from stylegan2.editing.photos import stacked
        from stylegan2.pocket import world

        wishes, parts, stopped = self.wishes, [], False
        if readings:
            faces = world.Faces.concatenate([reading.faces() for reading in readings.values()])
            parts.append(people.cartoonize(self.styles, faces, *wishes.dials, keep_colours=wishes.keep_colours))
        if others:
            images = stacked(others, self.device)
            outside = None if wishes.space == "auto" else torch.full((len(images),), wishes.space == "w")
            ws, outside, stopped = editing.find_codes(
                self.source, images, self.distance, self.encoder, wishes.steps, outside
            )
            common.say_unknown(others, outside, common.NEAREST)
            parts.append(editing.cartoonize(self.source, self.styles, ws, *wishes.dials))
        return {name: torch.cat([part[name] for part in parts]) for name in self.styles}, stopped


def _report(report, clip, out: Path) -> None:
    """What came of a clip."""
    if report.outside:
        common.note(f"{common.UNKNOWN}: {common.NEAREST}")
    if report.faceless:
        common.note(f"{report.faceless} of {counted(report.frames, 'frame')} without a face ({REST})")
    if clip.count > report.frames + clip.fps:
        common.note(
            f"{report.frames} frames could be read, and the file lasts as long as {clip.count}: its sound goes on, or "
            "the rest is damaged"
        )
    lost = f"WITHOUT SOUND: ffmpeg cannot put its sound ({clip.sound}) into an MP4"
    sound = "sound kept" if report.sound else lost if clip.sound else "the clip has no sound"
    typer.echo(f"{out}: {counted(report.frames, 'frame')}, {report.frames / clip.fps:.1f} s, {sound}")
    typer.echo(
        f"flicker {report.flicker:.2f}: from frame to frame the aligned cartoon changes {report.cartoon_change:.1f} of "
        f"255, the aligned clip {report.clip_change:.1f}; {report.fps:.1f} frames a second after the search"
    )


def _keep(out: Path, portraits: dict, readings: dict, rendered: dict, distance) -> None:
    """Write every cartoon, and a sheet of all beside the photos and what the source renders of them."""
    from stylegan2 import display
    from stylegan2.editing import cartoonize as editing
    from stylegan2.editing.photos import stacked
    from stylegan2.pocket.person import verdicts

    again, cartoons = rendered[""], {kind: images for kind, images in rendered.items() if kind}
    for kind, images in cartoons.items():
        for name, image in zip(portraits, images, strict=True):
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
