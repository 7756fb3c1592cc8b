"""Broken input of every kind: each must end in a clear error, and nothing may run, crash or be lost.

    python -m benchmarks.malformed [--each 60] [--seed 0]

Whole files, pages, settings and texts are taken, and broken at random: bytes turned, parts cut off, doubled or swapped.
What comes back counts as right if it is a result, or an error of the kinds that the command line shows in one line
(`EXPECTED`) with a message of one sentence. Anything else (another exception, a file that appeared, an original that
changed) is a failure, and is listed.

A new kind of input joins with a function in `KINDS`.
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
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks import ROOT
from stylegan2 import checkpoints
from stylegan2.cli.common import EXPECTED
from stylegan2.collect import crops, polite
from stylegan2.collect.crawl import CrawlConfig, Manifest, crawl, smaller_side
from stylegan2.config import TrainConfig
from stylegan2.data.dataset import LMDBDataset
from stylegan2.data.images import Refused, decode
from stylegan2.data.prepare import prepare
from stylegan2.editing.projection import ProjectConfig, Projection
from stylegan2.files import read_rows
from stylegan2.panels.controls import parse_settings
from stylegan2.pocket.nets.judge import Judge
from stylegan2.pocket.world.site import Fault, LocalSite
from stylegan2.published.clip_model import tokenize

CLEAR = (*EXPECTED, Refused)  # `Refused` becomes a line of a report
LONGEST = 1000  # characters of a message
Read = Callable[[], Any]
Kind = Callable[[Path, random.Random], Read]


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


ODD = (
    None,
    True,
    -1,
    0,
    1 << 70,
    -0.5,
    float("nan"),
    float("inf"),
    1e400,
    "",
    "x" * 5000,
    "\x00",
    "½",
    b"b",
    [],
    {},
    (),
)


def odd(rng: random.Random) -> Any:
    """A value where another kind of value belongs."""
    return rng.choice(ODD)


def text(whole: bytes, rng: random.Random) -> str:
    """A broken copy, as characters."""
    return broken(whole, rng).decode("utf-8", "replace")


def picture(side: int = 48, kind: str = "png") -> bytes:
    """A small rendered-looking picture as a file."""
    rgb = np.random.default_rng(0).integers(0, 255, (side // 8, side // 8, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(rgb).resize((side, side), Image.Resampling.BICUBIC).save(data, kind)
    return data.getvalue()


# ------------------------------------------ kinds of input: each call of what they return breaks one more and reads it
def images(folder: Path, rng: random.Random) -> Read:
    whole = [picture(kind=kind) for kind in ("png", "jpeg", "gif", "webp", "bmp", "tiff")]
    return lambda: decode(broken(rng.choice(whole), rng))


def zips(folder: Path, rng: random.Random) -> Read:
    """Archives of pictures, for `prepare`, with a name that leads elsewhere."""
    path, numbers = folder / "a.zip", count(1)
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("0.png", "1.png", "2.png", "3.png", "../../escape.png"):
            archive.writestr(name, picture())
    whole = path.read_bytes()

    def read() -> None:
        path = folder / f"{next(numbers)}.zip"
        path.write_bytes(broken(whole, rng))
        prepare(path, path.with_suffix(".lmdb"), 16, progress=False, workers=0)

    return read


def lmdbs(folder: Path, rng: random.Random) -> Read:
    """Datasets that are cut off or have another beginning. (LMDB maps its file and trusts the pages within: a page that
    is wrong in itself can end the process, so pages are left alone.)"""
    (folder / "pictures").mkdir()
    for i in range(3):
        (folder / "pictures" / f"{i}.png").write_bytes(picture(16 + 8 * i))
    prepare(folder / "pictures", folder / "whole.lmdb", 16, progress=False, workers=0)
    whole, numbers = (folder / "whole.lmdb" / "data.mdb").read_bytes(), count(1)

    def read() -> torch.Tensor:
        path = folder / f"{next(numbers)}.lmdb"
        path.mkdir()
        begin, noise = whole[: rng.randrange(4096)], rng.randbytes(rng.randrange(1, 9000))
        (path / "data.mdb").write_bytes(rng.choice((begin, noise, b"", broken(whole[:24], rng))))
        return LMDBDataset(path)[0]

    return read


def files(name: str, load: Callable[[Path], Any]) -> Kind:
    """Copies of a shipped file, and pickles that would run something."""

    def kind(folder: Path, rng: random.Random) -> Read:
        whole, numbers, path = (ROOT / name).read_bytes(), count(1), folder / f"broken{Path(name).suffix}"
        trap = pickle.dumps({"g_ema": Trap(folder / "was_run"), "state": Trap(folder / "was_run")})

        def read() -> Any:
            n = next(numbers)
            if n % 10 == 0:
                torch.save({"g_ema": Trap(folder / "was_run"), "e": 1}, path)
            else:
                path.write_bytes(trap if n % 10 == 1 else broken(whole, rng))
            return load(path)

        return read

    return kind


def projections(folder: Path, rng: random.Random) -> Read:
    path = folder / "codes.pt"
    Projection(ProjectConfig(steps=2), torch.zeros(1, 10, 128)).save(path)
    whole = path.read_bytes()

    def read() -> Projection:
        path.write_bytes(broken(whole, rng))
        return Projection.load(path)

    return read


def pages(folder: Path, rng: random.Random) -> Read:
    """Lists, viewers, JSON and robots.txt of a site, as the crawler meets them."""
    numbers, paths = count(1), {
        "webtoons": ("/robots.txt", "/en/fantasy/rendered/list", "/en/fantasy/rendered/viewer"),
        "naver": ("/robots.txt", "/api/article/list", "/webtoon/detail"),
        "images": ("/robots.txt", "/gallery", "/pictures.txt"),
    }  # fmt: skip

    def read() -> Any:
        kind = rng.choice(list(paths))
        path = rng.choice(paths[kind])
        begin = "list" if path == "/pictures.txt" else "gallery" if kind == "images" else kind
        with LocalSite(episodes=1, pictures=1, picture=lambda *_: picture(240)) as site:
            _, what, body = site.page(path, {"page": "1"}, None)
            site.faults = {path: Fault(99, body=broken(body, rng), kind=what)}
            manners = polite.Manners(0.0, 1.0, retries=0, allow_local=site.allowed)
            config = CrawlConfig(site.url(begin), folder / str(next(numbers)), True, site=kind, manners=manners)
            return crawl(config, progress=False)

    return read


def addresses(folder: Path, rng: random.Random) -> Read:
    whole = b"https://www.webtoons.com/en/fantasy/title/list?title_no=95&page=1#top"

    def read() -> CrawlConfig:
        url = text(whole, rng)
        urls = (
            url,
            url,
            str(odd(rng)),
            f"http://[{url}",
            f"http://a:b@{url}",
            f"{url}\r\nHost: b",
            "file:///etc/passwd",
        )
        return CrawlConfig(rng.choice(urls), folder / "pages", True)

    return read


def settings(folder: Path, rng: random.Random) -> Read:
    """Of training and cropping."""

    def read() -> Any:
        kind, base = rng.choice(((TrainConfig, {"out": folder}), (crops.CropConfig, {})))
        name = rng.choice([f.name for f in fields(kind) if f.name != "out"])
        return kind(**base | {name: odd(rng)})

    return read


def pasted(folder: Path, rng: random.Random) -> Read:
    """Settings as a panel's user pastes them."""
    whole = json.dumps({"seed": 3, "truncation": 0.7, "layers": [0, 4], "model": {"model": "a.pt"}}).encode()
    return lambda: parse_settings(text(whole, rng))


def manifests(folder: Path, rng: random.Random) -> Read:
    """Of crawls."""
    row = {"url": "http://a/1", "page": "http://a", "status": "stored", "file": "1.png", "sha256": "a" * 64, "bytes": 3}
    whole = b"".join(json.dumps(row | {"url": f"http://a/{i}"}).encode() + b"\n" for i in range(5))
    path = folder / "m.jsonl"

    def read() -> int:
        some = row | {rng.choice(list(row)): odd(rng)}
        last = {name: value for name, value in some.items() if not isinstance(value, bytes)}
        path.write_bytes(broken(whole, rng) + json.dumps(last).encode())
        manifest = Manifest(path)
        known = sum(manifest.has(url) or 0 < smaller_side(row) < 200 for url, row in manifest.rows.items())
        return known + len(read_rows(path))

    return read


def prompts(folder: Path, rng: random.Random) -> Read:
    """Texts for CLIP."""

    def character() -> str:
        return chr(rng.choice((rng.randrange(32, 127), rng.randrange(0x20, 0x2FFF), 0, 10, 0x1F600)))

    return lambda: tokenize("".join(character() for _ in range(rng.choice((0, 1, 9, 900)))))


KINDS: dict[str, Kind] = {
    "images": images,
    "zips": zips,
    "datasets": lmdbs,
    "checkpoints": files("checkpoints/pocket/photo.pt", checkpoints.load),
    "encoders": files("checkpoints/pocket/encoder.pt", checkpoints.load_encoder),
    "judges": files("checkpoints/pocket/judge.pt", Judge.load),
    "codes": projections,
    "pages": pages,
    "addresses": addresses,
    "settings": settings,
    "pasted settings": pasted,
    "manifests": manifests,
    "prompts": prompts,
}


# ----------------------------------------------------------------------------------------------------------- the tally
def tally(kind: str, each: int, seed: int = 0) -> Tally:
    """Break so many inputs of a kind, and see what comes of them."""
    found, rng = Tally(), random.Random(f"{kind} {seed}")
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(name)
        read = KINDS[kind](folder, rng)
        for _ in range(each):
            try:
                read()
                found.results += 1
            except CLEAR as error:
                found.errors += 1
                said = str(error)
                if not said or len(said) > LONGEST or type(error).__name__ == "UnicodeDecodeError":
                    found.failures.append(f"unclear: {type(error).__name__}: {said[:200]!r}")
            except Exception as error:
                found.failures.append(f"{type(error).__name__}: {str(error)[:200]!r}")
        for trace in [*folder.rglob("was_run"), *folder.parent.glob("escape.png")]:
            found.failures.append(f"something was run or written outside: {trace.name}")
    return found


def main() -> None:
    """Print the table, and every failure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--each", type=int, default=60, help="inputs of every kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND")
    options = parser.parse_args()
    before = {path: checkpoints.sha256(path) for path in sorted((ROOT / "checkpoints" / "pocket").glob("*.pt"))}
    print("| input | broken | still usable | clear error | failures |\n|---|---|---|---|---|")
    total = Tally()
    for kind in options.only:
        found = tally(kind, options.each, options.seed)
        print(found.row(kind, options.each), flush=True)
        total.results, total.errors = total.results + found.results, total.errors + found.errors
        total.failures += [f"{kind}: {failure}" for failure in found.failures]
    print(total.row("all", options.each * len(options.only)))
    changed = [path.name for path, digest in before.items() if checkpoints.sha256(path) != digest]
    for line in [*total.failures, *(f"changed: {name}" for name in changed)]:
        print(line)


if __name__ == "__main__":
    main()
