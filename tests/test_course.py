"""The Course object: scale, budgets, clear errors; and the pictures helpers."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from stylegan2 import course, display
from stylegan2.editing import latents
from stylegan2.networks import build


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty course."""
    for name in ("notebooks", "checkpoints/pocket"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.delenv("COURSE_SCALE", raising=False)
    monkeypatch.setenv("COURSE_BUDGET", "test")
    return tmp_path


def test_setup_finds_the_course_and_says_one_line(here, capsys):
    found = course.setup()
    assert found.root == here and found.scale == "pocket" and found.steps(course=100, test=3) == 3
    assert capsys.readouterr().out.count("\n") == 1


def test_unknown_scale_and_budget_list_the_right_ones(here, monkeypatch):
    with pytest.raises(ValueError, match="auto, pocket, full"):
        course.setup("huge")
    monkeypatch.setenv("COURSE_BUDGET", "lots")
    with pytest.raises(ValueError, match="course, test"):
        course.setup()


def test_outside_the_course(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(course.CourseError, match="notebooks/"):
        course.setup()


def test_missing_models_say_how_to_get_them(here):
    found = course.setup()
    with pytest.raises(course.CourseError, match="make pocket"):
        found.source()
    with pytest.raises(course.CourseError, match="there are: none"):
        found.target("baseline", "webtoon")
    with pytest.raises(course.CourseError, match="judge.pt"):
        _ = found.judge


def test_new_run_is_empty(here):
    found = course.setup()
    folder = found.new_run("x")
    folder.mkdir(parents=True)
    (folder / "old").touch()
    assert not found.new_run("x").exists()
    assert (folder.with_name("x.previous") / "old").exists()


def test_own_folder_becomes_a_dataset(here):
    for i in range(3):
        display.save(Image.new("RGB", (90, 70), (80 * i, 0, 0)), here / "mine" / f"{i}.png")
    found = course.setup()
    path = found.dataset(here / "mine")
    assert path == found.dataset(here / "mine")  # prepared once
    assert (path / "data.mdb").exists()


# ---------------------------------------------------------------------------------------------------------- pictures


def test_grid_and_rows_place_images():
    images = torch.stack([torch.full((3, 8, 8), v) for v in (-1.0, 0.0, 1.0)])
    sheet = display.grid(images, columns=2, gap=2)
    assert sheet.size == (18, 18)
    assert [sheet.getpixel(p) for p in ((0, 0), (12, 0), (0, 12), (12, 12))] == [
        (0,) * 3,
        (128,) * 3,
        (255,) * 3,
        (255,) * 3,
    ]
    assert display.rows({"a": images, "b": images}).height > 16


def test_uint8_passes_through_and_floats_are_clamped():
    whole = torch.arange(12, dtype=torch.uint8).reshape(1, 3, 2, 2)
    assert display.to_uint8(whole) is whole
    assert display.to_uint8(torch.tensor([-5.0, 5.0])).tolist() == [0, 255]


def test_save_is_atomic(tmp_path):
    path = display.save(Image.new("RGB", (4, 4), (9, 9, 9)), tmp_path / "new" / "a.png")
    with pytest.raises(ValueError):
        display.save(Image.new("F", (4, 4)), tmp_path / "new" / "a.png.nonsense")
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]


# ----------------------------------------------------------------------------------------------------------- latents


def test_one_seed_one_latent_whatever_the_batch():
    together = latents.z_from_seeds(16, [1, 2, 3])
    assert torch.equal(together[1:2], latents.z_from_seeds(16, [2]))
    assert latents.z_from_seeds(16, []).shape == (0, 16)


def test_loop_starts_at_keys_and_closes():
    keys = latents.ws_from_seeds(build(8, "pocket")[0], [1, 2, 3])
    ring = latents.loop(keys, frames=10)
    assert torch.equal(ring[::10], keys)
    steps = (ring - ring.roll(1, 0)).flatten(1).norm(dim=1)
    assert steps.max() < 0.3 * (keys[0] - keys[1]).norm()  # no jump anywhere, also not where it closes


def test_a_notebook_can_name_rendered_sets():
    """In a process of its own: here other tests have imported the renderer already."""
    code = "import stylegan2.course, stylegan2.data.sources as s; print(len(s.open_source('pocket:webtoon?n=3')))"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert done.stdout == "3\n", done.stderr
