"""Structure kept, colours kept, who is it: on people rendered in both worlds, where the answer is known."""

import json
from pathlib import Path

import pytest
import torch

from stylegan2.pocket import likeness, world
from stylegan2.pocket.likeness import LikenessRuler, correlations, fit_map, ranks, resamples
from stylegan2.pocket.measures import shuffled
from stylegan2.pocket.nets.judge import Judge, Reading

SHIPPED = Path(__file__).parents[1] / "checkpoints" / "pocket" / "judge.pt"
PEOPLE, N = 250, 150  # for the map; that are measured


@pytest.fixture(scope="module")
def judge() -> Judge:
    if not SHIPPED.is_file():
        pytest.skip("no checkpoints/pocket/judge.pt: `make pocket`")
    return Judge.load(SHIPPED, "cpu")


@pytest.fixture(scope="module")
def ruler(judge) -> LikenessRuler:
    return LikenessRuler.make(judge, "photo", "webtoon", PEOPLE)


@pytest.fixture(scope="module")
def faces() -> world.Faces:
    return world.sample("photo", N, seed=5)


@pytest.fixture(scope="module")
def photos(judge, faces) -> Reading:
    return judge.read(world.render(faces, "photo"))


@pytest.fixture(scope="module")
def cartoons(judge, faces) -> Reading:
    return judge.read(world.render(faces, "webtoon"))


def read(judge, faces, **changed) -> Reading:
    """The same faces as webtoons, with attributes changed; by name: those of others."""
    others = {name: getattr(faces, name).roll(N // 2, 0) for name in changed.get("of_others", ())}
    return judge.read(world.render(faces.replace(**others), "webtoon"))


def values(found: likeness.Likeness) -> tuple[float, ...]:
    return tuple(getattr(found, name).value for name in likeness.MEASURES)


# ------------------------------------------------------------------------------------------------------- known answers
def test_the_same_people_in_both_worlds_keep_all(ruler, photos, cartoons):
    found = ruler.measure(photos, cartoons)
    assert values(found) == pytest.approx((1, 1, 1, 1), abs=0.05)
    assert all(kept == pytest.approx(1, abs=0.1) for kept in found.kept_by_group.values()), found.kept_by_group
    assert found.who_top1.ceiling > 0.95 and found.who_top1.floor == 1 / 100


def test_strangers_keep_nothing(ruler, photos, cartoons):
    found = ruler.measure(photos, shuffled(cartoons))
    assert values(found) == pytest.approx((0, 0, 0.01, 0.05), abs=0.1)
    assert abs(found.structure_kept.value) < found.structure_kept.high - found.structure_kept.low
    assert found.structure_kept.floor == pytest.approx(1, abs=0.05)  # shuffled once more, they are right again


def test_other_hair_colours_are_no_other_structure(judge, ruler, photos, faces):
    found = ruler.measure(photos, read(judge, faces, of_others=["hair_colour"]))
    assert found.structure_kept.value == pytest.approx(1, abs=0.06)
    assert found.kept_by_group["hair colour"] == pytest.approx(0, abs=0.2) and found.colours_kept.high < 0.9
    assert found.kept_by_group["clothes"] > 0.95


def test_another_pose_is_another_structure_in_the_same_colours(judge, ruler, photos, faces):
    found = ruler.measure(photos, read(judge, faces, of_others=["yaw", "pitch", "roll"]))
    assert found.kept_by_group["pose"] == pytest.approx(0, abs=0.2) and found.structure_kept.high < 0.85
    assert found.colours_kept.value == pytest.approx(1, abs=0.06) and found.kept_by_group["head"] > 0.75


def test_background_and_clothes_do_not_say_who_it_is(judge, ruler, photos, faces):
    found = ruler.measure(photos, read(judge, faces, of_others=["background", "background2", "clothes_colour"]))
    assert found.who_top1.value > 0.95 and found.colours_kept.value < 0.75


def test_half_strangers_keep_half(ruler, photos, cartoons):
    half = Reading.concatenate([cartoons[: N // 2], shuffled(cartoons)[N // 2 :]])
    found = ruler.measure(photos, half)
    assert 0.3 < found.structure_kept.value < 0.7 and 0.4 < found.who_top1.value < 0.6
    low, high = (getattr(found.who_top1, end) for end in ("low", "high"))
    assert low < found.who_top1.value < high and high - low == pytest.approx(4 * (0.25 / N) ** 0.5, rel=0.2)


def test_numbers_repeat_and_are_plain(ruler, photos, cartoons):
    found = ruler.measure(photos, cartoons)
    assert found == ruler.measure(photos, cartoons)
    assert json.loads(json.dumps(found.numbers())) == found.numbers()
    assert set(found.numbers()) == {*likeness.MEASURES, "kept_by_group"}
    for part in ("structure kept", "95 % of", "strangers", "pose", "who is it, top 5 of 100"):
        assert part in str(found), part


def test_pairs_must_be_pairs(ruler, photos, cartoons):
    with pytest.raises(ValueError, match=f"must be pairs: got {N} and {N - 1}"):
        ruler.measure(photos, cartoons[1:])
    with pytest.raises(ValueError, match="at least 5 people, got 4 and 4"):
        fit_map(photos[:4], cartoons[:4])
    with pytest.raises(ValueError, match="must be pairs"):
        ruler.measure(photos[:1], cartoons[:1])


def test_groups_are_attributes_of_the_world_and_share_none():
    names = [name for group in (likeness.STRUCTURE | likeness.COLOURS).values() for name in group]
    assert len(set(names)) == len(names) and set(names) <= set(likeness.COLUMNS)


# ---------------------------------------------------------------------------------------------------------- arithmetic
def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_correlations_are_pearsons_also_of_faces_taken_twice():
    a, b = noise(30, 2), noise(30, 2, seed=1)
    counts = resamples(30, times=2)
    assert counts.sum(1).tolist() == [30, 30, 30] and counts[0].tolist() == [1] * 30
    found = correlations(a, b, counts)
    for row, count in zip(found, counts, strict=True):
        taken = torch.arange(30).repeat_interleave(count.long())
        expected = [torch.corrcoef(torch.stack([a[taken, c], b[taken, c]]).double())[0, 1] for c in (0, 1)]
        torch.testing.assert_close(row, torch.stack(expected), atol=1e-6, rtol=0)
    assert correlations(a * 0 + 3, b, counts).abs().max() == 0


def test_the_map_undoes_what_a_world_does_to_a_reading():
    """Cartoons read as an affine change of photos, and noise: the more noise, the stronger the ridge."""
    photo = Reading(noise(400, 6), noise(400, 2, 2, seed=1), noise(400, 3, seed=2), noise(400, 4, seed=3))
    mixed = photo.attributes @ (torch.eye(6) + 0.2 * noise(6, 6, seed=4)) + 3
    clear, dim = (
        Reading(mixed + much * noise(400, 6, seed=5), photo.landmarks, photo.features, photo.domain)
        for much in (0.01, 3.0)
    )
    maps = [fit_map(photo, cartoon) for cartoon in (clear, dim)]
    assert (maps[0](clear) - photo.attributes).abs().mean() < 0.05
    assert maps[0].strength < maps[1].strength
    assert maps[0].missed.trace() < 0.01 * maps[1].missed.trace() and maps[0].missed.shape == (6, 6)


def test_ranks_count_nearer_photos_in_units_of_what_the_map_misses():
    photos = torch.tensor([[0.0, 0], [4, 0], [0, 4], [4, 4]])
    assert ranks(photos + 7, photos, torch.eye(2)).tolist() == [0, 0, 0, 0]  # what all have in common is no matter
    swapped = photos.flip(0)
    assert ranks(swapped, photos, torch.eye(2)).tolist() == [3, 3, 3, 3]
    crossed = torch.tensor([[0.0, 3], [4, 3], [0, 1], [4, 1]])  # wrong by 3 in y, exact in x
    assert ranks(crossed, photos, torch.eye(2)).tolist() == [1, 1, 1, 1]
    assert ranks(torch.tensor([[0.0, 1.9], [4, 1.9], [0, 2.1], [4, 2.1]]), photos, torch.eye(2)).tolist() == [0] * 4
    photos, cartoons = torch.tensor([[0.0, 0], [1, 4]]), torch.tensor([[0.0, 4], [1, 0]])  # right in x, wrong in y
    assert ranks(cartoons, photos, torch.eye(2)).tolist() == [1, 1]
    assert ranks(cartoons, photos, torch.tensor([0.01, 100]).diag()).tolist() == [0, 0]  # y is hardly ever right
