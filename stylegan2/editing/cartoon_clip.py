"""A clip as a cartoon: the face followed, its codes found and held together over time, rendered, put back.

    report = cartoonize_clip(clip, "cartoon.mp4", source, cartoon, distance, encoder)

To search every frame by itself flickers. So the encoder answers for every frame, the answers are smoothed over time,
and a search finds one change for all of them (`ProjectConfig.shared`): what is wrong about the person is wrong in all
frames. A few steps then refine each frame, held near the one before (`ProjectConfig.smooth`). Noise is fixed.

A real person is strange to a pocket model. Then a `Sitter` reads each face and makes the cartoons of what was read.

Places, first codes or readings, and each window of refined codes lie in a hidden folder beside the result until that
is there: a killed run goes on after the last of these. Writing the result starts anew.
"""

from __future__ import annotations

import math
import shutil
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from stylegan2 import files
from stylegan2.bars import bar
from stylegan2.checkpoints import fingerprint
from stylegan2.collect import align, track
from stylegan2.collect.facemesh import silhouette
from stylegan2.editing import clips, videos
from stylegan2.editing.cartoonize import STEPS, encode, is_outside, settings
from stylegan2.editing.clips import Clip
from stylegan2.editing.encoder import Encoder
from stylegan2.editing.optimise import INTERRUPTED
from stylegan2.editing.pasting import mask, on_own_ground, paste
from stylegan2.editing.photos import AUTO, Cutting, as_tensor
from stylegan2.editing.projection import ProjectConfig, project
from stylegan2.networks import Generator

SAMPLES = 12  # frames of a scene, on which the change of all its codes is searched
HELD = 0.3  # at least, of the weight `l2` that holds it: one change for many frames can go far, and end in no face
REFINING = {"lr": 0.01, "smooth": 400.0}  # of every frame's codes: slowly, and held near those of the frame before
WINDOW = 48  # frames that are refined together
STEADY_CODES = 0.15  # seconds over which the encoder's answers are smoothed
AROUND = 1.5  # sides of the face's square that a `Sitter` sees: hair and shoulders, too
SEEN = 384  # pixels of that


@dataclass(frozen=True)
class ClipConfig:
    """How a clip is made a cartoon. Raises ValueError for numbers that cannot work."""

    steps: int = STEPS  # of the search; 0: the encoder's answers as they are, smoothed
    refine: int = 8  # steps after it, in which every frame's codes come nearer to it; 0: none
    steady: float = 0.15  # seconds over which the place of the face is smoothed
    hold: float = 1.0  # seconds without a face, up to which the cartoon before them stands; else the frames themselves
    face_only: bool = False  # only the aligned face, instead of the whole frame with the face put back

    def __post_init__(self) -> None:
        numbers = asdict(self)
        if min(numbers.values()) < 0:
            given = ", ".join(f"{name} is {value:g}" for name, value in numbers.items() if name != "face_only")
            raise ValueError(f"{given}: expected 0 or more")


@dataclass(frozen=True)
class Report:
    """What came of it."""

    frames: int
    faceless: int  # frames in which no face was found
    outside: bool  # were codes searched for a face of a world that the model does not know?
    clip_change: float  # mean change of a pixel from frame to frame, of the aligned faces, in [0, 255]
    cartoon_change: float  # the same of the cartoon
    fps: float  # frames a second after the search
    sound: bool  # has the result sound?

    @property
    def flicker(self) -> float:
        """How many times as much as the clip its cartoon changes from frame to frame."""
        return self.cartoon_change / self.clip_change if self.clip_change else 1.0


class Sitter(Protocol):
    """Makes the cartoons of a real person, instead of a search for codes."""

    required: bool  # to be used of every face, also of one that the source knows

    def read(self, faces: Iterable[Image.Image], frames: Sequence[int], fps: float) -> dict[str, Tensor]:
        """What there is to render of a scene's faces, by plain tensors.

        `faces` are upright squares of SEEN pixels, `frames` their numbers in the clip. Raises NoFace.
        """

    def cartoons(self, read: dict[str, Tensor]) -> Sequence[Image.Image]:
        """The cartoons of a scene, R x R pixels, each made when it is asked for."""


def cartoonize_clip(
    clip: Clip,
    out: Path,
    source: Generator,
    cartoon: Generator,
    distance,
    encoder: Encoder | None = None,
    config: ClipConfig | None = None,
    cutting: Cutting = AUTO,
    outside: bool | None = None,
    progress: bool = True,
    sitter: Sitter | None = None,
) -> Report:
    """Write a clip's cartoon as an MP4.

    Args:
        source, cartoon: the model that codes are found in, and what renders them: fine-tuned from it, or a `swap`.
        distance, encoder: see `cartoonize.find_codes`.
        cutting: which face, and where it lies in the models' images; see `photos.Cutting`.
        outside: treat the face as one of an unknown world; None: what `is_outside` says of most of a few frames.
        sitter: makes the cartoons of a real person; None, or where it can read nothing: codes are searched.

    Raises NoFace where no frame has one; ValueError for a clip or settings that cannot be; KeyboardInterrupt for
    Ctrl-C: then the same call goes on.
    """
    config, out = config or ClipConfig(), Path(out)
    if not config.steps and encoder is None and sitter is None:
        raise ValueError("steps is 0, and there is no encoder: nothing would find the face's codes")
    work = out.with_name(f".{out.stem}.work")
    with files.only_writer(work):
        size = (_side(source),) * 2 if config.face_only else clip.size
        clips.check_writing(work, videos.even(size))
        run = _Run(clip, work, source, distance, encoder, config, cutting, outside, progress)
        try:
            places = run.places()
            real = sitter and (sitter.required or run.is_outside(places))
            if (faces := run.read(sitter, places) if real else None) is None:
                outside = run.is_outside(places) if outside is None else outside
                faces = videos.Frames(cartoon, run.codes(places, outside), scale=1)
            else:
                outside = False  # whoever was read is no stranger
        except ValueError:  # the same call would end so again
            shutil.rmtree(work)
            raise
        frames = _CartoonFrames(clip, places, faces, config, source.resolution, _side(source))
        silent, loud = work / "silent.mp4", work / "sound.mp4"
        begin = time.perf_counter()
        videos.save(bar(frames, out.name, "frame", progress, total=len(places)), silent, clip.fps, progress=False)
        fps = frames.count / (time.perf_counter() - begin)
        sound = clips.with_sound(silent, clip, loud)
        with files.replacing(out) as part:
            shutil.copyfile(loud if sound else silent, part)
        shutil.rmtree(work)
    return Report(frames.count, frames.faceless, outside, *frames.changes, fps, sound)


def _side(g: Generator) -> int:
    """Pixels of a face alone: a whole multiple of the model's."""
    return max(1, videos.SIDE // g.resolution) * g.resolution


# ------------------------------------------------------------------------------------------------------ what is kept
class _Run:
    """The first two passes, kept in a folder."""

    def __init__(self, clip, work, source, distance, encoder, config, cutting, outside, progress):
        self.clip, self.work, self.source, self.distance, self.encoder = clip, work, source, distance, encoder
        self.config, self.cutting, self.outside, self.progress = config, cutting, outside, progress
        self.device = source.mapping.w_mean.device
        self._take_up()

    def _take_up(self) -> None:
        """Keep what an earlier run left, if it had the same to do; else clear the folder."""
        config = replace(self.config, face_only=False)
        models = fingerprint(self.source), self.encoder and fingerprint(self.encoder)
        wanted = repr((self.clip.fingerprint, models, self.outside, config, self.cutting))
        key = self.work / "key.txt"
        if not key.is_file() or key.read_text(encoding="utf-8") != wanted:
            for old in self.work.iterdir():
                old.unlink()
            files.write_text(key, wanted)

    def _kept(self, name: str, make, *given):
        """What `make` gives: from the folder, if it is there."""
        path = self.work / name
        if not path.is_file():
            files.write(path, make(*given))
        return files.read(path)

    def places(self) -> np.ndarray:
        """The smoothed places of the face [T, 4]. Raises NoFace."""
        places = self._kept("places.pt", self._follow).numpy()
        places = track.smooth(places, self.config.steady * self.clip.fps)
        seen = ((places[:, :2] >= 0) & (places[:, :2] < self.clip.size)).all(1)  # NaN is not
        places[~seen] = track.NOWHERE  # a face that has left the picture
        if not seen.any():
            raise align.NoFace(
                f"no face found in any of the {files.counted(len(places), 'frame')} of {self.clip.name}: {align.NEEDED}"
            )
        return places

    def _follow(self) -> Tensor:
        square = self.cutting.square(self.clip.size)
        if square is None and self.cutting.face == "all":
            raise ValueError("face is all: of a clip one face is made a cartoon, 1 (the surest), 2, ...")
        follower = track.Follower(int(self.cutting.face), self.cutting.frame) if square is None else None
        frames = bar(self.clip.frames(), "find the face", "frame", self.progress, total=self.clip.count)
        places = [follower(frame) if follower else track.place(square) for frame in frames]
        if not places:
            raise ValueError(f"{self.clip.name} has no frames")
        return torch.from_numpy(np.stack(places))

    def read(self, sitter: Sitter, places: np.ndarray) -> Sequence[Image.Image] | None:
        """The cartoons of all faces, by what is read off them, scene by scene; None where nothing can be read.

        Raises NoFace for that if the sitter is required.
        """
        scenes = track.scenes(places)
        squares = np.concatenate([places[:, :2], AROUND * places[:, 2:]], 1)
        faces = _cut_out(self.clip, squares, SEEN)
        faces = iter(bar(faces, "read", "frame", self.progress, total=sum(map(len, scenes))))
        made = []
        try:
            for numbers in scenes:
                own = islice(faces, len(numbers))
                read = self._kept(f"read_{numbers[0]:06}.pt", sitter.read, own, numbers.tolist(), self.clip.fps)
                deque(own, maxlen=0)  # the next scene begins after these, also where they were read before
                made.append(sitter.cartoons(read))
        except align.NoFace:
            if sitter.required:
                raise
            return None
        pictures = [partial(scene.__getitem__, i) for scene in made for i in range(len(scene))]
        return videos.Lazy(lambda picture: picture(), pictures)

    def codes(self, places: np.ndarray, outside: bool) -> Tensor:
        """The codes ws [N, L, w_dim] of the N frames that have a place, in their order."""
        scenes = _ranges(track.scenes(places))
        begun = self._kept("begun.pt", self._begun, places, scenes, outside)
        if not (self.config.steps and self.config.refine):
            return begun.to(self.device)
        config, ws = replace(self._settings(outside), **REFINING, steps=self.config.refine), []
        faces = aligned(self.clip, places, self.source.resolution)
        with bar(None, "hold them together", "frame", self.progress, total=len(begun)) as shown:
            for scene in scenes:
                before = None
                for part in (scene[i : i + WINDOW] for i in range(0, len(scene), WINDOW)):
                    images, start = torch.stack([next(faces) for _ in part]), begun[part.start : part.stop]
                    refined = self._kept(f"codes_{part.start:06}.pt", self._searched, images, start, config, before)
                    ws.append(refined.to(self.device))
                    before = ws[-1][-1:]
                    shown.update(len(part))
        return torch.cat(ws)

    def _searched(self, images: Tensor, start: Tensor, config: ProjectConfig, before=None, on_step=None) -> Tensor:
        images, start = images.to(self.device), start.to(self.device)
        projection = project(self.source, images, self.distance, config, start, before, on_step=on_step, progress=False)
        if projection.stopped == INTERRUPTED:
            raise KeyboardInterrupt
        return projection.ws.cpu()

    def _settings(self, outside: bool) -> ProjectConfig:
        return settings(outside, self.encoder is not None, self.config.steps)

    def _begun(self, places: np.ndarray, scenes: list[range], outside: bool) -> Tensor:
        """Where every frame begins, steadied, with one change for all frames of a scene, searched on some of them."""
        samples, steps = self._kept("samples.pt", self._samples, places), self.config.steps
        if self.encoder is None or (outside and steps):
            ws = self.source.mapping.mean_ws.cpu().repeat(scenes[-1].stop, 1, 1)
        else:
            ws = self._answers(places, scenes[-1].stop)
        with bar(None, "find the codes", "step", self.progress, total=steps * len(scenes)) as shown:
            for scene in scenes:
                own = slice(scene.start, scene.stop)
                ws[own] = steadied(ws[own], STEADY_CODES * self.clip.fps)
                if steps:
                    numbers, config = [number for number in samples if number in scene], self._settings(outside)
                    images = torch.stack([samples[number] for number in numbers])
                    config = replace(config, shared=True, l2=max(config.l2, HELD))
                    changed = self._searched(images, ws[numbers], config, on_step=lambda _: shown.update())
                    ws[own] += changed[:1] - ws[numbers[:1]]
        return ws

    def _samples(self, places: np.ndarray) -> dict[int, Tensor]:
        """Some faces of every scene, [3, R, R] each, by their numbers; kept, since they take a pass over the clip."""
        scenes = _ranges(track.scenes(places))
        evenly = (np.linspace(0, len(scene) - 1, min(len(scene), SAMPLES)) for scene in scenes)
        numbers = [scene[i] for scene, at in zip(scenes, evenly, strict=True) for i in dict.fromkeys(at.astype(int))]
        others = np.delete(np.arange(len(places)), np.flatnonzero(~np.isnan(places[:, 0]))[numbers])
        places = places.copy()
        places[others] = track.NOWHERE
        return dict(zip(numbers, aligned(self.clip, places, self.source.resolution), strict=True))

    def is_outside(self, places: np.ndarray) -> bool:
        """Is the face of an unknown world, by what `is_outside` says of most of a few frames?"""
        samples = list(self._kept("samples.pt", self._samples, places).values())
        images = torch.stack(samples[:: math.ceil(len(samples) / SAMPLES)]).to(self.device)
        return bool(is_outside(self.source, images, self.distance, self.encoder).float().mean() > 0.5)

    @torch.no_grad()
    def _answers(self, places: np.ndarray, count: int) -> Tensor:
        """What the encoder answers for the faces of all frames: ws [N, L, w_dim]."""
        faces = aligned(self.clip, places, self.source.resolution)
        faces = iter(bar(faces, "encode", "frame", self.progress, total=count))
        batches = iter(lambda: list(islice(faces, WINDOW)), [])
        return torch.cat([encode(self.encoder, torch.stack(batch).to(self.device)).cpu() for batch in batches])


def _ranges(scenes: list[np.ndarray]) -> list[range]:
    """The scenes by numbers of their faces, where frames without one do not count."""
    ends = np.cumsum([0, *map(len, scenes)]).tolist()
    return [range(a, b) for a, b in pairwise(ends)]


def steadied(ws: Tensor, sigma: float) -> Tensor:
    """Codes [T, L, w_dim] of frames, smoothed by a Gaussian of `sigma` frames; 0: as they are."""
    if not sigma:
        return ws
    reach = math.ceil(track.REACH * sigma)
    t = torch.arange(-reach, reach + 1, device=ws.device, dtype=ws.dtype)
    weights = (-0.5 * (t / sigma) ** 2).exp()[None, None]
    series = torch.cat([ws.flatten(1).T, torch.ones_like(ws[:, :1, 0]).T])  # the last: how much weight there is
    series = F.conv1d(series[:, None], weights, padding=reach)[:, 0]
    return (series[:-1] / series[-1]).T.reshape(ws.shape)


def aligned(clip: Clip, places: np.ndarray, size: int) -> Iterator[Tensor]:
    """The faces of the frames that have one, [3, size, size] each, in [-1, 1]."""
    return map(as_tensor, _cut_out(clip, places, size))


def _cut_out(clip: Clip, places: np.ndarray, size: int) -> Iterator[Image.Image]:
    """The squares of the frames that have a place."""
    for frame, place in _with_places(clip, places):
        if not np.isnan(place[0]):
            yield align.cut(frame, track.corners(place), size)


def _with_places(clip: Clip, places: np.ndarray) -> Iterator[tuple[Image.Image, np.ndarray]]:
    """Frames and their places. Raises OSError where fewer can be read than before."""
    number = 0
    for number, pair in enumerate(zip(clip.frames(), places, strict=False), start=1):  # noqa: B007
        yield pair
    if number < len(places):
        raise OSError(f"only {number} of the {len(places)} frames of {clip.name} could be read this time: run it again")


# ------------------------------------------------------------------------------------------------------- the pictures
class _CartoonFrames:
    """The frames of the result, one after the other; counts and measures meanwhile."""

    def __init__(self, clip: Clip, places: np.ndarray, faces: videos.Lazy, config: ClipConfig, size: int, side: int):
        self.clip, self.places, self.faces, self.config = clip, places, faces, config
        self.size, self.side = size, side  # of the aligned faces, and of a face alone in the result
        self.count = self.faceless = 0
        self._pairs, self._changes, self._before = 0, np.zeros(2), None

    @property
    def changes(self) -> tuple[float, float]:
        """Mean change of a pixel between frames that follow each other, of the clip's face and of the cartoon's."""
        return tuple((self._changes / max(1, self._pairs)).tolist())

    def __iter__(self) -> Iterator[Image.Image]:
        last, number = self._large(self.faces[0]), 0  # where the clip begins without a face
        stands = track.short_gaps(self.places, self.config.hold * self.clip.fps) | self.config.face_only
        for (frame, place), stand in zip(_with_places(self.clip, self.places), stands, strict=True):
            self.count += 1
            if np.isnan(place[0]):
                self.faceless, self._before = self.faceless + 1, None
                yield last if stand else frame
                continue
            face = self.faces[number]
            number += 1
            square = track.corners(place)
            own = np.asarray(align.cut(frame, square, self.size))
            self._measure(own, np.asarray(face))
            if self.config.face_only:
                last = self._large(face)
            else:
                person = silhouette(own)
                last = paste(frame, on_own_ground(face, own, person), square, mask(person))
            yield last

    def _large(self, face: Image.Image) -> Image.Image:
        return face.resize((self.side, self.side), Image.Resampling.BICUBIC)

    def _measure(self, *pair: np.ndarray) -> None:
        pair = [image.astype(np.int16) for image in pair]
        if self._before is not None:
            self._changes += [np.abs(a - b).mean() for a, b in zip(pair, self._before, strict=True)]
            self._pairs += 1
        self._before = pair
