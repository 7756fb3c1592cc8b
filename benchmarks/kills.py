"""Killed at random moments, again and again: nothing half on the disk, and every run goes on to the same end.

    python -m benchmarks.kills [--kills 50] [--seed 0]

Training, preparing, downloading and crawling run in processes of their own, each killed (SIGKILL, which no program can
answer) after a random time. After every kill all that lies there is read: whatever has a file's proper name must be
whole. Then the same work is started again, on the same folder. What comes out in the end must be what an undisturbed
run gives, to the last bit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import gdown  # noqa: F401  - imported before the processes part, as all that is slow to import
import lmdb
import torch
from drive import Drive
from noise_pictures import noise_picture
from tiny_training import tiny_networks, tiny_trainer

from stylegan2 import checkpoints
from stylegan2.collect.crawl import CrawlConfig, crawl
from stylegan2.collect.polite import Manners
from stylegan2.collect.rows import read_rows
from stylegan2.data.dataset import LMDBDataset, close_reader
from stylegan2.data.prepare import prepare
from stylegan2.editing.photos import open_photo
from stylegan2.pocket.world.site import LocalSite
from stylegan2.published.zoo import Zoo
from stylegan2.runs import read_log

MODEL = "ffhq256"


class Job(NamedTuple):
    """Work that can be killed."""

    name: str
    work: Callable[[Path], object]  # does it, in a folder, from wherever it stands
    result: Callable[[Path], str]  # what came out, as a hash


def check(folder: Path) -> None:
    """Read whatever has a file's proper name. Raises where something is half."""
    readers = {".pt": checkpoints.load, ".png": open_photo, ".csv": read_log, ".jsonl": manifest, ".mdb": pictures_of}
    readers[".json"] = lambda path: json.loads(path.read_text())
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix in readers and path.name != "lock.mdb" and not hidden:
            readers[path.suffix](path)


def manifest(path: Path) -> None:
    for row in read_rows(path):
        if row["status"] == "stored" and checkpoints.sha256(path.parent / row["file"]) != row["sha256"]:
            raise ValueError(f"{row['file']} is not what the manifest says")


def stored(path: Path) -> dict[bytes, bytes]:
    """What an LMDB holds."""
    close_reader(path)
    with lmdb.open(str(path), readonly=True, lock=False) as env, env.begin() as txn:
        return dict(txn.cursor())


def pictures_of(path: Path) -> None:
    for i in range(int(stored(path.parent).get(b"length", 0))):
        assert LMDBDataset(path.parent)[i].shape == (3, 32, 32)


def hashed(parts: Iterable[bytes]) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()


# ---------------------------------------------------------------------------------------------------------- the works
def training() -> Job:
    def result(folder: Path) -> str:
        newest = checkpoints.load(max(folder.glob("snapshots/[0-9]*.pt")))
        return hashed(t.numpy().tobytes() for net in (newest.g_ema, newest.d) for t in net.state_dict().values())

    settings = {"images": 480, "snapshot_images": 8, "log_images": 8}
    return Job("train", lambda folder: tiny_trainer(folder, **settings).run(progress=False), result)


def preparing(source: Path) -> Job:
    def result(folder: Path) -> str:
        return hashed(key + value for key, value in stored(folder / "faces.lmdb").items() if key != b"meta")

    return Job("prepare", lambda f: prepare(source, f / "faces.lmdb", 32, progress=False, workers=0), result)


def downloading(base: str) -> Job:
    work = lambda folder: Zoo(folder, base).fetch(MODEL, progress=False)  # noqa: E731
    return Job("download", work, lambda folder: checkpoints.sha256(folder / f"{MODEL}.pt"))


def crawling(url: str, allowed: frozenset[str]) -> Job:
    def work(folder: Path) -> None:
        manners = Manners(0.0, allow_local=allowed)
        crawl(CrawlConfig(url, folder, True, "webtoons", manners=manners), progress=False)

    def result(folder: Path) -> str:
        pictures = sorted(folder.rglob("[0-9]*.png"))
        return hashed(str(path.relative_to(folder)).encode() + path.read_bytes() for path in pictures)

    return Job("crawl", work, result)


# -------------------------------------------------------------------------------------------------------------- killing
FORK = multiprocessing.get_context("fork")  # what is slow to import is there already


@contextmanager
def served(server: Drive | LocalSite, address: Callable) -> Iterator[tuple]:
    """A server in a process of its own (threads must not be forked), with its `address` there."""

    def serve(pipe: Connection) -> None:
        with server:
            pipe.send(address(server))
            signal.pause()

    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=serve, args=(theirs,))
    process.start()
    try:
        yield ours.recv()
    finally:
        process.kill()
        process.join()


def attempt(job: Job, folder: Path, kill_after: float | None = None) -> bool:
    """Do the work, killed after so many seconds; returns whether it came to its end. RuntimeError if it failed."""
    process = FORK.Process(target=job.work, args=(folder,))
    process.start()
    process.join(kill_after)
    process.kill()
    process.join()
    if process.exitcode and (kill_after is None or process.exitcode != -signal.SIGKILL):
        raise RuntimeError(f"{job.name} failed, as its process says above")
    return process.exitcode == 0


def trial(job: Job, folder: Path, kills: int, rng: random.Random) -> tuple[int, int]:
    """Kill so many times; returns how many runs came to their end meanwhile, and how often a file was half."""
    (reference := folder / "reference").mkdir(parents=True)
    start = time.perf_counter()
    attempt(job, reference)
    seconds, expected = time.perf_counter() - start, job.result(reference)
    done = runs = half = 0
    while done < kills:
        (run := folder / f"run {runs}").mkdir()
        runs, ended = runs + 1, False
        while not ended:
            ended = attempt(job, run, rng.uniform(0, 0.6 * seconds) if done < kills else None)
            done += not ended
            try:
                check(run)
            except Exception as error:
                half += 1
                print(f"{job.name}: after a kill: {type(error).__name__}: {error}")
        if job.result(run) != expected:
            raise RuntimeError(f"{job.name}: '{run}' ended otherwise than an undisturbed run")
    return runs, half


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="of every kind of work")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pictures").mkdir()
        for i in range(300):
            (folder / "pictures" / f"{i:03}.png").write_bytes(noise_picture(120, i, 4))
        checkpoints.save(folder / "a.pt", g_ema=tiny_networks()[0], meta={"more": torch.randn(1_500_000)})
        drive = Drive({f"{MODEL}.pt": (folder / "a.pt").read_bytes()}, pause=0.01)
        site = LocalSite(episodes=6, pictures=8, picture=lambda e, n: noise_picture(220, 100 * e + n, 4))
        with served(drive, lambda d: d.base) as base, served(site, lambda s: (s.url(), s.allowed)) as address:
            jobs = training(), preparing(folder / "pictures"), downloading(base), crawling(*address)
            print("| work | kills | runs that came to their end, with the same result | files that were half |")
            print("|---|---|---|---|")
            for job in jobs:
                runs, half = trial(job, folder / job.name, options.kills, rng)
                print(f"| {job.name} | {options.kills} | {runs} of {runs} | {half} |", flush=True)


if __name__ == "__main__":
    main()
