"""How near to a drawing's world do faces come that were stylised after it (notebook 11), and what do they keep?

    python -m benchmarks.one_drawing [--world webtoon] [--drawings 5] [--faces 500] ["iterations=200, layers='3-9'" ...]

Every set of settings (of `StyleConfig`, in Python's words; none: its defaults) learns from each drawing by itself, or
from `--together` drawings at a time. Drawings are rendered faces that no model was trained on. A row: the pocket
distance of the stylised faces to the world, relative to that of the source's own faces (aim: 0.5 or less); structure,
colours, and the person (top 1 of 100) kept (aim: structure 0.6 or more); all by the judge, on the same seeds.
`--pictures FOLDER` keeps a picture of each run.
"""

from __future__ import annotations

import argparse
import ast
import statistics
import time
from pathlib import Path

import torch

from stylegan2 import checkpoints, display
from stylegan2.editing.encoder import load_encoder
from stylegan2.editing.jojogan import StyleConfig, invert, sheet, stylize
from stylegan2.editing.latents import render
from stylegan2.editing.layer_swapping import swap
from stylegan2.inputs import step_generator
from stylegan2.pocket import measures, world
from stylegan2.pocket.likeness import LikenessRuler
from stylegan2.pocket.nets.judge import Judge
from stylegan2.pocket.nets.perceptual import JudgeDistance

SHIPPED = Path("checkpoints/pocket")
DRAWINGS_SEED = 970_000  # of faces that nothing was trained on
NUMBERS = ("distance", "structure", "colours", "person")


def parse(text: str) -> dict:
    """Settings in Python's words, "iterations=200, layers='3-9'"; only literals are read, nothing is run."""
    call = ast.parse(f"dict({text})", mode="eval").body
    if call.args:
        raise ValueError(f"settings {text!r}: expected names and values, such as iterations=200")
    return {word.arg: ast.literal_eval(word.value) for word in call.keywords}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", nargs="*", default=[""])
    parser.add_argument("--world", default="webtoon")
    parser.add_argument("--drawings", type=int, default=5)
    parser.add_argument("--together", type=int, default=1)
    parser.add_argument("--faces", type=int, default=500)
    parser.add_argument("--people", type=int, default=1000, help="that the ruler of likeness is made of")
    parser.add_argument("--search", action="store_true", help="for the drawings' codes, instead of the encoder")
    parser.add_argument("--strength", type=float, default=1.0)
    parser.add_argument("--models", type=Path, default=SHIPPED)
    parser.add_argument("--pictures", type=Path)
    args = parser.parse_args()
    configs = {text or "defaults": StyleConfig(**parse(text)) for text in args.settings}

    source = checkpoints.load(args.models / "photo.pt", "cpu")
    g, judge = source.g_ema, Judge.load(args.models / "judge.pt", "cpu")
    encoder, distance = load_encoder(args.models / "encoder.pt", "cpu").encoder, JudgeDistance(judge)
    ws = g.mapping(torch.randn(args.faces, g.z_dim, generator=step_generator(1, 0)))
    before = judge.read(display.to_uint8(render(g, ws)))
    reference = measures.rendered_reference(judge, args.world, args.faces)
    ruler = LikenessRuler.make(judge, "photo", args.world, args.people)
    untouched = measures.measure_pocket_distance(before, reference)
    print(f"{args.faces} faces, {args.world}; the source's own: {untouched}", flush=True)
    people = world.sample(args.world, args.drawings * args.together, seed=DRAWINGS_SEED)
    drawings = world.render(people, args.world, g.resolution).float().div(127.5).sub(1)
    rows: dict[str, list[tuple[float, ...]]] = {}  # by settings
    for i, some in enumerate(drawings.split(args.together)):
        found = invert(g, some, distance, None if args.search else encoder)
        for name, config in configs.items():
            begin, history = time.time(), []
            style = stylize(g, source.d, some, found, config, history)
            seconds = time.time() - begin
            style = swap(g, style, 4, strength=args.strength)
            reading = judge.read(display.to_uint8(render(style, ws)))
            near = measures.measure_pocket_distance(reading, reference).value / untouched.value
            kept = ruler.measure(before, reading)
            row = near, kept.structure_kept.value, kept.colours_kept.value, kept.who_top1.value
            rows.setdefault(name, []).append(row)
            words = ", ".join(f"{what} {value:.2f}" for what, value in zip(NUMBERS, row, strict=True))
            loss = f"loss {history[0]['loss']:.2f} to {history[-1]['loss']:.2f} in {seconds:.0f} s"
            print(f"{i}: {name}: {words}; {loss}", flush=True)
            if args.pictures:
                number = len(list(args.pictures.glob("*.png")))
                display.save(sheet(g, style, some, found, side=96), args.pictures / f"{number:03d}.png")
    for name, each in rows.items():
        means = [
            f"{what} {statistics.mean(values):.2f}"
            for what, values in zip(NUMBERS, zip(*each, strict=True), strict=True)
        ]
        print(f"mean of {len(each)}: {name}: {', '.join(means)}")


if __name__ == "__main__":
    main()
