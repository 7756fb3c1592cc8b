"""What is said of faces for CLIP's training: every fragment true, every topic there, the lot decides alone."""

from __future__ import annotations

import re

import pytest
import torch

from stylegan2.pocket import world
from stylegan2.pocket.world.captions import MANNERS, MOST_PHRASES, TOPICS, WHO, phrases
from stylegan2.pocket.world.styles import DOMAINS

COUNT = 300


def taken_apart(caption: str) -> tuple[str, str, list[str]]:
    """-> what kind of picture, who, and the fragments: "a photo of", "a person with", ["red hair", "a frown"]."""
    manners = sorted((manner for group in MANNERS.values() for manner in group), key=len, reverse=True)
    beginning = re.match(f"(?:({'|'.join(manners)}) )?(?:({'|'.join(WHO)}) )?", caption)
    rest = caption[beginning.end() :]
    return beginning[1] or "", beginning[2] or "", re.split(", | and ", rest)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module", params=DOMAINS)
def drawn(request) -> tuple[str, list, list[str]]:
    """A domain, what can be said of its faces, and a caption for each."""
    sayable = phrases(world.sample(request.param, COUNT, seed=3))
    return request.param, sayable, world.random_captions(sayable, [request.param] * COUNT, rng())[0]


def test_every_fragment_of_a_caption_is_true_of_its_face(drawn):
    domain, sayable, captions = drawn
    for face, caption in zip(sayable, captions, strict=True):
        manner, who, said = taken_apart(caption)
        topics = [next((t for t, texts in enumerate(face) if fragment in texts), None) for fragment in said]
        assert None not in topics, (caption, face)
        assert len(set(topics)) == len(topics), f"twice of one thing: {caption}"
        assert 1 <= len(said) <= MOST_PHRASES
        assert (not manner) or (who and manner in MANNERS[domain]), caption


def test_captions_are_of_all_lengths_forms_and_topics(drawn):
    _, sayable, captions = drawn
    parts = [taken_apart(caption) for caption in captions]
    assert {len(said) for _, _, said in parts} == set(range(1, MOST_PHRASES + 1))
    bare = sum(not who for _, who, _ in parts) / COUNT
    named = sum(bool(manner) for manner, _, _ in parts) / COUNT
    assert abs(bare - 0.35) < 0.1 and abs(named - 0.4) < 0.1
    said = {fragment for _, _, fragments in parts for fragment in fragments}
    for topic in range(len(TOPICS)):
        assert any(set(face[topic]) & said for face in sayable), TOPICS[topic][0]


def test_the_generator_decides_alone_and_captions_come_with_what_they_say(drawn):
    domain, sayable, captions = drawn
    torch.manual_seed(99)  # the global one has no say
    again, facts = world.random_captions(sayable, [domain] * COUNT, rng())
    assert again == captions
    for caption, said in zip(captions, facts, strict=True):
        manner, _, fragments = taken_apart(caption)
        assert said == {*fragments, *([domain] if manner else [])}, caption
    other, _ = world.random_captions(sayable, [domain] * COUNT, rng(1))
    assert sum(a != b for a, b in zip(captions, other, strict=True)) > 0.8 * COUNT


def test_fragments_are_clean_and_of_one_topic():
    of_topic: dict[str, set[int]] = {}
    for domain in DOMAINS:
        for face in phrases(world.sample(domain, COUNT)):
            assert len(face) == len(TOPICS)
            for t, texts in enumerate(face):
                for text in texts:
                    of_topic.setdefault(text, set()).add(t)
    assert all(len(topics) == 1 for topics in of_topic.values())
    assert 150 < len(of_topic) < 600
    for text in of_topic:
        assert text == " ".join(text.split()) != "", repr(text)
        assert ", " not in text and " and " not in text, text  # these join fragments
        assert "{" not in text, text


@pytest.mark.parametrize(
    "change, said, unsaid",
    [
        ({"smile": 0.9}, {"a smile", "a big smile", "a happy face"}, {"a frown", "a neutral expression"}),
        ({"smile": -0.6}, {"a frown", "a sad face"}, {"a smile", "a big smile"}),
        ({"smile": 0.0}, {"a neutral expression"}, {"a frown", "a smile"}),
        ({"mouth_open": 0.0}, {"a closed mouth"}, {"an open mouth"}),
        ({"glasses": "none"}, {"no glasses"}, {"glasses"}),
        ({"glasses": "oval"}, {"glasses", "oval glasses"}, {"no glasses", "round glasses"}),
        ({"beard": "none"}, {"no beard"}, {"a beard", "stubble"}),
        ({"beard": "stubble"}, {"stubble"}, {"a beard", "no beard"}),
        ({"beard": "goatee"}, {"a goatee", "a beard"}, {"a moustache"}),
        ({"yaw": -0.8}, {"the head turned to the left"}, {"the head turned to the right", "the head facing forward"}),
        ({"fringe": 0.9}, {"a fringe", "bangs"}, {"no fringe"}),
        ({"hair_style": "bun"}, {"a bun", "hair in a bun"}, {"a ponytail"}),
        ({"hair_style": "crop", "hair_colour": (0.70, 0.30, 0.12)}, {"red hair", "ginger hair", "short hair"}, set()),
        ({"freckles": 1, "skin": 0.9}, {"freckles", "pale skin"}, {"dark skin"}),
        ({"eye_colour": (0.27, 0.48, 0.70)}, {"blue eyes"}, {"green eyes"}),
        ({"earrings": 1}, {"earrings"}, set()),
    ],
)
def test_words_follow_the_attributes(change, said, unsaid):
    for face in phrases(world.sample("photo", 5).replace(**change)):
        there = {text for texts in face for text in texts}
        assert said <= there and not unsaid & there, there


def test_a_mirrored_face_is_told_with_left_and_right_exchanged():
    faces = world.sample("photo", 200, seed=8)
    words = {"left": "right", "right": "left"}
    sides = 0
    for face, mirrored in zip(phrases(faces), phrases(faces.mirror()), strict=True):
        expected = [[re.sub("left|right", lambda m: words[m[0]], text) for text in texts] for texts in face]
        assert mirrored == expected
        sides += mirrored != face
    assert 50 < sides < 200  # some look straight ahead
