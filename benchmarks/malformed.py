"""Broken input of every kind: each must end in a clear error, and nothing may run, crash or be lost.

    python -m benchmarks.malformed [--each 60] [--seed 0]

Whole files, pages, settings and texts are taken, and broken at random: bytes turned, parts cut off, doubled or swapped.
What comes back counts as right if it is a result, or an error of the kinds that the command line shows in one line
(`EXPECTED`) with a message of one sentence. Anything else (another exception, a file that appeared) is a failure, and
is listed.

A new kind of input joins with a line in `KINDS`.
"""

from __future__ import annotations

import argparse
import io
import json
import pickle
import random
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from noise_pictures import noise_picture

from benchmarks import ROOT
from stylegan2 import checkpoints
from stylegan2.cli.common import EXPECTED
from stylegan2.collect import crops, polite
from stylegan2.collect.crawl import CrawlConfig, Manifest, crawl, smaller_side
from stylegan2.collect.rows import read_rows
from stylegan2.config import TrainConfig
from stylegan2.data.dataset import LMDBDataset
from stylegan2.data.images import Refused, decode
from stylegan2.data.prepare import prepare
from stylegan2.editing.encoder import load_encoder
from stylegan2.editing.projection import ProjectConfig, Projection
from stylegan2.panels.controls import parse_settings
from stylegan2.pocket.nets.judge import Judge
from stylegan2.pocket.world.site import Fault, LocalSite
from stylegan2.published.clip_model import tokenize

CLEAR = (*EXPECTED, Refused)  # `Refused` becomes a line of a report
LONGEST = 1000  # characters of a message
SHIPPED = ROOT / "checkpoints" / "pocket"


class Trap:
    """Pickled, it would write a file when it is opened."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@dataclass
class Tally:
    """What came of one kind of input."""

    results: int = 0  # still usable: broken where it does no harm
    errors: int = 0
    failures: list[str] = field(default_factory=list)

    def row(self, kind: str, tried: int) -> str:
        """A line of the table."""
        return f"| {kind} | {tried} | {self.results} | {self.errors} | {len(self.failures)} |"


def broken(data: bytes, rng: random.Random) -> bytes:
    """A copy with something wrong."""
    data = bytearray(data)
    if not data:
        return b"\x00"
    kind = rng.choice(("turn", "turn", "cut", "double", "swap", "zero"))
    i, j = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    if kind == "turn":
        for _ in range(rng.choice((1, 4, 64))):
            data[rng.randrange(len(data))] = rng.randrange(256)
    elif kind == "cut":
        del data[i:]
    elif kind == "double":
        data[i:i] = data[i : min(j, i + 4096)]
    elif kind == "swap":
        data[i:j] = rng.randbytes(min(j - i, 4096))
    else:
        data[i : min(j, i + 256)] = bytes(min(j, i + 256) - i)
    return bytes(data)


# values where another kind of value belongs
ODD = (None, True, -1, 0, 1 << 70, -0.5, float("nan"), float("inf"), "", "x" * 5000, "\x00", "½", b"b", [], {}, ())


# ------------------------------------------------------------------------------------------------------ kinds of input
def image(folder: Path, rng: random.Random) -> Any:
    kind = rng.choice(("png", "jpeg", "gif", "webp", "bmp", "tiff"))
    return decode(broken(noise_picture(48, square=8, kind=kind), rng))


def archive(folder: Path, rng: random.Random) -> None:
    """Pictures for `prepare`, with a name that leads elsewhere."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as pictures:
        for name in ("0.png", "1.png", "2.png", "3.png", "../../escape.png"):
            pictures.writestr(name, noise_picture(48, square=8))
    path = folder / "a.zip"
    path.write_bytes(broken(whole.getvalue(), rng))
    prepare(path, folder / "a.lmdb", 16, progress=False, workers=0)


@cache
def whole(name: str) -> bytes:
    """A shipped file; or codes.pt, or data.mdb of a dataset, which are made."""
    if (SHIPPED / name).exists():
        return (SHIPPED / name).read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "whole" / name
        if name == "codes.pt":
            Projection(ProjectConfig(steps=2), torch.zeros(1, 10, 128)).save(path)
        else:
            for i in range(3):
                (Path(folder) / f"{i}.png").write_bytes(noise_picture(16 + 8 * i, square=8))
            prepare(folder, path.parent, 16, progress=False, workers=0)
        return path.read_bytes()


def dataset(folder: Path, rng: random.Random) -> torch.Tensor:
    """Cut off, or with another beginning. (LMDB maps its file and trusts the pages within: a page that is wrong in
    itself can end the process, so pages are left alone.)"""
    data = whole("data.mdb")
    begin, noise = data[: rng.randrange(4096)], rng.randbytes(rng.randrange(1, 9000))
    (folder / "data.mdb").write_bytes(rng.choice((begin, noise, b"", broken(data[:24], rng))))
    return LMDBDataset(folder)[0]


def saved(name: str, load: Callable[[Path], Any], folder: Path, rng: random.Random) -> Any:
    """A file of tensors, or one of two pickles that would run something."""
    path, trap, chance = folder / "broken.pt", Trap(folder / "was_run"), rng.random()
    if chance < 0.1:
        torch.save({"g_ema": trap, "e": 1}, path)
    else:
        path.write_bytes(pickle.dumps({"g_ema": trap, "state": trap}) if chance < 0.2 else broken(whole(name), rng))
    return load(path)


def page(folder: Path, rng: random.Random) -> Any:
    """A list, viewer, JSON or robots.txt of a site, as the crawler meets them."""
    begin, kind, path = rng.choice((
        *(("webtoons", "webtoons", f"/{end}") for end in ("robots.txt", "en/fantasy/rendered/list")),
        ("webtoons", "webtoons", "/en/fantasy/rendered/viewer"),
        *(("naver", "naver", f"/{end}") for end in ("robots.txt", "api/article/list", "webtoon/detail")),
        ("gallery", "images", "/robots.txt"), ("gallery", "images", "/gallery"), ("list", "images", "/pictures.txt"),
    ))  # fmt: skip
    with LocalSite(episodes=1, pictures=1, picture=lambda *_: noise_picture(240, square=8)) as site:
        _, what, body = site.page(path, {"page": "1"}, None)
        site.faults = {path: Fault(99, body=broken(body, rng), kind=what)}
        manners = polite.Manners(0.0, 1.0, retries=0, allow_local=site.allowed)
        return crawl(CrawlConfig(site.url(begin), folder, True, site=kind, manners=manners), progress=False)


def address(folder: Path, rng: random.Random) -> CrawlConfig:
    url = broken(b"https://www.webtoons.com/en/fantasy/title/list?title_no=95&page=1#top", rng).decode(errors="replace")
    odd = (str(rng.choice(ODD)), f"http://[{url}", f"http://a:b@{url}", f"{url}\r\nHost: b", "file:///etc/passwd")
    return CrawlConfig(rng.choice((url, url, *odd)), folder / "pages", True)


def settings(folder: Path, rng: random.Random) -> Any:
    """Of training and cropping."""
    kind, base = rng.choice(((TrainConfig, {"out": folder}), (crops.CropConfig, {})))
    name = rng.choice([f.name for f in fields(kind) if f.name != "out"])
    return kind(**base | {name: rng.choice(ODD)})


def pasted(folder: Path, rng: random.Random) -> Any:
    """Settings as a panel's user pastes them."""
    whole = {"seed": 3, "truncation": 0.7, "layers": [0, 4], "model": {"model": "a.pt"}}
    return parse_settings(broken(json.dumps(whole).encode(), rng).decode(errors="replace"))


def manifest(folder: Path, rng: random.Random) -> int:
    """Of a crawl."""
    row = {"url": "http://a/1", "page": "http://a", "status": "stored", "file": "1.png", "sha256": "a" * 64, "bytes": 3}
    whole = b"".join(json.dumps(row | {"url": f"http://a/{i}"}).encode() + b"\n" for i in range(5))
    last = row | {rng.choice(list(row)): rng.choice([value for value in ODD if not isinstance(value, bytes)])}
    path = folder / "m.jsonl"
    path.write_bytes(broken(whole, rng) + json.dumps(last).encode())
    rows = Manifest(path)
    return sum(rows.has(url) or 0 < smaller_side(row) < 200 for url, row in rows.rows.items()) + len(read_rows(path))


def prompt(folder: Path, rng: random.Random) -> torch.Tensor:
    """A text for CLIP."""

    def character() -> str:
        return chr(rng.choice((rng.randrange(32, 127), rng.randrange(0x20, 0x2FFF), 0, 10, 0x1F600)))

    return tokenize("".join(character() for _ in range(rng.choice((0, 1, 9, 900)))))


# each breaks one more input and reads it, in an empty folder
KINDS: dict[str, Callable[[Path, random.Random], Any]] = {
    "images": image,
    "zips": archive,
    "datasets": dataset,
    "checkpoints": partial(saved, "photo.pt", checkpoints.load),
    "encoders": partial(saved, "encoder.pt", load_encoder),
    "judges": partial(saved, "judge.pt", Judge.load),
    "codes": partial(saved, "codes.pt", Projection.load),
    "pages": page,
    "addresses": address,
    "settings": settings,
    "pasted settings": pasted,
    "manifests": manifest,
    "prompts": prompt,
}


# ----------------------------------------------------------------------------------------------------------- the tally
def tally(kind: str, each: int, seed: int = 0) -> Tally:
    """Break so many inputs of a kind, and see what comes of them."""
    found, rng = Tally(), random.Random(f"{kind} {seed}")
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i in range(each):
            (folder := Path(name) / "inputs" / str(i)).mkdir(parents=True)
            try:
                KINDS[kind](folder, rng)
                found.results += 1
            except CLEAR as error:
                found.errors += 1
                message = str(error)
                if not message or len(message) > LONGEST or isinstance(error, UnicodeDecodeError):
                    found.failures.append(f"unclear: {type(error).__name__}: {message[:200]!r}")
            except Exception as error:
                found.failures.append(f"{type(error).__name__}: {str(error)[:200]!r}")
        for trace in [*Path(name).rglob("was_run"), *Path(name).rglob("escape.png")]:
            found.failures.append(f"something was run or written outside: {trace.name}")
    return found


def main() -> None:
    """Print the table, and every failure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--each", type=int, default=60, help="inputs of every kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND")
    options = parser.parse_args()
    print("| input | broken | still usable | clear error | failures |\n|---|---|---|---|---|")
    total = Tally()
    for kind in options.only:
        found = tally(kind, options.each, options.seed)
        print(found.row(kind, options.each), flush=True)
        total.results, total.errors = total.results + found.results, total.errors + found.errors
        total.failures += [f"{kind}: {failure}" for failure in found.failures]
    print(total.row("all", options.each * len(options.only)))
    for failure in total.failures:
        print(failure)


if __name__ == "__main__":
    main()
