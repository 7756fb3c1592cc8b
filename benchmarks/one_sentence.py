"""Where do faces go that learnt from a sentence (notebook 12), and what do they keep, beside models that saw pictures?

    python -m benchmarks.one_sentence [--text "webtoon drawing"] [--world webtoon] [--faces 500] ["share=0.67" ...]

Every set of settings (of `NadaConfig`, in Python's words; none: its defaults) learns from the text. A row: the share of
faces that the judge takes for the world (aim: 0.9 or more), the pocket distance to it relative to that of the source's
own faces, and what is kept of structure, colours and the person; the same for the shipped models of that world.
`--pictures FOLDER` keeps a picture of each run.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from benchmarks.one_drawing import Comparison, in_words
from stylegan2 import checkpoints, display
from stylegan2.course import setup
from stylegan2.editing.jojogan import sheet
from stylegan2.editing.nada import NadaConfig, learn
from stylegan2.pocket import world
from stylegan2.setting_types import construct

METHODS = ("baseline", "freeze-sg")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", nargs="*", default=[""])
    parser.add_argument("--text", default="webtoon drawing")
    parser.add_argument("--world", default="webtoon", choices=world.DOMAINS[1:])
    parser.add_argument("--faces", type=int, default=500)
    parser.add_argument("--people", type=int, default=1000, help="that the ruler of likeness is made of")
    parser.add_argument("--pictures", type=Path)
    args = parser.parse_args()
    kinds, example = {"NadaConfig": NadaConfig}, "NadaConfig('webtoon drawing', share=0.67)"
    configs = {
        words or "defaults": construct(f"NadaConfig({args.text!r}, {words})", kinds, "settings", example)
        for words in args.settings
    }

    course = setup("pocket")
    g, clips = course.source().g_ema, course.clips
    comparison = Comparison(course, args.world, args.faces, args.people)

    def report(name: str, model) -> None:
        reading = comparison.read(model)
        share = float((reading.domain.argmax(1) == world.DOMAINS.index(args.world)).float().mean())
        print(f"{name}: taken for {args.world} {share:.2f}, {in_words(comparison.numbers(reading))}", flush=True)

    for method in METHODS:
        report(method, checkpoints.load(course.shipped / f"{args.world}_{method}.pt", "cpu", g_ema_only=True).g_ema)
    for i, (name, config) in enumerate(configs.items()):
        begin = time.time()
        learning = learn(g, clips, config)
        print(f"{name}: {learning.describe()}; {time.time() - begin:.0f} s", flush=True)
        report(name, learning.best)
        if args.pictures:
            display.save(sheet(g, learning.best, side=96), args.pictures / f"{i:03d}.png")


if __name__ == "__main__":
    main()
