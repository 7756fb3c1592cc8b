"""Faces measured, and people read off photos as pocket faces."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from command import invoke, refusal
from PIL import Image

from stylegan2.collect.align import NoFace
from stylegan2.collect.blazeface import BlazeFace
from stylegan2.collect.facemesh import FaceMesh, moved, warp_of
from stylegan2.editing.photos import open_photo
from stylegan2.pocket import world
from stylegan2.pocket.portrait import colours, describe, figure
from stylegan2.pocket.portrait.hair import length_class
from stylegan2.pocket.world import styles
from stylegan2.pocket.world.faces import BY_NAME

SAMPLES = Path(__file__).parents[1] / "data" / "samples"
COUNT = 24


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return open_photo(SAMPLES / "eileen_collins.jpg")


@pytest.fixture(scope="module")
def reading(photo):
    return describe(photo)


@pytest.fixture(scope="module")
def rendered():
    """Rendered faces, and what is read off them."""
    faces = world.sample("photo", COUNT, seed=3)
    pixels = world.render(faces, "photo", 256).permute(0, 2, 3, 1).numpy()
    return faces, [describe(Image.fromarray(one)) for one in pixels]


# ---------------------------------------------------------------------------------------------------------------- mesh
def test_the_mesh_lies_on_the_eyes_and_the_nose(photo):
    face = BlazeFace()(photo)[0]
    mesh = FaceMesh()(photo, face)
    assert mesh.points.shape == (468, 3) and mesh.presence > 0.99 and abs(mesh.roll) < 0.1
    eyes = mesh.points[[33, 133]].mean(0)[:2], mesh.points[[263, 362]].mean(0)[:2]
    for point, known in zip((*eyes, mesh.points[1, :2]), face.landmarks[:3], strict=True):
        assert np.linalg.norm(point - known) < 0.06 * face.side


def test_a_turned_photo_has_the_same_mesh_turned(photo):
    plain = FaceMesh()(photo, BlazeFace()(photo)[0])
    middle = plain.points[1, :2]
    turned = photo.rotate(20, Image.Resampling.BICUBIC, center=tuple(middle))
    mesh = FaceMesh()(turned, BlazeFace()(turned)[0])
    assert mesh.roll - plain.roll == pytest.approx(-math.radians(20), abs=0.04)
    known = moved(plain.points - [*middle, 0], warp_of(np.zeros(2), 1, math.radians(20), 1))[:, :2] - 0.5 + middle
    assert np.linalg.norm(known - mesh.points[:, :2], axis=1).mean() < 0.03 * np.ptp(known[:, 0])


# ------------------------------------------------------------------------------------------------------------- reading
def test_who_is_who(reading):
    values = reading.settled()
    assert values["glasses"] == values["beard"] == "none" and values["smile"] > 0.6 and values["mouth_open"] > 0.3
    assert abs(values["yaw"]) < 0.2 and reading.name_of("hair_colour") in ("brown", "dark blond")
    other = describe(open_photo(SAMPLES / "grace_hopper.jpg"))
    assert other.values["glasses"] != "none" and other.values["beard"] == "none" and abs(other.values["smile"]) < 0.3
    assert not reading.notes and set(reading.values) == set(reading.sure) == set(BY_NAME)
    assert all(0 <= sure <= 1 for sure in reading.sure.values())


@pytest.mark.parametrize(
    "name, least", [("yaw", 0.95), ("roll", 0.95), ("smile", 0.5), ("mouth_open", 0.6), ("skin", 0.9)]
)
def test_rendered_faces_are_read_as_they_are(rendered, name, least):
    faces, readings = rendered
    read = [reading.values[name] for reading in readings]
    assert np.corrcoef(read, faces.values[name])[0, 1] > least


def test_a_colour_of_hair_and_clothes_is_found(rendered):
    faces, readings = rendered
    for name in ("hair_colour", "background"):
        read = torch.tensor([reading.values[name] for reading in readings])
        assert (read - faces.values[name]).abs().mean(1).median() < 0.08, name


def test_a_mirrored_person_is_mirrored(photo, reading):
    other = describe(Image.fromarray(np.asarray(photo)[:, ::-1].copy()))
    for name in ("yaw", "roll"):
        assert other.values[name] == pytest.approx(-reading.values[name], abs=0.16)  # 2 degrees of roll
    for name in ("smile", "skin", "mouth_open"):
        assert other.values[name] == pytest.approx(reading.values[name], abs=0.12)


@pytest.mark.parametrize("tint", [(1, 1, 1), (0.8, 1, 1.35)], ids=["grey", "sepia"])
def test_without_colours_lightness_says_what_it_can(photo, reading, tint):
    levels = np.asarray(photo.convert("L"))[..., None] / 255
    pixels = (255 * levels ** np.array(tint)).round().astype(np.uint8)
    grey = describe(Image.fromarray(pixels))
    assert not reading.notes and "black-and-white" in grey.notes[0]
    assert 0 < grey.sure["skin"] < reading.sure["skin"] and grey.sure["eye_colour"] == grey.sure["skin_warmth"] == 0
    assert grey.values["skin"] > 0.8 and grey.name_of("hair_colour") in ("dark brown", "brown")
    for name in ("clothes_colour", "background", "background2"):
        assert np.ptp(grey.values[name]) < 0.02 and grey.sure[name] > 0.5, name
    assert grey.sure["yaw"] > 0.9 and grey.values["yaw"] == pytest.approx(reading.values["yaw"], abs=0.1)


def test_what_is_unsure_falls_to_the_mean(photo):
    grey = describe(photo.convert("L").convert("RGB"))
    mean = world.sample("photo", 1000)
    torch.testing.assert_close(grey.faces().eye_colour[0], mean.eye_colour.mean(0), atol=1e-5, rtol=0)
    skin = grey.faces().skin.item()
    assert mean.skin.mean() < skin < grey.values["skin"]


def test_lengths_have_names():
    assert [length_class(end) for end in (0, 0.5, 1)] == ["short", "medium", "long"]


@pytest.mark.parametrize("tone, warmth", [(0.0, 0.0), (0.3, 0.5), (0.5, 0.5), (0.6, 1.0), (0.8, -0.5), (1.0, 0.0)])
def test_the_tone_of_rendered_skin_is_read_and_dim_light_darkens_it_less_than_it_looks(tone, warmth, monkeypatch):
    ramp = np.array(styles.SKIN_RAMP)
    base = np.array([np.interp(tone * (len(ramp) - 1), range(len(ramp)), channel) for channel in ramp.T])
    lit = base * (1 + warmth * np.array(styles.SKIN_WARMTH)) * colours.LIT_SKIN
    assert colours.skin(colours.lab_of(lit))[0] == pytest.approx(tone, abs=0.12)
    if warmth == 1:
        return  # the most golden skin looks like darker skin
    dim = colours.lab_of(lit * 0.8)
    read = colours.skin(dim)[0]
    monkeypatch.setattr(colours, "YELLOW_WEIGHT", 0.0)
    assert abs(read - tone) <= abs(colours.skin(dim)[0] - tone) + 0.01


# --------------------------------------------------------------------------------------------------------- corrections
def test_the_person_knows_better(reading):
    words = {"glasses": "round", "hair_colour": "brown", "smile": "-0.5", "eye_colour": "#4080ff", "freckles": 1}
    face = reading.corrected(words).faces()
    assert face.glasses.item() == 1 and face.smile.item() == -0.5 and face.freckles.item() == 1
    torch.testing.assert_close(face.hair_colour, torch.tensor([[0.36, 0.225, 0.135]]))
    torch.testing.assert_close(face.eye_colour[0, 2], torch.tensor(1.0))
    assert len(face) == 1 and face.yaw.item() == pytest.approx(reading.values["yaw"])
    for colour in ("0.1, 0.2,0.3", (0.1, 0.2, 0.3)):
        hair = reading.corrected({"hair_colour": colour}).faces().hair_colour[0]
        torch.testing.assert_close(hair, torch.tensor([0.1, 0.2, 0.3]))


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"beards": "none"}, "unknown attribute 'beards': expected one of yaw"),
        ({"glasses": "aviator"}, "glasses cannot be 'aviator': expected one of none, round, square, oval"),
        ({"smile": 2}, "smile cannot be 2: expected a number from -1 to 1"),
        ({"hair_colour": "0.1,0.2"}, "hair_colour cannot be '0.1,0.2': expected black"),
        ({"hair_colour": "plaid"}, "hair_colour cannot be 'plaid': expected black, dark brown"),
    ],
)
def test_wrong_corrections_say_what_is_allowed(reading, wrong, said):
    with pytest.raises(ValueError, match=said):
        reading.corrected(wrong)


def test_of_several_faces_the_one_that_is_asked_for_is_read(photo):
    grace = Image.open(SAMPLES / "grace_hopper.jpg").convert("RGB")
    both = Image.new("RGB", (photo.width + grace.width, max(photo.height, grace.height)))
    both.paste(photo)
    both.paste(grace, (photo.width, 0))
    readings = [describe(both, face) for face in (1, 2)]
    assert [reading.found for reading in readings] == [2, 2] and describe(photo).found == 1
    assert {reading.values["glasses"] for reading in readings} == {"none", "square"}  # Grace Hopper wears them


def test_a_chin_outside_of_the_photo_has_no_beard_that_could_be_read(photo):
    assert describe(photo).sure["beard"] > 0.9
    without_chin = photo.crop((0, 0, photo.width, 150))  # it ends below the mouth
    assert describe(without_chin).sure["beard"] == 0


def test_refusals_say_why(photo):
    with pytest.raises(NoFace, match="no face found in this photo"):
        describe(Image.new("RGB", (300, 200), "teal"))
    with pytest.raises(ValueError, match="face 3 was asked for, but 1 were found"):
        describe(photo, 3)
    with pytest.raises(ValueError, match="too small to"):
        describe(photo.resize((160, 160), Image.Resampling.LANCZOS))


# ------------------------------------------------------------------------------------------------- picture and command
def test_the_picture_has_the_head_the_faces_and_the_table(reading):
    picture = figure(reading, ("photo",))
    assert picture.width > 860 and picture.height > 450


def test_the_command_writes_a_picture_and_json(tmp_path):
    out = tmp_path / "read.png"
    said = invoke("read-face", SAMPLES / "eileen_collins.jpg", "--out", out, "--json", "--set", "glasses=oval").stdout
    attributes = json.loads(said)["attributes"]
    assert Image.open(out).width > 800 and attributes["glasses"] == {"value": "oval", "sure": 1.0}
    assert "ATTRIBUTE=VALUE" in refusal("read-face", SAMPLES / "eileen_collins.jpg", "--set", "glasses", "--out", out)
