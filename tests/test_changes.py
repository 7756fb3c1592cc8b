"""What an edit changed, in standard deviations and in words."""

from __future__ import annotations

import pytest
import torch

from stylegan2.pocket import world
from stylegan2.pocket.measures import COLUMNS
from stylegan2.pocket.nets.judge import Reading
from stylegan2.pocket.studies.changes import (
    LEAST_SD,
    UNSEEN,
    WORDS,
    Change,
    attribute_spread,
    describe_changes,
    measure_changes,
    others_mean,
)


def reading_of(faces: world.Faces) -> Reading:
    """What a judge without errors reads."""
    n = len(faces)
    points = torch.zeros(n, len(world.LANDMARKS), 2)
    return Reading(faces.vector(), points, torch.zeros(n, 48), torch.full((n, 4), 0.25))


def moved_by(reading: Reading, amounts: dict[str, float], sd: torch.Tensor) -> Reading:
    """Every face's columns moved by so many sd."""
    attributes = reading.attributes.clone()
    for column, amount in amounts.items():
        k = world.VECTOR_NAMES.index(column)
        attributes[:, k] += amount * sd[k]
    return Reading(attributes, reading.landmarks, reading.features, reading.domain)


@pytest.fixture(scope="module")
def before() -> Reading:
    return reading_of(world.sample("photo", 200))


@pytest.fixture(scope="module")
def sd(before) -> torch.Tensor:
    return attribute_spread(before)


def test_the_unit_is_the_spread_but_never_nothing(before, sd):
    assert sd.shape == (len(world.VECTOR_NAMES),) and sd.min() >= LEAST_SD
    column = world.VECTOR_NAMES.index("smile")
    assert sd[column] == before.attributes[:, column].std()
    alike = before[torch.zeros(10, dtype=torch.long)]
    assert torch.equal(attribute_spread(alike), torch.full_like(sd, LEAST_SD))


def test_identical_readings_show_no_change(before, sd):
    changes = measure_changes(before, before, sd)
    assert list(changes) == list(COLUMNS)
    assert all(change.mean == change.each == 0 for change in changes.values())
    assert describe_changes(changes) == "little" and others_mean(changes, []) == 0


@pytest.mark.parametrize("name", WORDS)
@pytest.mark.parametrize("amount", (-1.5, 0.7))
def test_a_shift_of_k_sd_is_read_as_k_with_its_word(before, sd, name, amount):
    changes = measure_changes(before, moved_by(before, {name: amount}, sd), sd)
    assert changes[name].mean == pytest.approx(amount, abs=1e-4)
    assert changes[name].each == pytest.approx(abs(amount), abs=1e-4)
    assert changes[name].words == WORDS[name][amount > 0]
    assert all(c.mean == c.each == 0 for other, c in changes.items() if other != name)
    words = f"{WORDS[name][amount > 0]} {abs(amount):.1f} sd"
    assert describe_changes(changes) == ("little" if name in UNSEEN else words)


def test_words_agree_with_the_renderer():
    """Faces rendered with less or more of an attribute: the words must be those of its meaning."""
    faces = world.sample("photo", 50)
    sd = attribute_spread(reading_of(faces))
    for name, low, high, words in (
        ("yaw", -0.8, 0.8, ("turned left", "turned right")),
        ("pitch", -0.8, 0.8, ("head raised", "head lowered")),
        ("skin", 0.1, 0.9, ("darker skin", "paler skin")),
        ("brow_angle", -0.8, 0.8, ("worried brows", "stern brows")),
    ):
        less, more = (reading_of(faces.replace(**{name: value})) for value in (low, high))
        assert measure_changes(more, less, sd)[name].words == words[0]
        assert measure_changes(less, more, sd)[name].words == words[1]


def test_what_goes_up_and_down_cancels_in_the_mean_only(before, sd):
    column = world.VECTOR_NAMES.index("smile")
    attributes = before.attributes.clone()
    attributes[::2, column] += 2 * sd[column]
    attributes[1::2, column] -= 2 * sd[column]
    after = Reading(attributes, before.landmarks, before.features, before.domain)
    change = measure_changes(before, after, sd)["smile"]
    assert change.mean == pytest.approx(0, abs=1e-4) and change.each == pytest.approx(2, abs=1e-4)


def test_colours_and_choices_have_words_and_a_root_mean_square():
    faces = world.sample("photo", 60)
    start = reading_of(faces.replace(hair_colour=(0.5, 0.5, 0.5), hair_style="bob", beard="none"))
    sd = torch.ones(len(world.VECTOR_NAMES))
    for change, name, words in (
        ({"hair_colour": (0.9, 0.9, 0.9)}, "hair_colour", "lighter hair"),
        ({"hair_colour": (0.1, 0.1, 0.1)}, "hair_colour", "darker hair"),
        ({"hair_colour": (0.9, 0.4, 0.3)}, "hair_colour", "redder hair"),
        ({"hair_colour": (0.3, 0.4, 0.9)}, "hair_colour", "bluer hair"),
        ({"hair_style": "afro"}, "hair_style", "hair: afro"),
        ({"beard": "full beard"}, "beard", "beard: full beard"),
    ):
        after = reading_of(faces.replace(hair_colour=(0.5, 0.5, 0.5), hair_style="bob", beard="none").replace(**change))
        found = measure_changes(start, after, sd)[name]
        moved = (after.attributes - start.attributes)[:, COLUMNS[name]]
        assert found.words == words
        assert found.mean == pytest.approx(float(moved.mean(0).square().mean().sqrt()), abs=1e-5) and found.mean > 0


def test_the_greatest_changes_come_first_and_small_ones_not_at_all(before, sd):
    after = moved_by(before, {"smile": 0.3, "yaw": -1.9, "skin": 0.9, "gaze": -0.6, "roll": 0.1}, sd)
    changes = measure_changes(before, after, sd)
    assert describe_changes(changes) == "turned left 1.9 sd, paler skin 0.9 sd, looking left 0.6 sd"
    assert describe_changes(changes, most=1) == "turned left 1.9 sd"
    assert describe_changes(changes, most=9, least=0.05).endswith("smile 0.3 sd, tilted right 0.1 sd")


def test_others_leaves_out_what_is_meant():
    changes = {"smile": Change(-2.0, 2.5, ""), "yaw": Change(-0.4, 0.5, ""), "skin": Change(0.2, 0.7, "")}
    assert others_mean(changes, ["smile"]) == pytest.approx(0.3)
    assert others_mean(changes, ["smile"], each=True) == pytest.approx(0.6)
    assert others_mean(changes, ("smile", "yaw")) == pytest.approx(0.2)
    assert others_mean(changes, []) == pytest.approx(2.6 / 3)


def test_wrong_names_and_numbers_are_refused(before, sd):
    changes = measure_changes(before, before, sd)
    with pytest.raises(ValueError, match=r"unknown attributes \['grin', 'hat'\]: expected some of yaw, pitch"):
        others_mean(changes, ["smile", "hat", "grin"])
    with pytest.raises(ValueError, match="the same faces before and after, got 200 and 3"):
        measure_changes(before, before[:3], sd)
