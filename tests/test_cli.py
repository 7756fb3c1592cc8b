"""Every verb of the command line on tiny data, and what it says to bad input."""

from __future__ import annotations

import dataclasses
import errno
import inspect
import os
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
import typer
from command import invoke, refusal
from PIL import Image
from tiny_training import tiny_networks
from typer.testing import CliRunner

from stylegan2 import checkpoints, cli, runs
from stylegan2.checkpoints import rosinality
from stylegan2.cli import common
from stylegan2.config import TrainConfig
from stylegan2.pocket import world
from stylegan2.trainer import Trainer
from stylegan2.transfer import FreezeD, FreezeFC, FreezeG, FreezeSG, FreezeStyle, StructureLoss

RUN = ["--images", 16, "--batch", 4, "--snapshot-images", 8, "--sample-images", 8, "--precision", "float32"]


def call(*words, code: int = 0) -> str:
    """What a command says, errors included."""
    return invoke(*words, code=code).output


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """A folder with six images, one of them in a folder below, and a text."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "more").mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png", "c.jpg", "d.png", "e.png", "more/f.png"):
        Image.fromarray(rng.integers(0, 255, (20, 24, 3), dtype=np.uint8)).save(folder / name)
    (folder / "broken.png").write_text("no image at all")
    return folder


@pytest.fixture(scope="module")
def dataset(pictures, tmp_path_factory) -> Path:
    """The pictures at 8 and 16 px."""
    out = tmp_path_factory.mktemp("data") / "tiny.lmdb"
    call("prepare", pictures, "--out", out, "--size", 8, "--size", 16, "--workers", 0, code=1)  # one is broken
    return out


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A checkpoint with g_ema, g and d."""
    path = tmp_path_factory.mktemp("model") / "model.pt"
    g, d = tiny_networks()
    checkpoints.save(path, g_ema=g, g=g, d=d, meta={"images": 1234, "frozen": [f"D.{k}" for k in range(9)]})
    return path


# -------------------------------------------------------------------------------------------------------------- help


def test_help_as_a_program_and_as_a_module_names_every_verb_at_once():
    code = "import sys; import stylegan2.cli; print('torch' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-m", "stylegan2", "--help"], env=environment, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr
    verbs = {command.name or command.callback.__name__ for command in cli.app.registered_commands}
    assert len(verbs) == 24 and set(re.findall(r"^  ([a-z-]+)  ", done.stdout, re.MULTILINE)) >= verbs
    light = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=400)
    assert light.stdout.strip() == "False"  # so that --help does not wait for PyTorch


def test_help_says_what_the_return_codes_mean():
    text = call("--help")
    for code in (0, common.PARTLY, common.FAILED, common.INTERRUPTED):
        assert re.search(rf"^ +{code}  +\w", text, re.MULTILINE), code


def test_what_was_left_out_is_counted_and_ends_a_verb_with_1(capsys):
    common.end([])
    with pytest.raises(typer.Exit) as ended:
        common.end(["a.png", "b.png"])
    assert ended.value.exit_code == common.PARTLY == 1 and "2 left out" in capsys.readouterr().err


def test_without_a_verb_there_is_help():
    assert "Commands:" in CliRunner().invoke(cli.app, []).output


def test_train_offers_every_setting_with_its_default():
    options = inspect.signature(cli.training.train).parameters
    for field in dataclasses.fields(TrainConfig):
        if field.name not in ("out", "fine_tune"):
            assert options[field.name].default == field.default, field.name
    assert re.search(r"--r1-interval <int> .*\[default:\s+16\]", call("train", "--help"))


def test_unknown_verbs_and_options_are_refused():
    assert "No such command" in call("trian", code=2)
    assert "No such option" in call("generate", "x.pt", "--sedes", "1", code=2)
    assert "--out" in call("train", "--data", "pocket:webtoon", code=2)
    assert "results go to --out" in call("mix", __file__, "y.png", code=2)
    assert "less than or equal to 2" in call("generate", "x.pt", "--truncation", "50", code=2)
    for verb, option, value in (
        ("generate", "--columns", 0), ("mix", "--scale", -1), ("video", "--fps", 0), ("factorize", "--count", -1),
        ("apply-factor", "--steps", 1), ("project", "--tune", -1), ("align", "--size", 9999),
        ("metrics", "--images", 0),
    ):  # fmt: skip
        said = call(verb, __file__, option, value, code=2)
        assert re.search(rf"Invalid value for '{option}': Input should be (greater|less) than or equal to \d", said)


def test_the_version_is_said():
    assert re.fullmatch(r"stylegan2 \d+\.\d+\.\d+, Python 3\.\d+\.\d+", call("--version").strip())


def test_help_of_a_verb_and_a_mistyped_name_answer_without_pytorch(tmp_path):
    """Importing PyTorch takes seconds; whoever asks for help, or mistypes a name, need not wait for it."""
    code = "import sys; from stylegan2 import cli; sys.argv[0] = 'stylegan2'\n"
    code += "try: cli.main()\nexcept SystemExit as e: print(e.code, 'torch' in sys.modules)"
    photo = "checkpoints/pocket/foto.pt"
    for words, answer in ((["generate", "--help"], "0 False"), (["train", "--help"], "0 False"),
                          (["generate", photo], "2 False"), (["swap", photo, photo], "2 False"),
                          (["inspect", photo], "2 False"), (["prepare", photo, "--out", "x"], "2 False"),
                          (["train", "--data", photo, "--out", "x"], "2 False")):  # fmt: skip
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=400)
        assert done.stdout.splitlines()[-1] == answer, (words, done.stdout, done.stderr)
    assert "did you mean 'checkpoints/pocket/photo.pt'?" in done.stderr


def test_shipped_models_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert f"{world.SIZE} x {world.SIZE}" in call("describe", "checkpoints/pocket/photo.pt")


def test_outputs_that_nobody_named_are_numbered(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(3):
        call("generate", model, "--seeds", "0-1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faces-2.png", "faces-3.png", "faces.png"]


def test_generate_refuses_endings_that_it_does_not_know(model, tmp_path):
    assert "must end in one of .png, .jpg" in refusal("generate", model, "--out", tmp_path / "faces.tiff")
    assert not (tmp_path / "faces.tiff").exists()


def test_debug_shows_where_an_error_arose(tmp_path):
    result = CliRunner().invoke(cli.app, ["describe", str(tmp_path / "none.pt"), "--debug"])
    assert isinstance(result.exception, FileNotFoundError)


def test_main_is_the_program(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["stylegan2", "describe", str(tmp_path / "none.pt")])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 2 and "there is no file" in capsys.readouterr().err


# -------------------------------------------------------------------------------------------------------------- data


def test_prepare_reports_and_lists_what_it_skipped(pictures, tmp_path):
    words = ("prepare", pictures, "--out", tmp_path / "a.lmdb", "--size", 8, "--workers", 0, "--format", "png")
    text = call(*words, code=1)
    assert "6 images of 8 px" in text and "1 file skipped" in text and "skipped broken.png" in text
    assert "1 left out: see above" in text
    assert "6 were there" in call(*words, code=1)
    assert "PNG" in call("inspect", tmp_path / "a.lmdb")


def test_prepare_reads_zips_and_rendered_sets(pictures, tmp_path):
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for path in sorted(pictures.glob("*.png")):
            archive.write(path, path.name)
    zipped = ("prepare", tmp_path / "p.zip", "--out", tmp_path / "z.lmdb", "--size", 8, "--workers", 0)
    assert "4 images" in call(*zipped, code=1)
    rendered = call(
        "prepare", "pocket:webtoon?n=3", "--out", tmp_path / "w.lmdb", "--size", 16, "--workers", 0, "--limit", 2
    )
    assert "2 images of 16 px" in rendered


def test_prepare_refuses(pictures, tmp_path, dataset):
    out = tmp_path / "x.lmdb"
    assert "expected images, a dataset" in refusal("prepare", tmp_path / "none", "--out", out)
    assert "expected 'jpeg' or 'png'" in refusal("prepare", pictures, "--out", out, "--format", "gif")
    assert "--quality 0" in refusal("prepare", pictures, "--out", out, "--quality", 0)
    assert "--workers -1" in refusal("prepare", pictures, "--out", out, "--workers", -1)
    text = refusal("prepare", pictures, "--out", dataset, "--size", 8, "--workers", 0)
    assert "prepared differently (--size [8, 16] there, --size [8] asked for)" in text and "or pass --overwrite" in text
    assert "is a dataset already: train and inspect take it as it is" in refusal("prepare", dataset, "--out", out)
    assert "no pocket domain" in refusal("prepare", "pocket:manga", "--out", out)


def test_prepare_replaces_only_if_told_to(pictures, tmp_path):
    out = tmp_path / "o.lmdb"
    call("prepare", pictures, "--out", out, "--size", 8, "--workers", 0, code=1)
    text = call("prepare", pictures, "--out", out, "--size", 16, "--workers", 0, "--overwrite", "--limit", 2)
    assert "2 images of 16 px" in text


def test_inspect(dataset, tmp_path):
    text = call("inspect", dataset)
    assert "6 images, 8 px, 16 px, JPEG" in text and "mean" in text
    assert "there is no file" in refusal("inspect", tmp_path / "none.lmdb")
    assert "prepare 'pocket:webtoon?n=3' --out OUT.lmdb" in refusal("inspect", "pocket:webtoon?n=3")
    assert "not an LMDB but a folder" in refusal("inspect", tmp_path)


# ---------------------------------------------------------------------------------------------------------- training


def test_train_from_scratch_then_resume_then_generate_from_the_folder(dataset, tmp_path):
    command = ["train", "--data", dataset, "--out", tmp_path / "run", "--size", 8, *RUN]
    text = call(*command)
    assert "8 px, float32 on cpu" in text and "resumed" not in text and "done: 16 images" in text
    assert f"generate {tmp_path / 'run'}" in text.replace("\n", "")
    assert "resumed at 16 of 16 images" in call(*command)
    assert "trained on 16 images already, more than --images 12" in refusal(*[12 if w == 16 else w for w in command])
    longer = call(*[24 if word == 16 else word for word in command])
    assert "resumed at 16 of 24 images" in longer and "done: 24 images" in longer
    call("generate", tmp_path / "run", "--seeds", "0-3", "--out", tmp_path / "faces.png")
    assert Image.open(tmp_path / "faces.png").size == (4 * 128 + 3 * 2, 128)


def test_train_passes_every_setting_on(dataset, tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setattr(Trainer, "run", lambda self: seen.update(trainer=self))
    monkeypatch.setattr(cli.training, "_say_end", lambda trainer: None)
    values = {
        "images": 99, "batch": 3, "seed": 4, "lr": 0.01, "r1_gamma": 2.0, "r1_interval": 7, "pl_weight": 1.5,
        "pl_interval": 5, "pl_batch_shrink": 3, "pl_decay": 0.2, "style_mixing": 0.4, "ema_images": 77,
        "blur_sigma": 1.5, "blur_images": 55,
        "ema_rampup": 0.5, "augment": "fixed", "augment_pipe": "bg", "augment_p": 0.25, "augment_target": 0.5,
        "augment_interval": 9, "augment_images": 1111, "workers": 1, "precision": "float32", "snapshot_images": 11,
        "keep": 5, "sample_images": 12, "sample_rows": 2, "sample_columns": 6, "log_images": 13,
    }  # fmt: skip
    words = [word for name, value in values.items() for word in (f"--{name.replace('_', '-')}", value)]
    call("train", "--data", dataset, "--out", tmp_path, "--size", 8, "--no-mirror", "--tensorboard", *words)
    expected = TrainConfig(out=tmp_path, fine_tune=False, mirror=False, tensorboard=True, **values)
    assert seen["trainer"].config == expected


def test_fine_tuning_names_what_is_frozen(dataset, model, tmp_path):
    text = call("train", "--data", dataset, "--out", tmp_path, "--source", model, "--method", "FreezeD(8)", *RUN)
    assert "frozen: D.blocks 8, D.from_rgb (7 parameters)\n" in text
    before, after = checkpoints.load(model), checkpoints.load(runs.latest(tmp_path))
    assert torch.equal(before.d.from_rgb.weight, after.d.from_rgb.weight)
    assert not torch.equal(before.d.head.fc.weight, after.d.head.fc.weight)
    assert not torch.equal(before.g.synthesis.blocks["4"].const, after.g.synthesis.blocks["4"].const)


METHODS = {
    "freeze-sg": (FreezeD(4), FreezeSG(16, 6)),
    "FreezeG(4)": (FreezeG(4),),
    "FreezeD(8), StructureLoss(), FreezeG(8, mapping=False)": (FreezeD(8), StructureLoss(), FreezeG(8, mapping=False)),
    "baseline, FreezeG(max_resolution=8), FreezeStyle(k=2)": (FreezeD(4), FreezeG(8), FreezeStyle(2)),
    "FreezeFC()": (FreezeFC(),),
    "StructureLoss((4, 8), weight=2)": (StructureLoss((4, 8), 2.0),),
    "StructureLoss(resolutions=(8,), on='features', relative=True)": (
        StructureLoss((8,), on="features", relative=True),
    ),
}


@pytest.mark.parametrize(("text", "methods"), METHODS.items(), ids=list(METHODS))
def test_texts_become_methods(dataset, model, tmp_path, monkeypatch, text, methods):
    seen = []
    monkeypatch.setattr(Trainer, "fine_tune", lambda *args: seen.append(tuple(args[3])) or Mock())
    monkeypatch.setattr(cli.training, "_say_start", lambda trainer, resumed: None)
    monkeypatch.setattr(cli.training, "_say_end", lambda trainer: None)
    call("train", "--data", dataset, "--out", tmp_path, "--source", model, "--method", text)
    assert seen == [methods]


def test_a_method_is_named_trained_and_described(dataset, model, tmp_path):
    method = "FreezeStyle(2), StructureLoss((4, 8))"
    options = ["--data", dataset, "--source", model, "--method", method]
    text = call("train", "--out", tmp_path, *options, *RUN)
    assert "method: FreezeStyle(k=2)\nmethod: StructureLoss(resolutions=(4, 8)" in text
    assert "frozen: the copy of the source's mapping (G.mapping.source) (" in text
    assert "methods: FreezeStyle(k=2), StructureLoss" in call("describe", tmp_path)
    assert "structure" in (tmp_path / "log.csv").read_text().splitlines()[0].split(",")
    assert "faces" in call("generate", tmp_path, "--seeds", "0-3", "--out", tmp_path / "faces.png")


def test_methods_need_a_source(dataset, model, tmp_path):
    start = ["train", "--data", dataset, "--out", tmp_path / "run", "--batch", 2]
    for method in ("FreezeG(4)", "freeze-sg", "FreezeD(8), StructureLoss(weight=0)"):
        assert "--method keeps something of a trained model: name it with --source" in refusal(
            *start, "--method", method
        )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("freeze", "no method 'freeze'; there are: baseline, freeze-g"),
        ("__import__('os')", "parts of your own: FreezeD, FreezeG"),
        ("FreezeSG(8)", "missing 1 required positional argument: 'k'"),
        ("FreezeG('8')", "max_resolution is '8', expected a whole number"),
        ("FreezeG(8, open('x'))", "expected such as FreezeSG(16, 6)"),
        ("FreezeG(8", "expected such as FreezeSG(16, 6)"),
        ("StructureLoss(8)", "as a tuple: (4, 8, 16)"),
        ("StructureLoss()", "no resolution 16"),
        ("freeze-sg", "k is 6, expected 1 to 4"),
        ("FreezeSG(4, 2), FreezeFC()", "use one method that takes codes"),
    ],
)
def test_methods_that_do_not_exist_or_do_not_go_together_are_refused(dataset, model, tmp_path, text, message):
    start = ["train", "--data", dataset, "--out", tmp_path / "run", "--batch", 2, "--source", model]
    assert message in refusal(*start, "--method", text)


@pytest.mark.parametrize("kind", ["folder", "zip", "pocket"])
def test_images_are_prepared_once_beside_the_run(pictures, tmp_path, kind):
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for path in sorted(pictures.glob("*.png")):
            archive.write(path, path.name)
    data = {"folder": pictures, "zip": tmp_path / "p.zip", "pocket": "pocket:webtoon?n=4"}[kind]
    command = ["train", "--data", data, "--size", 16, *RUN]  # rendered faces have at least 16 pixels
    assert "done: 16 images" in call(*command, "--out", tmp_path / "runs" / "a")
    made = list((tmp_path / "runs" / "datasets").iterdir())
    before = (made[0] / "data.mdb").stat().st_mtime_ns
    assert "done: 16 images" in call(*command, "--out", tmp_path / "runs" / "b")
    assert list((tmp_path / "runs" / "datasets").iterdir()) == made
    assert len(made) == 1 and (made[0] / "data.mdb").stat().st_mtime_ns == before
    assert "resumed at 16" in call(*command, "--out", tmp_path / "runs" / "a")


def test_a_run_among_its_own_images_is_refused(pictures):
    assert "lies in the folder of your images" in refusal("train", "--data", pictures, "--out", pictures / "run", *RUN)


def test_a_fine_tuning_made_longer_says_which_half_life_it_keeps(dataset, model, tmp_path):
    command = ["train", "--data", dataset, "--source", model, "--out", tmp_path, *RUN]
    assert "a larger --images goes on from here" in call(*command)
    text = call(*[40 if word == 16 else word for word in command])
    assert (
        "resumed at 16 of 40 images" in text
        and "begun as 16 images: the averaged generator's half-life stays 4" in text
    )


def test_flags_of_the_original_train_and_are_explained(dataset, model, tmp_path, monkeypatch):
    command = ["train", "--data", dataset, "--out", tmp_path, "--source", model, *RUN]
    flags = "--freezeG=1 --freezeStyle=2 --structure_loss=1 --augment --batch 16 --lr 0.001"
    text = call(*command, "--original", flags)
    assert "method: FreezeG(max_resolution=4" in text and "method: FreezeStyle(k=2)" in text
    assert "frozen: G.mapping, the copy of the source's mapping (G.mapping.source), G.synthesis.blocks 4 (" in text
    assert "original: freezeG switched path length off there" in text
    assert "augment adaptive" in text and "batch 4" in text and "lr 0.001" in text  # --batch 4 was given beside it
    assert "use one of them" in refusal(*command, "--original", flags, "--method", "FreezeD(8)")
    assert "for --ckpt use --source" in refusal(*command, "--original", "--ckpt x.pt")
    assert "--original keeps something of a trained model" in refusal(*command[:5], "--original", flags)


def test_resolutions_are_listed_in_order():
    names = [f"G.synthesis.blocks.{r}.conv1.weight" for r in (128, 16, 32, 4, 64, 8)]
    assert cli.training.summary(["D.from_rgb.weight", *names]) == "D.from_rgb, G.synthesis.blocks 4 8 16 32 64 128"


def test_a_source_with_g_ema_and_d_only_can_be_fine_tuned(dataset, tmp_path):
    g, d = tiny_networks()
    checkpoints.save(tmp_path / "half.pt", g_ema=g, d=d)
    assert "done" in call("train", "--data", dataset, "--out", tmp_path / "run", "--source", tmp_path / "half.pt", *RUN)


def test_ctrl_c_saves_says_how_to_go_on_and_ends_with_130(dataset, tmp_path, monkeypatch):
    step = Trainer.train_step

    def interrupted(self, real):
        if self.step == 1:
            os.kill(os.getpid(), signal.SIGINT)
        step(self, real)

    command = ["train", "--data", dataset, "--out", tmp_path, "--size", 8, *RUN]
    monkeypatch.setattr(Trainer, "train_step", interrupted)
    text = call(*command, code=130)
    assert "stopped at 8 images and saved; the same command goes on from there" in text
    monkeypatch.undo()
    torch.set_num_threads(1)
    assert "resumed at 8 of 16 images" in call(*command)


def test_train_refuses(dataset, model, tmp_path):
    start = ["train", "--data", dataset, "--out", tmp_path / "run", "--size", 8]
    assert "6 images, fewer than one batch of 16" in refusal(*start)
    assert "augment is 'always'" in refusal(*start, "--augment", "always")
    assert "no preset 'huge'; there are: pocket, config-f" in refusal(*start, "--preset", "huge", "--batch", 2)
    assert "FreezeD(min_resolution=64): no resolution 64, expected some of [8]" in refusal(
        *start, "--batch", 2, "--method", "FreezeD(64)"
    )
    assert "has no images of 32 px; it has 8, 16 px" in refusal(*start[:-1], 32)
    assert "device 'warp' cannot be used" in refusal(*start, "--batch", 2, "--device", "warp")
    assert "resolutions differ" in refusal(*start[:-1], 16, "--batch", 2, "--source", model)
    assert "there is no file" in refusal(*start, "--source", tmp_path / "none.pt")
    assert "there is no file" in refusal("train", "--data", tmp_path / "none", "--out", tmp_path / "run")
    checkpoints.save(tmp_path / "g.pt", g_ema=tiny_networks()[0])
    assert "has no discriminator" in refusal(*start, "--source", tmp_path / "g.pt")
    assert not (tmp_path / "run").exists()


def test_another_run_in_the_same_folder_is_refused(dataset, tmp_path):
    command = ["train", "--data", dataset, "--out", tmp_path, "--size", 8, *RUN]
    call(*command)
    assert "lr: 0.0025 then, 0.01 now" in refusal(*command, "--lr", 0.01)


# ------------------------------------------------------------------------------------------------------------ models


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


@pytest.mark.parametrize("noise", ["const", "random", "none"])
def test_one_seed_is_one_face_whatever_else_is_drawn(model, tmp_path, noise):
    common = ["--truncation", 1, "--noise", noise]
    call("generate", model, "--seeds", "3,5-7,12", "--batch", 2, "--out", tmp_path / "many", *common)
    assert sorted(p.name for p in (tmp_path / "many").iterdir()) == [f"seed{k:05d}.png" for k in (3, 5, 6, 7, 12)]
    call("generate", model, "--seeds", 7, "--out", tmp_path / "one", *common)
    one, same = pixels(tmp_path / "one" / "seed00007.png"), pixels(tmp_path / "many" / "seed00007.png")
    assert abs(one - same).max() <= 1  # another batch size rounds differently
    assert abs(one - pixels(tmp_path / "many" / "seed00006.png")).max() > 8


def test_truncation_zero_is_the_mean_face(model, tmp_path):
    call("generate", model, "--seeds", "0-1", "--truncation", 0, "--out", tmp_path)
    assert abs(pixels(tmp_path / "seed00000.png") - pixels(tmp_path / "seed00001.png")).max() <= 1


def test_generate_one_picture(model, tmp_path):
    call("generate", model, "--seeds", "0-4", "--columns", 2, "--out", tmp_path / "sheet.jpg")
    assert Image.open(tmp_path / "sheet.jpg").size == (2 * 128 + 2, 3 * 128 + 4)


def test_generate_refuses(model, tmp_path):
    assert "seeds '5-2': expected" in refusal("generate", model, "--seeds", "5-2", "--out", tmp_path)
    assert 'noise must be "random"' in refusal("generate", model, "--seeds", 1, "--noise", "blue", "--out", tmp_path)
    (tmp_path / "page.pt").write_text("<!DOCTYPE html><html>quota exceeded</html>")
    assert "web page" in refusal("generate", tmp_path / "page.pt", "--out", tmp_path)
    assert "without readable snapshots" in refusal("generate", tmp_path, "--out", tmp_path)


def test_seeds():
    assert cli.parse_seeds("7") == [7] and cli.parse_seeds("0-3, 9") == [0, 1, 2, 3, 9]
    assert cli.parse_seeds("9223372036854775807") == [2**63 - 1]
    for wrong in ("9223372036854775808", "3-99999999999999999999"):
        with pytest.raises(ValueError, match="expected a whole number from 0 to 9223372036854775807"):
            cli.parse_seeds(wrong)
    with pytest.raises(ValueError, match="at most 1,000,000 at once"):
        cli.parse_seeds("0-2000000")
    for wrong in ("", "a", "1,", "-1", "1-2-3", "1.5"):
        with pytest.raises(ValueError, match="expected whole numbers and ranges"):
            cli.parse_seeds(wrong)
    with pytest.raises(ValueError, match="expected the smaller number first, as in 1-3"):
        cli.parse_seeds("3-1")


def test_describe_says_what_is_in_a_checkpoint(model):
    text = call("describe", model)
    assert "8 x 8, 4 codes of 8" in text and "g_ema, g, d" in text and "1,234 images" in text
    assert "D.0, D.1, D.2, D.3 and 5 more" in text


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "the disk is full, a file was not written: what was there before is whole; make room"),
        (errno.EROFS, "cannot write a file (Read-only file system): choose a folder"),
    ],
)
def test_what_is_wrong_with_the_disk_is_said_with_what_to_do(model, tmp_path, monkeypatch, number, message):
    (tmp_path / "faces.png").write_bytes(b"older")

    def fails(*args, **settings):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("PIL.Image.Image.save", fails)
    assert message in refusal("generate", model, "--seeds", "0-3", "--out", tmp_path / "faces.png")
    assert [p.name for p in tmp_path.iterdir()] == ["faces.png"] and (tmp_path / "faces.png").read_bytes() == b"older"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_without_memory_the_setting_to_lower_is_named(model, tmp_path, monkeypatch, error):
    def fails(*args, **settings):
        raise error

    monkeypatch.setattr(cli.models, "_render", fails)
    assert "lower --batch" in refusal("generate", model, "--out", tmp_path / "faces.png")


def test_no_model_is_replaced(model, tmp_path):
    shipped = tmp_path / "checkpoints" / "pocket" / "clip.pt"
    shipped.parent.mkdir(parents=True)
    shipped.write_bytes(b"clip")
    for words in (["factorize", model], ["convert", model], ["swap", model, model]):
        assert "comes with the course" in refusal(*words, "--out", shipped)
        before = model.read_bytes() if model.is_file() else None
        if before is not None:
            assert "would be replaced" in refusal(*words, "--out", model) and model.read_bytes() == before
    assert shipped.read_bytes() == b"clip"


def test_convert_writes_what_load_reads_back(model, tmp_path):
    text = call("convert", model, "--out", tmp_path / "r.pt")
    assert "g_ema, g, d in rosinality's layout" in text and "no optimisers (g_optim, d_optim)" in text
    ours, theirs = checkpoints.load(model), checkpoints.load(tmp_path / "r.pt")
    assert theirs.info["format"] == "rosinality"
    z = torch.randn(2, 8)
    torch.testing.assert_close(theirs.g_ema(z, noise="none"), ours.g_ema(z, noise="none"), rtol=1e-4, atol=1e-4)
    assert "there is no file" in refusal("convert", tmp_path / "none.pt", "--out", tmp_path / "x.pt")
    assert "would be replaced" in refusal("convert", tmp_path / "r.pt", "--out", tmp_path / "r.pt")
    assert "expected ours or rosinality" in refusal("convert", model, "--out", tmp_path / "x.pt", "--to", "pkl")


def test_convert_writes_the_g_that_other_programs_ask_for(tmp_path):
    g, _ = tiny_networks()
    checkpoints.save(tmp_path / "g_ema.pt", g_ema=g)
    assert "g is a copy of g_ema" in call("convert", tmp_path / "g_ema.pt", "--out", tmp_path / "r.pt")
    content = torch.load(tmp_path / "r.pt", weights_only=True)
    assert content["g"].keys() == content["g_ema"].keys()
    assert all(torch.equal(content["g"][k], v) for k, v in content["g_ema"].items())


def mapped(style: dict[str, torch.Tensor], z: torch.Tensor) -> torch.Tensor:
    """Rosinality's mapping from its own entries: equalised layers of learning rate 0.01 with scaled leaky ReLUs."""
    w = z / (z.square().mean(1, keepdim=True) + 1e-8).sqrt()
    for i in range(1, len(style) // 2 + 1):
        weight, bias = style[f"style.{i}.weight"], style[f"style.{i}.bias"]
        w = w @ weight.T * (0.01 / weight.shape[1] ** 0.5) + 0.01 * bias
        w = torch.nn.functional.leaky_relu(w, 0.2) * 2**0.5
    return w


def test_a_model_with_two_mappings_leaves_with_both_and_says_how_to_use_them(tmp_path):
    (g, d), (source, _) = tiny_networks(seed=1), tiny_networks(seed=2)
    source.mapping.update_mean(100)
    FreezeStyle(2).prepare(g, source)
    checkpoints.save(tmp_path / "sg.pt", g_ema=g, d=d)
    said = call("convert", tmp_path / "sg.pt", "--out", tmp_path / "r.pt")
    assert "the first 2 codes come from the source's mapping" in said and "inject_index=2" in said
    z = torch.randn(3, 8)
    content = torch.load(tmp_path / "r.pt", weights_only=True)
    own = {name: tensor for name, tensor in content["g_ema"].items() if name.startswith("style.")}
    first, other = mapped(content["style_source"], z), mapped(own, z)
    there = torch.cat([first[:, None].expand(-1, 2, -1), other[:, None].expand(-1, g.num_ws - 2, -1)], dim=1)
    alone = rosinality.to_generator(content["g_ema"])  # one mapping: what any other program makes of the file
    with torch.no_grad():
        ours = g.synthesis(g.mapping(z), "const")
        torch.testing.assert_close(alone.synthesis(there, "const"), ours, rtol=1e-4, atol=1e-4)
        assert (alone.synthesis(alone.mapping(z), "const") - ours).abs().max() > 0.01
    before, again = checkpoints.load(tmp_path / "sg.pt"), checkpoints.load(tmp_path / "r.pt")
    assert again.g.mapping.k == again.g_ema.mapping.k == 2
    torch.testing.assert_close(again.g_ema.mapping(z, 0.5), before.g_ema.mapping(z, 0.5))
    assert torch.equal(again.g_ema.mapping.source.w_mean, source.mapping.w_mean)


def test_a_model_whose_codes_are_all_the_sources_leaves_exactly(tmp_path):
    (g, d), (source, _) = tiny_networks(seed=1), tiny_networks(seed=2)
    FreezeFC().prepare(g, source)
    checkpoints.save(tmp_path / "fc.pt", g_ema=g, d=d)
    assert "note:" not in call("convert", tmp_path / "fc.pt", "--out", tmp_path / "r.pt")
    again, z = checkpoints.load(tmp_path / "r.pt").g_ema, torch.randn(3, 8)
    assert not hasattr(again.mapping, "k")
    torch.testing.assert_close(again.mapping(z, 0.5), g.mapping(z, 0.5))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"style_codes": 99}, "'style_codes': k is 99"),
        ({"style_codes": None}, "needs 'style_codes', a number"),
        ({"latent_avg_source": torch.zeros(3)}, "wrong shape: w_mean"),
        ({"style_source": {}}, "the source's mapping's entries do not fit; missing: style.1.weight"),
    ],
)
def test_a_damaged_second_mapping_is_named(tmp_path, change, message):
    (g, d), (source, _) = tiny_networks(seed=1), tiny_networks(seed=2)
    FreezeStyle(2).prepare(g, source)
    checkpoints.export(tmp_path / "r.pt", checkpoints.Checkpoint(g, d=d))
    torch.save(torch.load(tmp_path / "r.pt", weights_only=True) | change, tmp_path / "b.pt")
    assert message in refusal("describe", tmp_path / "b.pt")


def test_convert_goes_both_ways_and_takes_encoders(model, tmp_path):
    from stylegan2 import checkpoints
    from stylegan2.editing.encoder import Encoder, load_encoder, save_encoder

    call("convert", model, "--out", tmp_path / "r.pt")
    assert "g_ema, g, d in our layout" in call("convert", tmp_path / "r.pt", "--out", tmp_path / "o.pt", "--to", "ours")
    prints = [checkpoints.fingerprint(checkpoints.load(path).g_ema) for path in (model, tmp_path / "o.pt")]
    assert prints[0] == prints[1]
    assert checkpoints.load(tmp_path / "o.pt").info["converted from"] == "rosinality"
    assert "in our layout" in call("convert", model, "--out", tmp_path / "h.pt", "--to", "ours", "--half")
    assert (tmp_path / "h.pt").stat().st_size < 0.9 * (tmp_path / "o.pt").stat().st_size
    save_encoder(tmp_path / "e.pt", Encoder(16, 6, 8, {4: 6, 8: 8, 16: 4}))
    assert "an encoder in rosinality's layout" in call("convert", tmp_path / "e.pt", "--out", tmp_path / "e2.pt")
    call("convert", tmp_path / "e2.pt", "--out", tmp_path / "e3.pt", "--to", "ours")
    first, last = (load_encoder(tmp_path / name).encoder.state_dict() for name in ("e.pt", "e3.pt"))
    assert first.keys() == last.keys() and all((first[k] == last[k]).all() for k in first)


def test_metrics_of_a_model_and_of_what_it_keeps_of_its_source(tmp_path):
    from stylegan2.networks import Generator
    from stylegan2.pocket.nets.judge import Judge

    torch.manual_seed(0)
    Judge().save(tmp_path / "judge.pt")
    channels = {r: 4 for r in (4, 8, 16, 32, 64)}
    for name in ("source", "target"):
        checkpoints.save(tmp_path / f"{name}.pt", g_ema=Generator(64, 8, 8, 2, channels))
    options = ["--judge", tmp_path / "judge.pt", "--domain", "webtoon", "--faces", 16]
    text = call("metrics", tmp_path / "target.pt", "--source", tmp_path / "source.pt", *options)
    assert "pocket distance" in text and "same w: landmark error" in text and "same z: landmark error" in text
    assert "floor" in text and "ceiling" in text and text.count("of the attributes that can be kept") == 2
    assert text.count("structure kept") == 2 and "who is it, top 1 of 16" in text
    options[3] = "manga"
    assert "manga" in refusal("metrics", tmp_path / "target.pt", *options)
    assert "no.pt" in refusal("metrics", tmp_path / "target.pt", "--domain", "photo", "--judge", tmp_path / "no.pt")


# ------------------------------------------------------------------------------------------------------------ recipe


STEPS = (
    *("judge", "half", "taught", "photo", "targets", "clip", "encoder", "scoreboard"),
    *("forgetting", "edits", "routes", "detector", "report"),
)


@pytest.fixture
def steps(tmp_path, monkeypatch) -> list[str]:
    """The recipe in an empty folder, with steps that only leave their result; returns the names of those that ran."""
    from stylegan2.pocket import recipe

    ran: list[str] = []

    def step(name: str):
        def make(r: recipe.Recipe) -> None:
            ran.append(f"{name} {r.target_images}")
            path = recipe.result(r, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

        return make

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(recipe, "STEPS", {name: step(name) for name in recipe.STEPS})
    return ran


def test_pocket_makes_all_steps_once(steps):
    text = call("pocket", "--target-images", 22)
    assert steps == [f"{name} 22" for name in STEPS]
    assert "targets -> checkpoints/pocket/portrait_freeze-sg.pt" in text
    assert "photo.pt is there (--force makes it again)" in call("pocket")
    assert len(steps) == len(STEPS)


def test_pocket_makes_chosen_steps_and_the_report_again(steps):
    call("pocket", "photo")
    assert [name.split()[0] for name in steps] == ["photo"]
    call("pocket")
    call("pocket", "photo", "report", "--force")
    assert [name.split()[0] for name in steps[len(STEPS) :]] == ["photo", "report"]
    Path("checkpoints/pocket/portrait_freeze-sg.pt").unlink()
    call("pocket")
    assert [name.split()[0] for name in steps[len(STEPS) + 2 :]] == ["targets", "report"]  # of the new models


def test_pocket_lists_the_steps_there_are(steps):
    assert f"no step 'cake'; the steps are: {', '.join(STEPS)}" in refusal("pocket", "cake")
    assert steps == []


def test_a_python_without_the_packages_is_told_which_one_to_use(tmp_path):
    """As `python3 -m stylegan2` outside of the environment: no traceback, and the command to use."""
    code = "import runpy, sys; sys.modules['typer'] = None; runpy.run_module('stylegan2', run_name='__main__')"
    environment = os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[2])}
    command = [sys.executable, "-c", f"import sys; sys.prefix = {str(tmp_path)!r}; {code}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert re.search(r"cannot run the course .*typer.*: (use .* -m stylegan2|run `make install`)", done.stderr)
