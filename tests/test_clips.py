"""Clips: one face followed, frames and sound read and written, and the cartoon of it all."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from command import call, invoke, refusal
from PIL import Image, ImageOps
from tiny_encoder import Pixels, an_encoder
from tiny_training import tiny_networks

from stylegan2 import checkpoints, display
from stylegan2.collect import align, track
from stylegan2.collect.facemesh import silhouette
from stylegan2.editing import cartoon_clip, clips, videos
from stylegan2.editing.cartoon_clip import ClipConfig, cartoonize_clip, steadied
from stylegan2.editing.clips import VideoFile
from stylegan2.editing.encoder import save_encoder
from stylegan2.editing.latents import ws_from_seeds
from stylegan2.editing.pasting import mask, on_own_ground, paste
from stylegan2.editing.photos import Cutting, open_photo
from stylegan2.editing.projection import ProjectConfig, project
from stylegan2.pocket import world
from stylegan2.pocket.clip import MOVING, ReadSitter, open_clip
from stylegan2.pocket.nets.judge import Judge
from stylegan2.pocket.portrait import describe

GREY = Image.new("RGB", (120, 90), (128, 128, 128))
SAMPLES = Path(__file__).parents[1] / "data" / "samples"
WHOLE = Cutting("no")  # the middle square: nothing is sought


@dataclass
class Still:
    """A clip of given pictures."""

    pictures: list
    fps: float = 10.0
    name = "the clip"
    sound = ""
    passes: list = field(default_factory=list)

    @property
    def size(self):
        return self.pictures[0].size

    @property
    def count(self):
        return len(self.pictures)

    @property
    def fingerprint(self):
        return str([hash(picture.tobytes()) for picture in self.pictures])

    def frames(self):
        self.passes.append(1)
        yield from self.pictures


@pytest.fixture(scope="module")
def g():
    return tiny_networks(16, 6, 1)[0].eval().requires_grad_(False)


@pytest.fixture(scope="module")
def person() -> list[Image.Image]:
    """Eight frames of the rendered person."""
    return list(open_clip("pocket:clip?n=8").frames())


def shades(*levels: int) -> list[Image.Image]:
    return [Image.new("RGB", (32, 24), (level,) * 3) for level in levels]


def pixels(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture).astype(int)


# ------------------------------------------------------------------------------------------------------------ the face
def test_a_face_is_followed_and_another_one_is_not(person):
    """It moves through a picture, is gone for a frame, and a second person comes in."""
    frames, side = [], person[0].width
    for i, face in enumerate(person[:4]):
        frame = Image.new("RGB", (3 * side, side + 60), (90, 110, 130))
        if i != 2:
            frame.paste(face, (12 * i, 5 * i))
        if i > 0:
            frame.paste(person[0], (2 * side, 30))
        frames.append(frame)
    follow = track.Follower(1, align.POCKET)
    places = np.stack([follow(frame) for frame in frames])
    assert np.isnan(places[2]).all() and [len(run) for run in track.scenes(places)] == [3]
    for i in (0, 1, 3):
        assert np.abs(places[i][:2] - (12 * i + side / 2, 5 * i + side / 2)).max() < 0.12 * side
        assert 0.8 * side < 2 * np.hypot(*places[i][2:]) < 1.2 * side
    assert np.isnan(track.Follower(2, align.POCKET)(frames[0])).all()
    both = sorted(track.Follower(k, align.POCKET)(frames[1])[0] for k in (1, 2))  # which is the surer one is open
    assert both == pytest.approx([places[1][0], 2.5 * side], abs=0.12 * side)


def test_after_some_frames_another_face_is_followed(person):
    side = person[0].width
    first, second = (Image.new("RGB", (3 * side, side), (90, 110, 130)) for _ in range(2))
    first.paste(person[0], (0, 0))
    second.paste(person[0], (2 * side, 0))
    follow = track.Follower(1, align.POCKET)
    places = np.stack([follow(frame) for frame in [first] + [second] * (track.PATIENCE + 1)])
    assert np.isnan(places[1:-1]).all() and places[-1][0] > 2 * side


def test_places_are_squares():
    square = align.square_of(align.Person((10, 12), (30, 16), (18, 40)))
    np.testing.assert_allclose(track.corners(track.place(square)), square, atol=1e-9)


def test_smoothing_takes_the_jitter_and_leaves_the_way():
    t = np.arange(40.0)
    way = np.stack([50 + 2 * t, 80 - t, 30 + 0 * t, 0 * t], 1)
    np.testing.assert_allclose(track.smooth(way, 3), way, atol=1e-6)  # to the very ends
    shaking = way + np.random.default_rng(0).normal(0, 1, way.shape)
    smoothed = track.smooth(shaking, 3)
    assert np.abs(np.diff(smoothed, 2, axis=0)).mean() < 0.1 * np.abs(np.diff(shaking, 2, axis=0)).mean()
    assert np.abs(smoothed - way).mean() < 0.6 * np.abs(shaking - way).mean()
    assert track.smooth(shaking, 0) is not None and np.array_equal(track.smooth(shaking, 0), shaking)


def test_a_cut_or_a_long_gap_begins_a_new_scene():
    places = np.tile([50.0, 50.0, 20.0, 0.0], (40, 1))
    places[10:, 0] += 30  # most of a side
    places[12] = places[20:35] = np.nan
    assert [(run[0], run[-1], len(run)) for run in track.scenes(places)] == [(0, 9, 10), (10, 19, 9), (35, 39, 5)]
    smoothed = track.smooth(places, 4)
    assert np.abs(np.nan_to_num(smoothed - places)).max() < 1e-6  # nothing flows over the cut
    assert np.isnan(smoothed[12]).all() and track.scenes(np.full((3, 4), np.nan)) == []


# ------------------------------------------------------------------------------------------------------------- the file
@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """Twelve frames, lighter and lighter."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return videos.save([Image.new("RGB", (64, 48), (20 * i,) * 3) for i in range(12)], path, fps=12.5, progress=False)


def with_tone(film: Path, to: Path, *codec: str) -> Path:
    """The same pictures with a tone of two seconds."""
    tone = ["-f", "lavfi", "-i", "sine=frequency=440:duration=2"]
    command = [clips.ffmpeg(), "-v", "error", "-y", "-i", film, *tone, "-c:v", "copy", *codec, to]
    subprocess.run(list(map(str, command)), check=True)
    return to


def test_a_video_is_read_as_it_is(film):
    clip = VideoFile(film)
    assert (clip.size, clip.fps, clip.count, clip.sound) == ((64, 48), 12.5, 12, "")
    frames = list(clip.frames())
    assert [round(pixels(frame).mean() / 20) for frame in frames] == list(range(12))


def test_what_is_no_video_is_said(film, tmp_path):
    for name, content, message in (
        ("empty.mp4", b"", "is empty"),
        ("text.mp4", b"<html>no</html>", "is no video that ffmpeg can read"),
        ("half.mp4", film.read_bytes()[:300], "is no video that ffmpeg can read"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=message):
            VideoFile(tmp_path / name)
    with_tone(film, tmp_path / "tone.m4a", "-vn")
    with pytest.raises(ValueError, match="is no video"):
        VideoFile(tmp_path / "tone.m4a")


def test_a_damaged_video_is_read_as_far_as_it_goes(tmp_path):
    noise = [Image.effect_noise((64, 48), 90) for _ in range(12)]
    content = bytearray(videos.save(noise, tmp_path / "whole.mp4", progress=False).read_bytes())
    middle = content.index(b"mdat") + (content.index(b"moov") - content.index(b"mdat")) // 2
    content[middle : middle + 1500] = bytes(1500)
    (tmp_path / "damaged.mp4").write_bytes(content)
    frames = list(VideoFile(tmp_path / "damaged.mp4").frames())
    assert 6 <= len(frames) <= 13 and {frame.size for frame in frames} == {(64, 48)}


def test_sound_is_kept(film, tmp_path):
    for ending, codec in ((".mp4", ("-c:a", "aac")), (".mov", ("-c:a", "pcm_s16le"))):
        clip = VideoFile(with_tone(film, tmp_path / f"tone{ending}", *codec))
        assert clip.sound == codec[1]
        assert clips.with_sound(film, clip, tmp_path / "out.mp4")
        made = VideoFile(tmp_path / "out.mp4")
        assert made.sound.startswith("aac") and made.count == 12 and len(list(made.frames())) == 12
    assert not clips.with_sound(film, VideoFile(film), tmp_path / "none.mp4")


def test_without_ffmpeg_what_to_do_is_said(film, monkeypatch):
    def missing():
        raise RuntimeError("No ffmpeg exe could be found")

    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", missing)
    with pytest.raises(OSError, match="pip install imageio-ffmpeg"):
        VideoFile(film)


def test_no_codec_is_said_before_the_work(tmp_path, monkeypatch):
    def none(*args, **settings):
        raise RuntimeError("No valid H.264 encoder was found")

    monkeypatch.setattr(videos, "save", none)
    with pytest.raises(ValueError, match="cannot write an MP4 of 64x48 pixels .No valid H.264"):
        clips.check_writing(tmp_path, (64, 48))
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------------------------ the codes
def test_frames_move_together_or_near_each_other(g):
    starts = ws_from_seeds(g, [1, 2, 3])
    images = g.synthesis(ws_from_seeds(g, [7, 7, 7]), "const")
    config = ProjectConfig(steps=6, stir=0.0, shared=True)
    change = project(g, images, Pixels(), config, starts, progress=False).ws - starts
    assert change.abs().max() > 0.01
    torch.testing.assert_close(change, change[:1].expand_as(change), rtol=0, atol=1e-5)

    def apart(smooth: float, before=None) -> tuple[float, float]:
        config = ProjectConfig(steps=12, stir=0.0, smooth=smooth)
        ws = project(g, images, Pixels(), config, starts, progress=False, before=before).ws
        return float(ws.diff(dim=0).square().mean()), float((ws[0] - starts[1]).square().mean())

    assert apart(100.0)[0] < apart(0.0)[0]
    assert apart(100.0, starts[1:2])[1] < apart(100.0)[1]  # the window before holds the first of the next


def test_codes_are_steadied():
    ws = torch.randn(30, 2, 4, generator=torch.Generator().manual_seed(0))
    assert steadied(ws, 0) is ws and steadied(ws, 2.0).diff(dim=0).std() < 0.3 * ws.diff(dim=0).std()
    torch.testing.assert_close(steadied(torch.ones(5, 2, 4), 2.0), torch.ones(5, 2, 4))


# --------------------------------------------------------------------------------------------------------- the pictures
def test_a_face_goes_back_where_it_was_cut(person):
    frame = person[0]
    square = align.box_square(40, 30, 96)
    soft = np.ones((16, 16), np.float32)
    back = pixels(paste(frame, align.cut(frame, square, 96), square, np.ones((96, 96), np.float32)))
    assert np.abs(back - pixels(frame)).max() <= 1  # to the half pixel
    turned = track.corners(np.array([90.0, 95.0, 40.0, 12.0]))
    back = pixels(paste(frame, align.cut(frame, turned, 160), turned, np.ones((160, 160), np.float32)))
    assert np.abs(back - pixels(frame)).mean() < 1
    red = pixels(paste(frame, Image.new("RGB", (16, 16), "red"), square, soft))
    assert (red[78, 88] == (255, 0, 0)).all()
    outside = np.ones(red.shape[:2], bool)
    outside[30:126, 40:136] = False
    assert (red == pixels(frame))[outside].all()
    beyond = align.box_square(-300, 0, 96)
    assert paste(frame, Image.new("RGB", (16, 16), "red"), beyond, soft) is frame


def test_the_mask_is_the_person_and_soft(person):
    """The face surely, the hair too, the background hardly; of what is no person only the middle."""
    soft = mask(silhouette(np.asarray(person[0].resize((64, 64)))))
    assert soft.dtype == np.float32 and soft.min() >= 0 and soft.max() <= 1.001
    assert soft[32, 32] > 0.99 and soft[12, 32] > 0.8 > 0.3 > soft[6:40, :4].max()
    assert np.abs(np.diff(soft, axis=1)).max() < 0.4 and soft[0].max() < 0.01
    nobody = mask(silhouette(np.full((64, 64, 3), 128, np.uint8)))
    assert nobody[32, 32] > 0.99


def test_a_cartoon_stands_before_the_clips_own_background(person):
    """The cartoon is another frame of the person before red: no red is left, and the clip's background stays."""
    own, other = (pixels(person[i].resize((96, 96))).astype(np.uint8) for i in (0, 4))
    red = np.where(silhouette(other)[..., None] > 0.5, other, np.uint8((255, 0, 0)))
    made = pixels(on_own_ground(Image.fromarray(red), own, silhouette(own)))

    def share(picture):
        return ((picture[..., 0] - picture[..., 1:].max(2)) > 120).mean()

    assert share(red.astype(int)) > 0.3 and share(made) < 0.01
    apart = np.abs(made - own)
    assert apart[:6].mean() < 4 and apart[40:60, :6].mean() < 4  # the clip's corners
    assert np.abs(made[44:56, 44:52] - red[44:56, 44:52].astype(int)).mean() < 4  # the cartoon's face


# -------------------------------------------------------------------------------------------------------------- the run
def run(clip, out, g, config=None, cutting=WHOLE, outside=False, sitter=None):
    given = Pixels(), an_encoder(g), config or ClipConfig(2, 1), cutting, outside, False, sitter
    return cartoonize_clip(clip, out, g, g, *given)


def test_flicker_is_measured(g, tmp_path):
    """The clip's face changes by 10 and 30 of 255; the cartoon does not when the codes stay."""
    report = run(Still(shades(100, 110, 80)), tmp_path / "a.mp4", g)
    assert report.clip_change == pytest.approx(20, abs=0.01) and report.frames == 3 and not report.faceless
    assert report.flicker == report.cartoon_change / report.clip_change > 0
    still = run(Still(shades(100, 100, 100)), tmp_path / "b.mp4", g)
    assert still.clip_change == 0 and still.flicker == 1


def faceless(frames, gone) -> Still:
    return Still([GREY.resize(frame.size) if i in gone else frame for i, frame in enumerate(frames)])


def test_frames_without_a_face_are_held_over(g, person, tmp_path):
    clip = faceless([frame.resize((96, 96)) for frame in person], gone=(0, 3, 4, 5))
    config = ClipConfig(0, 0, hold=0.3)
    report = run(clip, tmp_path / "a.mp4", g, config, Cutting(frame=align.POCKET))
    made = [pixels(frame) for frame in VideoFile(tmp_path / "a.mp4").frames()]
    assert report.faceless == 4 and report.frames == len(made) == 8

    def same(i, j):
        return np.abs(made[i] - made[j]).mean() < 2

    assert same(2, 3) and same(2, 4) and same(2, 5)  # three frames at 10 a second
    assert np.abs(made[0] - 128).mean() < 3  # the frame itself
    report = run(clip, tmp_path / "b.mp4", g, ClipConfig(0, 0, face_only=True), Cutting(frame=align.POCKET))
    made = [pixels(frame) for frame in VideoFile(tmp_path / "b.mp4").frames()]
    assert made[0].shape == (256, 256, 3) and same(0, 1) and same(2, 5)


def test_only_short_gaps_of_one_face_are_held_over():
    places = np.tile([50.0, 50.0, 20.0, 0.0], (20, 1))
    places[[2, 3, 6, 7, 8, 12, 18, 19]] = np.nan
    places[13:, 0] += 60  # a cut within the gap
    assert np.flatnonzero(track.short_gaps(places, 2)).tolist() == [2, 3]
    assert np.flatnonzero(track.short_gaps(places, 3)).tolist() == [2, 3, 6, 7, 8]


def test_a_face_may_leave_the_picture(g, tmp_path, monkeypatch):
    """Its square is followed and smoothed beyond the border, where nothing can be cut."""
    ways = iter(np.stack([np.linspace(16, -6, 6), np.full(6, 12.0), np.full(6, 8.0), np.zeros(6)], 1))
    monkeypatch.setattr(track.Follower, "__call__", lambda self, image: next(ways))
    frames = shades(*range(90, 150, 10))
    report = run(Still(frames), tmp_path / "a.mp4", g, cutting=Cutting())
    assert report.frames == 6 and report.faceless == 2
    with pytest.raises(align.NoFace, match="no face found"):
        run(Still(frames), tmp_path / "b.mp4", g, cutting=Cutting(box=(-90, 0, 20)))
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_nothing_that_would_find_codes_is_refused(g, tmp_path):
    with pytest.raises(ValueError, match="no encoder"):
        cartoonize_clip(Still(shades(1)), tmp_path / "a.mp4", g, g, Pixels(), None, ClipConfig(0), WHOLE)
    assert not list(tmp_path.iterdir())


def test_frames_that_are_missing_later_are_no_shorter_film(g, tmp_path):
    clip = Still(shades(1, 2, 3))
    clip.frames = lambda: (clip.passes.append(1), iter(clip.pictures[: 4 - len(clip.passes)]))[1]
    with pytest.raises(OSError, match="only 2 of the 3 frames of the clip"):
        run(clip, tmp_path / "a.mp4", g)
    assert not (tmp_path / "a.mp4").exists()


def test_no_face_at_all_is_said(g, tmp_path):
    with pytest.raises(align.NoFace, match="no face found in any of the 2 frames of the clip.*--box"):
        run(Still([GREY, GREY]), tmp_path / "a.mp4", g, cutting=Cutting())
    assert not (tmp_path / "a.mp4").exists()
    with pytest.raises(ValueError, match="expected 0 or more"):
        ClipConfig(-1)


class Killed(BaseException):
    pass


def test_a_killed_run_goes_on_with_the_same_result(g, tmp_path, monkeypatch):
    frames = [Image.effect_noise((32, 24), 60 + 8 * i).convert("RGB") for i in range(7)]
    monkeypatch.setattr(cartoon_clip, "WINDOW", 3)
    whole, calls = cartoon_clip.project, []
    run(Still(frames), tmp_path / "whole.mp4", g)

    def killed(*args, **settings):
        calls.append(len(args[1]))
        if len(calls) == 3:
            raise Killed
        return whole(*args, **settings)

    monkeypatch.setattr(cartoon_clip, "project", killed)
    first, second = Still(frames), Still(frames)
    with pytest.raises(Killed):
        run(first, tmp_path / "a.mp4", g)
    assert not (tmp_path / "a.mp4").exists() and (tmp_path / ".a.work" / "codes_000000.pt").is_file()
    calls[:] = [0] * 3  # and from now on all goes well
    run(second, tmp_path / "a.mp4", g)
    assert calls[3:] == [3, 1]  # only the windows that were missing
    assert len(second.passes) == 2  # the codes, the pictures; the places were known
    made = [[frame.tobytes() for frame in VideoFile(tmp_path / f"{name}.mp4").frames()] for name in ("whole", "a")]
    assert made[0] == made[1] and [path.name for path in tmp_path.glob(".*")] == []
    calls[:] = [0] * 3
    run(Still(frames[:5]), tmp_path / "a.mp4", g)
    assert calls[3:] == [5, 3, 2]  # another clip begins anew


def test_ctrl_c_keeps_what_was_found(g, tmp_path, monkeypatch):
    def stopped(*args, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(cartoon_clip, "is_outside", stopped)
    monkeypatch.setattr(cartoon_clip, "project", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(Still(shades(1, 2)), tmp_path / "a.mp4", g)
    assert (tmp_path / ".a.work" / "places.pt").is_file() and not (tmp_path / "a.mp4").exists()


# -------------------------------------------------------------------------------------------------------- a real person
class Shades:
    """A sitter whose cartoons are grey, by the number of a frame; it can read nothing darker than `least`."""

    def __init__(self, least=0, required=False):
        self.least, self.required, self.asked = least, required, []

    def read(self, faces, frames, fps):
        self.asked.append(frames)
        if min(pixels(face).mean() for face in faces) < self.least:
            raise align.NoFace("nothing can be read")
        return {"shades": torch.tensor([40 * frame for frame in frames])}

    def cartoons(self, read):
        return videos.Lazy(lambda shade: Image.new("RGB", (16, 16), (shade,) * 3), read["shades"].tolist())


@pytest.fixture
def strange(monkeypatch) -> list[bool]:
    """Whether the source's world is said not to be the clip's."""
    answer = [True]
    monkeypatch.setattr(cartoon_clip, "is_outside", lambda *_: torch.tensor(answer))
    return answer


def test_a_sitter_makes_the_cartoons_of_a_real_person(g, tmp_path, strange, monkeypatch):
    def made(sitter: Shades) -> list[float]:
        config, out, clip = ClipConfig(0, 0, face_only=True), tmp_path / "a.mp4", Still(shades(100, 110, 120))
        run(clip, out, g, config, outside=None, sitter=sitter)
        return [round(pixels(frame).mean() / 40) for frame in VideoFile(out).frames()]

    sitter = Shades()
    assert made(sitter) == [0, 1, 2] and sitter.asked == [[0, 1, 2]]
    with monkeypatch.context() as patch:
        patch.setattr(clips, "with_sound", lambda *args, **settings: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            made(sitter)
    assert made(sitter) == [0, 1, 2] and len(sitter.asked) == 2  # what was read is kept
    searched = made(Shades(least=255))
    assert searched != [0, 1, 2]  # nothing can be read: codes are searched, as in photos
    with pytest.raises(align.NoFace, match="nothing can be read"):
        made(Shades(least=255, required=True))
    strange[0] = False
    unread = Shades()
    assert made(unread) == searched and not unread.asked  # the source knows this face
    assert made(Shades(required=True)) == [0, 1, 2]


def test_scenes_are_read_one_by_one(g, tmp_path, strange, monkeypatch):
    ways = np.tile([16.0, 12.0, 8.0, 0.0], (6, 1))
    ways[3:, 0], ways[1] = 80.0, np.nan
    ways = iter(ways)
    monkeypatch.setattr(track.Follower, "__call__", lambda self, image: next(ways))
    sitter, frames = Shades(), [Image.new("RGB", (120, 24), (90 + 10 * i,) * 3) for i in range(6)]
    config = ClipConfig(0, 0, steady=0, face_only=True)
    out = tmp_path / "a.mp4"
    run(Still(frames), out, g, config, Cutting(), None, sitter)
    assert sitter.asked == [[0, 2], [3, 4, 5]]
    assert [round(pixels(frame).mean() / 40) for frame in VideoFile(out).frames()] == [0, 0, 2, 3, 4, 5]


def test_reading_goes_on_at_the_scene_where_it_was_killed(g, tmp_path, strange, monkeypatch):
    """The first scene is kept; the second gets its own faces, not the first one's."""
    places = np.tile([16.0, 12.0, 8.0, 0.0], (5, 1))
    places[2:, 0] = 80.0
    monkeypatch.setattr(track.Follower, "__call__", lambda self, image: places[image.getpixel((0, 0))[0] // 20])
    clip, seen = Still([Image.new("RGB", (120, 24), (20 * i,) * 3) for i in range(5)]), []

    class Seeing(Shades):
        def read(self, faces, frames, fps):
            if frames[0] == 2 and "killed" not in seen:
                seen.append("killed")
                raise Killed
            shades = [round(pixels(face).mean() / 20) for face in faces]
            seen.append(shades)
            return {"shades": torch.tensor(shades)}

    given = clip, tmp_path / "a.mp4", g, ClipConfig(0, 0, steady=0), Cutting(), None
    with pytest.raises(Killed):
        run(*given, Seeing())
    run(*given, Seeing())
    assert seen == [[0, 1], "killed", [2, 3, 4]]


def test_who_it_is_stays_and_the_face_moves():
    """A photo and its mirror image: one person, who turns; frames without a face lie between."""
    photo = open_photo(SAMPLES / "joe_biden.jpg")
    photo = align.cut(photo, align.square_of(align.find_people(photo)[0], align.Frame(eyes=6.0, mouth=5.4)), 384)
    sitter = ReadSitter(None, "webtoon", None)
    frames = [photo] * 3 + [GREY] * 2 + [ImageOps.mirror(photo)] * 3
    numbers = [0, 1, 2, 3, 4, 8, 9, 10]  # three frames have no place
    faces = world.Faces(sitter.read(iter(frames), numbers, 4.0))
    assert len(faces) == 8 and faces.yaw[0] * faces.yaw[-1] < 0
    ways = faces.yaw.diff()
    assert (ways * ways.sum() > -1e-6).all()
    assert (
        ways[4].abs() > 2 * ways[3].abs() > 1e-3
    )  # evenly, also where nothing was read, and far where much was missing
    once = describe(photo).faces()
    for name in set(faces.values) - set(MOVING):
        assert (faces.values[name] == faces.values[name][:1]).all(), name
    assert faces.hair_style[0] == once.hair_style and abs(faces.skin[0] - once.skin) < 0.05
    with pytest.raises(align.NoFace, match="could not be read in any frame"):
        sitter.read(iter([GREY]), [0], 4.0)
    with pytest.raises(ValueError, match="smile cannot be '9'"):
        ReadSitter(None, "webtoon", None, changes={"smile": "9"})


# ---------------------------------------------------------------------------------------------------------- the command
@pytest.fixture(scope="module")
def models(g, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name, seed in (("photo", 1), ("webtoon_freeze-sg", 2), ("manga_freeze-sg", 3)):
        checkpoints.save(folder / f"{name}.pt", g_ema=tiny_networks(16, 6, seed)[0].eval())
    torch.manual_seed(0)
    Judge().save(folder / "judge.pt")
    source = checkpoints.load(folder / "photo.pt").g_ema
    save_encoder(folder / "encoder.pt", an_encoder(source), {"generator": checkpoints.fingerprint(source)})
    return folder


def test_a_clip_becomes_a_cartoon(film, models, tmp_path):
    sounding, out = with_tone(film, tmp_path / "clip.mov", "-c:a", "aac"), tmp_path / "new" / "cartoon.mp4"
    words = ["cartoonize", sounding, "--models", models, "--out", out, "--steps", 1, "--align", "no"]
    said = call(*words)
    assert "12 frames, 1.0 s, sound kept" in said and "flicker " in said and "frames a second after the search" in said
    made = VideoFile(out)
    assert made.size == (64, 48) and len(list(made.frames())) == 12 and made.sound
    call(*words, "--face-only", "--style", "manga", "--strength", 0.5)
    assert VideoFile(out).size == (256, 256)


def test_the_rendered_clip_needs_no_file(models, tmp_path):
    words = ["cartoonize", "--models", models, "--out", tmp_path / "c.mp4", "--steps", 0]
    assert "3 frames" in call(*words, "pocket:clip?n=3") and "no sound" in call(*words, "pocket:clip?n=3&person=2")
    assert "expected 'pocket:clip'" in refusal(*words, "pocket:clips")
    assert "n at least 1" in refusal(*words, "pocket:clip?n=0")
    assert "'x=3' in 'pocket:clip?x=3': expected whole numbers as in 'pocket:clip?" in refusal(
        *words, "pocket:clip?x=3"
    )


def test_impossible_wishes_are_refused(film, models, tmp_path, monkeypatch):
    words, out = ["cartoonize", "--models", models], tmp_path / "c.mp4"
    (tmp_path / "text.mp4").write_text("no video")
    for more, message in (
        ([film, film, "--out", out], "expected one clip"),
        ([film, "--out", tmp_path / "folder"], "must end in one of .mp4"),
        ([film, "--out", film], "is one of the inputs"),
        ([film, "--out", out, "--style", "webtoon,manga"], "one style is made at a time"),
        ([film, "--out", out], "no face found in any of the 12 frames"),
        ([film, "--out", out, "--face", "all"], "one face is made a cartoon"),
        ([tmp_path / "text.mp4", "--out", out], "is no video that ffmpeg can read"),
    ):
        assert message in refusal(*words, *more)
    assert not out.exists()

    def stopped(*args, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(cartoon_clip, "project", stopped)
    said = invoke(*words, film, "--out", out, "--align", "no", code=130).stderr
    assert "the same command goes on" in said


def test_the_rendered_person_moves(person):
    faces = open_clip("pocket:clip").faces()
    assert len(faces) == 72 and faces.yaw.max() > 0.7 and faces.yaw.min() < -0.7
    assert faces.smile.max() > 0.8 and faces.smile.min() < 0 and faces.eye_open.min() < 0.1 < 0.7 < faces.eye_open.max()
    for name in ("hair_style", "skin", "eye_colour"):
        assert (faces.values[name] == faces.values[name][:1]).all()
    assert display.beside(person).height == open_clip("pocket:clip").side
