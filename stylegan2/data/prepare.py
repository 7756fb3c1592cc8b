"""Images -> LMDB: `prepare(source, out)` turns a folder, a zip or a rendered set into a dataset for training.

The layout is the original's: PNG or JPEG bytes under `{size}-{index:05d}`, and `length`. Beside it, under keys the
original's reader never asks for, lies a record of what has been done (`meta`, `skipped-...`), written in the same
transaction: even after a SIGKILL the file holds a complete prefix of the dataset and knows where to go on.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path

import lmdb

from stylegan2.bars import bar
from stylegan2.data.dataset import LENGTH_KEY, META_KEY, close_reader, image_key, is_lmdb, open_reader, read_meta
from stylegan2.data.images import Settings, encode, strict_pillow
from stylegan2.data.sources import Source, open_source
from stylegan2.files import counted, only_writer
from stylegan2.runtime import threads

FIRST_MAP_BYTES = 16 << 20  # doubled whenever it is full
CHUNK = 32  # items per task and per transaction: what a kill can cost
RECORD_VERSION = 1
PATIENCE = 300  # seconds to wait for another process that makes the same cached dataset

Encoded = dict[int, bytes] | str  # size -> bytes of an image file, or the reason why there is no image


@dataclass(frozen=True)
class PrepareReport:
    """What a call of `prepare` did. `print(report)` lists the skipped files."""

    out: str
    length: int  # images in the dataset now
    sizes: tuple[int, ...]
    resumed: int  # images that were there already
    skipped: list[tuple[str, str]] = field(default_factory=list)  # (name, reason), over all calls
    seconds: float = 0.0

    def __str__(self) -> str:
        sizes, written = ", ".join(f"{size} px" for size in self.sizes), self.length - self.resumed
        lines = [
            f"{self.out}: {counted(self.length, 'image')} of {sizes}; {written:,} written in {self.seconds:.1f} s "
            f"({written / max(self.seconds, 1e-9):,.0f} images/s), {self.resumed:,} were there, "
            f"{counted(len(self.skipped), 'file')} skipped"
        ]
        lines += [f"  skipped {name}: {reason}" for name, reason in self.skipped[:20]]
        return "\n".join(lines + [f"  ... and {len(self.skipped) - 20:,} more"] * (len(self.skipped) > 20))


def prepare(
    source: str | os.PathLike,
    out: str | os.PathLike,
    sizes: int | tuple[int, ...],
    quality: int = 100,
    format: str | None = None,
    resample: str = "lanczos",
    workers: int = 2,
    crop: bool = True,
    progress: bool = True,
    limit: int | None = None,
    overwrite: bool = False,
) -> PrepareReport:
    """Write the images of `source` into the LMDB folder `out`; run it again to go on after an interruption.

    source    a folder (flat or nested), a `.zip`, or `pocket:DOMAIN?n=1000&seed=0` (rendered)
    sizes, quality, format, resample, crop    see `Settings`; format: default "jpeg", of rendered sets "png"
    workers   threads; 0 works in this one (the bytes are the same)
    limit     only the first so many items, sorted by name
    overwrite begin anew even though `out` holds another dataset

    Files that are damaged or no images are skipped, and listed in the report. Raises FileNotFoundError or ValueError
    for a source or settings that cannot work, FileExistsError where `out` holds something else, OSError where
    another process is writing to `out` (`files.InUse`) or the disk is full.
    """
    listing = open_source(source, limit=limit, exclude=out)
    settings = _settings(listing, sizes, quality=quality, format=format, resample=resample, crop=crop)
    return _prepare(listing, settings, Path(out), workers, progress, overwrite)


def ensure_lmdb(
    source: str | os.PathLike, cache_dir: str | os.PathLike, size: int, workers: int = 2, progress: bool = True
) -> Path:
    """An LMDB for any source: `source` itself if it is one, else prepared below `cache_dir` (once; resumed if need be).

    The name below `cache_dir` holds a hash of the source's listing and of the settings, so a changed folder is prepared
    again and an unchanged one costs a listing. Where another process makes the same one, this waits for it, up to
    PATIENCE seconds. Raises what `prepare` raises.
    """
    if is_lmdb(source):
        return Path(source)
    listing = open_source(source, exclude=cache_dir)
    settings = _settings(listing, size)
    key = json.dumps([listing.fingerprint, asdict(settings)], sort_keys=True)
    slug = re.sub(r"[^A-Za-z0-9]+", "-", listing.title).strip("-")[:40]
    out = Path(cache_dir) / f"{slug}-{size}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    _prepare(listing, settings, out, workers, progress, overwrite=False, wait=PATIENCE)
    return out


def _settings(listing: Source, sizes: int | tuple[int, ...], format: str | None = None, **options) -> Settings:
    """Normalised settings: sizes as an ascending tuple, the source's default format, no quality where there is none."""
    sizes = (sizes,) if isinstance(sizes, int) else tuple(sorted(set(sizes)))
    format = format or ("png" if listing.lossless_by_default else "jpeg")
    return Settings(sizes=sizes, format=format, **options | ({"quality": None} if format == "png" else {}))


def _prepare(
    listing: Source, settings: Settings, out: Path, workers: int, progress: bool, overwrite: bool, wait: float = 0
) -> PrepareReport:
    begin = time.perf_counter()
    if workers < 0:
        raise ValueError(f"workers={workers}: expected 0 (work in this process) or more")
    with only_writer(out, wait):
        plain = {**asdict(settings), "sizes": list(settings.sizes)}  # as JSON gives it back
        asked = _Record(RECORD_VERSION, listing.title, listing.fingerprint, plain, len(listing))
        record = before = _open_or_create(out, asked, overwrite)
        if record.done < record.total:
            record = _run(out, record, listing, settings, workers, progress)
        with open_reader(out).begin() as txn:
            skipped = [tuple(json.loads(txn.get(_skipped_key(k)))) for k in range(record.skipped)]
        close_reader(out)  # so that any other code can open it now: LMDB allows one environment per process
    if not record.length:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped[:3])
        raise ValueError(f"none of the {record.total} files of {listing.title} is a usable image ({reasons})")
    return PrepareReport(str(out), record.length, settings.sizes, before.length, skipped, time.perf_counter() - begin)


# -------------------------------------------------------------------------------------------------------- the record


@dataclass(frozen=True)
class _Record:
    """The value of `meta`: enough to refuse a mixture of settings and to go on where a run stopped."""

    version: int
    source: str
    fingerprint: str
    settings: dict
    total: int  # items of the source
    done: int = 0  # items dealt with: always a prefix
    length: int = 0  # images stored
    skipped: int = 0  # items without image; length + skipped == done

    def differences(self, asked: _Record) -> list[str]:
        """In words, how what is asked for differs from what lies there (this)."""
        pairs = [(key, self.settings.get(key), value) for key, value in asked.settings.items()]
        lines = [f"{key}={stored} there, {key}={value} asked for" for key, stored, value in pairs if stored != value]
        if self.version != asked.version:
            lines.append("written by another version of this package")
        if (self.fingerprint, self.total) != (asked.fingerprint, asked.total):
            items = f"{self.total} items of {self.source} there, {asked.total} items of {asked.source} asked for"
            lines.append(f"{items}, and their names, dates or contents differ")
        return lines

    def pairs(self) -> list[tuple[bytes, bytes]]:
        """As keys and values of the LMDB."""
        return [(LENGTH_KEY, str(self.length).encode()), (META_KEY, json.dumps(asdict(self)).encode())]


def _skipped_key(number: int) -> bytes:
    return f"skipped-{number:08d}".encode()


def _open_or_create(out: Path, asked: _Record, overwrite: bool) -> _Record:
    """The record to go on from: the one that lies in `out` if it matches, or a new one in a new LMDB."""
    others = sorted(path.name for path in out.iterdir() if path.name not in ("data.mdb", "lock.mdb"))
    if others:
        raise FileExistsError(f"'{out}' holds other files ({', '.join(others[:3])}, ...): choose an empty folder")
    if not overwrite and (stored := _read_record(out)):
        differences = stored.differences(asked)
        if not differences:
            return stored
        if stored.length:
            raise FileExistsError(
                f"'{out}' holds {counted(stored.length, 'image')} prepared differently "
                f"({'; '.join(differences)}): choose another folder, or pass overwrite=True"
            )
    close_reader(out)
    for name in ("data.mdb", "lock.mdb"):
        (out / name).unlink(missing_ok=True)
    with contextlib.closing(_open_writer(out)) as env:
        _put(env, asked.pairs())
    return asked


def _read_record(out: Path) -> _Record | None:
    """The record in `out`; None if there is no LMDB, or one that a kill left before its first transaction."""
    if not is_lmdb(out) or not (out / "data.mdb").stat().st_size or not open_reader(out).stat()["entries"]:
        return None
    meta = read_meta(out)
    if not meta:
        raise FileExistsError(
            f"'{out}' holds an LMDB that was not written by prepare: choose another folder, "
            "or pass overwrite=True to replace it"
        )
    return _Record(**{key: meta.get(key) for key in _Record.__dataclass_fields__})


# ---------------------------------------------------------------------------------------------------------- encoding


def encode_all(listing: Source, settings: Settings, chunks: list[range], workers: int) -> Iterator[list[Encoded]]:
    """The encoded items of each chunk, in order, by up to `workers` threads (0: this one); the bytes are the same.

    Pillow decodes and resizes, and torch renders, without Python's lock.
    """
    with strict_pillow(), contextlib.ExitStack() as stack:  # strict around all: `decode` puts back what it found
        if not workers:
            yield from (_encode_chunk(listing, settings, chunk) for chunk in chunks)
            return
        stack.enter_context(threads(1))  # the workers are the parallelism
        pool, ahead, todo = ThreadPoolExecutor(workers), deque(), iter(chunks)
        stack.callback(pool.shutdown, cancel_futures=True)
        step = listing.at_once
        for _ in chunks:
            for chunk in islice(todo, workers + 1 - len(ahead)):
                parts = [chunk[k : k + step] for k in range(0, len(chunk), step)]
                ahead.append([pool.submit(_encode_chunk, listing, settings, part) for part in parts])
            yield [item for part in ahead.popleft() for item in part.result()]


def _encode_chunk(listing: Source, settings: Settings, chunk: range) -> list[Encoded]:
    return [
        item if isinstance(item, str) else {size: encode(image, settings) for size, image in item.items()}
        for item in listing.load(chunk, settings)
    ]


# ----------------------------------------------------------------------------------------------------------- writing


def _open_writer(out: Path) -> lmdb.Environment:
    try:
        return lmdb.open(os.fspath(out), map_size=FIRST_MAP_BYTES, readahead=False)
    except lmdb.Error as error:
        why = f"cannot write the LMDB '{out}' ({error}); if other code in this process has it open, close that first"
        raise OSError(why) from error


def _put(env, pairs: list[tuple[bytes, bytes]]) -> None:
    """Store all pairs in one transaction; when the map is full, double it and store them again."""
    while True:
        try:
            with env.begin(write=True) as txn:
                for key, value in pairs:
                    txn.put(key, value)
            return
        except lmdb.MapFullError:
            env.set_mapsize(2 * env.info()["map_size"])
        except lmdb.Error as error:  # a full disk shows as "No space left" or as an input/output error
            why = f"cannot write ({error}); is the disk full? Stored images are safe: run again later"
            raise OSError(why) from error


def _run(out: Path, record: _Record, listing: Source, settings: Settings, workers: int, progress: bool) -> _Record:
    """Work through the items not done yet; one transaction per chunk."""
    chunks = [range(k, min(k + CHUNK, record.total)) for k in range(record.done, record.total, CHUNK)]
    close_reader(out)
    with (
        contextlib.closing(_open_writer(out)) as env,
        contextlib.closing(encode_all(listing, settings, chunks, workers)) as results,
        bar(what="prepare", unit="img", shown=progress, total=record.total, initial=record.done) as shown,
    ):
        for chunk, items in zip(chunks, results, strict=True):
            record = _store(env, record, [listing.names[k] for k in chunk], items)
            shown.update(len(chunk))
            shown.set_postfix_str(f"{record.skipped} skipped" if record.skipped else "", refresh=False)
    return record


def _store(env, record: _Record, names: list[str], items: list[Encoded]) -> _Record:
    """One chunk, its skipped items, the new `length` and the new record, all or nothing."""
    pairs, length, skipped = [], record.length, record.skipped
    for name, item in zip(names, items, strict=True):
        if isinstance(item, str):
            pairs.append((_skipped_key(skipped), json.dumps([name, item]).encode()))
            skipped += 1
        else:
            pairs += [(image_key(size, length), data) for size, data in item.items()]
            length += 1
    record = replace(record, done=record.done + len(items), length=length, skipped=skipped)
    _put(env, pairs + record.pairs())
    return record
