"""The trainer: exact resume after SIGKILL, Ctrl-C, snapshots and logs, errors, and that it learns at all."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from tiny_training import (
    Pictures,
    Trainer,
    random_pictures,
    tiny_config,
    tiny_networks,
    tiny_trainer,
)

from stylegan2 import checkpoints, files, runtime
from stylegan2 import trainer as trainer_module
from stylegan2.config import TrainConfig
from stylegan2.runs import RunLog, latest, read_log, snapshot_files
from stylegan2.trainer import Diverged
from stylegan2.transfer import FreezeD

# ------------------------------------------------------------------------------------------------------ exact resume

KILLED = {  # name -> (how the first process ends, what happens before the second)
    "between snapshots": ({"kill_before_step": 7}, {}),
    "before the first snapshot": ({"kill_before_step": 2}, {}),
    "while writing a snapshot": ({"kill_writing": 32}, {}),
    "from outside": ({"kill_after_snapshots": 2}, {}),
    "newest snapshot damaged": ({"kill_before_step": 10}, {"truncate": True}),
    "Ctrl-C": ({"interrupt_in_step": 6}, {}),
}
WHOLE = "whole run"


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[Path, dict[str, list[int]]]:
    """An uninterrupted run, and runs that were stopped in every way of KILLED and resumed, each in its own processes.

    Returns the folder with all of them, and the exit codes by name.
    """
    folder = tmp_path_factory.mktemp("runs")
    settings = {"blur_sigma": 1.0, "blur_images": 24}  # so noise begins to learn between two snapshots
    jobs = [{"out": str(folder / WHOLE), "settings": settings}]
    for name, (first, second) in KILLED.items():
        out = {"out": str(folder / name), "settings": settings}
        jobs += [out | first, out | second]
    (folder / "jobs.json").write_text(json.dumps(jobs))
    helper = Path(__file__).with_name("tiny_training.py")
    root = helper.parent.parent
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, helper, folder / "jobs.json"], env=environment, capture_output=True, text=True, timeout=800
    )
    assert done.returncode == 0, done.stderr
    codes: dict[str, list[int]] = {}
    for job, code in zip(jobs, json.loads(done.stdout), strict=True):
        codes.setdefault(Path(job["out"]).name, []).append(code)
    return folder, codes


def differences(a, b, where: str = "") -> list[str]:
    """Places where two nests of dicts, lists, tensors and plain values differ, by a single bit."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return [] if a.dtype == b.dtype and torch.equal(a, b) else [where]
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        return [place for key in a for place in differences(a[key], b[key], f"{where}/{key}")]
    if isinstance(a, list | tuple) and isinstance(b, list | tuple) and len(a) == len(b):
        return [place for i in range(len(a)) for place in differences(a[i], b[i], f"{where}/{i}")]
    return [] if a == b else [where]


def state_of(run: Path) -> dict:
    """Everything in the newest snapshot of a run."""
    found = checkpoints.load(snapshot_files(run)[-1])
    networks = {name: getattr(found, name).state_dict() for name in ("g", "d", "g_ema")}
    return networks | {"training": found.training, "meta": found.meta}


def test_differences_sees_a_single_bit():
    a = {"x": [torch.zeros(3), {"y": 0.5}]}
    b = {"x": [torch.tensor([0, 0, 1e-30]), {"y": 0.5 + 2**-53}]}
    assert differences(a, a) == [] and differences(a, b) == ["/x/0", "/x/1/y"] and differences(a, {}) == [""]


def test_the_whole_run_does_what_the_resumed_ones_have_to_repeat(runs):
    folder, codes = runs
    assert codes[WHOLE] == [0], (folder / f"{WHOLE}.txt").read_text()
    state = state_of(folder / WHOLE)
    assert state["meta"]["images"] == 64 and state["training"]["step"] == 16
    assert len({row["augment_p"] for row in read_log(folder / WHOLE / "log.csv")}) > 1  # the augmentation adapted
    assert state["training"]["path_length_mean"] > 0
    again = tiny_trainer(folder / "untouched")
    assert not torch.equal(state["g"]["synthesis.blocks.8.conv1.weight"], again.g.synthesis.blocks["8"].conv1.weight)


@pytest.mark.parametrize("name", KILLED)
def test_resumed_run_is_bit_for_bit_the_uninterrupted_one(runs, name):
    folder, codes = runs
    how = KILLED[name][0]
    first, second = codes[name]
    assert first == (0 if "interrupt_in_step" in how else -9)
    assert second == 0, (folder / f"{name}.txt").read_text()
    assert differences(state_of(folder / WHOLE), state_of(folder / name)) == []


@pytest.mark.parametrize("name", KILLED)
def test_log_has_every_line_once(runs, name):
    folder, _ = runs
    whole, resumed = (read_log(folder / run / "log.csv") for run in (WHOLE, name))
    assert [row["images"] for row in whole] == [12, 24, 36, 48, 60, 64]
    for row in whole + resumed:
        assert row.pop("images_per_second") > 0
    assert resumed == whole


@pytest.mark.parametrize("name", KILLED)
def test_sample_pictures_and_snapshots_are_those_of_the_uninterrupted_run(runs, name):
    folder, _ = runs
    pictures = {path.name: path.read_bytes() for path in sorted((folder / WHOLE / "samples").iterdir())}
    assert list(pictures) == ["000000000.png", "000000024.png", "000000048.png", "000000064.png"]
    assert {path.name: path.read_bytes() for path in (folder / name / "samples").iterdir()} == pictures
    left = sorted(path.name for path in (folder / name / "snapshots").iterdir())  # no unfinished files either
    assert left == ["000000032.pt", "000000048.pt", "000000064.pt"]


def test_a_damaged_snapshot_is_passed_over_with_a_warning(runs):
    folder, _ = runs
    said = (folder / "newest snapshot damaged.txt").read_text()
    assert "passing over a snapshot that cannot be read" in said and "000000032.pt" in said
    assert "passing over" not in (folder / "between snapshots.txt").read_text()


def test_moments_stored_in_another_memory_layout_mean_the_same(tmp_path):
    """Adam's fused step walks through memory: moments must lie as their parameter does."""
    ours, theirs = tiny_trainer(tmp_path / "a"), tiny_trainer(tmp_path / "b")
    real = torch.randint(256, (4, 3, 8, 8), dtype=torch.uint8)
    ours.train_step(real)
    state = copy.deepcopy(ours.d_optimiser.state_dict())
    for moments in state["state"].values():
        moments.update({name: value.contiguous() for name, value in moments.items()})
    theirs.d.load_state_dict(ours.d.state_dict())
    trainer_module._load_moments(theirs.d_optimiser, state)
    for a, b in zip(ours.d_parameters, theirs.d_parameters, strict=True):
        a.grad, b.grad = torch.ones_like(a), torch.ones_like(b)
    ours.d_optimiser.step()
    theirs.d_optimiser.step()
    assert all(map(torch.equal, ours.d_parameters, theirs.d_parameters))


def test_ctrl_c_saves_where_it_stopped(runs):
    folder, codes = runs
    assert codes["Ctrl-C"] == [0, 0]
    assert "stopping after this iteration and saving" in (folder / "Ctrl-C.txt").read_text()


def test_stopping_saves_and_another_run_of_the_same_trainer_goes_on(tmp_path):
    trainer = tiny_trainer(tmp_path, images=32, log_images=4)
    trainer.run(on_log=lambda t, values: t.stop() if t.step == 3 else None, progress=False)
    assert trainer.step == 3 and latest(tmp_path).name == "000000012.pt"
    trainer.run(progress=False)
    uninterrupted = tiny_trainer(tmp_path / "other", images=32)
    uninterrupted.run(progress=False)
    assert trainer.step == 8
    assert differences(trainer.g_ema.state_dict(), uninterrupted.g_ema.state_dict()) == []


def test_a_finished_run_ends_at_once_and_can_be_made_longer(tmp_path):
    tiny_trainer(tmp_path / "a", images=16).run(progress=False)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "a" / "snapshots").iterdir()}
    again = tiny_trainer(tmp_path / "a", images=16)
    again.run(progress=False)
    assert again.step == 4 and before == {p: p.stat().st_mtime_ns for p in (tmp_path / "a" / "snapshots").iterdir()}
    tiny_trainer(tmp_path / "a", images=32).run(progress=False)
    tiny_trainer(tmp_path / "b", images=32).run(progress=False)
    longer, whole = state_of(tmp_path / "a"), state_of(tmp_path / "b")
    assert differences(longer["g_ema"], whole["g_ema"]) == [] and longer["training"]["step"] == 8


def test_a_finished_fine_tuning_made_longer_keeps_the_half_life_it_began_with(tmp_path):
    """G and D are those of a run that was as long from the start; the averaged G that of the first run's half-life."""
    for images in (16, 24, 40):  # made longer twice
        tiny_trainer(tmp_path / "a", images=images, fine_tune=True).run(progress=False)
    tiny_trainer(tmp_path / "b", images=40, fine_tune=True).run(progress=False)
    tiny_trainer(tmp_path / "c", images=40, fine_tune=True, ema_images=4).run(progress=False)  # 16 / 4
    longer, whole, same = (state_of(tmp_path / name) for name in "abc")
    for part in ("g", "d"):
        assert differences(longer[part], whole[part]) == []
    assert differences(longer["g_ema"], whole["g_ema"]) != []
    assert differences(longer["g_ema"], same["g_ema"]) == []
    assert (
        longer["training"]["begun_as"] == 16
        and json.loads((tmp_path / "a" / "config.json").read_text())["images"] == 40
    )


def test_a_shorter_run_than_what_is_done_is_refused_and_nothing_changes(tmp_path):
    tiny_trainer(tmp_path, images=18).run(progress=False)  # batches of 4: 20 are shown
    tiny_trainer(tmp_path, images=18).run(progress=False)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match="trained on 20 images already, more than images=16: nothing was done"):
        tiny_trainer(tmp_path, images=16).run(progress=False)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


# ------------------------------------------------------------------------------------------- snapshots, samples, logs


def test_only_the_newest_snapshots_are_kept_and_unfinished_ones_removed(tmp_path):
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "snapshots" / ".000000008.pt.part").write_bytes(b"left by a kill")
    tiny_trainer(tmp_path, images=40, snapshot_images=8, keep=2).run(progress=False)
    assert sorted(p.name for p in (tmp_path / "snapshots").iterdir()) == ["000000032.pt", "000000040.pt"]


def test_a_failing_save_leaves_the_old_snapshot_and_nothing_else(tmp_path, monkeypatch):
    trainer = tiny_trainer(tmp_path, images=8)
    trainer.run(progress=False)
    before = (tmp_path / "snapshots" / "000000008.pt").read_bytes()
    trainer.path_length.mean = torch.tensor(3.0)
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        trainer.save()
    assert [p.name for p in (tmp_path / "snapshots").iterdir()] == ["000000008.pt"]
    assert (tmp_path / "snapshots" / "000000008.pt").read_bytes() == before


def test_latest_is_none_without_a_readable_snapshot(tmp_path):
    assert latest(tmp_path) is None
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "snapshots" / "000000008.pt").write_bytes(b"PK\x03\x04 half a file")
    with pytest.warns(UserWarning, match="000000008.pt"):
        assert latest(tmp_path) is None


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_every_precision_stays_finite_and_are_recorded(tmp_path, precision):
    trainer = tiny_trainer(tmp_path, images=32, precision=precision)
    trainer.run(progress=False)
    for network in (trainer.g, trainer.d, trainer.g_ema):
        assert all(t.isfinite().all() and t.dtype == torch.float32 for t in network.state_dict().values())
    assert checkpoints.load(latest(tmp_path)).info["precision"] == precision
    rows = read_log(tmp_path / "log.csv")
    assert all(abs(row["loss_g"]) < 50 and abs(row["loss_d"]) < 50 for row in rows)


@pytest.mark.parametrize(
    ("capability", "expected"),
    [((6, 1), torch.float32), ((7, 5), torch.float16), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)],
)
def test_the_precision_of_a_gpu_is_what_it_is_fast_in(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert runtime.pick_dtype("auto", torch.device("cuda")) == expected
    assert runtime.pick_dtype("float32", torch.device("cuda")) == torch.float32


def test_float16_gradients_that_grew_too_large_do_not_end_the_run(tmp_path, monkeypatch):
    trainer = tiny_trainer(tmp_path, precision="float16")
    first = trainer.d_parameters[0]
    first.register_hook(lambda grad: grad * float("inf"))
    trainer.run(progress=False)
    assert first.isfinite().all() and trainer.step == trainer.config.steps


def test_resuming_in_another_precision_warns(tmp_path):
    tiny_trainer(tmp_path, images=8, precision="auto").run(progress=False)
    path = latest(tmp_path)
    found = checkpoints.load(path)
    other = {"float32": "bfloat16", "bfloat16": "float32"}[found.info["precision"]]
    meta = found.meta | {"precision": other}
    checkpoints.save(path, g_ema=found.g_ema, g=found.g, d=found.d, meta=meta, training=found.training)
    with pytest.warns(UserWarning, match=f"a run begun in {other}"):
        assert tiny_trainer(tmp_path, images=8, precision="auto").resume()


def test_odd_batches_and_even_single_images_train(tmp_path):
    for batch in (1, 5, 7):
        trainer = tiny_trainer(tmp_path / str(batch), images=3 * batch, batch=batch)
        trainer.run(progress=False)
        assert all(p.isfinite().all() for p in [*trainer.g.parameters(), *trainer.d.parameters()])


def test_samples_show_the_same_latents_and_callbacks_are_called(tmp_path):
    seen, logged = [], []
    trainer = tiny_trainer(tmp_path, images=48)
    trainer.run(lambda t, v: logged.append((t.images_seen, v)), lambda t, x: seen.append((t.images_seen, x)), False)
    assert [images for images, _ in seen] == [0, 24, 48] and seen[0][1].shape == (3, 3, 8, 8)
    assert [images for images, _ in logged] == [row["images"] for row in read_log(tmp_path / "log.csv")]
    assert {"loss_g", "loss_d", "augment_p", "r_t", "images_per_second"} <= logged[0][1].keys()
    torch.testing.assert_close(trainer.sample(), seen[-1][1], rtol=0, atol=0)


def test_resuming_does_not_touch_the_global_random_state(tmp_path):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    tiny_trainer(tmp_path, images=8).run(progress=False)
    assert torch.equal(torch.get_rng_state(), before)


def test_log_drops_what_will_be_done_again_and_an_unfinished_line(tmp_path):
    log = RunLog(tmp_path)
    for images in (400, 800, 1200):
        log.write(images, {"loss_g": images / 3, "loss_d": 1e-7, "not a column": 1.0})
    with open(log.path, "a") as file:
        file.write("1600,0.1")
    text = log.path.read_text().splitlines()
    RunLog(tmp_path, images_seen=800)
    assert log.path.read_text().splitlines() == text[:3]
    assert read_log(log.path) == [
        {"images": 400, "loss_g": 133.333, "loss_d": 1e-7},
        {"images": 800, "loss_g": 266.667, "loss_d": 1e-7},
    ]
    assert read_log(tmp_path / "none.csv") == []


# ------------------------------------------------------------------------------------------------------------ errors


def test_too_small_a_dataset_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match="3 images, fewer than one batch of 4"):
        Trainer(tiny_config(tmp_path / "run"), random_pictures(3), *tiny_networks())
    assert not (tmp_path / "run").exists()


def test_resolutions_must_agree(tmp_path):
    with pytest.raises(ValueError, match="generator 8 px, discriminator 8 px, dataset 16 px; prepare .* at 8 px"):
        Trainer(tiny_config(tmp_path), random_pictures(resolution=16), *tiny_networks(8))
    with pytest.raises(ValueError, match="generator 16 px, discriminator 8 px"):
        Trainer(tiny_config(tmp_path), random_pictures(resolution=16), tiny_networks(16)[0], tiny_networks(8)[1])


def test_another_run_in_the_same_folder_is_refused_by_name(tmp_path):
    tiny_trainer(tmp_path, images=16).run(progress=False)
    with pytest.raises(ValueError, match=r"lr: 0.0025 then, 0.01 now.*another folder"):
        tiny_trainer(tmp_path, images=16, lr=0.01).run(progress=False)
    with pytest.raises(ValueError, match=r"a different frozen parameters \(0 then, 7 now\)"):
        tiny_trainer(tmp_path, [FreezeD(8)], images=16).run(progress=False)
    with pytest.raises(ValueError, match=r"another run, with a different generator and a different discriminator"):
        Trainer(tiny_config(tmp_path, images=16), random_pictures(), *tiny_networks(width=4)).run(progress=False)
    with pytest.raises(ValueError, match=r"a different dataset \(10 images then, 12 now\)"):
        Trainer(tiny_config(tmp_path, images=16), random_pictures(12), *tiny_networks()).run(progress=False)
    tiny_trainer(tmp_path, images=24, keep=1, log_images=4, workers=0).run(progress=False)  # these may change


def test_a_setting_that_an_older_version_did_not_have_counts_as_its_default(tmp_path):
    tiny_trainer(tmp_path, images=8).run(progress=False)
    older = {k: v for k, v in json.loads((tmp_path / "config.json").read_text()).items() if k != "blur_sigma"}
    (tmp_path / "config.json").write_text(json.dumps(older))
    assert tiny_trainer(tmp_path, images=8).resume()
    with pytest.raises(ValueError, match="blur_sigma: 0.0 then, 1.0 now"):
        tiny_trainer(tmp_path, images=8, blur_sigma=1.0).resume()
    (tmp_path / "config.json").write_text("{half")
    with pytest.raises(ValueError, match="config.json' is not readable as JSON"):
        tiny_trainer(tmp_path, images=8).resume()


def test_settings_may_change_before_the_first_snapshot(tmp_path):
    tmp_path.joinpath("config.json").write_text(json.dumps(tiny_config(tmp_path, lr=0.01).to_json()))
    trainer = tiny_trainer(tmp_path, images=8)
    assert not trainer.resume()
    trainer.run(progress=False)
    assert json.loads((tmp_path / "config.json").read_text())["lr"] == 0.0025


def test_a_model_without_training_state_cannot_be_resumed(tmp_path):
    g, d = tiny_networks()
    checkpoints.save(tmp_path / "snapshots" / "000000016.pt", g_ema=g, g=g, d=d)
    with pytest.raises(checkpoints.CheckpointError, match="without training state"):
        tiny_trainer(tmp_path).run(progress=False)


@pytest.mark.parametrize("entry", ["averages", "dataset_length"])
def test_a_snapshot_of_another_version_says_so(tmp_path, entry):
    tiny_trainer(tmp_path).run(progress=False)
    path = latest(tmp_path)
    content = files.read(path)
    del content["training"][entry]
    files.write(path, content)
    with pytest.raises(checkpoints.CheckpointError, match=f"no entry '{entry}': it was written by another version"):
        tiny_trainer(tmp_path, images=10**6).run(progress=False)


WRONG = [
    ("images", 0), ("images", 1.5), ("images", "many"), ("batch", 0), ("batch", True), ("seed", -1), ("lr", -1.0),
    ("lr", float("nan")), ("lr", float("inf")), ("r1_gamma", -1.0), ("r1_interval", 0), ("pl_weight", -2.0),
    ("pl_interval", 0), ("pl_batch_shrink", 0), ("pl_decay", 2.0), ("style_mixing", 1.1), ("ema_images", -1),
    ("accumulate", 0), ("blur_sigma", -1.0), ("blur_images", -1), ("reuse_fakes", 1),
    ("ema_rampup", -0.1), ("augment", "sometimes"), ("augment_pipe", "xyz"), ("augment_p", 1.5),
    ("augment_target", 1.0), ("augment_interval", 0), ("augment_images", 0), ("mirror", 1), ("workers", -1),
    ("precision", "float8"), ("snapshot_images", 0), ("keep", 0), ("sample_images", 0), ("sample_rows", 0),
    ("sample_columns", 0), ("log_images", 0), ("tensorboard", "yes"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), WRONG)
def test_a_wrong_setting_names_itself(field, value):
    with pytest.raises(ValueError, match=rf"^{field} is .*expected"):
        TrainConfig(out="run", **{field: value})


def test_every_setting_is_checked():
    unchecked = {"out", "fine_tune"}  # any path, any truth value
    assert {field for field, _ in WRONG} | unchecked == {field.name for field in dataclasses.fields(TrainConfig)}
    TrainConfig(out=Path("run"), r1_gamma=1, ema_rampup=None)  # whole numbers for floats, None where it means default


def test_defaults_follow_the_papers():
    config = TrainConfig(out="run", batch=32)
    assert config.r1_weight(256) == pytest.approx(2e-4 * 256**2 / 32)  # ADA's heuristic
    assert config.augment_length == 500_000 and TrainConfig(out="run", fine_tune=True).augment_length == 100_000
    assert TrainConfig(out="run", images=100, batch=16).steps == 7  # at least 100 images


# ------------------------------------------------------------------------------------------------------------------ NaN


def poison(at: int):
    """An `on_log` that breaks one number of G after so many images."""

    def on_log(trainer, values) -> None:
        if trainer.images_seen == at:
            with torch.no_grad():
                trainer.g.mapping.layers[0].weight[0, 0] = float("nan")

    return on_log


def test_what_becomes_nan_is_noticed_and_undone(tmp_path):
    trainer = tiny_trainer(tmp_path, snapshot_images=16, log_images=8, augment="none")
    with pytest.raises(Diverged, match=r"loss_g.* within the last 8 of 32 images; .*those of 16 .*--source"):
        trainer.run(on_log=poison(24), progress=False)
    assert trainer.images_seen == 16 and all(p.isfinite().all() for p in trainer.g.parameters())
    assert [path.stem for path in snapshot_files(tmp_path)] == ["000000016"]
    assert all(math.isfinite(v) for row in read_log(tmp_path / "log.csv") for v in row.values())
    again = tiny_trainer(tmp_path, snapshot_images=16, log_images=8, augment="none")
    assert again.resume() and again.images_seen == 16
    again.run(progress=False)
    assert again.images_seen == 64


def test_out_of_memory_names_the_setting_and_the_run_goes_on_with_it(tmp_path, monkeypatch):
    trainer = tiny_trainer(tmp_path, images=32, snapshot_images=8)
    step = trainer.train_step

    def full(real):
        if trainer.step == 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        step(real)

    monkeypatch.setattr(trainer, "train_step", full)
    with pytest.raises(MemoryError, match="a batch of 4: set accumulate=2"):
        trainer.run(progress=False)
    again = tiny_trainer(tmp_path, images=32, snapshot_images=8, accumulate=2)
    again.run(progress=False)
    assert again.step == 8


def test_nan_never_gets_into_a_snapshot(tmp_path):
    trainer = tiny_trainer(tmp_path)
    with torch.no_grad():
        trainer.d.head.out.weight[0, 0] = float("inf")
    with pytest.raises(Diverged, match="D became NaN or infinite.*nothing was saved before"):
        trainer.save()
    assert not snapshot_files(tmp_path)


# ---------------------------------------------------------------------------------------------------------- learning


def test_gradients_of_one_network_never_move_the_other(tmp_path):
    trainer = tiny_trainer(tmp_path)
    rng, real = torch.Generator().manual_seed(0), torch.rand(4, 3, 8, 8) * 2 - 1
    before = [p.clone() for p in trainer.g.parameters()]
    trainer._discriminator_step([real], [fakes.images.detach() for fakes in trainer._fakes(4, rng)], rng)
    trainer._r1_step([real], rng)
    assert all(map(torch.equal, before, trainer.g.parameters())) and all(p.grad is None for p in trainer.g.parameters())
    before = [p.clone() for p in trainer.d.parameters()]
    gradients = [None if p.grad is None else p.grad.clone() for p in trainer.d.parameters()]
    trainer._generator_step(trainer._fakes(4, rng), rng)
    trainer._path_length_step(rng)
    assert all(map(torch.equal, before, trainer.d.parameters()))
    assert differences(gradients, [p.grad for p in trainer.d.parameters()]) == []
    assert all(p.requires_grad for p in trainer.d.parameters())


def test_reused_fakes_are_those_that_the_discriminator_saw(tmp_path, monkeypatch):
    """One pass of the generator an iteration, and G's gradient is the same as if it had drawn these images itself."""
    trainer = tiny_trainer(tmp_path, reuse_fakes=True, pl_weight=0.0)
    drawn, seen = [], {}
    fakes, d_step, g_step = trainer._fakes, trainer._discriminator_step, trainer._generator_step
    monkeypatch.setattr(trainer, "_fakes", lambda *args, **options: drawn.append(fakes(*args, **options)) or drawn[-1])
    monkeypatch.setattr(trainer, "_discriminator_step", lambda r, f, rng: seen.update(d=f[0]) or d_step(r, f, rng))
    monkeypatch.setattr(trainer, "_generator_step", lambda f, rng: seen.update(g=f[0].images) or g_step(f, rng))
    before = [p.clone() for p in trainer.g.parameters()]
    trainer.train_step(torch.randint(256, (4, 3, 8, 8), dtype=torch.uint8))
    assert len(drawn) == 1 and torch.equal(seen["d"], seen["g"])
    assert not seen["d"].requires_grad and seen["g"].requires_grad
    moved = [not torch.equal(a, b) for a, b in zip(before, trainer.g.parameters(), strict=True)]
    assert sum(moved) > len(moved) / 2


def test_training_moves_the_mean_colour_to_that_of_the_data(tmp_path):
    colour = torch.tensor([200.0, 90.0, 30.0])
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(64, 3, 8, 8, generator=rng) * 20
    data = Pictures((colour[:, None, None] + noise).clamp(0, 255).to(torch.uint8))
    config = tiny_config(
        tmp_path, images=800, batch=8, lr=0.02, r1_gamma=0.1, augment="none", pl_weight=0.0, ema_images=100,
        snapshot_images=10**6, sample_images=10**6, log_images=400,
    )  # fmt: skip
    trainer = Trainer(config, data, *tiny_networks())
    target = colour / 127.5 - 1

    def distance() -> float:
        return (trainer.sample().mean((0, 2, 3)) - target).abs().max().item()

    before = distance()
    trainer.run(progress=False)
    after = distance()
    assert before > 0.5 and after < 0.2, (before, after)


def test_fine_tuning_starts_from_the_average_it_is_given(tmp_path):
    (g, d), (average, _) = tiny_networks(seed=0), tiny_networks(seed=1)
    trainer = Trainer(tiny_config(tmp_path, fine_tune=True), random_pictures(), g, d, g_ema=average)
    assert differences(dict(trainer.g_ema.named_parameters()), dict(average.named_parameters())) == []
    assert trainer.g_ema is not average and not any(p.requires_grad for p in trainer.g_ema.parameters())


def test_tensorboard_events_are_written_if_asked_for(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tiny_trainer(tmp_path, images=16, tensorboard=True).run(progress=False)
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_two_threads_give_the_same_bits_every_time(tmp_path):
    """Some of PyTorch's operations add up in the order in which threads arrive; a training must not use these."""
    source = checkpoints.load(Path(__file__).parents[1] / "checkpoints" / "pocket" / "photo.pt")
    found, threads = [], torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for run in "ab":
            numbers = {"images": 24, "batch": 8, "snapshot_images": 10**6, "sample_images": 10**6}
            config = TrainConfig(tmp_path / run, precision="float32", workers=0, fine_tune=True, **numbers)
            trainer = trainer_module.Trainer.fine_tune(
                config, random_pictures(32, 128), source, [], torch.device("cpu")
            )
            found.append(trainer.run(progress=False))
    finally:
        torch.set_num_threads(threads)
    first, second = (dict(g.named_parameters()) for g in found)
    assert all(torch.equal(first[name], second[name]) for name in first)
