"""`make pocket` in small: all steps but the judge, resumed in the middle, with the numbers they report."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from stylegan2 import checkpoints, recipe
from stylegan2.training import snapshots

SHIPPED = Path(__file__).resolve().parents[1] / "checkpoints" / "pocket"


def test_training_seconds_add_up_over_interruptions(tmp_path):
    (tmp_path / "log.csv").write_text("images,images_per_second\n400,20\n800,40\n")
    assert recipe.training_seconds(tmp_path) == 30


def test_prune_keeps_what_was_just_written(tmp_path):
    folder = tmp_path / "snapshots"
    folder.mkdir()
    for images in (1, 2, 3, 45, 50):  # 45 and 50 were damaged, the run went back and wrote 3
        (folder / f"{images:09d}.pt").touch()
    snapshots.prune(tmp_path, keep=2, images=3)
    assert [int(path.stem) for path in snapshots.snapshot_files(tmp_path)] == [2, 3]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The recipe's steps at a few images each, the source's long run stopped half-way and gone on with."""
    folder = tmp_path_factory.mktemp("recipe")
    lengths = {"warmup_images": 16, "photo_images": 48, "curve_images": 32, "webtoon_images": 32}
    small = recipe.Recipe(folder / "shipped", folder / "work", photo_faces=32, **lengths)
    small.shipped.mkdir()
    (small.shipped / "judge.pt").write_bytes((SHIPPED / "judge.pt").read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recipe, "REPORT_FACES", 40)
        recipe.make_photo(replace(small, photo_images=32))
        recipe.make_photo(small)  # goes on from 32
        recipe.make_webtoon(small)
        recipe.make_report(small)
    return small


def test_models_say_what_they_are(made):
    photo, webtoon = (checkpoints.load(made.path(name)) for name in ("photo", "webtoon_baseline"))
    assert photo.info["images"] == 16 + 48 and photo.info["seconds"] >= 0 and photo.d is not None
    assert webtoon.info["images"] == 32 and webtoon.d is None
    assert "D.from_rgb.weight" in webtoon.info["frozen"] and photo.info["frozen"] == []


def test_frozen_layers_of_the_baseline_are_the_sources(made):
    photo = checkpoints.load(made.path("photo"))
    run = checkpoints.load(snapshots.snapshot_files(made.work / "webtoon_baseline")[-1])
    before, after = photo.d.state_dict(), run.d.state_dict()
    frozen = {name.removeprefix("D.") for name in run.info["frozen"]}
    assert all((before[name] == after[name]).all() for name in frozen)
    assert any((before[name] != after[name]).any() for name in before.keys() - frozen)


def test_report_has_numbers_beside_their_floor_and_ceiling(made):
    report = json.loads((made.shipped / "report.json").read_text())
    for name in ("photo", "webtoon_baseline"):
        distance = report[name]["pocket_distance"]
        assert distance["floor"] < distance["ceiling"] and distance["value"] > distance["floor"]
    assert [point["images"] for point in report["photo"]["curve"]] == [16, 16 + 32, 16 + 48]
    assert all(point["pocket distance"] > 1 for point in report["photo"]["curve"])
    for same in ("w", "z"):
        assert report["webtoon_baseline"][f"landmark_error_same_{same}"]["value"] >= 0


def test_pictures_are_there(made):
    names = {path.name for path in made.shipped.glob("*.jpg")}
    assert names == {"photo.jpg", "photo_curve.jpg", "photo_timeline.jpg", "pairs.jpg", "domains.jpg", "worlds.jpg"} | {
        "webtoon_baseline.jpg",
        "webtoon_baseline_timeline.jpg",
    }
