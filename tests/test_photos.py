"""Photos as people have them: large, small, of several people, of nobody, and files that are no photos."""

from __future__ import annotations

import hashlib
import io
import math
import os
import re
from pathlib import Path

import numpy as np
import pytest
from command import invoke as call
from PIL import Image, TiffImagePlugin

from stylegan2 import cli
from stylegan2.cli.common import check_file, check_folder
from stylegan2.collect import blazeface, detectors, facemesh
from stylegan2.collect.align import find_people, marked
from stylegan2.collect.boxes import overlap
from stylegan2.collect.detectors import make
from stylegan2.data import images
from stylegan2.data.images import Refused, decode
from stylegan2.editing.photos import Cutting, portraits
from stylegan2.pocket import world
from stylegan2.pocket.world.pages import make_page

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "data" / "samples"
FACE = (170, 66, 281, 177)  # of Eileen Collins in her photo of 512 pixels


@pytest.fixture(scope="module")
def woman() -> Image.Image:
    return decode((SAMPLES / "eileen_collins.jpg").read_bytes())


@pytest.fixture(scope="module")
def faceless() -> dict[str, Image.Image]:
    data = pytest.importorskip("skimage.data", reason="scikit-image brings the photos")
    return {name: Image.fromarray(getattr(data, name)()).convert("RGB") for name in ("chelsea", "coffee", "coins")}


# ------------------------------------------------------------------------------------------------------------ detector
@pytest.mark.parametrize("side", [256, 512, 1500, 3024])
def test_a_portrait_of_any_size_is_one_person(woman, side):
    """At 3024 pixels a piece of background used to be face 1 of 8."""
    (face,) = make("photo")(woman.resize((side, side), Image.Resampling.LANCZOS))
    assert overlap([v * 512 / side for v in face.box], FACE) > 0.8 and face.score > 0.8


def test_eyes_are_found_to_a_few_pixels(woman):
    (who,) = find_people(woman)
    for found, pupil in ((who.left_eye, (202, 102)), (who.right_eye, (247, 102))):  # by eye
        assert math.dist(found, pupil) < 4


def test_darkness_and_a_tilted_head_change_nothing(woman):
    dark = Image.fromarray((np.asarray(woman) * 0.2).astype(np.uint8))
    assert len(make("photo")(dark)) == 1
    for degrees in (-30, 30):
        (face,) = make("photo")(woman.rotate(degrees, Image.Resampling.BICUBIC, center=(225, 126)))
        right, left = face.landmarks[:2]
        tilt = math.degrees(math.atan2(*(left - right)[::-1]))
        assert abs(tilt + degrees) < 10


def test_no_face_is_seen_where_there_is_none(faceless):
    """A cat at the size of a phone's photo used to become eight people."""
    for image in (*faceless.values(), faceless["chelsea"].resize((3000, 1996)), Image.new("RGB", (600, 400), "white")):
        assert make("photo")(image) == []


def test_every_face_of_a_group_is_found_once_and_small_ones_too(woman):
    group = Image.new("RGB", (1500, 1000), (90, 110, 130))
    places = [(80 + 280 * i, 100 + 170 * (i % 4), 180 + 30 * (i % 3)) for i in range(5)]  # faces of 40 to 52 pixels
    for x, y, side in places:
        group.paste(woman.resize((side, side), Image.Resampling.LANCZOS), (x, y))
    found = make("photo")(group)
    truth = [[o + v * side / 512 for o, v in zip((x, y, x, y), FACE, strict=True)] for x, y, side in places]
    assert len(found) == 5 and all(max(overlap(face.box, box) for face in found) > 0.6 for box in truth)
    assert [face.score for face in found] == sorted((face.score for face in found), reverse=True)


def test_rendered_faces_are_faces_with_their_eyes_and_mouths():
    faces = world.sample("photo", 6, seed=11)
    points = world.landmarks(faces, "photo").numpy() * 128
    at = [world.LANDMARKS.index(name) for name in ("eye_left", "eye_right", "mouth_centre")]
    for pixels, known in zip(world.render(faces, "photo", 128), points, strict=True):
        (who,) = find_people(Image.fromarray(pixels.permute(1, 2, 0).numpy()))
        eyes = math.dist(*known[at[:2]])
        for found, true in zip((who.left_eye, who.right_eye, who.mouth), known[at], strict=True):
            assert math.dist(found, true) < 0.2 * eyes


def test_what_is_far_less_sure_than_the_surest_is_left_out(monkeypatch):
    detector = blazeface.BlazeFace(min_size=8, sure=0.3)
    faces = [detectors.Face((x, 0, x + 40, 40), s, np.zeros((6, 2))) for x, s in ((0, 0.5), (100, 0.9), (200, 0.6))]
    monkeypatch.setattr(detector, "_proposals", lambda image: faces)
    monkeypatch.setattr(detector, "_look_closely", lambda image, face: [face])
    assert [face.score for face in detector(Image.new("RGB", (300, 100)))] == [0.9, 0.6]


def test_opencv_5_which_names_one_output_gives_the_same(woman, monkeypatch):
    network, small = blazeface._Network(blazeface.WIDE), woman.resize((128, 128))
    expected = network(small, 0.5)

    class Five:
        """Refuses to give two answers at once."""

        def __init__(self, real):
            self.real = real

        def getUnconnectedOutLayersNames(self):  # noqa: N802 - OpenCV's name
            return ("regressors",)

        def setInput(self, x):  # noqa: N802
            self.real.setInput(x)

        def forward(self, name):
            assert isinstance(name, str)
            return self.real.forward(name)

    real, lock = blazeface._opened(blazeface.WIDE.file)
    monkeypatch.setattr(blazeface, "_opened", lambda file: (Five(real), lock))
    (face,) = network(small, 0.5)
    assert face.box == pytest.approx(expected[0].box) and face.score == pytest.approx(expected[0].score)


def test_the_shipped_files_are_those_that_are_named():
    text = (blazeface.MODELS / "README.md").read_text()
    named = dict(re.findall(r"`(\S+\.tflite)`.*\| ([0-9a-f]{64}) \|", text))
    shipped = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in blazeface.MODELS.glob("*.tflite")}
    assert named == shipped and set(named) == {
        blazeface.WIDE.file,
        blazeface.CLOSE.file,
        facemesh.MESH,
        facemesh.PERSON,
    }
    assert "Apache License" in (blazeface.MODELS / "LICENSE").read_text()


def test_people_see_what_was_taken(woman):
    two = Image.new("RGB", (1024, 512))
    two.paste(woman, (0, 0))
    two.paste(woman, (512, 0))
    first, second = (portrait.seen for portrait in portraits(two, 64, cutting("all")))
    assert first.size == (384, 192) and not np.array_equal(first, second)
    red = [
        (np.abs(np.asarray(s).astype(int) - (255, 59, 107)).sum(-1) < 30).nonzero()[1].mean() for s in (first, second)
    ]
    assert sorted(value < 192 for value in red) == [False, True]  # each frames another one
    assert portraits(woman.resize((64, 64)), 64)[0].seen is None  # as it is: nothing was sought
    assert marked(woman, find_people(woman), side=100).size == (100, 100)


def cutting(face: str):
    return Cutting("yes", face)


def test_the_sample_portraits_have_one_face_each_and_say_where_they_are_from():
    text = (SAMPLES / "README.md").read_text()
    paths = sorted(SAMPLES.glob("*.jpg"))
    assert len(paths) == 4 and "public domain" in text
    for path in paths:
        assert f"`{path.name}`" in text and path.stat().st_size < 100_000
        assert len(find_people(decode(path.read_bytes()))) == 1


# --------------------------------------------------------------------------------------------------------------- files
HEADS = {
    "a HEIC picture": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "a video": b"\0\0\0\x18ftypmp42\0\0\0\0",
    "a camera's raw picture": b"\0\0\0\x18ftypcrx \0\0\0\0",
    "raw picture: develop it": b"II*\0\x10\0\0\0CR\2\0",
    "a PDF document": b"%PDF-1.7\n",
    "a Photoshop file": b"8BPS\0\1",
    "a JPEG XL picture": b"\xff\x0a\0\0",
    "an archive": b"PK\x03\x04",
    "a web page": b"<!DOCTYPE html><html>",
    "a drawing": b'<?xml version="1.0"?><svg xmlns="x">',
    "not an image": b"hello",
    "empty file": b"",
}


@pytest.mark.parametrize("kind", HEADS)
def test_what_is_no_picture_is_named_by_its_bytes(kind):
    with pytest.raises(Refused, match=kind) as refusal:
        decode(HEADS[kind] + b"\0" * 64 * bool(HEADS[kind]))
    assert kind in ("not an image", "empty file") or ": " in str(refusal.value)  # and what to do


@pytest.mark.parametrize("tags", [{50706: b"\1\4\0\0"}, {254: 1, 330: 8}, None])
def test_the_preview_of_a_raw_picture_is_not_taken_for_it(tags):
    """Pillow opens the small picture that .DNG and .NEF files begin with."""
    data, written = io.BytesIO(), TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in (tags or {}).items():
        written[tag] = value
    Image.new("RGB", (160, 120)).save(data, "TIFF", tiffinfo=written)
    if tags is None:
        assert decode(data.getvalue()).size == (160, 120)
    else:
        with pytest.raises(Refused, match="raw picture: develop it"):
            decode(data.getvalue())


def test_a_heic_photo_is_read():
    pytest.importorskip("pi_heif")
    data = bytes.fromhex((ROOT / "tests" / "golden" / "small_heic.hex").read_text())  # 120 x 80, one colour
    image = decode(data)
    assert image.size == (120, 80) and np.abs(np.asarray(image).astype(int).mean((0, 1)) - (200, 90, 40)).max() < 12


def test_a_photo_of_very_many_pixels_comes_reduced(monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 10_000)
    monkeypatch.setattr(images, "MAX_REDUCED", 30_000)

    def file(side, kind):
        data = io.BytesIO()
        Image.new("RGB", (side, side), (200, 170, 150)).save(data, kind)
        return data.getvalue()

    assert decode(file(100, "JPEG")).size == (100, 100)
    reduced = decode(file(160, "JPEG"))
    assert reduced.size == (80, 80) and reduced.reduced == 2
    with pytest.raises(ValueError, match="does not fit"):  # the box is in pixels of the photo as it is stored
        portraits(reduced, 16, Cutting(box=(140, 140, 60)))
    assert portraits(reduced, 16, Cutting(box=(100, 100, 60)))[0].image.size == (16, 16)
    for side, kind in ((200, "JPEG"), (160, "PNG")):
        with pytest.raises(Refused, match="make it smaller.*a JPEG may have up to 30,000"):
            decode(file(side, kind))


def test_one_bad_file_in_an_album_is_left_out_and_named(tmp_path, woman):
    """The verbs `project` and `cartoonize` read photos by the same function: test_cli_project."""
    woman.save(tmp_path / "1.jpg")
    (tmp_path / "2.HEIC").write_bytes(HEADS["a HEIC picture"])
    woman.save(tmp_path / "3.png")
    (tmp_path / "4.mp4").write_bytes(HEADS["a video"])
    Image.new("RGB", (300, 200), "white").save(tmp_path / "5.png")
    names = [tmp_path / name for name in ("1.jpg", "2.HEIC", "3.png", "4.mp4", "5.png", "6.jpg")]
    said = call("align", *names, "--out", tmp_path / "out", "--size", 64, code=1).output
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"1.png", "3.png"}
    for words in ("2.HEIC' cannot be read: a HEIC", "4.mp4' cannot be read: a video", "no face found", "there is no '"):
        assert words in said
    assert "4 left out: see above" in said
    assert "HEIC" in call("align", names[1], "--out", tmp_path / "out", code=2).output


# ------------------------------------------------------------------------------------------------------------- outputs
MODEL, PHOTO = "checkpoints/pocket/photo.pt", "data/samples/eileen_collins.jpg"
WRITES = {  # verb -> its words, with OUT where it writes
    "align": ["align", PHOTO, "--out", "OUT"],
    "read-face": ["read-face", PHOTO, "--out", "OUT/x.png"],
    "project": ["project", MODEL, PHOTO, "--out", "OUT"],
    "cartoonize": ["cartoonize", PHOTO, "--out", "OUT"],
    "cartoonize a clip": ["cartoonize", "pocket:clip", "--out", "OUT/x.mp4"],
    "stylize": ["stylize", PHOTO, "--out", "OUT"],
    "stylize --text": ["stylize", "--text", "webtoon drawing", "--out", "OUT"],
    "crop": ["crop", "data/samples", "--out", "OUT"],
    "prepare": ["prepare", "data/samples", "--out", "OUT"],
    "generate": ["generate", MODEL, "--out", "OUT"],
    "generate a picture": ["generate", MODEL, "--out", "OUT/x.png"],
    "swap": ["swap", MODEL, MODEL, "--out", "OUT/x.pt"],
    "convert": ["convert", MODEL, "--out", "OUT/x.pt"],
    "mix": ["mix", MODEL, "--out", "OUT/x.png"],
    "video": ["video", MODEL, "--out", "OUT/x.mp4"],
    "factorize": ["factorize", MODEL, "--out", "OUT/x.pt"],
    "apply-factor": ["apply-factor", MODEL, "--factor", "factor.pt", "--out", "OUT/x.png"],
    "edit": ["edit", MODEL, "red hair", "--out", "OUT/x.png"],
    "edit --plot": ["edit", MODEL, "red hair", "--out", "x.png", "--plot", "OUT/x.png"],
    "edit --latents": ["edit", MODEL, "red hair", "--out", "x.png", "--latents", "OUT/x.pt"],
    "metrics": ["metrics", MODEL, "--data", "data/samples", "--out", "OUT/x.json"],
    "scoreboard": ["scoreboard", "--out", "OUT/x.json"],
    "scoreboard --work": ["scoreboard", "--work", "OUT"],
    "train": ["train", "--data", "pocket:webtoon", "--out", "OUT"],
    "train-encoder": ["train-encoder", MODEL, "--out", "OUT/x.pt"],
    "download": ["download", "ffhq256", "--out", "OUT"],
}


@pytest.mark.parametrize("verb", WRITES)
def test_an_output_that_cannot_be_is_told_before_the_work(verb, tmp_path, monkeypatch):
    """A file where a folder is needed; it used to be told after minutes of search."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").write_text("mine")
    (tmp_path / "factor.pt").touch()
    for name in ("checkpoints", "data"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.setattr("stylegan2.checkpoints.load", lambda *a, **k: pytest.fail("the work began"))
    monkeypatch.setattr("stylegan2.collect.detectors.make", lambda *a, **k: pytest.fail("the work began"))
    monkeypatch.setattr("stylegan2.published.zoo.Zoo.fetch", lambda *a, **k: pytest.fail("the work began"))
    said = call(*(word.replace("OUT", "taken") for word in WRITES[verb]), code=2).output
    assert "taken' is a file, where a folder is needed" in said
    assert (tmp_path / "taken").read_text() == "mine"


def test_every_verb_that_writes_is_in_that_list():
    quiet = {"inspect", "describe", "pocket", "crawl"}  # write nothing, where they always do, or only what they fetch
    verbs = set(cli.app.registered_commands and {c.name or c.callback.__name__ for c in cli.app.registered_commands})
    assert verbs - {words[0] for words in WRITES.values()} == quiet


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to_is_told(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    for probe in (lambda: check_folder(tmp_path / "closed"), lambda: check_file(tmp_path / "closed" / "new" / "x.png")):
        with pytest.raises(PermissionError):
            probe()


# ---------------------------------------------------------------------------------------------------- crop by looking
def without_animeface(monkeypatch):
    real = detectors.make

    def make(name, *a, **k):
        if name == "animeface":
            raise ConnectionError("no network")
        return real(name, *a, **k)

    monkeypatch.setattr(detectors, "make", make)


def test_the_detector_is_chosen_by_looking(woman, faceless, monkeypatch):
    without_animeface(monkeypatch)
    assert detectors.choose([make_page(10_001).image])[0] == "pocket"
    name, why = detectors.choose([woman])
    assert name == "photo" and "photo finds 1" in why and "could not be fetched" in why
    with pytest.raises(ValueError, match="name it with --detector"):
        detectors.choose([faceless["chelsea"]])


def test_drawn_pages_are_those_in_which_animeface_finds_more(monkeypatch):
    found = {"pocket": 0, "photo": 2, "animeface": 5}
    face = detectors.Face((0, 0, 9, 9), 0.9)
    monkeypatch.setattr(detectors, "make", lambda name, **k: name)
    monkeypatch.setattr(detectors, "on_pages", lambda name, page: [face] * found[name])
    assert detectors.choose(["page"])[0] == "animeface"
    found["photo"] = 5
    assert detectors.choose(["page"])[0] == "photo"


def test_a_folder_of_photos_is_cropped_and_gone_on_with_by_the_same_detector(tmp_path, woman, faceless, monkeypatch):
    without_animeface(monkeypatch)
    (tmp_path / "in").mkdir()
    woman.save(tmp_path / "in" / "a.jpg")
    faceless["coffee"].save(tmp_path / "in" / "b.jpg")
    said = call("crop", tmp_path / "in", "--out", tmp_path / "out", "--size", 64).output
    assert "1 face kept" in said and "detector: photo (on 2 pages" in said
    monkeypatch.setattr(detectors, "choose", lambda *a: pytest.fail("chosen again"))
    faceless["chelsea"].save(tmp_path / "in" / "c.jpg")
    said = call("crop", tmp_path / "in", "--out", tmp_path / "out", "--size", 64).output
    assert "1 face kept" in said and "detector: photo\n" in said
