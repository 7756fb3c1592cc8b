"""CLIP on generated images: the same input as OpenAI's preprocessing, gradients, texts, files."""

from __future__ import annotations

import re
from pathlib import Path

import clip as openai
import pytest
import torch
from clip.clip import _transform
from PIL import Image
from tiny_clip import SIDE, keep_words, save_clip, tiny_clip
from torch.nn import functional as F

from stylegan2 import display, files
from stylegan2.checkpoints import CheckpointError
from stylegan2.course import Course
from stylegan2.course.scales import PocketModels
from stylegan2.files import CourseError
from stylegan2.pocket import world
from stylegan2.pocket.world.captions import MANNERS, WHO, phrases
from stylegan2.published.clip_model import ClipModel, tokenize

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "checkpoints" / "pocket" / "clip.pt"
needs_shipped = pytest.mark.skipif(not SHIPPED.is_file(), reason="checkpoints/pocket/clip.pt is missing: `make pocket`")


@pytest.fixture(scope="module")
def clip() -> ClipModel:
    return tiny_clip()


@pytest.fixture(scope="module")
def shipped() -> ClipModel:
    return ClipModel.load(SHIPPED)


def pixels(n: int = 3, size: int = SIDE, seed: int = 0) -> torch.Tensor:
    """Rendered faces, uint8 [n, 3, size, size]."""
    return world.render(world.sample("photo", n, seed=seed), "photo", size)


def as_generated(images: torch.Tensor) -> torch.Tensor:
    return images.float() / 127.5 - 1


def by_openai(model: torch.nn.Module, transform, images: torch.Tensor) -> torch.Tensor:
    """Embeddings as OpenAI's README makes them: PIL image, transform, encode_image, unit length."""
    batch = torch.stack([transform(display.to_pil(image)) for image in images])
    with torch.no_grad():
        return F.normalize(model.encode_image(batch), dim=1)


# ------------------------------------------------------------------------------------------------------------- images
def test_images_are_taken_as_openai_takes_them(clip):
    images = pixels()
    found = clip.encode_images(as_generated(images))
    torch.testing.assert_close(found, by_openai(clip.model, _transform(SIDE), images), rtol=0, atol=1e-5)
    wrong = F.normalize(clip.model.encode_image(as_generated(images)), dim=1)  # what bug 17 of the original did
    assert (found - wrong).abs().max() > 0.01  # so that the line above can tell them apart


@pytest.mark.parametrize("size", (16, 48, 96))
def test_other_sizes_are_resized_as_openai_does(clip, size):
    images = pixels(size=size)
    found = clip.encode_images(as_generated(images))
    expected = by_openai(clip.model, _transform(SIDE), images)  # PIL's bicubic rounds to whole numbers
    assert (found * expected).sum(1).min() > 0.999
    other = clip.encode_images(as_generated(pixels(size=size, seed=1)))
    assert (found * other).sum(1).max() < 0.999


def test_reduction_is_antialiased(clip):
    """Stripes become grey; looking between every fourth pair of pixels only would show the white ones."""
    stripes = torch.ones(1, 3, 4 * SIDE, 4 * SIDE)
    stripes[..., ::4] = stripes[..., 3::4] = -1
    grey, white = clip.encode_images(torch.zeros(1, 3, SIDE, SIDE)), clip.encode_images(torch.ones(1, 3, SIDE, SIDE))
    seen = clip.encode_images(stripes)
    assert (seen - grey).norm() < 0.2 * (white - grey).norm()  # all but the edge
    aliased = clip.encode_images(F.interpolate(stripes, (SIDE, SIDE), mode="bicubic", align_corners=False))
    assert (aliased - grey).norm() > 0.8 * (white - grey).norm()


def test_embeddings_have_unit_length_and_a_batch_is_its_singles(clip):
    images = as_generated(pixels(4))
    together = clip.encode_images(images)
    assert together.shape == (4, 16)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(4))
    alone = torch.cat([clip.encode_images(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_gradients_reach_every_pixel_but_no_weight(clip):
    images = as_generated(pixels(2, size=48)).mul(0.9).requires_grad_()
    clip.encode_images(images)[:, 0].sum().backward()
    assert (images.grad != 0).float().mean() > 0.99
    assert all(p.grad is None and not p.requires_grad for p in clip.parameters())


def test_what_a_screen_cannot_show_does_not_count(clip):
    images = as_generated(pixels(2)) * 3
    assert torch.equal(clip.encode_images(images), clip.encode_images(images.clamp(-1, 1)))


@pytest.mark.parametrize(
    "images",
    (
        torch.zeros(2, 3, 32, 32, dtype=torch.uint8),
        torch.zeros(2, 3, 32, 32, dtype=torch.long),
        torch.zeros(3, 32, 32),
        torch.zeros(2, 1, 32, 32),
    ),
)
def test_anything_else_than_float_images_is_refused(clip, images):
    with pytest.raises(ValueError, match=r"float \[N, 3, H, W\] in \[-1, 1\], got torch.*\["):
        clip.encode_images(images)


# -------------------------------------------------------------------------------------------------------------- texts
def test_texts_are_openais_tokens_and_unit_vectors(clip):
    texts = ["red hair", "a big smile"]
    assert torch.equal(tokenize(texts), openai.tokenize(texts).long())
    found = clip.encode_texts(texts)
    torch.testing.assert_close(found, F.normalize(clip.model.encode_text(openai.tokenize(texts)), dim=1))
    assert not found.requires_grad
    torch.testing.assert_close(clip.encode_texts("red hair"), found[:1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("texts", ("", "  ", [], ["red hair", ""]))
def test_an_empty_text_is_refused(clip, texts):
    with pytest.raises(ValueError, match="the text is empty: expected a description"):
        clip.encode_texts(texts)


def test_a_long_text_is_read_up_to_75_tokens_and_refused_beyond(clip):
    assert clip.encode_texts("red " * 75).shape == (1, 16)
    with pytest.raises(ValueError, match="too long.*at most 75 tokens"):
        clip.encode_texts("red " * 76)


def test_unknown_words_are_named():
    clip = tiny_clip()
    assert clip.unknown_words("a spaceship, please!") == []  # nothing in a full table is unknown
    clip.check_text("검은 머리")
    keep_words(clip, "red hair a face")
    assert clip.unknown_words("Red hair, a spaceship!") == ["spaceship"]
    assert clip.unknown_words("red hair") == clip.unknown_words("") == clip.unknown_words(" , ") == []
    assert clip.known_words() == ["hair", "red"]  # and "a", "face", which say nothing
    for text in ("Red spaceship", "a face", "an amber HAIR"):
        clip.check_text(text)
    for text in ("검은 머리", "a spaceship", "a face with a spaceship", "?"):
        with pytest.raises(ValueError, match="says nothing to this CLIP.*2 English words"):
            clip.check_text(text)


# -------------------------------------------------------------------------------------------------------------- files
@pytest.mark.filterwarnings("ignore")  # OpenAI's loader tries it as a JIT archive first
@pytest.mark.parametrize("resnet", (False, True))
def test_a_file_opens_in_openais_loader_and_in_ours_alike(resnet, tmp_path):
    clip = tiny_clip(resnet=resnet)
    path = save_clip(clip, tmp_path / "clip.pt")
    theirs, transform = openai.load(str(path), device="cpu")
    ours = ClipModel.load(path)
    assert ours.size == SIDE and not ours.training
    for name, value in clip.model.state_dict().items():
        assert torch.equal(ours.model.state_dict()[name], value), name
        assert torch.equal(theirs.state_dict()[name], value), name
    images = pixels()
    found = ours.encode_images(as_generated(images))
    torch.testing.assert_close(found, by_openai(theirs, transform, images), rtol=0, atol=1e-5)


def test_what_is_no_clip_is_refused(clip, tmp_path):
    path = tmp_path / "clip.pt"
    state = dict(clip.model.state_dict())
    without = {name: value for name, value in state.items() if name != "text_projection"}
    for content, message in (
        ({"g_ema": torch.zeros(1)}, "no CLIP of OpenAI's architecture: it lacks token_embedding.weight"),
        ([1, 2], "it lacks token_embedding.weight"),
        (without, "it lacks text_projection"),
        ({**state, "visual.proj": torch.zeros(3, 3)}, "is no CLIP"),
        ({name: value for name, value in state.items() if name != "visual.positional_embedding"}, "is no CLIP"),
    ):
        files.write(path, content)
        with pytest.raises(CheckpointError, match=message):
            ClipModel.load(path)
    Image.new("RGB", (8, 8)).save(path, "PNG")
    with pytest.raises(CheckpointError, match="a PNG image"):
        ClipModel.load(path)


def test_an_unknown_name_lists_the_names(tmp_path):
    with pytest.raises(ValueError, match="no CLIP 'ViT-B/64': expected a file .*make pocket.* or one of .*ViT-B/32"):
        ClipModel.load("ViT-B/64")
    with pytest.raises(ValueError, match="none.pt"):
        ClipModel.load(tmp_path / "none.pt")


def test_the_course_says_when_its_clip_is_missing(clip, tmp_path):
    course = Course(tmp_path, PocketModels(tmp_path), "test", torch.device("cpu"))
    with pytest.raises(CourseError, match="clip.pt is missing.*make pocket"):
        _ = course.clip
    save_clip(clip, course.shipped / "clip.pt")
    assert course.clip is course.clip and course.clip.size == SIDE


# ------------------------------------------------------------------------------------------------- the shipped weights
@needs_shipped
@pytest.mark.filterwarnings("ignore")
def test_openais_loader_opens_the_shipped_file(shipped):
    theirs, transform = openai.load(str(SHIPPED), device="cpu")
    images, texts = pixels(4, size=64), ["red hair", "a face with glasses"]
    torch.testing.assert_close(
        shipped.encode_images(as_generated(images)), by_openai(theirs, transform, images), rtol=0, atol=1e-5
    )
    with torch.no_grad():
        read = F.normalize(theirs.encode_text(openai.tokenize(texts)), dim=1)
    torch.testing.assert_close(shipped.encode_texts(texts), read, rtol=0, atol=1e-5)


@needs_shipped
def test_the_shipped_file_is_small_and_knows_its_own_words(shipped):
    assert SHIPPED.stat().st_size < 3_000_000
    assert shipped.unknown_words("a photo of a person with long red hair, glasses and a big smile") == []
    sayable = [phrases(world.sample(domain, 1000, seed=1)) for domain in world.DOMAINS]
    said = f"{sayable} {MANNERS} {WHO}".lower()
    assert set(shipped.known_words()) <= set(re.findall("[a-z]+", said))  # not the "bble" of stubble
    assert shipped.unknown_words("a spaceship over Heidelberg") == ["spaceship", "over", "Heidelberg"]


@needs_shipped
def test_the_shipped_model_tells_what_is_meant(shipped):
    """The same faces with one thing changed: the text that says it must rise in nearly all of them."""
    faces = world.sample("photo", 24, seed=77).replace(smile=0.0, mouth_open=0.0, glasses="none", earrings=0)
    black, red = (0.09, 0.075, 0.075), (0.70, 0.30, 0.12)
    for text, without, having in (
        ("red hair", {"hair_colour": black}, {"hair_colour": red}),
        ("an open mouth", {"mouth_open": 0.0}, {"mouth_open": 0.9}),
        ("glasses", {"glasses": "none"}, {"glasses": "round"}),
        ("dark skin", {"skin": 0.8}, {"skin": 0.1}),
    ):
        pair = [as_generated(world.render(faces.replace(**change), "photo")) for change in (without, having)]
        before, after = (shipped.encode_images(images) @ shipped.encode_texts(text).T for images in pair)
        assert (after > before).float().mean() >= 0.9, text
