"""Full scale: which published model answers to which name, what is done without a network, and what never changes."""

from __future__ import annotations

import os
import socket
from types import SimpleNamespace

import pytest
import torch
from tiny_training import tiny_networks

from stylegan2 import checkpoints, course, course_scales
from stylegan2.checkpoints import files, rosinality
from stylegan2.course import Course, CourseError, choose_models
from stylegan2.course_scales import FullModels, PocketModels
from stylegan2.networks import Encoder
from stylegan2.training.config import TrainConfig
from stylegan2.zoo import MIRROR, MODELS, Zoo

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A mirror with models in the published layouts, tiny ones, of which no two are the same."""
    folder = tmp_path_factory.mktemp("mirror")
    for seed, name in enumerate(MODELS):
        g, d = tiny_networks(16, 6, seed)
        if name.startswith("encoder"):
            encoder = Encoder(16, g.num_ws, g.w_dim, {4: 8, 8: 8, 16: 8})
            files.write(folder / f"{name}.pt", {"e": rosinality.from_encoder(encoder), "d": {}, "e_optim": {}})
        else:
            checkpoints.export(folder / f"{name}.pt", checkpoints.Checkpoint(g, d=d))
    return folder


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty course, and nothing that reaches the internet."""
    for name in ("notebooks", "checkpoints/pocket"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.setenv(MIRROR, str(tmp_path / "no mirror"))
    monkeypatch.delenv("COURSE_SCALE", raising=False)
    return tmp_path


@pytest.fixture
def full(root, published, monkeypatch) -> Course:
    monkeypatch.setenv(MIRROR, str(published))
    monkeypatch.setenv("COURSE_SCALE", "full")
    return course.setup()


def same(g, path) -> bool:
    return checkpoints.fingerprint(g) == checkpoints.fingerprint(checkpoints.load(path, g_ema_only=True).g_ema)


def test_every_name_of_a_notebook_is_the_published_model(full, published, capsys):
    assert full.scale == "full" and full.resolution == 256
    assert same(full.source().g_ema, published / "ffhq256.pt") and full.source().d is not None
    assert same(full.target("freeze-sg", "disney").g_ema, published / "Disney_FreezeSG.pt")
    assert list(full.worlds()) == ["webtoon", "disney", "metfaces"]
    baselines = full.worlds("baseline")
    assert list(baselines) == ["webtoon", "disney"] and same(baselines["webtoon"], published / "NaverWebtoon.pt")
    methods = full.methods(["baseline", "freeze-g", "structure-loss"])  # nobody published a FreezeG
    assert list(methods) == ["baseline", "structure-loss"]
    assert same(methods["structure-loss"], published / "NaverWebtoon_StructureLoss.pt")
    g, encoder = full.source().g_ema, full.encoder
    assert encoder(torch.zeros(1, 3, 16, 16)).shape == (1, g.num_ws, g.w_dim)
    assert encoder.psi == 0.7 and torch.equal(encoder.mean_ws, g.mapping.mean_ws)  # what it was trained with
    assert full.record("photo")["model"] == "checkpoints/full/ffhq256.pt"


def test_a_method_that_nobody_published_says_what_there_is(full):
    with pytest.raises(CourseError, match="no published model 'webtoon_freeze-g'; there are: .*webtoon_freeze-sg"):
        full.target("freeze-g")
    with pytest.raises(CourseError, match="no models webtoon_freeze-g: none were made"):
        full.methods(["freeze-g"])


def test_a_world_that_cannot_be_fetched_is_said_and_left_out(full, published, monkeypatch, capsys, tmp_path):
    poor = tmp_path / "poor"
    poor.mkdir()
    for name in ("ffhq256", "NaverWebtoon_FreezeSG", "Metface_FreezeSG"):
        os.link(published / f"{name}.pt", poor / f"{name}.pt")
    full.models.zoo.mirror = str(poor)
    assert list(full.worlds()) == ["webtoon", "metfaces"]
    assert "without disney: the mirror has no" in capsys.readouterr().out
    with pytest.raises(CourseError, match="no models disney_baseline: the mirror has no"):
        full.methods(["baseline"], "disney")


def test_photos_are_faces_that_the_source_draws(full):
    photos = full.photos(3)
    assert photos.shape == (3, 3, 16, 16) and photos.abs().max() <= 1
    assert torch.equal(photos[:2], full.photos(2)) and not torch.equal(photos[0], photos[1])


def test_without_what_it_needs_full_scale_falls_back_and_says_why(root, monkeypatch, capsys):
    for scale in ("full", "auto"):
        models, why = choose_models(root, scale, CUDA)
        assert isinstance(models, PocketModels) and "full scale cannot be had (the mirror has no" in why
    monkeypatch.setenv("COURSE_SCALE", "full")
    assert course.setup().scale == "pocket"
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and said.startswith("pocket scale") and "put the file at" in said


def test_without_a_network_that_is_soon_known(root, monkeypatch):
    with socket.socket() as closed:  # a port that nobody listens on
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setattr("stylegan2.published.getproxies", dict)
    monkeypatch.setenv(MIRROR, f"http://127.0.0.1:{port}/models")
    monkeypatch.setattr(Zoo, "fetch", lambda *_: pytest.fail("was not to be asked"))
    assert "no network" in choose_models(root, "full", CPU)[1]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert Zoo(root, f"http://127.0.0.1:{listening.getsockname()[1]}").answers()


def test_auto_is_full_only_with_a_gpu(root, published, monkeypatch):
    monkeypatch.setenv(MIRROR, str(published))
    assert isinstance(choose_models(root, "auto", CPU)[0], PocketModels)
    assert not (root / "checkpoints" / "full").exists()  # and nothing was fetched
    assert isinstance(choose_models(root, "auto", CUDA)[0], FullModels)


def test_the_lab_is_the_pocket_world_at_both_scales(full, root):
    assert full.lab.scale == "pocket" and full.lab.resolution == 64 and full.lab is full.lab
    small = Course(root, PocketModels(root), "test", CPU)
    assert small.lab is small


def test_results_of_the_two_scales_do_not_mix_and_can_go_elsewhere(full, root, tmp_path, monkeypatch):
    small = Course(root, PocketModels(root), "test", CPU)
    assert full.build != small.build
    monkeypatch.setenv("COURSE_OUT", str(tmp_path / "drive"))
    assert full.new_run("03") == tmp_path / "drive" / "runs" / "03"
    assert "drive" not in str(full.dataset("pocket:webtoon?n=2"))  # a dataset is read at random: it stays here


@pytest.mark.parametrize(("gib", "parts"), [(15, 1), (8, 2), (4, 4), (0.1, 16)])
def test_a_batch_is_computed_in_parts_that_fit_the_gpu(root, monkeypatch, gib, parts):
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=int(gib * 2**30))
    )
    settings = FullModels(root, Zoo(root)).training(CUDA, tiny=False)
    config = TrainConfig(out=root, **settings)
    assert (config.batch, config.accumulate) == (16, parts) and config.r1_weight(256) == pytest.approx(0.8192)


def test_the_judge_says_what_it_does_not_know(full, monkeypatch, capsys):
    monkeypatch.setattr(course_scales.PocketModels, "file", lambda self, name: f"{name}.pt")
    monkeypatch.setattr("stylegan2.judge.Judge.load", lambda path, device: str(path))
    assert full.judge == "judge.pt" and "has only ever seen rendered faces" in capsys.readouterr().out
