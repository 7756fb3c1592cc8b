"""Work in parts that fit a GPU's memory: how many that are, that the results stay, and that errors give memory back."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny_clip import tiny_clip
from tiny_training import tiny_networks, tiny_trainer

from stylegan2 import losses, runtime
from stylegan2.cli import processes
from stylegan2.editing import free_threads, latents, projection
from stylegan2.editing.layer_swapping import compare, strip, swap_images
from stylegan2.editing.style_mixing import mix_images
from stylegan2.editing.styleclip import EditConfig, Optimisation
from stylegan2.metrics.image_sets import GeneratedImages

ROOT = Path(__file__).resolve().parents[1]
GIB = 2**30
LIMIT = 13.5  # GiB of a T4's 14.7: the rest is for the CUDA context, workspaces and fragmentation


def card(monkeypatch, free: float, kept: float = 0.0, used: float = 0.0, total: float = 14.7):
    """A GPU with so many GiB free, of which this process keeps `kept` and uses `used`."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (int(free * GIB), int(total * GIB)))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device=None: int(kept * GIB))
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device=None: int(used * GIB))


@pytest.fixture
def two_at_once(monkeypatch):
    """A device that has room for two of anything."""
    monkeypatch.setattr(runtime, "how_many_fit", lambda most, each, device: min(most, 2))


# --------------------------------------------------------------------------------------------------- how many fit


def test_a_cpu_computes_all_at_once_and_a_gpu_what_fits(monkeypatch):
    card(monkeypatch, free=10)
    assert runtime.how_many_fit(1000, GIB, torch.device("cpu")) == 1000
    assert runtime.how_many_fit(1000, GIB, torch.device("cuda")) == 6  # 60 % of 10
    assert runtime.how_many_fit(4, GIB, torch.device("cuda")) == 4
    assert runtime.how_many_fit(1000, 100 * GIB, torch.device("cuda")) == 1


def test_what_pytorch_keeps_without_using_it_counts_as_free(monkeypatch):
    card(monkeypatch, free=4, kept=9, used=3)
    assert runtime.free_memory(torch.device("cuda")) == 10 * GIB


@pytest.mark.parametrize(("count", "size", "ends"), [(5, 2, [2, 4, 5]), (4, 9, [4]), (0, 3, [0]), (2, 0, [1, 2])])
def test_slices_cover_everything_once(count, size, ends):
    parts = latents.slices(count, size)
    assert [part.stop for part in parts] == ends
    assert [i for part in parts for i in range(count)[part]] == list(range(count))


# ---------------------------------------------------------------------------------------------- the same results


def drawings() -> dict[str, torch.Tensor]:
    """What every function that draws many images at once makes of five codes."""
    (g, _), (other, _) = tiny_networks(seed=0), tiny_networks(seed=1)
    ws, noise = latents.ws_from_seeds(g, range(5)), latents.noise_from_seeds(g, range(5))
    return {
        "draw": latents.render(g, ws, noise),
        "random noise": latents.render(g, ws, torch.Generator().manual_seed(0), batch=4),
        "rgbs": latents.render_rgbs(g, ws)[4],
        "swapped": swap_images(g, other, ws, 8),
        "compared": compare(g, other, ws, 8),
        "strip": torch.cat([*strip(g, other, ws).values()]),
        "mixed": mix_images(g, ws[:2], ws, "2-3"),
        "set": torch.stack(GeneratedImages(g, 5).__getitems__(range(5))),
    }


def test_images_do_not_depend_on_the_parts(monkeypatch):
    whole, sizes = drawings(), []
    (g, _) = tiny_networks()
    synthesis, forward = type(g.synthesis), type(g.synthesis).stages
    monkeypatch.setattr(runtime, "how_many_fit", lambda most, each, device: min(most, 2))
    monkeypatch.setattr(synthesis, "stages", lambda s, ws, *rest: sizes.append(len(ws)) or forward(s, ws, *rest))
    for name, parts in drawings().items():
        torch.testing.assert_close(parts, whole[name], atol=1e-5, rtol=1e-4, msg=name)
    assert max(sizes) == 2


def nearness(images: torch.Tensor, target: list[torch.Tensor]) -> torch.Tensor:
    return (images - target[0]).abs().mean((1, 2, 3))


class Nearness(torch.nn.Module):
    """A perceptual distance of the simplest kind."""

    def of(self, images):
        return [images]

    def forward(self, images, target):
        return nearness(images, target)


def searched() -> list[torch.Tensor]:
    g, _ = tiny_networks()
    photos, looks = latents.render(g, latents.ws_from_seeds(g, range(7, 12))), Nearness()
    run = projection.Search(g, photos, looks, projection.ProjectConfig(steps=3, l2=0.1))
    rows = [run.step() for _ in range(3)]
    tuned = projection.tune(g, run.result(), photos, looks, steps=2)
    found = [run.codes.detach(), *tuned.synthesis.state_dict().values()]
    return [*found, torch.tensor([[row["loss"], row["psnr"]] for row in rows])]


def test_a_search_does_not_depend_on_the_parts(monkeypatch, request):
    whole = searched()
    request.getfixturevalue("two_at_once")
    for parts, expected in zip(searched(), whole, strict=True):
        torch.testing.assert_close(parts, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("together", [False, True])
def test_a_text_edit_does_not_depend_on_the_parts(monkeypatch, together):
    g, found = tiny_networks()[0].requires_grad_(False), []
    config = EditConfig("red hair", steps=3, layers="0-3", together=together, keep=1.0, patience=0)
    for most in (5, 2):
        monkeypatch.setattr(runtime, "how_many_fit", lambda wanted, each, device, most=most: min(wanted, most))
        run = Optimisation(g, tiny_clip(), latents.ws_from_seeds(g, range(5)), config)
        rows = [run.step() for _ in range(3)]
        found.append((run.codes.detach(), run.images, [row["loss"] for row in rows]))
    torch.testing.assert_close(found[1], found[0], atol=1e-3, rtol=1e-3)


def test_the_path_length_step_in_parts_has_the_gradient_of_one_part(tmp_path, monkeypatch):
    """It was computed in one part whatever `accumulate` said, and decided then how much memory a training takes."""
    found, sizes, lengths = {}, [], losses.path_lengths
    monkeypatch.setattr(losses, "path_lengths", lambda *args: sizes.append(len(args[0])) or lengths(*args))
    for parts in (1, 2, 4):
        trainer = tiny_trainer(tmp_path / str(parts), batch=8, pl_batch_shrink=1, accumulate=parts, augment="none")
        monkeypatch.setattr(trainer.g_optimiser, "step", lambda: None)
        sizes.clear()
        trainer._path_length_step(torch.Generator().manual_seed(0))
        assert max(sizes) == 8 // parts
        found[parts] = [p.grad for p in trainer.g_parameters if p.grad is not None], trainer.path_length.mean
    for parts in (2, 4):
        torch.testing.assert_close(found[parts], found[1], atol=1e-5, rtol=1e-4)


# -------------------------------------------------------------------------------------------------- out of memory


@pytest.mark.parametrize("where", ["generator_loss", "discriminator_loss", "path_lengths"])
def test_an_error_of_memory_frees_the_activations_and_the_notebook_can_go_on(tmp_path, monkeypatch, where):
    trainer, seen = tiny_trainer(tmp_path, images=32, pl_interval=1), []

    def full(*tensors):
        graph = [t for t in tensors if t.grad_fn is not None]
        seen.extend(weakref.ref(t) for t in graph)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    with monkeypatch.context() as patch:
        patch.setattr(losses, where, full)
        with pytest.raises(MemoryError, match="set accumulate=2") as kept:  # as a notebook keeps it
            trainer.run(progress=False)
    gc.collect()
    assert seen and all(ref() is None for ref in seen)
    assert all(p.grad is None for network in (trainer.g, trainer.d) for p in network.parameters())
    again = tiny_trainer(tmp_path, images=32, pl_interval=1, accumulate=2)
    again.run(progress=False)
    assert again.images_seen == 32 and kept.value is not None


# --------------------------------------------------------------------------------------------- a second process


def test_a_second_process_gets_what_the_kernel_does_not_use(monkeypatch, capsys):
    emptied = []
    card(monkeypatch, free=9, kept=5, used=5)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(True))
    monkeypatch.setattr(processes, "run_printing", lambda words, environment: (0, []))
    processes.launch(1, "train")
    assert emptied and "holds 5.0 of the GPU's 14.7 GiB, 9.0 are free" in capsys.readouterr().out
    card(monkeypatch, free=13, kept=1)
    processes.launch(1, "train")
    assert "holds" not in capsys.readouterr().out


def test_a_second_process_without_room_says_what_to_do(monkeypatch):
    card(monkeypatch, free=1, kept=12)
    said = ["error: not enough memory: lower --batch"]
    monkeypatch.setattr(processes, "run_printing", lambda words, environment: (2, said))
    with pytest.raises(RuntimeError, match="ended with 2: error: not enough memory.*`del` trainers"):
        processes.launch(1, "train")


# ---------------------------------------------------------------------------------------------------- true sizes

TRUE_SIZES = """
import json
import sys
sys.path.append("tests")
import fake_cuda
fake_cuda.install(dry=True)
import tempfile
import torch
from stylegan2.config import TrainConfig
from stylegan2.editing import latents, projection
from stylegan2.networks import build
from stylegan2.trainer import Trainer
from stylegan2.transfer import StructureLoss

found = {}

def count(name, compute):
    fake_cuda.peak_gib(reset=True)
    compute()
    found[name] = fake_cuda.peak_gib()

def train():
    networks = build(256, "config-f", seed=0)
    config = TrainConfig(tempfile.mkdtemp(), images=16, batch=16, precision="float16", pl_interval=1, r1_interval=1)
    real = torch.zeros(16, 3, 256, 256, dtype=torch.uint8)
    Trainer(config, real, *networks, methods=[StructureLoss()], device=torch.device("cuda")).train_step(real)

g = build(256, "config-f", seed=0)[0].to("cuda").requires_grad_(False)
ws = torch.zeros(200, g.num_ws, g.w_dim, device="cuda")
count("200 faces", lambda: latents.render_rgbs(g, ws))
photos = torch.zeros(40, 3, 256, 256, device="cuda")
near = type("Near", (torch.nn.Module,), {"of": lambda s, x: [x], "forward": lambda s, x, t: (x - t[0]).mean((1, 2, 3))})
count("40 photos", lambda: projection.Search(g, photos, near(), projection.ProjectConfig()).step())
count("an iteration", train)
print(json.dumps(found))
"""


def test_at_full_scale_many_faces_and_a_training_fit_a_t4():
    done = subprocess.run([sys.executable, "-c", TRUE_SIZES], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == 3 and max(found.values()) <= LIMIT, found


# ----------------------------------------------------------------------------------------------------- other programs
@pytest.mark.parametrize(("free", "threads"), [(1e9, 2), (2.0, 2), (1.5, 2), (1.0, 1), (0.2, 1)])
def test_a_panel_takes_the_threads_that_others_leave_cores_for(monkeypatch, free, threads):
    monkeypatch.setattr(free_threads, "free_cores", lambda: free)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with runtime.threads(free_threads.free_threads()):
            assert torch.get_num_threads() == threads
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_who_computes_for_long_watches_others_first(monkeypatch):
    did = []
    monkeypatch.setattr(free_threads, "free_cores", lambda: did.append("look") or 1.0)
    monkeypatch.setattr(free_threads.time, "sleep", did.append)
    assert free_threads.free_threads(look=0.1) == 1 and did == ["look", 0.1, "look"]


def test_free_cores_are_those_that_were_idle_or_ours(monkeypatch):
    """In half a second two cores were idle for 0.2 s and ours for 0.6: others had 0.2 of 1.0, so 1.6 were free."""
    looks = iter([(10.0, 100.0, 5.0), (10.05, 100.1, 5.0), (10.5, 100.2, 5.6)])
    monkeypatch.setattr(free_threads, "_cpu", {})
    for expected in (1e9, 1e9, 1.6):  # nothing to compare with, and a moment too short
        now, idle, own = next(looks)
        monkeypatch.setattr(free_threads.time, "monotonic", lambda now=now: now)
        monkeypatch.setattr(free_threads.psutil, "cpu_times", lambda idle=idle: SimpleNamespace(idle=idle))
        monkeypatch.setattr(free_threads.os, "times", lambda own=own: (own, 0.0, 0.0, 0.0, 0.0))
        assert free_threads.free_cores() == pytest.approx(expected)
