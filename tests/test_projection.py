"""Projection and pivotal tuning on tiny networks."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tiny_encoder import Pixels
from tiny_training import tiny_networks

from stylegan2 import files
from stylegan2.checkpoints import CheckpointError
from stylegan2.editing.latents import ws_from_seeds
from stylegan2.editing.optimise import learning_rate
from stylegan2.editing.perceptual import psnr
from stylegan2.editing.projection import (
    FORMAT,
    ProjectConfig,
    Projection,
    Search,
    project,
    spread,
    stirring,
    tune,
)
from stylegan2.pocket import world
from stylegan2.pocket.nets.judge import Judge
from stylegan2.pocket.nets.perceptual import JudgeDistance

CONFIG = ProjectConfig(steps=12, perceptual=0.5)


@pytest.fixture(scope="module")
def g():
    return tiny_networks(16, 6, 1)[0].eval().requires_grad_(False)


@pytest.fixture(scope="module")
def images(g):
    return g.synthesis(ws_from_seeds(g, [5, 6, 7]), "const")


@pytest.fixture(scope="module")
def found(g, images) -> Projection:
    return project(g, images, Pixels(), replace(CONFIG, steps=80))


# ----------------------------------------------------------------------------------------------------------- projection
def test_the_codes_found_draw_the_images(g, images, found):
    before = psnr(g.synthesis(g.mapping.mean_ws.expand(3, -1, -1), "const"), images)
    after = psnr(g.synthesis(found.ws, "const"), images)
    assert (after > before + 5).all(), (before, after)
    assert found.ws.shape == (3, g.num_ws, g.w_dim) and found.stopped == "done" and len(found.history) == 80
    assert found.history[-1]["loss"] < 0.5 * found.history[0]["loss"]


def test_from_the_right_codes_nothing_is_left_to_find(g, images):
    start = ws_from_seeds(g, [5, 6, 7])
    row = Search(g, images, Pixels(), replace(CONFIG, stir=0.0), start).step()
    assert row["loss"] < 1e-4 and row["psnr"] > 40


def test_in_w_all_layers_have_one_code_and_in_w_plus_each_its_own(g, images, found):
    one = project(g, images, Pixels(), replace(CONFIG, space="w", steps=20)).ws
    torch.testing.assert_close(one, one[:, :1].expand_as(one), rtol=0, atol=0)
    assert (found.ws - found.ws[:, :1]).abs().max() > 0.1


def test_a_batch_gives_what_its_images_give_one_by_one(g, images):
    together = project(g, images, Pixels(), CONFIG)
    alone = torch.cat([project(g, image[None], Pixels(), CONFIG).ws for image in images])
    torch.testing.assert_close(together.ws, alone, rtol=0, atol=5e-3)


def test_near_holds_the_codes_at_the_start(g, images):
    start = ws_from_seeds(g, [1, 2, 3])
    free, held = (project(g, images, Pixels(), replace(CONFIG, l2=l2), start).ws for l2 in (0.0, 100.0))
    assert (held - start).norm() < 0.5 * (free - start).norm()


def found_psnr(g, found: Projection, images) -> float:
    return float(psnr(g.synthesis(found.ws, "const"), images).median())


def test_schedules():
    config = ProjectConfig(steps=100)
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[:5] == sorted(rates[:5]) and rates[5:74] == pytest.approx([0.1] * 69) and 0 < rates[-1] < 0.001
    stir = [stirring(config, step) for step in range(100)]
    assert stir[0] == 0.05 and stir == sorted(stir, reverse=True) and stir[75:] == [0.0] * 25 and stir[74] > 0
    assert len({learning_rate(ProjectConfig(steps=1), 0)}) == 1  # a single step is possible


def test_the_spread_is_that_of_w(g):
    z = torch.randn(4000, g.z_dim, generator=torch.Generator().manual_seed(3))
    w = g.mapping.w(z)
    assert spread(g) == pytest.approx(float((w - w.mean(0)).norm(dim=1).square().mean().sqrt()), rel=0.05)


def test_an_interruption_keeps_what_there_is(g, images):
    def stop(run: Search) -> None:
        if len(run.history) == 3:
            raise KeyboardInterrupt

    found = project(g, images, Pixels(), CONFIG, on_step=stop)
    assert found.stopped == "interrupted" and len(found.history) == 3 and (found.ws != g.mapping.mean_ws).any()


def test_weights_and_given_codes_stay(g, images):
    before = {name: value.clone() for name, value in g.state_dict().items()}
    start = ws_from_seeds(g, [1, 2, 3])
    kept = start.clone()
    project(g, images, Pixels(), replace(CONFIG, steps=2), start)
    assert torch.equal(start, kept) and all(torch.equal(v, before[k]) for k, v in g.state_dict().items())


def test_impossible_wishes_are_refused(g, images):
    for wrong in ({"steps": 0}, {"lr": 0.0}, {"pixels": -1.0}, {"space": "z"}, {"pixels": 0.0, "perceptual": 0.0}):
        with pytest.raises(ValueError, match="expected|nothing"):
            ProjectConfig(**wrong)
    for x, start in ((images[..., :8], None), (images.byte(), None), (images, torch.zeros(1, g.num_ws, g.w_dim))):
        with pytest.raises(ValueError, match="must be"):
            project(g, x, Pixels(), CONFIG, start)


# ---------------------------------------------------------------------------------------------------------------- files
def test_a_saved_projection_comes_back_whole(found, tmp_path):
    kept = replace(found, made_from={"psi": 0.7})
    kept.save(tmp_path / "a.pt")
    again = Projection.load(tmp_path / "a.pt")
    assert torch.equal(again.ws, kept.ws) and again.config == kept.config
    assert again.made_from == kept.made_from and again.history == kept.history


def test_other_files_are_refused(tmp_path):
    for content, message in (
        ({"format": "other"}, "holds no projection"),
        ({"format": FORMAT, "ws": torch.zeros(1)}, "is damaged"),
    ):
        files.write(tmp_path / "x.pt", content)
        with pytest.raises(CheckpointError, match=message):
            Projection.load(tmp_path / "x.pt")


# --------------------------------------------------------------------------------------------------------------- tuning
def test_tuning_draws_the_images_and_leaves_the_generator(g, images):
    rough = project(g, images, Pixels(), replace(CONFIG, steps=5))
    before = {name: value.clone() for name, value in g.state_dict().items()}
    tuned = tune(g, rough, images, Pixels(), steps=60, lr=3e-3)
    assert found_psnr(tuned, rough, images) > found_psnr(g, rough, images) + 2
    assert all(torch.equal(value, before[name]) for name, value in g.state_dict().items())
    assert all(torch.equal(v, before[f"mapping.{k}"]) for k, v in tuned.mapping.state_dict().items())
    assert not any(p.requires_grad for p in tuned.parameters())
    with pytest.raises(ValueError, match="steps is 0"):
        tune(g, rough, images, Pixels(), steps=0)


# ---------------------------------------------------------------------------------------------------- how images differ
def test_a_face_is_nearest_to_itself_by_the_judges_layers():
    looks = JudgeDistance(Judge())
    faces = world.render(world.sample("photo", 3, seed=1), "photo").float() / 127.5 - 1
    target = looks.of(faces)
    assert looks(faces, target).abs().max() < 1e-5
    assert (looks(faces.roll(1, 0), target) > 0.05).all()
    blurred = torch.nn.functional.avg_pool2d(faces, 3, 1, 1)
    assert (looks(blurred, target) < looks(faces.roll(1, 0), target)).all()
    x = faces.clone().requires_grad_()
    looks(x + 0.1, target).sum().backward()
    assert x.grad.abs().max() > 0


def test_psnr_is_what_it_is_called():
    a = torch.zeros(2, 3, 4, 4)
    b = torch.stack([torch.full((3, 4, 4), 0.2), torch.full((3, 4, 4), 0.02)])
    torch.testing.assert_close(psnr(a, b), torch.tensor([20.0, 40.0]), rtol=0, atol=1e-3)
    assert psnr(torch.full((1, 3, 4, 4), 5.0), torch.ones(1, 3, 4, 4)) > 100  # as when shown
