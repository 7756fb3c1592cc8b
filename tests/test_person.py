"""A person read off a photo, as codes: the same person in every world, in their own colours."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from command import call
from PIL import Image
from tiny_training import tiny_networks

from stylegan2 import checkpoints, display
from stylegan2.checkpoints import CheckpointError
from stylegan2.collect.align import NoFace
from stylegan2.editing import cartoonize as editing
from stylegan2.editing.photos import Portrait, open_photo
from stylegan2.pocket import person, world
from stylegan2.pocket.clip import ReadSitter
from stylegan2.pocket.nets.judge import Judge
from stylegan2.pocket.nets.perceptual import JudgeDistance
from stylegan2.pocket.person import PersonCodes, Wishes, is_real, read_person, verdicts
from stylegan2.pocket.portrait import describe

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "checkpoints" / "pocket"
EILEEN = ROOT / "data" / "samples" / "eileen_collins.jpg"


@pytest.fixture(scope="module")
def people() -> PersonCodes:
    source = checkpoints.load(SHIPPED / "photo.pt", "cpu").g_ema
    return PersonCodes.find(SHIPPED / "codes.pt", source) or pytest.skip("no codes.pt of the source: `make pocket`")


@pytest.fixture(scope="module")
def toon(people):
    """The source with other colours: red, green and blue mixed anew."""
    toon, mixed = copy.deepcopy(people.source), torch.tensor([[0.3, 0.7, 0.0], [0.1, 0.4, 0.5], [0.7, 0.1, 0.2]])
    for block in toon.synthesis.blocks.values():
        block.to_rgb.weight.copy_(torch.einsum("ij,j...->i...", mixed, block.to_rgb.weight))
        block.to_rgb.bias.copy_((mixed @ block.to_rgb.bias.view(3)).view_as(block.to_rgb.bias))
    return toon


@pytest.fixture(scope="module")
def models(people, toon, tmp_path_factory) -> Path:
    """A folder as the course's, without an encoder, with one style."""
    models = tmp_path_factory.mktemp("models")
    for name in ("photo", "codes", "judge"):
        (models / f"{name}.pt").write_bytes((SHIPPED / f"{name}.pt").read_bytes())
    checkpoints.save(models / "webtoon_freeze-sg.pt", g_ema=toon)
    return models


@pytest.fixture(scope="module")
def faces() -> world.Faces:
    return world.sample("photo", 5, seed=3)


def rendered(faces: world.Faces) -> torch.Tensor:
    return world.render(faces, "photo").float().div(127.5).sub(1)


def test_who_was_read_is_drawn(people, faces):
    """Rendered, read, made codes of, drawn: nearest to the face that it was."""
    large = world.render(faces, "photo", 256).permute(0, 2, 3, 1).numpy()
    read = world.Faces.concatenate([describe(Image.fromarray(pixels)).faces() for pixels in large])
    drawn = people.render(read)
    apart = (drawn[:, None] - rendered(faces)).abs().mean((2, 3, 4))
    assert apart.argmin(1).tolist() == list(range(len(faces)))
    assert torch.equal(drawn, people.source.synthesis(people.ws(read), "const"))


def test_corrections_change_what_they_say(people):
    judge, reading = Judge.load(SHIPPED / "judge.pt", "cpu"), describe(open_photo(EILEEN))
    other = reading.corrected({"glasses": "square", "hair_colour": "black", "skin": 0.2})
    before, after = (judge.read(people.render(one.faces())) for one in (reading, other))
    assert before.column("glasses") < 0.5 < after.column("glasses")
    assert after.column("skin") < before.column("skin") - 1 and after.column("hair_colour_r") < -1
    assert (after.landmarks - before.landmarks).abs().max() < 0.03  # the pose is the same


def test_kept_colours_are_the_persons(people, toon, faces):
    """Measured where the renderer, which took no part, has hair and skin."""
    styles = {"toon": toon}
    plain = people.cartoonize(styles, faces, keep_colours=0)["toon"]
    half, own = (people.cartoonize(styles, faces, keep_colours=keep)["toon"] for keep in (0.5, 1.0))
    assert torch.equal(plain, editing.cartoonize(people.source, styles, people.ws(faces))["toon"])
    _, masks = person._parts(rendered(person._three_times(faces)))
    wanted = person._colours(people.render(faces), masks)
    error = [(person._colours(images, masks) - wanted).abs().mean() for images in (plain, half, own)]
    assert error[2] < 0.3 * error[0] and error[2] < error[1] < error[0]
    outside = masks.sum(1, keepdim=True) == 0
    moved = ((own - plain).abs() * outside).sum() / outside.sum()
    assert moved < 0.1 * (own - plain).abs().mean()
    with pytest.raises(ValueError, match="keep_colours is 2, expected 0"):
        people.cartoonize(styles, faces, keep_colours=2)


def test_remembered_colours_give_the_same_picture_without_rendering_them_again(people, toon, faces, monkeypatch):
    first, memory = people.cartoonize({"portrait": toon}, faces)["portrait"], {}
    assert torch.equal(people.cartoonize({"portrait": toon}, faces, memory=memory)["portrait"], first)
    monkeypatch.setattr(world, "render", None)
    assert torch.equal(people.cartoonize({"portrait": toon}, faces, memory=memory)["portrait"], first)


def test_a_world_paints_the_person_as_its_renderer_does(people, toon, faces):
    plain, own, weak = (
        people.cartoonize({"portrait": toon}, faces, 4, 0.0, strength, keep)["portrait"]
        for strength, keep in ((1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    )
    painted, masks = person._parts(world.render(person._three_times(faces), "portrait").float() / 127.5 - 1)
    wanted = person._colours(painted, masks)
    before, after = ((person._colours(images, masks) - wanted).abs().mean() for images in (plain, own))
    assert after < 0.5 * before
    assert (weak - people.render(faces)).abs().max() < 0.02  # without strength it is the source's picture
    assert torch.equal(people.cartoonize({"again": people.source}, faces)["again"], people.render(faces))


def test_colours_of_a_bald_head_are_those_of_its_skin(people, toon):
    face = world.sample("photo", 1).replace(hair_style="shaved", beard="none")
    assert people.cartoonize({"toon": toon}, face)["toon"].isfinite().all()


def test_codes_of_another_source_are_not_taken(people, tmp_path):
    codes = SHIPPED / "codes.pt"
    assert PersonCodes.find(tmp_path / "codes.pt", people.source) is None
    assert PersonCodes.find(codes, tiny_networks(32, 6, 1)[0].eval()) is None
    other = copy.deepcopy(people.source)
    with torch.no_grad():
        for conv in other.synthesis.convs:
            conv.affine.weight.neg_()
    assert PersonCodes.find(codes, other) is None
    with pytest.raises(CheckpointError):
        PersonCodes.find(SHIPPED / "judge.pt", people.source)


def test_real_photos_are_told_from_pictures_of_the_model(people, monkeypatch):
    monkeypatch.setattr(editing, "is_outside", lambda g, image, *_: image.mean((1, 2, 3)) > 0)
    grey, white = (Image.new("RGB", (128, 128), colour) for colour in ("#101010", "white"))
    for portrait, real in (
        (Portrait(grey, "", 1), False),
        (Portrait(white, "", 1), True),
        (Portrait(grey, "", 1, face=1), True),
    ):
        assert is_real(portrait, people.source, None, None) == real
    with pytest.raises(NoFace, match="no face found"):
        read_person(Portrait(white, "", 1))
    with pytest.raises(ValueError, match="face 2 was asked for"):
        read_person(Portrait(white, "", 1, face=2, path=EILEEN))


def test_the_verdict_says_what_is_lost(people, toon):
    distance, reading = JudgeDistance(Judge.load(SHIPPED / "judge.pt", "cpu")), describe(open_photo(EILEEN))
    reading = reading.corrected({"glasses": "square", "smile": 0})
    bare = rendered(reading.corrected({"glasses": "none"}).faces())
    words = verdicts(distance, reading, {"webtoon": bare, "mine": bare})
    assert "found again; not glasses" in words["webtoon"] and "smile" not in words["webtoon"] and "mine" not in words
    assert "attributes at least half sure" in words["photo"] and set(verdicts(None, reading, {"webtoon": bare})) == {
        "photo"
    }
    drawn = verdicts(distance, reading, {"photo": rendered(reading.faces())})["photo"]
    assert drawn.startswith("6 of 6 found again; fits what was read better than ")
    assert drawn.endswith("of 200 pictures of other people")


@pytest.mark.parametrize("who", ["barack_obama", "eileen_collins", "grace_hopper", "joe_biden"])
def test_a_picture_of_the_person_fits_better_than_others_and_one_of_somebody_else_as_often_as_not(who):
    judge, reading = Judge.load(SHIPPED / "judge.pt", "cpu"), describe(open_photo(EILEEN.with_stem(who)))
    own, others = (judge.read(rendered(p)).attributes for p in (reading.faces(), world.sample("photo", 100, seed=9)))
    assert person.likeness_rank(judge, reading, own[0]) >= 198
    ranks = torch.tensor([person.likeness_rank(judge, reading, other) for other in others]) / person.OTHERS
    assert abs(float(ranks.mean()) - 0.5) < 0.1, "chance, for every sitter"
    scene = own[0].clone()
    scene[[column for name in person.SCENE for column in person.COLUMNS[name]]] = 3.0  # says nothing of who it is
    assert person.likeness_rank(judge, reading, scene) == person.likeness_rank(judge, reading, own[0])


def test_impossible_wishes_are_refused():
    for option, wrong, expected in (
        ("--codes", "x", "'search'"),
        ("--space", "z", "'w+'"),
        ("--steps", "-1", "equal to 0"),
        ("--keep-colours", "2", "equal to 1"),
    ):
        said = call("cartoonize", EILEEN, option, wrong, code=2)
        assert option in said and expected in said


# ---------------------------------------------------------------------------------------------------- the command line
def pixels(path: Path) -> torch.Tensor:
    return torch.from_numpy(np.array(Image.open(path))).float()


def refused(*words) -> str:
    """The last line on stderr; those before it say how the photos were cut."""
    return call(*words, code=2).strip().splitlines()[-1]


def test_a_photo_becomes_the_person_that_is_read(models, people, toon, tmp_path):
    said = call("cartoonize", EILEEN, "--models", models, "--out", tmp_path / "a", "--set", "glasses=round")
    assert "eileen_collins: read: " in said and "glasses" in said and "1 face in 1 style" in said
    faces = describe(open_photo(EILEEN)).corrected({"glasses": "round"}).faces()
    wanted = display.to_pil(people.cartoonize({"webtoon": toon}, faces)["webtoon"][0])
    wanted.save(tmp_path / "wanted.png")
    assert (pixels(tmp_path / "wanted.png") - pixels(tmp_path / "a" / "eileen_collins_webtoon.png")).abs().max() <= 1
    assert Image.open(tmp_path / "a" / "cartoons.png").height > 128 + 22 + 20  # with words below


def test_a_picture_of_the_models_own_world_is_searched(models, faces, tmp_path):
    display.to_pil(rendered(faces[:1])[0]).save(tmp_path / "own.png")
    words = [tmp_path / "own.png", "--models", models, "--steps", 1]
    assert "read: " not in call("cartoonize", *words, "--out", tmp_path / "a")
    assert "read: " in call("cartoonize", *words, "--codes", "read", "--out", tmp_path / "b")
    assert "read: " not in call("cartoonize", EILEEN, *words[1:], "--codes", "search", "--out", tmp_path / "c")


def test_who_cannot_be_read_is_searched_or_left_out(models, tmp_path):
    """A face of less than 48 pixels, in a picture of the model's size."""
    open_photo(EILEEN).resize((128, 128)).save(tmp_path / "small.png")
    words = ["--models", models, "--steps", 1, "--align", "yes"]
    said = call("cartoonize", tmp_path / "small.png", *words, "--out", tmp_path / "a")
    assert "small: the codes are searched, since the person cannot be read: the face is 2" in said
    said = refused("cartoonize", tmp_path / "small.png", *words, "--codes", "read", "--out", tmp_path / "b")
    assert "small.png': the face is 2" in said and not (tmp_path / "b").exists()
    photos = [EILEEN, tmp_path / "small.png"]
    said = call("cartoonize", *photos, *words, "--codes", "read", "--out", tmp_path / "c", code=1)
    assert "left out: '" in said and "1 left out" in said and (tmp_path / "c" / "eileen_collins_webtoon.png").exists()


def test_corrections_are_of_one_person_who_is_read(models, tmp_path):
    words = ["cartoonize", EILEEN, "--models", models, "--out", tmp_path / "out", "--set"]
    assert "here are 2 faces" in refused(*words, "smile=0", ROOT / "data" / "samples" / "grace_hopper.jpg")
    assert "not with --codes search" in refused(*words, "smile=0", "--codes", "search")
    assert "smile cannot be '9'" in refused(*words, "smile=9")
    clip = ["cartoonize", "pocket:clip?n=3", *words[2:4], "--out", tmp_path / "a.mp4", "--set"]
    assert "3 frames" in call(*clip, "smile=0", "--space", "w")  # read, though a search would do
    assert "smile cannot be '9'" in refused(*clip, "smile=9")
    (models / "codes.pt").rename(models / "kept.pt")
    try:
        assert "has no codes.pt that belongs to its photo.pt" in refused(*words[:-1], "--codes", "read")
        assert "read: " not in call(*words[:-1], "--steps", 1)
    finally:
        (models / "kept.pt").rename(models / "codes.pt")
    assert list((tmp_path / "out").iterdir())


# --------------------------------------------------------------------------------------------------------------- clips
@pytest.mark.parametrize("strength", [1.0, 0.3])
def test_the_cartoons_of_a_clip_are_those_of_its_frames_as_photos(people, toon, strength):
    one = describe(open_photo(EILEEN)).faces()
    faces = world.Faces.concatenate([one, one.replace(smile=0.9)])
    wishes = Wishes(strength=strength, keep_colours=0.8)
    film = ReadSitter(people, "webtoon", toon, wishes).cartoons(faces.values)
    photos = people.cartoonize({"webtoon": toon}, faces, *wishes.dials, wishes.keep_colours)["webtoon"]
    for frame, photo in zip(film, photos, strict=True):
        assert (
            np.abs(np.asarray(frame, int) - np.asarray(display.to_pil(photo), int)).max() <= 4
        )  # colours of the scene
