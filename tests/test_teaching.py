"""The source's lessons: a face for every z, a synthesis and a mapping network taught by the renderer, a grown D."""

import json
from dataclasses import replace

import pytest
import torch

from stylegan2 import networks
from stylegan2.layers import widths
from stylegan2.pocket import world
from stylegan2.pocket.nets import fit
from stylegan2.pocket.nets.growing import GrowConfig, Growing, grown, load_grown
from stylegan2.pocket.nets.teaching import (
    COARSE,
    FINE,
    FaceCodes,
    Lessons,
    MappingConfig,
    MappingTraining,
    Taught,
    Teaching,
    TeachingConfig,
    assemble,
    compose,
    describe,
    held_out_error,
    importance,
)

CPU = torch.device("cpu")
TINY = TeachingConfig(images=32, batch=8, faces=24, held_out=8, resolution=16)


def normal(count: int, seed: int = 0, size: int = 128) -> torch.Tensor:
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


def test_faces_of_random_z_have_the_variety_of_the_domain():
    for domain in world.DOMAINS:
        ours, sampled = (faces.vector() for faces in (world.from_z(normal(6_000), domain), world.sample(domain, 6_000)))
        spread = sampled.std(0)
        assert ((ours.mean(0) - sampled.mean(0)).abs() < 0.07 * spread.clamp_min(0.3)).all()
        assert ((ours.std(0) - spread).abs() < 0.07 * spread.clamp_min(0.3)).all()


def test_only_the_direction_of_z_matters_and_neighbours_do_not():
    z = normal(4)
    faces, longer, alone = world.from_z(z), world.from_z(3 * z), world.from_z(z[2:3])
    for name, values in faces.values.items():
        assert torch.allclose(values.float(), longer.values[name].float(), atol=1e-4), name
        assert torch.equal(values[2:3], alone.values[name]), name


def test_a_face_needs_enough_components():
    with pytest.raises(ValueError, match="more than 16 components"):
        world.from_z(normal(2, size=16))


def test_attributes_of_z_are_independent():
    """But for those that the world ties to each other: the triangular ones of different names."""
    values = world.from_z(normal(6_000))
    names = ("yaw", "pitch", "roll", "face_width", "jaw", "eye_size", "nose_size", "smile", "light")
    correlations = torch.corrcoef(torch.stack([values.values[name] for name in names]))
    assert (correlations - torch.eye(len(names))).abs().max() < 0.06


def test_what_is_described_tells_faces_apart_in_every_attribute():
    faces = world.from_z(normal(1)).replace(glasses="round")
    others = [faces.replace(glasses="oval"), faces.replace(glasses_colour=(0.9, 0.1, 0.1)), faces.replace(texture=0.9)]
    others += [faces.replace(yaw=0.9), faces.replace(parting=-0.9), faces.replace(hair_colour=(0.1, 0.9, 0.1))]
    assert all((describe(faces) - describe(other)).abs().max() > 0.05 for other in others)


def test_edges_and_features_weigh_more_and_one_on_average():
    images = torch.full((2, 3, 32, 32), -1.0)
    images[:, :, :, 16:] = 1.0
    weights = importance(images, torch.tensor([[[0.25, 0.75]], [[0.75, 0.25]]]))  # x, y
    assert weights.mean(dim=(1, 2, 3)).tolist() == pytest.approx([1, 1])
    assert weights[0, 0, 16, 15] > 2 * weights[0, 0, 16, 4] and weights[0, 0, 23, 7] > 2 * weights[0, 0, 7, 7]
    assert weights[1, 0, 7, 23] > 2 * weights[1, 0, 23, 23]


def test_composed_faces_have_each_range_from_another_person():
    a, b, c = (world.from_z(normal(3, seed)) for seed in range(3))
    faces = compose(a, b, c)
    for name, of in {"yaw": a, "hair_style": a, "smile": b, "glasses": b, "hair_colour": c, "skin": c}.items():
        assert torch.equal(faces.values[name], of.values[name]), name
    assert not set(COARSE) & set(FINE) and {*COARSE, *FINE} < set(faces.values)


def test_half_of_the_lessons_are_composed():
    lessons = Lessons.render(8, 0, 16)
    alike = [bool((people == people[:1]).all()) for people in lessons.described]
    assert alike == [True] * 4 + [False] * 4
    faces = world.from_z(normal(8))
    assert torch.equal(lessons.images[:4], world.render(faces[:4], "photo", 16))


def test_codes_of_a_range_come_from_whom_they_are_described(taught):
    model = taught[0].eval()
    people = describe(world.from_z(normal(3)))
    drawn = model(people[None], "const")
    w = model.codes.w(people)
    ws = torch.cat([w[0].expand(4, -1), w[1].expand(2, -1)])[None, : model.synthesis.num_ws]
    assert model.synthesis.num_ws == 6 and torch.equal(drawn, model.synthesis(ws, "const"))


def test_codes_of_a_face_are_kept_by_themselves(taught, tmp_path):
    taught[0].codes.save(tmp_path / "codes.pt", {})
    codes, people = FaceCodes.open(tmp_path / "codes.pt"), describe(world.from_z(normal(3)))
    assert torch.allclose(codes.w(people), taught[0].codes.w(people), atol=0.05)


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    folder = tmp_path_factory.mktemp("taught")
    return Teaching(TINY, CPU).train(folder / "taught.pt", folder), folder


def test_a_killed_teaching_goes_on_to_the_same_bits(taught, tmp_path, monkeypatch):
    class Killed(Exception):
        pass

    step = fit.Fit.train_step

    def killed(self, *batch):
        if self.step == 3:
            raise Killed
        return step(self, *batch)

    monkeypatch.setattr(fit.Fit, "train_step", killed)
    with pytest.raises(Killed):
        Teaching(TINY, CPU).train(tmp_path / "taught.pt", tmp_path)
    monkeypatch.setattr(fit.Fit, "train_step", step)
    again = Teaching(TINY, CPU).train(tmp_path / "taught.pt", tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(taught[0].parameters(), again.parameters(), strict=True))
    curves = [json.loads((folder / "taught.json").read_text())["curve"] for folder in (taught[1], tmp_path)]
    assert curves[0] == curves[1] and [point["images"] for point in curves[0]] == [8, 16, 24, 32]
    assert len(list((tmp_path / "lessons").glob("*.png"))) == 4


def test_noise_of_the_lessons_is_no_matter_of_the_global_random_state():
    run = Teaching(TINY, CPU)
    batch, before = run.batch(), torch.get_rng_state()
    first = run.losses(*batch)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(7)
    assert all(torch.equal(value, first[name]) for name, value in run.losses(*batch).items())


def test_a_taught_network_is_nearer_to_faces_than_their_mean_picture(tmp_path):
    config = replace(TINY, images=4_800, faces=64, lr=0.012, head_lr=0.003)
    model = Teaching(config, CPU).train(tmp_path / "taught.pt", tmp_path)
    held_out = Lessons.render(32, 5, TINY.resolution)
    images = held_out.images.float() / 127.5 - 1
    assert held_out_error(model, held_out) < (images - images.mean(0)).abs().mean()


def test_a_mapping_learns_which_w_a_face_has_and_both_make_a_generator(taught):
    model, folder = taught[0], taught[1]
    loaded = Taught.load(folder / "taught.pt")
    config = MappingConfig(images=200_000, batch=1_000, held_out=500)
    MappingTraining(config, loaded, CPU).train(folder / "mapping.pt", folder)
    g = assemble(loaded, folder / "mapping.pt")
    z = normal(64, seed=5)
    w = loaded.codes.w(describe(world.from_z(z)))
    assert (g.mapping.w(z) - w).square().mean() < 0.8 * w.var(0).mean()
    assert torch.equal(g.synthesis.convs[0].weight, loaded.synthesis.convs[0].weight)
    assert g.mapping.w_mean.abs().sum() > 0 and g.num_ws == model.synthesis.num_ws


def test_a_discriminator_grows_and_keeps_what_it_knows(tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "widths", lambda resolution, *_: widths(resolution, 256, 16))
    half = networks.build(16, "pocket", 3)[1]
    d = grown(half)
    assert d.resolution == 32 and torch.equal(d.blocks["16"].conv0.weight, half.blocks["16"].conv0.weight)
    photos = _Photos(world.render(world.sample("photo", 32), "photo", 32))
    config = GrowConfig(images=1_600, batch=16, lr=0.02)
    d = Growing(config, half, photos, CPU).train(tmp_path / "grown.pt", tmp_path)
    assert torch.equal(d.blocks["16"].conv0.weight, half.blocks["16"].conv0.weight)
    again = load_grown(tmp_path / "grown.pt")
    assert all(torch.equal(a, b) for a, b in zip(d.parameters(), again.parameters(), strict=True))
    images = photos.images.float() / 127.5 - 1
    alike = torch.corrcoef(
        torch.stack([d(images)[:, 0], half(torch.nn.functional.avg_pool2d(images, 2))[:, 0]]).detach()
    )
    assert alike[0, 1] > 0.6


class _Photos:
    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, pair):
        return self.images[pair[0]]
