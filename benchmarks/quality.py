"""Does speed cost quality? The same fine-tuning, from the same seed, in each precision and with reused fakes.

    python -m benchmarks.quality [--images 10000] [--seeds 0] [--json FILE]

Fine-tunes the shipped source model to webtoons as the scoreboard's baseline does, and prints the pocket distance of the
result and the images per second of each run. Runs are kept in build/quality: the same command goes on where it was
stopped. How far apart two seeds lie tells which differences mean something.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from stylegan2 import checkpoints
from stylegan2.pocket import measures
from stylegan2.pocket.nets.judge import Judge
from stylegan2.pocket.recipe import REPORT_FACES, generate, training_seconds
from stylegan2.pocket.studies.scoreboard import Entry, Study
from stylegan2.runtime import has_bfloat16
from stylegan2.trainer import Trainer
from stylegan2.transfer import method

DOMAIN = "webtoon"


def variants(has_mixed: bool) -> dict[str, dict]:
    """Name -> settings that differ from the baseline's."""
    found: dict[str, dict] = {"float32": {"precision": "float32", "reuse_fakes": False}}
    if has_mixed:
        found["bfloat16"] = {"precision": "auto", "reuse_fakes": False}
    return found | {"reused fakes": {"precision": "auto", "reuse_fakes": True}}


def run(study: Study, seed: int, name: str, settings: dict) -> dict:
    """Train one variant (or go on with it) and measure it."""
    entry = Entry(DOMAIN, "baseline", tuple(method("baseline", 64)), seed)
    out = study.work / f"{name.replace(' ', '-')}-{study.images}-{seed}"
    config = replace(study.config(entry), out=out, **settings)
    g = Trainer.fine_tune(config, study.dataset(DOMAIN), checkpoints.load(study.source), entry.methods).run()
    judge, images = Judge.load(study.judge), study.images
    distance = measures.measure_pocket_distance(judge, generate(g, study.faces), DOMAIN)
    speed = images / max(training_seconds(out), 1)
    return {"name": name, "seed": seed, "images": images, "images_per_second": speed} | {
        key: getattr(distance, key) for key in ("value", "floor", "ceiling")
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Train all variants and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000, help="length of each run (default: 10,000)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="one run of each for every seed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers to FILE")
    options = parser.parse_args(arguments)
    rows = []
    study = Study(work=Path("build/quality"), images=options.images, faces=REPORT_FACES)
    for seed in options.seeds:
        for name, settings in variants(has_bfloat16(torch.device("cpu"))).items():
            rows.append(run(study, seed, name, settings))
    print("| variant | seed | images/s | pocket distance | floor | ceiling |\n|---|---|---|---|---|---|")
    for row in rows:
        numbers = f"{row['images_per_second']:.1f} | {row['value']:.2f} | {row['floor']:.2f} | {row['ceiling']:.2f}"
        print(f"| {row['name']} | {row['seed']} | {numbers} |")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
