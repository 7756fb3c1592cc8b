"""`make pocket` in small: all steps but the judge, resumed in the middle, with the numbers they report."""

import json
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import pytest
import torch

from stylegan2 import checkpoints, networks, runs
from stylegan2.editing.encoder import load_encoder
from stylegan2.layers import widths
from stylegan2.pocket import recipe, world
from stylegan2.pocket.nets import clip_training, teaching
from stylegan2.pocket.nets.clip_training import ClipConfig
from stylegan2.pocket.nets.detector_training import DetectorConfig
from stylegan2.pocket.nets.encoder_training import EncoderConfig
from stylegan2.pocket.nets.growing import GrowConfig
from stylegan2.pocket.nets.teaching import MappingConfig, TeachingConfig
from stylegan2.pocket.studies import forgetting, hints, scoreboard, text_edits
from stylegan2.pocket.studies.methods import named
from stylegan2.pocket.studies.projection import ROUTES, compare_routes
from stylegan2.published.clip_model import ClipModel

SHIPPED = Path(__file__).resolve().parents[1] / "checkpoints" / "pocket"


def test_prune_keeps_what_was_just_written(tmp_path):
    folder = tmp_path / "snapshots"
    folder.mkdir()
    for images in (1, 2, 3, 45, 50):  # 45 and 50 were damaged, the run went back and wrote 3
        (folder / f"{images:09d}.pt").touch()
    runs.prune(tmp_path, keep=2, images=3)
    assert [int(path.stem) for path in runs.snapshot_files(tmp_path)] == [2, 3]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The recipe's steps at a few images each, the long run of `half` stopped half-way and gone on with."""
    folder = tmp_path_factory.mktemp("recipe")
    lengths = {"half_faces": 64, "warmup_images": 16, "long_images": 48, "large_images": 128}
    lengths |= {
        "teaching": TeachingConfig(images=32, batch=8, faces=24, held_out=8),
        "growing": GrowConfig(images=32),
    }
    lengths |= {"mapping": MappingConfig(images=20_000, faces=4_000, batch=1_000, held_out=200)}
    lengths |= {"photo_faces": 64, "target_images": 32, "moments": (16, 48)}
    lengths |= {"clip": ClipConfig(images=512, own_faces=12, cross_faces=2), "text_faces": 2}
    lengths |= {"encoder": EncoderConfig(images=32, faces=8), "route_images": 2}
    lengths |= {"detector": DetectorConfig(images=16, pages=1, held_out=1)}
    small = recipe.Recipe(folder / "shipped", folder / "work", webtoon_seeds=(0, 1), device="cpu", **lengths)
    small.shipped.mkdir()
    (small.shipped / "judge.pt").write_bytes((SHIPPED / "judge.pt").read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        for module in (networks, teaching):
            patch.setattr(module, "widths", lambda resolution, *_: widths(resolution, 512, 16))  # 4 channels at 128 px
        patch.setattr(recipe, "REPORT_FACES", 40)
        patch.setattr(recipe, "SHIPPED", {"webtoon": ("baseline", "freeze-sg")})
        patch.setattr(scoreboard, "METHODS", {name: scoreboard.METHODS[name] for name in ("baseline", "freeze-sg")})
        patch.setattr(scoreboard, "sweep_study", lambda seeds: [])
        recipe.make_half(replace(small, long_images=32, large_images=64))
        for name in ("half", "half_long"):
            (small.work / f"{name}.pt").unlink()
        recipe.make_half(small)  # goes on from 32, and from 64 of the last run
        recipe.make_taught(small)
        recipe.make_photo(small)
        recipe.make_targets(small)
        patch.setattr(forgetting, "AGAIN", ("baseline",))
        recipe.make_forgetting(small)
        patch.setattr(text_edits, "PROMPTS", text_edits.PROMPTS[:2])
        patch.setattr(text_edits, "run", partial(text_edits.run, learn=range(2)))
        patch.setattr(clip_training, "measure_retrieval", partial(clip_training.measure_retrieval, rounds=1))
        patch.setattr(clip_training, "measure_twins", partial(clip_training.measure_twins, count=48))
        recipe.make_clip(small)
        recipe.make_edits(small)
        recipe.make_encoder(small)
        way = replace(hints.WAYS["one drawing"], iterations=1)
        patch.setattr(hints, "WAYS", {"one drawing": way})  # a sentence needs a CLIP that learnt its words
        recipe.make_scoreboard(small)
        patch.setattr(recipe.routes, "compare_routes", partial(compare_routes, steps=2, refine_steps=2, tune_steps=2))
        recipe.make_routes(small)
        recipe.make_detector(small)
        recipe.make_report(small)
    return small


def test_models_say_what_they_are(made):
    photo, webtoon = (checkpoints.load(made.path(name)) for name in ("photo", "webtoon_freeze-sg"))
    half = checkpoints.load(made.work / "half.pt")
    assert half.info["images"] == 16 + 48 + 128 and half.g is not None and half.d.resolution == world.SIZE // 2
    assert photo.info["images"] == 32
    assert photo.d is not None and photo.g is None  # fine-tuning starts from the averaged generator
    assert webtoon.info["images"] == 32 and webtoon.d is None
    assert "D.from_rgb.weight" in webtoon.info["frozen"] and photo.info["frozen"] == []
    assert webtoon.info["methods"] == [str(m) for m in named("freeze-sg", world.SIZE)]


def test_what_a_target_froze_is_the_sources(made):
    photo, target = (checkpoints.load(made.path(name)).g_ema.state_dict() for name in ("photo", "webtoon_freeze-sg"))
    frozen = [
        n.removeprefix("G.") for n in checkpoints.load(made.path("webtoon_freeze-sg")).info["frozen"] if n[0] == "G"
    ]
    assert len(frozen) > 20
    assert all(torch.equal(target[name], photo[name.replace("source.", "")]) for name in frozen)
    last = f"synthesis.blocks.{world.SIZE}.conv1.weight"
    assert not torch.equal(target[last], photo[last])


def test_report_has_numbers_beside_their_floor_and_ceiling(made):
    report = json.loads((made.shipped / "report.json").read_text())
    for name in ("photo", "webtoon_baseline"):
        distance = report[name]["pocket_distance"]
        assert distance["floor"] < distance["ceiling"] and distance["value"] > distance["floor"]
    for same in ("w", "z"):
        assert report["webtoon_baseline"][f"landmark_error_same_{same}"]["value"] >= 0


def test_the_scoreboard_has_all_seeds(made):
    rows = json.loads((made.shipped / "scoreboard.json").read_text())
    names = ("baseline", "freeze-sg", "one drawing")
    assert [(r["domain"], r["method"], r["swap"]) for r in rows] == [
        ("webtoon", name, swap) for name in names for swap in scoreboard.SWAPS
    ]
    assert all(
        row["seeds"] == (3 if "drawing" in row["method"] else 2) and row["landmark_error_same_w"]["sd"] >= 0
        for row in rows
    )


def test_the_clip_says_how_it_was_made_and_what_it_can(made):
    recorded = json.loads(made.path("clip").with_suffix(".json").read_text())
    assert recorded["training"]["images"] == 512 and recorded["training"]["own_faces"] == 12
    assert set(recorded["retrieval"]) == {"photo", "webtoon", "storybook", "portrait"}
    assert ClipModel.load(made.path("clip")).unknown_words("red zebra") == ["zebra"]
    rows = json.loads((made.shipped / "text_edits.json").read_text())
    assert [row["text"] for row in rows] == [prompt.text for prompt in text_edits.PROMPTS[:2]]
    assert all(row["faces"] == 2 and not row["passed"] for row in rows)  # two faces prove nothing


def test_the_encoder_and_the_routes_say_what_they_can(made):
    found, source = load_encoder(made.path("encoder")), checkpoints.load(made.path("photo")).g_ema
    assert found.meta["images"] == 32 and found.meta["generator"] == checkpoints.fingerprint(source)
    rows = json.loads((made.shipped / "routes.json").read_text())
    assert [(row["kind"], row["route"]) for row in rows] == [(k, r) for k in ("generated", "rendered") for r in ROUTES]
    assert all(row["images"] == 2 and row["seconds"] > 0 for row in rows)
    for kind in ("generated", "rendered"):
        assert (made.shipped / f"routes_{kind}.jpg").is_file()


def test_the_detector_says_what_it_finds(made):
    said = json.loads(made.path("detector").with_suffix(".json").read_text())
    assert said["training"]["images"] == 16 and said["held out"]["pages"] == 1
    assert made.path("detector").stat().st_size < 1_000_000


def test_long_runs_are_measured_on_their_way(made):
    rows = json.loads((made.shipped / "forgetting.json").read_text())
    runs = [(0, "baseline"), (0, "freeze-sg"), (1, "baseline")]
    assert [(row["seed"], row["method"], row["images"]) for row in rows] == [
        (*run, images) for run, images in product(runs, made.moments)
    ]
    assert all(0 <= row["who_top1"]["value"] <= 1 and row["domain_distance"] > 0 for row in rows)
    moments = [checkpoints.load(made.work / f"scoreboard/long/webtoon-baseline-seed0-{n}.pt") for n in made.moments]
    first, second = (model.g_ema.state_dict()["synthesis.blocks.128.conv1.weight"] for model in moments)
    assert [model.info["images"] for model in moments] == [16, 48] and not torch.equal(first, second)


def test_pictures_are_there(made):
    names = {path.stem for path in made.shipped.glob("*.jpg")}
    assert names == {"photo", "photo_curve", "photo_timeline", "pairs", "domains", "worlds", "you"} | {
        *(
            "scoreboard",
            "scoreboards",
            "sweeps",
            "methods",
            "forgetting",
            "hints",
            "webtoon_freeze-sg",
            "routes_generated",
            "routes_rendered",
        )
    }
