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
import statistics
import time
from collections.abc import Iterable
from pathlib import Path

import torch

from stylegan2 import display
from stylegan2.course import setup
from stylegan2.editing.jojogan import StyleConfig, invert, sheet, stylize
from stylegan2.editing.latents import render
from stylegan2.inputs import step_generator
from stylegan2.pocket import measures, world
from stylegan2.pocket.likeness import LikenessRuler
from stylegan2.pocket.nets.judge import Reading, to_float
from stylegan2.setting_types import construct

DRAWINGS_SEED = 970_000  # of faces that nothing was trained on
NUMBERS = ("distance", "structure", "colours", "person")


class Comparison:
    """Styles of the course's source against a world, by the judge: `faces` codes, and a ruler of so many people."""

    def __init__(self, course, domain: str, faces: int, people: int):
        self.judge, g = course.judge, course.source().g_ema
        self.ws = g.mapping(torch.randn(faces, g.z_dim, generator=step_generator(1, 0)))
        self.before = self.read(g)
        self.reference = measures.rendered_reference(self.judge, domain, faces)
        self.ruler = LikenessRuler.make(self.judge, "photo", domain, people)
        self.untouched = measures.measure_pocket_distance(self.before, self.reference)
        print(f"{faces} faces, {domain}; the source's own: {self.untouched}", flush=True)

    def read(self, model) -> Reading:
        """What the judge says of the faces that a model makes of the codes."""
        return self.judge.read(display.to_uint8(render(model, self.ws)))

    def numbers(self, reading: Reading) -> tuple[float, ...]:
        """NUMBERS of a style, from `read`."""
        near = measures.measure_pocket_distance(reading, self.reference).value / self.untouched.value
        kept = self.ruler.measure(self.before, reading)
        return near, kept.structure_kept.value, kept.colours_kept.value, kept.who_top1.value


def in_words(numbers: Iterable[float]) -> str:
    """NUMBERS with their names."""
    return ", ".join(f"{what} {value:.2f}" for what, value in zip(NUMBERS, numbers, strict=True))


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
    parser.add_argument("--pictures", type=Path)
    args = parser.parse_args()
    kinds, example = {"StyleConfig": StyleConfig}, "StyleConfig(iterations=200)"
    configs = {
        text or "defaults": construct(f"StyleConfig({text})", kinds, "settings", example) for text in args.settings
    }

    course = setup("pocket")
    source = course.source()
    g, comparison = source.g_ema, Comparison(course, args.world, args.faces, args.people)
    people = world.sample(args.world, args.drawings * args.together, seed=DRAWINGS_SEED)
    drawings = to_float(world.render(people, args.world, g.resolution).to(course.device))
    rows: dict[str, list[tuple[float, ...]]] = {}  # by settings
    for i, some in enumerate(drawings.split(args.together)):
        found = invert(g, some, course.perceptual_distance, None if args.search else course.encoder)
        for name, config in configs.items():
            begin, history = time.time(), []
            style = stylize(g, source.d, some, found, config, history)
            seconds = time.time() - begin
            row = comparison.numbers(comparison.read(style))
            rows.setdefault(name, []).append(row)
            loss = f"loss {history[0]['loss']:.2f} to {history[-1]['loss']:.2f} in {seconds:.0f} s"
            print(f"{i}: {name}: {in_words(row)}; {loss}", flush=True)
            if args.pictures:
                number = len(list(args.pictures.glob("*.png")))
                display.save(sheet(g, style, some, found, side=96), args.pictures / f"{number:03d}.png")
    for name, each in rows.items():
        means = in_words(map(statistics.mean, zip(*each, strict=True)))
        print(f"mean of {len(each)}: {name}: {means}")


if __name__ == "__main__":
    main()
