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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import stylegan2.pocket.source  # noqa: F401  (rendered sets can be named as sources)
from benchmarks.worker import ROOT
from stylegan2 import checkpoints
from stylegan2.cli.common import EXPECTED
from stylegan2.collect import crops, polite
from stylegan2.collect.crawl import CrawlConfig, Manifest, crawl
from stylegan2.config import TrainConfig
from stylegan2.data.dataset import LMDBDataset
from stylegan2.data.images import Refused, decode
from stylegan2.data.prepare import prepare
from stylegan2.editing.projection import Projection
from stylegan2.files import read_rows
from stylegan2.panels.controls import parse_settings
from stylegan2.pocket.nets.judge import Judge
from stylegan2.pocket.world.site import Fault, LocalSite
from stylegan2.published.clip_model import tokenize

CLEAR = (*EXPECTED, Refused)  # `Refused` becomes a line of a report
LONGEST = 1000  # characters of a message
Try = Callable[[Path, random.Random], Iterator[Callable[[], Any]]]


class Trap:
    """Pickled, it would write a file when it is opened."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@dataclass
class Tally:
    """What came of one kind of input."""

    tried: int = 0
    results: int = 0  # still usable: broken where it does no harm
    errors: int = 0
    failures: list[str] = field(default_factory=list)


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


def odd(rng: random.Random) -> Any:
    """A value where another kind of value belongs."""
    return rng.choice(
        [
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
        ]
    )


def picture(side: int = 48, kind: str = "png") -> bytes:
    """A small rendered-looking picture as a file."""
    rgb = np.random.default_rng(0).integers(0, 255, (side // 8, side // 8, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(rgb).resize((side, side), Image.Resampling.BICUBIC).save(data, kind)
    return data.getvalue()


# ---------------------------------------------------------------------------------------------------- kinds of input
def images(folder: Path, rng: random.Random) -> Iterator[Callable[[], Any]]:
    """Picture files."""
    whole = [picture(kind=kind) for kind in ("png", "jpeg", "gif", "webp", "bmp", "tiff")]
    while True:
        data = broken(rng.choice(whole), rng)
        yield lambda data=data: decode(data)


def zips(folder: Path, rng: random.Random) -> Iterator[Callable[[], Any]]:
    """Archives of pictures, for `prepare`; some with names that lead elsewhere."""
    path, n = folder / "a.zip", 0
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(4):
            archive.writestr(f"{i}.png", picture())
        archive.writestr("../../escape.png", picture())
    whole = path.read_bytes()
    while True:
        n += 1
        path = folder / f"{n}.zip"
        path.write_bytes(broken(whole, rng))
        yield lambda p=path, n=n: prepare(p, folder / f"{n}.lmdb", 16, progress=False, workers=0)


def lmdbs(folder: Path, rng: random.Random) -> Iterator[Callable[[], Any]]:
    """Datasets that are cut off or have another beginning. (LMDB maps its file and trusts the pages within: a page that
    is wrong in itself can end the process, so pages are left alone.)"""
    (folder / "pictures").mkdir()
    for i in range(3):
        (folder / "pictures" / f"{i}.png").write_bytes(picture(16 + 8 * i))
    prepare(folder / "pictures", folder / "whole.lmdb", 16, progress=False, workers=0)
    whole, n = (folder / "whole.lmdb" / "data.mdb").read_bytes(), 0
    while True:
        n += 1
        path = folder / f"{n}.lmdb"
        path.mkdir()
        data = rng.choice(
            (whole[: rng.randrange(4096)], rng.randbytes(rng.randrange(1, 9000)), b"", broken(whole[:24], rng))
        )
        (path / "data.mdb").write_bytes(data)
        yield lambda p=path: LMDBDataset(p)[0]


def _files(name: str, read: Callable[[Path], Any]) -> Try:
    """Broken copies of a shipped file, and pickles that would run something."""

    def tries(folder: Path, rng: random.Random) -> Iterator[Callable[[], Any]]:
        whole, n = (ROOT / name).read_bytes(), 0
        trap = pickle.dumps({"g_ema": Trap(folder / "was_run"), "state": Trap(folder / "was_run")})
        while True:
            n += 1
            path = folder / f"{n}{Path(name).suffix}"
            if n % 10 == 0:
                torch.save({"g_ema": Trap(folder / "was_run"), "e": 1}, path)
            else:
                path.write_bytes(trap if n % 10 == 1 else broken(whole, rng))
            yield lambda p=path: read(p)
            path.unlink(missing_ok=True)

    return tries


def projections(folder: Path, rng: random.Random) -> Iterator[Callable[[], Any]]:
    """Files of codes."""
    from stylegan2.editing.projection import ProjectConfig

    Projection(ProjectConfig(steps=2), torch.zeros(1, 10, 128)).save(folder / "whole.pt")
    whole, n = (folder / "whole.pt").read_bytes(), 0
    while True:
        n += 1
        (folder / f"{n}.pt").write_bytes(broken(whole, rng))
        yield lambda p=folder / f"{n}.pt": Projection.load(p)


def pages(folder: Path, rng: random.Random) -> Iterator[Callable[[], Any]]:
    """Lists, viewers, JSON and robots.txt of a site, as the crawler meets them."""
    with LocalSite(episodes=1, pictures=1, picture=lambda *_: picture(240)) as site:
        manners = polite.Manners(0.0, 1.0, retries=0, allow_local=site.allowed)
        paths = {
            "webtoons": ("/robots.txt", "/en/fantasy/rendered/list", "/en/fantasy/rendered/viewer"),
            "naver": ("/robots.txt", "/api/article/list", "/webtoon/detail"),
            "images": ("/robots.txt", "/gallery", "/pictures.txt"),
        }
        n = 0
        while True:
            n += 1
            kind = rng.choice(list(paths))
            path = rng.choice(paths[kind])
            begin = "list" if path == "/pictures.txt" else "gallery" if kind == "images" else kind
            _, what, body = site.page(path, {"page": "1"}, None)
            site.faults = {path: Fault(99, body=broken(body, rng), kind=what)}
            config = CrawlConfig(site.url(begin), folder / str(n), True, site=kind, manners=manners)
            yield lambda config=config: crawl(config, progress=False)


def addresses(folder: Path, rng: random.Random) -> Iterator[Callable[[], Any]]:
    """URLs."""
    whole = "https://www.webtoons.com/en/fantasy/title/list?title_no=95&page=1#top"
    while True:
        url = broken(whole.encode(), rng).decode("utf-8", "replace")
        url = rng.choice(
            (url, url, str(odd(rng)), f"http://[{url}", f"http://a:b@{url}", f"{url}\r\nHost: b", "file:///etc/passwd")
        )
        yield lambda url=url: CrawlConfig(url, folder / "pages", True)


def settings(folder: Path, rng: random.Random) -> Iterator[Callable[[], Any]]:
    """Values of training and cropping settings."""
    from dataclasses import fields

    while True:
        kind, base = rng.choice(((TrainConfig, {"out": folder}), (crops.CropConfig, {})))
        name = rng.choice([f.name for f in fields(kind) if f.name != "out"])
        changes = base | {name: odd(rng)}
        yield lambda kind=kind, changes=changes: kind(**changes)


def copied(folder: Path, rng: random.Random) -> Iterator[Callable[[], Any]]:
    """Settings as a panel's user pastes them."""
    whole = json.dumps({"seed": 3, "truncation": 0.7, "layers": [0, 4], "model": {"model": "a.pt"}}).encode()
    while True:
        text = broken(whole, rng).decode("utf-8", "replace")
        yield lambda text=text: parse_settings(text)


def logs(folder: Path, rng: random.Random) -> Iterator[Callable[[], Any]]:
    """Manifests of crawls, and lists of crops."""
    row = {"url": "http://a/1", "page": "http://a", "status": "stored", "file": "1.png", "sha256": "a" * 64, "bytes": 3}
    whole, path = (
        b"".join(json.dumps(row | {"url": f"http://a/{i}"}).encode() + b"\n" for i in range(5)),
        folder / "m.jsonl",
    )
    while True:
        some = row | {rng.choice(list(row)): odd(rng)}
        data = broken(whole, rng) + json.dumps({k: v for k, v in some.items() if not isinstance(v, bytes)}).encode()

        def read(data: bytes = data) -> int:
            path.write_bytes(data)
            manifest = Manifest(path)
            return sum(manifest.has(url) or manifest.is_useless(url, 200) for url in manifest.rows) + len(
                read_rows(path)
            )

        yield read


def prompts(folder: Path, rng: random.Random) -> Iterator[Callable[[], Any]]:
    """Texts for CLIP."""
    while True:
        text = "".join(
            chr(rng.choice((rng.randrange(32, 127), rng.randrange(0x20, 0x2FFF), 0, 10, 0x1F600)))
            for _ in range(rng.choice((0, 1, 9, 900)))
        )
        yield lambda text=text: tokenize(text)


KINDS: dict[str, Try] = {
    "images": images,
    "zips": zips,
    "datasets": lmdbs,
    "checkpoints": _files("checkpoints/pocket/photo.pt", checkpoints.load),
    "encoders": _files("checkpoints/pocket/encoder.pt", checkpoints.load_encoder),
    "judges": _files("checkpoints/pocket/judge.pt", Judge.load),
    "codes": projections,
    "pages": pages,
    "addresses": addresses,
    "settings": settings,
    "pasted settings": copied,
    "manifests": logs,
    "prompts": prompts,
}


# ----------------------------------------------------------------------------------------------------------- the tally
def tally(kind: str, each: int, seed: int = 0) -> Tally:
    """Break so many inputs of a kind, and see what comes of them."""
    found, rng = Tally(), random.Random(f"{kind} {seed}")
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(name)
        tries = KINDS[kind](folder, rng)
        for _ in range(each):
            attempt = next(tries)
            found.tried += 1
            try:
                attempt()
                found.results += 1
            except CLEAR as error:
                found.errors += 1
                said = str(error)
                if not said or len(said) > LONGEST or type(error).__name__ == "UnicodeDecodeError":
                    found.failures.append(f"unclear: {type(error).__name__}: {said[:200]!r}")
            except Exception as error:
                found.failures.append(f"{type(error).__name__}: {str(error)[:200]!r}")
        tries.close()
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
    total, failures = Tally(), []
    for kind in options.only:
        found = tally(kind, options.each, options.seed)
        print(f"| {kind} | {found.tried} | {found.results} | {found.errors} | {len(found.failures)} |", flush=True)
        total.tried, total.results, total.errors = (
            total.tried + found.tried, total.results + found.results, total.errors + found.errors,
        )  # fmt: skip
        failures += [f"{kind}: {failure}" for failure in found.failures]
    print(f"| all | {total.tried} | {total.results} | {total.errors} | {len(failures)} |")
    changed = [path.name for path, digest in before.items() if checkpoints.sha256(path) != digest]
    for line in [*failures, *(f"changed: {name}" for name in changed)]:
        print(line)


if __name__ == "__main__":
    main()
