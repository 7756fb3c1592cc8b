"""Measures between floor and ceiling: their arithmetic on hand-made numbers, their sense with the shipped judge."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stylegan2.pocket import measures, world
from stylegan2.pocket.measures import frechet_distance
from stylegan2.pocket.nets.judge import INPUT_SIZE, Judge, Reading

SHIPPED = Path(__file__).parents[1] / "checkpoints" / "pocket" / "judge.pt"
N = 120  # faces of a set: enough for an order, few enough for seconds
P = 60  # pairs


@pytest.fixture(scope="module")
def judge() -> Judge:
    if not SHIPPED.is_file():
        pytest.skip("no checkpoints/pocket/judge.pt: `make pocket`")
    return Judge.load(SHIPPED)


@pytest.fixture(scope="module")
def reference(judge) -> measures.Reference:
    return measures.rendered_reference(judge, "photo", N)


@pytest.fixture(scope="module")
def pairs(judge) -> tuple[Reading, Reading]:
    return measures.same_faces(judge, "photo", "webtoon", P)


def joined(a: Reading, b: Reading, share: float) -> Reading:
    """As many readings as `a` has, a share of them from `b`."""
    k = round(share * len(a))
    return Reading(*(torch.cat([x[k:], y[:k]]) for x, y in zip(vars(a).values(), vars(b).values(), strict=True)))


def points(mean: list[float], variance: list[float]) -> torch.Tensor:
    """Four points [4, 2] of just that mean and these variances, without a correlation."""
    corners = torch.tensor([[-1, -1], [-1, 1], [1, -1], [1, 1]]).double()
    return torch.tensor(mean) + corners * (0.75 * torch.tensor(variance).double()).sqrt()


# -------------------------------------------------------------------------------------------------- pocket distance
def test_frechet_distance_of_known_gaussians():
    a, b = points([0, 0], [1, 4]), points([3, 0], [4, 4])
    assert frechet_distance(a, b) == pytest.approx(9 + 1)  # |difference of means|^2 + (2 - 1)^2
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_is_symmetric_and_survives_singular_covariances():
    rng = torch.Generator().manual_seed(0)
    a, b = (torch.randn(n, 30, generator=rng).double() for n in (8, 100))  # 8 points in 30 dimensions
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-5)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-5)
    c_a, c_b = torch.cov(a.T), torch.cov(b.T)
    product = torch.linalg.eigvals(c_a @ c_b).real.clamp_min(0).sqrt().sum()
    direct = (a.mean(0) - b.mean(0)).square().sum() + c_a.trace() + c_b.trace() - 2 * product
    assert frechet_distance(a, b) == pytest.approx(float(direct), rel=1e-3)


def test_one_image_has_no_statistics():
    with pytest.raises(ValueError, match="at least 2 images, got 1 and 4"):
        frechet_distance(torch.zeros(1, 2), torch.zeros(4, 2))


def test_distance_to_itself_is_zero_and_grows_with_another_domain(judge, reference):
    assert measures.pocket_distance(reference.first, reference.first) < 1e-3
    mixed = [joined(reference.second, reference.other, share) for share in (0, 0.3, 0.6, 1)]
    distances = [measures.pocket_distance(m, reference.first) for m in mixed]
    assert distances == sorted(distances) and distances[-1] > 3 * distances[0], distances


def test_distance_sees_blur_noise_and_repetition(judge, reference):
    images = world.render(world.sample("photo", N, seed=measures.REFERENCE_SEED, start=N), "photo").float()
    floor = measures.measure_pocket_distance(reference.second, reference).value
    small = torch.nn.functional.interpolate(images, (21, 21), mode="area")
    blurred = torch.nn.functional.interpolate(small, images.shape[2:], mode="bilinear")
    strength = 25 * world.SIZE / INPUT_SIZE  # what is left of it where images are shrunk for the judge
    noisy = (images + strength * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 255)
    for worse in (blurred, noisy, images[: N // 10].repeat(10, 1, 1, 1)):
        assert measures.pocket_distance(judge.read(worse.to(torch.uint8)), reference.first) > 1.2 * floor, worse.shape


def test_measured_distance_prints_value_floor_ceiling(judge, reference):
    measure = measures.measure_pocket_distance(reference.second, reference)
    assert measure.value == measure.floor < measure.ceiling and measure.faces == N
    text = str(measure)
    assert "floor" in text and "photo against photo" in text and "webtoon against photo" in text and "FID" not in text
    with pytest.raises(ValueError, match=rf"n={N - 1}"):
        measures.measure_pocket_distance(joined_less(reference.second), reference)
    with pytest.raises(ValueError, match="photo, webtoon"):
        measures.rendered_reference(judge, "comic", 4)


def joined_less(reading: Reading) -> Reading:
    return Reading(*(value[1:] for value in vars(reading).values()))


# --------------------------------------------------------------------------------------------------------- structure
def test_a_network_against_itself_keeps_everything(judge):
    reading = judge.read(world.render(world.sample("photo", 6), "photo"))
    assert measures.landmark_error(reading, reading).abs().max() == 0
    assert measures.landmark_error(reading, reading).shape == (6,)
    agreement = measures.attribute_agreement(reading, reading)
    assert all(value == pytest.approx(1) for value in agreement.values()), agreement


def test_landmark_error_is_in_eye_distances(judge, reference):
    here = reference.first
    there = replace(here, landmarks=here.landmarks + torch.tensor([0.3, 0.4]) * here.interocular()[:, None, None])
    assert torch.allclose(measures.landmark_error(here, there), torch.full((N,), 0.5), atol=1e-5)


def test_landmark_error_lies_between_floor_and_ceiling(judge, pairs):
    kept = measures.measure_landmark_error(judge, *pairs, "photo", "webtoon")
    assert kept.value == kept.floor < 0.8 * kept.ceiling
    lost = measures.landmark_error(pairs[0], measures.shuffled(pairs[1])).mean()
    assert float(lost) == pytest.approx(kept.ceiling)
    assert "same attributes drawn as photo and webtoon" in str(kept) and "random pairs" in str(kept)


def test_agreement_lies_between_chance_and_best(judge, pairs):
    best, chance = (measures.attribute_agreement(pairs[0], t) for t in (pairs[1], measures.shuffled(pairs[1])))
    for name in ("yaw", "smile", "hair_colour", "skin", "glasses"):
        assert best[name] > chance[name] + 0.2, name
    other_people = Reading(*(value.roll(7, 0) for value in vars(pairs[1]).values()))
    spoilt = Reading(*(torch.cat([x[: P // 2], y[P // 2 :]]) for x, y in zip(
        vars(pairs[1]).values(), vars(other_people).values(), strict=True)))  # fmt: skip
    names = ["yaw", "skin", "hair_colour"]
    half = measures.measure_attribute_agreement(judge, pairs[0], spoilt, "photo", "webtoon", names)
    assert list(half.value) == names and half.best["yaw"] == pytest.approx(best["yaw"])
    assert 0.2 < half.mean() < 0.8 and "skin" in str(half) and "chance" in str(half)


def test_pairs_must_be_pairs(judge, pairs):
    with pytest.raises(ValueError, match=f"{P} and {P - 1}"):
        measures.landmark_error(pairs[0], joined_less(pairs[1]))
    with pytest.raises(ValueError, match="hair_colour"):
        measures.measure_attribute_agreement(judge, *pairs, "photo", "webtoon", names=["hair"])


# ----------------------------------------------------------------------------------------------------------- variety
def test_nearest_distances_never_find_the_face_itself():
    points = torch.tensor([[0.0, 0], [3, 4], [3, 5]])
    assert measures.nearest_distances(points).tolist() == [5, 1, 1]


def test_repeats_are_found(judge, reference):
    fair = measures.repeats(reference.second, reference)
    assert fair.share == fair.floor < 0.3 and 0.85 < fair.spacing < 1.15
    twice = joined(reference.second, Reading(*(v[N // 2 :] for v in vars(reference.second).values())), 0.5)
    found = measures.repeats(twice, reference)
    assert found.share == 1 and found.spacing == pytest.approx(0, abs=0.02)
    assert "repeats 100.0%" in str(found)


def test_coverage_names_what_is_missing(judge, reference):
    by_chance = measures.attribute_coverage(reference.second, reference).missing()
    assert len(by_chance) <= 1, by_chance  # a choice that 4 % have is rare among so few faces
    faces = world.sample("photo", 60, seed=3).replace(glasses="none", yaw=0.0, hair_style="crop")
    coverage = measures.attribute_coverage(judge.read(world.render(faces, "photo")), reference)
    missing = coverage.missing()
    assert {"glasses", "yaw", "hair_style: long"} <= set(missing) and "skin" not in missing
    assert coverage.rate["hair_style: crop"][0] > 0.8 and "hardly there" in str(coverage)


def test_report_is_plain_numbers(judge):
    import json

    reading = judge.read(world.render(world.sample("photo", 20, seed=3), "photo"))
    report = measures.report_model(judge, reading, "photo")
    assert json.loads(json.dumps(report)) == report
    assert report["faces"] == 20 and report["pocket_distance"]["floor"] > 0
