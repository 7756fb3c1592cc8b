"""Which tensor lies on which device (the rule in CONTRIBUTING.md), on a card that is not there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny_clip import save_clip, tiny_clip
from tiny_training import random_pictures, tiny_networks
from torch import Tensor

from stylegan2 import checkpoints, display, runtime
from stylegan2.config import TrainConfig
from stylegan2.editing import cartoonize, directions, ganspace, latents, layer_swapping, sefa, style_mixing
from stylegan2.editing.encoder import Encoder, load_encoder, save_encoder
from stylegan2.editing.perceptual import psnr
from stylegan2.editing.projection import ProjectConfig, Projection, project
from stylegan2.editing.styleclip import EditConfig, TextEdit, optimise
from stylegan2.metrics import full, image_sets, path_length
from stylegan2.pocket import measures, world
from stylegan2.pocket.nets.judge import Judge, Reading
from stylegan2.pocket.nets.perceptual import JudgeDistance, distance_for
from stylegan2.pocket.studies import changes, ownership, text_edits
from stylegan2.published.clip_model import ClipModel
from stylegan2.trainer import Trainer

SEEDS = range(4)


def places(value) -> set[str]:
    """Where the tensors in a value are: {"cpu"}, {"cuda"} or both."""
    if isinstance(value, Tensor):
        return {value.device.type}
    if isinstance(value, dict):
        return places(list(value.values()))
    if isinstance(value, list | tuple):
        return set().union(*map(places, value))
    return places(vars(value)) if hasattr(value, "__dict__") else set()


@pytest.fixture
def models(card):
    """Tiny networks on the card: source, target, encoder, judge and what compares images."""
    source, target = (tiny_networks(16, 6, seed)[0].eval().requires_grad_(False).to("cuda") for seed in (1, 2))
    encoder = Encoder(16, source.num_ws, source.w_dim, {4: 6, 8: 8, 16: 4}).eval().requires_grad_(False).to("cuda")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        judge = Judge().eval().requires_grad_(False).to("cuda")
    ws = latents.ws_from_seeds(source, SEEDS, 0.7)
    return SimpleNamespace(source=source, target=target, encoder=encoder, judge=judge, ws=ws)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """What can be loaded: a model, an encoder, a judge, a CLIP, a text edit, codes of a photo."""
    folder, g = tmp_path_factory.mktemp("files"), tiny_networks(16, 6, 1)[0]
    checkpoints.save(folder / "model.pt", g_ema=g)
    encoder = Encoder(16, g.num_ws, g.w_dim, {4: 6, 8: 8, 16: 4})
    save_encoder(folder / "encoder.pt", encoder)
    Judge().save(folder / "judge.pt")
    save_clip(tiny_clip(), folder / "clip.pt")
    ws = torch.zeros(1, g.num_ws, g.w_dim)
    TextEdit(EditConfig("red hair"), ws, ws).save(folder / "edit.pt")
    Projection(ProjectConfig(), ws).save(folder / "codes.pt")
    return folder


LOADERS = {
    "model": lambda f, **d: checkpoints.load(f / "model.pt", **d).g_ema.mapping.w_mean,
    "encoder": lambda f, **d: load_encoder(f / "encoder.pt", **d).encoder.head,
    "judge": lambda f, **d: Judge.load(f / "judge.pt", **d).grid,
    "looks": lambda f, **d: distance_for(16, f / "judge.pt", **d).judge.grid,
    "clip": lambda f, **d: ClipModel.load(f / "clip.pt", **d).encode_texts("red hair"),
    "edit": lambda f, **d: TextEdit.load(f / "edit.pt", **d),
    "codes": lambda f, **d: Projection.load(f / "codes.pt", **d),
}


@pytest.mark.parametrize("name", LOADERS)
def test_what_is_loaded_goes_to_the_card_unless_a_device_is_named(card, files, name):
    assert places(LOADERS[name](files)) == {"cuda"}
    assert places(LOADERS[name](files, device="cpu")) == {"cpu"}
    assert places(LOADERS[name](files, device=torch.device("cuda"))) == {"cuda"}


def test_without_a_card_everything_is_on_the_cpu(files):
    assert all(places(load(files)) == {"cpu"} for load in LOADERS.values())


def test_a_model_saved_and_loaded_draws_what_it_drew(models, tmp_path):
    checkpoints.save(tmp_path / "again.pt", g_ema=models.source)
    again = checkpoints.load(tmp_path / "again.pt").g_ema
    assert torch.equal(again.synthesis(models.ws, "const"), models.source.synthesis(models.ws, "const"))


MADE = {  # name -> what is made on the card; numbers beside codes are given on the CPU
    "mapping": lambda m: m.source.mapping(torch.randn(2, m.source.z_dim)),
    "truncate": lambda m: m.source.mapping.truncate(m.ws, 0.5),
    "draw": lambda m: latents.render(m.source, m.ws),
    "noise of a CPU generator": lambda m: m.source.synthesis(m.ws, torch.Generator().manual_seed(0)),
    "noise of seeds": lambda m: latents.noise_from_seeds(m.source, SEEDS),
    "blend by a number": lambda m: latents.blend(m.ws[0], m.ws[1], 0.3),
    "blend by many": lambda m: latents.blend(m.ws[0], m.ws[1], torch.linspace(0, 1, 5)),
    "loop": lambda m: latents.loop(m.ws, 3),
    "mix": lambda m: style_mixing.mix(m.ws[0], m.ws[1], "coarse"),
    "mix_images": lambda m: style_mixing.mix_grid(m.target, m.ws, m.ws, "coarse", ends=(m.source,)),
    "swap": lambda m: layer_swapping.swap(m.source, m.target, 8, 0.5).synthesis(m.ws, "const"),
    "swap_images": lambda m: layer_swapping.swap_images(m.source, m.target, m.ws, 8),
    "swap strip": lambda m: layer_swapping.strip(m.source, m.target, m.ws),
    "swap compare": lambda m: layer_swapping.compare(m.source, m.target, m.ws, 8),
    "move": lambda m: directions.move(m.ws, sefa.factorize(m.source), {0: 2.0, 1: torch.ones(4)}),
    "strip": lambda m: directions.strip({"": m.source}, m.ws[:1], sefa.factorize(m.source), 0, [-1, 0, 1]),
    "encoder": lambda m: m.encoder(latents.render(m.source, m.ws)),
    "looks": lambda m: (lambda d, x: d(x, d.of(x)))(JudgeDistance(m.judge), latents.render(m.source, m.ws)),
    "psnr": lambda m: psnr(latents.render(m.source, m.ws), latents.render(m.target, m.ws)),
    "cartoonize": lambda m: cartoonize.cartoonize(m.source, {"toon": m.target}, m.ws, 8, strength=0.5),
    "generated images": lambda m: image_sets.GeneratedImages(m.source, 2)[0],
    "project": lambda m: project(m.source, latents.render(m.source, m.ws), JudgeDistance(m.judge), ProjectConfig(2)),
    "text edit": lambda m: optimise(m.source, tiny_clip().to("cuda"), m.ws, EditConfig("red hair", steps=2)),
    "text edit of others": lambda m: TextEdit(EditConfig("red hair", together=True), m.ws[:1], m.ws[1:2]).onto(m.ws),
}


@pytest.mark.parametrize("name", MADE)
def test_what_a_network_makes_stays_on_its_device(models, name):
    assert places(MADE[name](models)) == {"cuda"}


def _reading(m, g=None) -> Reading:
    return m.judge.read(latents.render(g or m.source, m.ws))


MEASURED = {  # name -> what is measured of networks and images on the card
    "read": _reading,
    "read rendered images": lambda m: m.judge.read(world.render(world.sample("photo", 2, seed=0), "photo")),
    "landmark_error": lambda m: measures.landmark_error(_reading(m), _reading(m, m.target)),
    "same_faces": lambda m: measures.same_faces(m.judge, "photo", "webtoon", 4),
    "nearest_distances": lambda m: measures.nearest_distances(_reading(m).features),
    "attribute_spread": lambda m: changes.attribute_spread(_reading(m)),
    "counts": lambda m: text_edits.PROMPTS[0].holds(_reading(m)),
    "style_weights": lambda m: sefa.style_weights(m.source),
    "SeFa": lambda m: sefa.factorize(m.source, "coarse"),
    "GANSpace": lambda m: ganspace.principal_directions(m.source, samples=100),
    "features": lambda m: full.extract_features(
        image_sets.GeneratedImages(m.source, 4), {"": lambda x: x.float().mean((2, 3))}, what=None
    ),
    "path lengths": lambda m: path_length.path_lengths(m.source, 3, lambda a, b: (a - b).square().sum((1, 2, 3))),
    "is_outside": lambda m: cartoonize.is_outside(
        m.source, latents.render(m.source, m.ws), JudgeDistance(m.judge), m.encoder
    ),
    "seeds": lambda m: latents.z_from_seeds(8, SEEDS),
}


@pytest.mark.parametrize("name", MEASURED)
def test_what_is_measured_answers_on_the_cpu(models, name):
    assert places(MEASURED[name](models)) == {"cpu"}


def test_studies_run_on_the_card(models):
    found = changes.measure_directions(models.judge, models.source, sefa.factorize(models.source, count=1), seeds=SEEDS)
    assert len(found) == 1
    assert len(ownership.measure_ownership(models.source, models.judge, pairs=2).sets) == models.source.num_ws
    pair = [_reading(models), _reading(models, models.target)]
    assert "faces" in str(measures.measure_landmark_error(models.judge, *pair, "photo", "webtoon"))
    reference = measures.rendered_reference(models.judge, "photo", len(pair[0]))
    assert measures.measure_pocket_distance(pair[0], reference).value > 0


def test_what_is_shown_may_lie_anywhere(models):
    images = latents.render(models.source, models.ws)
    assert display.rows({"card": images, "memory": images.cpu()}).width > 0
    assert display.to_pil(images[0], side=64).size == (64, 64)


def test_a_seed_is_the_same_face_on_the_card(models):
    here = tiny_networks(16, 6, 1)[0].eval()
    z, noise = latents.z_from_seeds(here.z_dim, SEEDS), torch.Generator().manual_seed(3)
    with torch.no_grad():
        expected = here(z, noise=noise)
    assert torch.allclose(models.source(z, noise=noise.manual_seed(3)).cpu(), expected, atol=1e-5)


@pytest.mark.parametrize("card", ["7.5", "8.0"], indirect=True)
def test_a_card_computes_in_what_it_is_fast_in(card):
    """Turing has bfloat16 only by emulation, which PyTorch calls supported."""
    assert torch.cuda.is_bf16_supported()
    expected = {"7.5": torch.float16, "8.0": torch.bfloat16}[card]
    assert runtime.pick_dtype("auto", runtime.pick_device()) == expected


@pytest.mark.parametrize("card", ["7.5", "8.0"], indirect=True)
def test_training_runs_on_the_card_in_parts(card, tmp_path):
    """Loader, augmentation, regularisers, gradient accumulation; `test_cuda_commands` resumes."""
    settings = {"batch": 4, "snapshot_images": 8, "sample_images": 8, "augment": "fixed", "augment_p": 0.5}
    config = TrainConfig(out=tmp_path, images=8, accumulate=2, **settings)
    trainer = Trainer(config, random_pictures(), *tiny_networks(), device=runtime.pick_device())
    assert trainer.precision == {"7.5": "float16", "8.0": "bfloat16"}[card]
    assert places(list(trainer.run(progress=False).parameters())) == {"cuda"} and trainer.images_seen == 8
