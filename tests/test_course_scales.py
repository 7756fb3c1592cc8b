"""Full scale: which published model answers to which name, what is done without a network, and what never changes."""

from __future__ import annotations

import os
import socket
import sys
from types import SimpleNamespace

import pytest
import torch
from tiny_training import tiny_networks

from stylegan2 import checkpoints, course, files
from stylegan2.collect.align import FFHQ, POCKET
from stylegan2.config import TrainConfig
from stylegan2.course import Course, choose_models, drive, scales
from stylegan2.course.scales import FullModels, PocketModels
from stylegan2.editing.encoder import Encoder, to_original
from stylegan2.files import CourseError
from stylegan2.pocket import world
from stylegan2.published.pretrained import VGG
from stylegan2.published.zoo import MIRROR, MODELS, Zoo

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A mirror with models in the published layouts, tiny ones, of which no two are the same."""
    folder = tmp_path_factory.mktemp("mirror")
    for seed, name in enumerate(MODELS):
        g, d = tiny_networks(16, 6, seed)
        if name.startswith("encoder"):
            encoder = Encoder(16, g.num_ws, g.w_dim, {4: 8, 8: 8, 16: 8})
            files.write(folder / f"{name}.pt", {"e": to_original(encoder), "d": {}, "e_optim": {}})
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
    methods = full.methods(["baseline", "freeze-g", "structure-loss-paper"])  # nobody published a FreezeG
    assert list(methods) == ["baseline", "structure-loss-paper"]
    assert same(methods["structure-loss-paper"], published / "NaverWebtoon_StructureLoss.pt")
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
        assert type(models) is PocketModels and "full scale cannot be had (the mirror has no" in why
    monkeypatch.setenv("COURSE_SCALE", "full")
    assert course.setup().scale == "pocket"
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and said.startswith("pocket scale") and "put the file at" in said


def test_without_a_network_that_is_soon_known(root, monkeypatch):
    with socket.socket() as closed:  # a port that nobody listens on
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setattr("stylegan2.published.fetch.getproxies", dict)
    monkeypatch.setenv(MIRROR, f"http://127.0.0.1:{port}/models")
    monkeypatch.setattr(Zoo, "fetch", lambda *_: pytest.fail("was not to be asked"))
    assert "no network" in choose_models(root, "full", CPU)[1]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert not Zoo(root, f"http://127.0.0.1:{listening.getsockname()[1]}").obstacle("ffhq256")


def test_auto_is_full_only_with_a_gpu_and_nothing_is_fetched(root, published, monkeypatch):
    monkeypatch.setenv(MIRROR, str(published))
    assert type(choose_models(root, "auto", CPU)[0]) is PocketModels
    assert isinstance(choose_models(root, "auto", CUDA)[0], FullModels)
    found = course.setup("full")
    assert found.dataset("pocket:webtoon?n=2").is_dir() and found.training  # notebooks 01 and 02 ask for no more
    assert not (root / "checkpoints" / "full").exists()


@pytest.fixture
def promised(root, published, monkeypatch, tmp_path) -> Course:
    """Full scale as it is when the place of the models answers, but has a quota page in place of the first of them."""
    (tmp_path / "quota").mkdir()
    (tmp_path / "quota" / "ffhq256.pt").write_text("<html>quota</html>")
    monkeypatch.setenv(MIRROR, str(tmp_path / "quota"))
    found = course.setup("full")
    assert "full scale" in repr(found.chosen.description)
    return found


def test_where_the_first_model_cannot_be_had_the_course_goes_on_at_pocket_scale(promised, root, published, capsys):
    capsys.readouterr()
    os.link(published / "Disney.pt", root / "checkpoints" / "pocket" / "photo.pt")
    assert same(promised.source().g_ema, published / "Disney.pt")
    said = capsys.readouterr().out
    assert said.startswith("pocket scale") and "quota notice" in said and said.count("\n") == 1
    assert promised.scale == "pocket" and promised.resolution == world.SIZE and promised.lab is promised


def test_what_depends_on_the_scale_already_keeps_it_there(promised):
    assert promised.resolution == 256
    with pytest.raises(CourseError, match='quota notice.*or write SCALE = "pocket" into the first cell') as error:
        promised.source()
    assert error.value.__suppress_context__  # no library's words above ours
    assert promised.scale == "full"


@pytest.mark.parametrize("wanted", ["full", "auto"])
def test_the_variable_overrules_the_field_and_says_so(root, monkeypatch, capsys, wanted):
    monkeypatch.setenv("COURSE_SCALE", "pocket")
    assert course.setup(wanted).scale == "pocket"
    assert ("by the variable COURSE_SCALE" in capsys.readouterr().out) == (wanted == "full")
    with pytest.raises(ValueError, match="SCALE is 'large', expected one of: auto, pocket, full"):
        course.setup("large")
    monkeypatch.setenv("COURSE_SCALE", "large")
    with pytest.raises(ValueError, match="the variable COURSE_SCALE is 'large'"):
        course.setup("full")


# ------------------------------------------------------------------------------------------------------ Google Drive
@pytest.fixture
def colab(tmp_path_factory, monkeypatch):
    """A machine of Colab's whose Drive is not mounted yet."""
    mount, calls = tmp_path_factory.mktemp("content") / "drive", []

    def mounts(where: str) -> None:
        calls.append(where)
        (mount / "MyDrive").mkdir(parents=True)

    module = SimpleNamespace(drive=SimpleNamespace(mount=mounts), calls=calls, mount=mount)
    monkeypatch.setitem(sys.modules, "google.colab", module)
    monkeypatch.setattr(drive, "MOUNT", mount)
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    return module


def test_one_switch_keeps_downloads_and_results_on_drive(root, published, colab, monkeypatch, capsys):
    monkeypatch.setenv(MIRROR, str(published))
    ours = colab.mount / "MyDrive" / "cartoonize"
    for _ in range(2):  # the second time it is mounted already
        full = course.setup("full", drive=True)
    assert colab.calls == [str(colab.mount)]
    assert capsys.readouterr().out.endswith("downloads and results are kept on Drive, in MyDrive/cartoonize\n")
    assert full.source().d is not None and (ours / "models" / "ffhq256.pt").is_file()
    assert not list((root / "checkpoints").rglob("*.pt")) and full.record()["model"] == "ffhq256.pt"
    assert full.new_run("03") == ours / "course-full" / "runs" / "03"
    assert full.lab.new_run("03") == ours / "course" / "runs" / "03" and full.lab is full.lab
    assert VGG.cached.is_relative_to(ours)
    assert full.dataset("pocket:webtoon?n=2").is_relative_to(root) and full.scratch.is_relative_to(root)
    monkeypatch.setenv("COURSE_OUT", str(root / "elsewhere"))
    assert full.build == root / "elsewhere"


def test_elsewhere_the_switch_says_that_there_is_no_drive(root, colab, monkeypatch, capsys):
    def refused(where: str) -> None:
        raise ValueError("mount failed")

    colab.drive.mount = refused
    assert course.setup("pocket", drive=True).build == root / "build" / "course"
    assert "Drive is not used (mount failed)" in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "google.colab", None)
    assert course.setup("pocket", drive=True).build == root / "build" / "course"
    said = capsys.readouterr().out
    assert said.endswith("this is not Colab: no Drive is mounted, downloads and results stay in the course's folder\n")


# ------------------------------------------------------------------------------------------------------------ the rest


def test_the_lab_is_the_pocket_world_at_both_scales(full, root):
    assert full.lab.scale == "pocket" and full.lab.resolution == world.SIZE and full.lab is full.lab
    assert (full.frame, full.lab.frame) == (FFHQ, POCKET)
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
    monkeypatch.setattr(scales.PocketModels, "file", lambda self, name: f"{name}.pt")
    monkeypatch.setattr("stylegan2.pocket.nets.judge.Judge.load", lambda path, device: str(path))
    assert full.judge == "judge.pt" and "has only ever seen rendered faces" in capsys.readouterr().out
