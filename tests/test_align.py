"""Faces of photos: found, turned, cut."""

from __future__ import annotations

import io
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from command import invoke
from PIL import Image

from stylegan2.cli.photos import read
from stylegan2.collect import align, detectors
from stylegan2.collect.align import FFHQ, POCKET, Frame, NoFace, Person, box_square, cut, find_people, square_of
from stylegan2.data.images import decode
from stylegan2.editing.photos import Cutting, names_of, portraits, read_photo
from stylegan2.pocket import world
from stylegan2.pocket.nets.perceptual import frame_for

ALIGNED = Path(__file__).parents[2] / "shared" / "data" / "aligned-photo-1024.png"


def person(left, right, mouth) -> Person:
    return Person(left, right, mouth)


def turned(point, degrees: float, centre=(200.0, 200.0)) -> tuple[float, float]:
    """Clockwise as seen, y down."""
    a = math.radians(degrees)
    x, y = point[0] - centre[0], point[1] - centre[1]
    return centre[0] + x * math.cos(a) - y * math.sin(a), centre[1] + x * math.sin(a) + y * math.cos(a)


UPRIGHT = ((180.0, 190.0), (220.0, 190.0), (200.0, 230.0))


def test_an_upright_face_gives_the_square_of_the_paper():
    corners = square_of(person(*UPRIGHT))
    side = max(4.0 * 40, 3.6 * 40)  # appendix C: s = max(4 |x'|, 3.6 |y'|)
    centre = (200, 190 + 0.1 * 40)  # c = eyes - 0.1 y', y' from the mouth up to the eyes
    low, high = np.array(centre) - side / 2, np.array(centre) + side / 2
    np.testing.assert_allclose(corners, [low, (low[0], high[1]), high, (high[0], low[1])])


@pytest.mark.parametrize("degrees", [-30, 10, 90])
def test_a_turned_face_gives_the_turned_square(degrees):
    straight = square_of(person(*UPRIGHT))
    corners = square_of(person(*(turned(p, degrees) for p in UPRIGHT)))
    np.testing.assert_allclose(corners, [turned(p, degrees) for p in straight], atol=1e-9)


def test_one_square_is_cut_whatever_the_frame_but_larger():
    wide, narrow = square_of(person(*UPRIGHT), Frame(8, 8, 0)), square_of(person(*UPRIGHT), Frame(4, 4, 0))
    np.testing.assert_allclose(wide - wide.mean(0), 2 * (narrow - narrow.mean(0)))
    with pytest.raises(ValueError, match="one point"):
        square_of(person((1, 1), (1, 1), (1, 1)))


def painted(degrees: float = 0.0) -> Image.Image:
    """A smooth picture with a disc of its own colour at each of the three points."""
    y, x = np.mgrid[0:400, 0:400].astype(float)
    rgb = np.stack([x / 2, y / 2, 100 + 0 * x], -1)
    for point, colour in zip(UPRIGHT, ((250, 0, 0), (0, 250, 0), (0, 0, 250)), strict=True):
        px, py = turned(point, degrees)
        rgb[np.hypot(x - px, y - py) < 7] = colour
    return Image.fromarray(rgb.astype(np.uint8))


@pytest.mark.parametrize("degrees", [0, 25, -80])
def test_eyes_and_mouth_come_to_their_places(degrees):
    who = person(*(turned(p, degrees) for p in UPRIGHT))
    face = np.asarray(cut(painted(degrees), square_of(who), 64)).astype(int)
    for channel, (px, py) in enumerate(UPRIGHT):
        x, y = (px - 200) / 160 * 64 + 32, (py - 194) / 160 * 64 + 32
        pixel = face[round(y - 0.5), round(x - 0.5)]
        assert pixel[channel] > 200 and pixel.sum() - pixel[channel] < 60, (degrees, channel, pixel)


def test_beyond_the_edge_the_photo_is_mirrored():
    rgb = np.tile(np.arange(0, 100, dtype=np.uint8)[None, :, None], (100, 1, 3))
    face = np.asarray(cut(Image.fromarray(rgb), box_square(-50, 0, 100), 100))[50, :, 0].astype(int)
    assert abs(face[25] - 25) <= 2 and abs(face[75] - 25) <= 2 and face[49] <= 2
    beyond = cut(Image.fromarray(rgb), box_square(-120, -120, 330), 33)  # more than its own size, on all sides
    assert beyond.size == (33, 33) and np.asarray(beyond).std() > 0


def test_a_square_that_cannot_be_meant_is_refused():
    photo = Image.new("RGB", (100, 80))
    for corners in (box_square(200, 0, 50), box_square(-500, -500, 1000)):
        with pytest.raises(ValueError, match="does not fit a photo of 100x80"):
            cut(photo, corners, 64)
    with pytest.raises(ValueError, match="more than 0"):
        box_square(0, 0, 0)


def test_a_large_photo_is_shrunk_without_moire():
    stripes = np.zeros((2048, 2048, 3), np.uint8)
    stripes[:, ::2] = 255  # one pixel wide: what is sampled instead of averaged keeps them
    grey = np.asarray(cut(Image.fromarray(stripes), box_square(0, 0, 2048), 64)).astype(int)
    assert np.abs(grey - 127).max() <= 6


class Fake:
    """A detector that has seen it all before."""

    def __init__(self, *faces: detectors.Face):
        self.faces = faces

    def __call__(self, image):
        return list(self.faces)


def face(x: float, y: float, size: float) -> detectors.Face:
    """Six points as BlazeFace gives them: the person's right eye first."""
    at = [(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.5, 0.8), (0.1, 0.5), (0.9, 0.5)]
    points = np.array([(x + a * size, y + b * size) for a, b in at])
    return detectors.Face((x, y, x + size, y + size), 0.9, points)


def test_people_come_by_sureness_with_their_points(monkeypatch):
    """The detector's order; the largest first was how a piece of background became face 1."""
    small, large = face(0, 0, 40), face(50, 50, 100)
    monkeypatch.setattr(detectors, "make", lambda *a, **k: Fake(small, large))
    found = find_people(Image.new("RGB", (200, 200)))
    assert [p.left_eye for p in found] == [pytest.approx((12, 16)), (80, 90)] and found[1].right_eye == (120, 90)
    assert found[1].mouth == pytest.approx((100, 90 + align.CORNERS * 40))


def test_no_face_says_what_to_do(monkeypatch):
    monkeypatch.setattr(detectors, "make", lambda *a, **k: Fake())
    with pytest.raises(NoFace, match="eyes, nose and mouth should be seen.*LEFT,TOP,SIDE"):
        find_people(Image.new("RGB", (90, 90)))


@pytest.fixture
def seen(monkeypatch):
    """Every photo shows these faces."""
    faces = [face(20, 20, 100), face(130, 130, 60)]
    monkeypatch.setattr(detectors, "make", lambda *a, **k: Fake(*faces))
    return faces


def test_which_faces_of_a_photo_are_taken(seen):
    photo = painted()
    assert [p.how for p in portraits(photo, 32)] == ["face 1 of 2"]
    assert [p.how for p in portraits(photo, 32, Cutting(face="all"))] == ["face 1 of 2", "face 2 of 2"]
    assert portraits(photo, 32, Cutting(face="2"))[0].how == "face 2 of 2"
    with pytest.raises(ValueError, match="face 3 was asked for, but 2"):
        portraits(photo, 32, Cutting(face="3"))
    assert portraits(photo, 32, Cutting(align="no"))[0].how == "middle square"
    assert portraits(photo, 32, Cutting(box=(10, 10, 50)))[0].how == "the square given"


def test_a_picture_of_the_models_size_is_taken_as_it_is(seen):
    small = painted().resize((32, 32))
    (whole,) = portraits(small, 32)
    assert whole.how == "as it is" and np.array_equal(whole.image, small)
    assert whole.tensor.shape == (3, 32, 32) and whole.tensor.min() >= -1 and whole.tensor.max() <= 1


def test_faces_lie_as_in_the_pictures_that_the_generator_knows(seen):
    photo = painted()
    for frame in (POCKET, FFHQ):
        expected = cut(photo, square_of(find_people(photo)[0], frame), 32)
        assert np.array_equal(portraits(photo, 32, Cutting(frame=frame))[0].image, expected)
    assert Cutting().frame == FFHQ
    assert [frame_for(size) for size in (16, world.SIZE, world.SIZE + 1)] == [POCKET, POCKET, FFHQ]


def test_the_verbs_give_pocket_models_faces_as_they_are_rendered(seen, tmp_path):
    photo = painted()
    photo.save(tmp_path / "me.png")
    for resolution, frame in ((world.SIZE, POCKET), (2 * world.SIZE, FFHQ)):
        expected = cut(photo, square_of(find_people(photo)[0], frame), resolution)
        found, _ = read([tmp_path / "me.png"], resolution, Cutting())
        assert np.array_equal(found["me"].image, expected)


def test_without_a_face_nothing_is_taken_for_one(monkeypatch):
    monkeypatch.setattr(detectors, "make", lambda *a, **k: lambda image: [])
    photo = Image.new("RGB", (80, 60))
    for wish in ("auto", "yes"):
        with pytest.raises(NoFace, match="no face found.*LEFT,TOP,SIDE"):
            portraits(photo, 16, Cutting(wish))
    assert portraits(photo, 16, Cutting("no"))[0].how == "middle square"


def test_cuttings_that_mean_nothing_are_refused():
    for wrong in ({"align": "maybe"}, {"face": "0"}, {"face": "first"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Cutting(**wrong)


def test_a_photo_is_turned_as_its_camera_says(tmp_path, seen):
    upright = painted()
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera lay on its side
    data = io.BytesIO()
    upright.rotate(90, expand=True).save(data, "png", exif=exif)
    assert np.array_equal(decode(data.getvalue()), upright)
    (tmp_path / "a.png").write_bytes(data.getvalue())
    upright.save(tmp_path / "b.png")
    a, b = (read_photo(name, tmp_path / f"{name}.png", 32, Cutting(face="all")) for name in "ab")
    assert list(a) == ["a_1", "a_2"] and list(b) == ["b_1", "b_2"]
    assert np.array_equal(a["a_1"].image, b["b_1"].image)


def test_a_file_that_is_no_picture_is_named(tmp_path, seen):
    (tmp_path / "me.jpg").write_text("<html>")
    with pytest.raises(ValueError, match=r"me\.jpg' cannot be read: a web page"):
        read_photo("me", tmp_path / "me.jpg", 32)


def test_the_astronaut_comes_out_upright_and_centred():
    data = pytest.importorskip("skimage.data", reason="scikit-image brings the photo")
    photo = Image.fromarray(data.astronaut())
    for degrees in (0, 15):
        (who,) = find_people(photo.rotate(degrees, Image.Resampling.BICUBIC))
        # by eye in the unturned photo: the pupils, to two pixels or so
        for found, truth in ((who.left_eye, (202, 102)), (who.right_eye, (247, 102))):
            assert math.dist(found, turned(truth, -degrees, (256, 256))) < 5, (degrees, found)


@pytest.mark.skipif(not ALIGNED.is_file(), reason="the shared test photo is not here")
def test_an_aligned_photo_stays_nearly_the_same():
    photo = decode(ALIGNED.read_bytes())
    corners = square_of(find_people(photo)[0])
    whole = box_square(0, 0, 1024)
    assert np.hypot(*(corners - whole).T).max() < 0.08 * 1024  # every corner within a twelfth of the side
    assert abs(math.dist(corners[0], corners[3]) / 1024 - 1) < 0.03


run = partial(invoke, "align")


def test_the_verb_writes_every_face_and_a_marked_photo(tmp_path, seen):
    painted().save(tmp_path / "party.png")
    run(tmp_path / "party.png", "--out", tmp_path / "faces", "--size", 48, "--face", "all")
    names = sorted(p.name for p in (tmp_path / "faces").iterdir())
    assert names == ["party_1.png", "party_2.png", "party_faces.jpg"]
    assert Image.open(tmp_path / "faces" / "party_1.png").size == (48, 48)
    run(tmp_path / "party.png", "--out", tmp_path / "one", "--size", 48, "--box", "10,20,100")
    assert [p.name for p in (tmp_path / "one").iterdir()] == ["party.png"]
    assert "LEFT,TOP,SIDE" in run(tmp_path / "party.png", "--out", tmp_path, "--box", "a,b", code=2).stderr
    assert "greater than or equal to 16" in run(tmp_path / "party.png", "--out", tmp_path, "--size", 4, code=2).stderr


def test_the_verb_replaces_no_photo(tmp_path, monkeypatch):
    monkeypatch.setattr(detectors, "make", lambda *a, **k: lambda image: [face(20, 20, 100)])
    for name in ("a.png", "b.jpg", "a_faces.jpg"):
        painted().save(tmp_path / name)
    (tmp_path / "link").symlink_to(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in ("a.png", "b.jpg", "a_faces.jpg")}
    for out in (tmp_path, tmp_path / "link"):
        said = run(tmp_path / "a.png", "--out", out, "--size", 48, code=2).stderr
        assert "is the folder of your photos, and pictures in it might be replaced: choose another" in said
    run(tmp_path / "b.jpg", tmp_path / "a_faces.jpg", "--out", tmp_path / "x", "--size", 48)
    assert before == {name: (tmp_path / name).read_bytes() for name in before}


def test_two_faces_never_have_one_name(tmp_path, seen):
    (tmp_path / "more").mkdir()
    for path in ("a.png", "a_1.png", "more/a.png"):
        painted().save(tmp_path / path)
    run(
        *(tmp_path / path for path in ("a.png", "a_1.png", "more/a.png")),
        "--out",
        tmp_path / "x",
        "--no-marked",
        "--face",
        "all",
    )
    names = {p.stem for p in (tmp_path / "x").iterdir()}
    assert names == {"a_1", "a_2", "a_1_1", "a_1_2", "a 2_1", "a 2_2"}
    assert names_of("a", 1, {"a_1"}) == ["a"] and names_of("a", 2, {"a_1"}) == ["a 2_1", "a 2_2"]
    assert names_of("a", 1, {"a", "a 2"}) == ["a 3"]


def test_the_verb_goes_on_after_a_photo_without_faces(tmp_path, monkeypatch):
    answers = iter([[], [face(20, 20, 100)], [face(20, 20, 100)]])
    monkeypatch.setattr(detectors, "make", lambda *a, **k: lambda image: next(answers))
    for name in "ab":
        painted().save(tmp_path / f"{name}.png")
    said = run(tmp_path / "a.png", tmp_path / "b.png", "--out", tmp_path / "faces", "--size", 48, code=1)
    assert "no face found" in said.stderr and (tmp_path / "faces" / "b.png").is_file()
    monkeypatch.setattr(detectors, "make", lambda *a, **k: Fake())
    assert "--box" in run(tmp_path / "a.png", "--out", tmp_path / "none", "--size", 48, code=2).stderr


def test_the_marked_photo_shows_the_squares(seen):
    photo = Image.new("RGB", (300, 200), "white")
    shown = np.asarray(align.marked(photo, find_people(photo), side=600))
    assert shown.shape == (400, 600, 3) and (shown != 255).any(-1).mean() > 0.005
