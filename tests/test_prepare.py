"""`prepare`: every kind of source and picture, hostile files, and a kill at any moment."""

import io
import json
import os
import random
import select
import signal
import struct
import subprocess
import sys
import time
import types
import warnings
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import lmdb
import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

import stylegan2.pocket  # noqa: F401  (rendered sets can be named as sources)
from stylegan2 import bars
from stylegan2.data import images, sources
from stylegan2.data import prepare as prep
from stylegan2.data.dataset import LMDBDataset, inspect, open_reader
from stylegan2.data.prepare import encode_all, ensure_lmdb, prepare
from stylegan2.files import InUse, only_writer
from stylegan2.pocket import world

ROOT = Path(__file__).resolve().parents[1]


class OriginalReader:
    """Reads as the original code's dataset class does: same flags, same keys, same decoding."""

    def __init__(self, path, resolution):
        self.env = lmdb.open(str(path), max_readers=32, readonly=True, lock=False, readahead=False, meminit=False)
        with self.env.begin(write=False) as txn:
            self.length = int(txn.get(b"length").decode("utf-8"))
        self.resolution = resolution

    def __getitem__(self, index):
        with self.env.begin(write=False) as txn:
            data = txn.get(f"{self.resolution}-{str(index).zfill(5)}".encode())
        return np.asarray(Image.open(io.BytesIO(data)))


def original_images(path, resolution):
    """All images of an LMDB as the original reads them: list of uint8 [H, W, 3]."""
    reader = OriginalReader(path, resolution)
    try:
        return [reader[k] for k in range(reader.length)]
    finally:
        reader.env.close()


def contents(path):
    """Every key and value of an LMDB."""
    with open_reader(path).begin() as txn:
        return dict(txn.cursor())


def picture(seed=0, width=40, height=40, mode="RGB"):
    """A smooth random picture, so that JPEG and resampling hardly change it."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 3, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def encoded(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def quietly(source, out, **options):
    return prepare(source, out, **{"sizes": 16, "workers": 0, "progress": False, **options})


@pytest.fixture
def folder(tmp_path):
    """60 pictures, flat and nested, with three damaged or foreign files among them."""
    root = tmp_path / "photos"
    for k in range(60):
        path = root / ("" if k % 2 else f"class{k % 3}") / f"{k:03d}.{'jpg' if k % 5 else 'png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(k).save(path)
    whole = encoded(picture(1, 200, 200), "JPEG")
    (root / "010-cut.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "020-notes.txt").write_text("no picture")
    (root / "030-empty.png").write_bytes(b"")
    (root / ".hidden.png").write_bytes(encoded(picture()))
    return root


# ------------------------------------------------------------------------------------------------- what is written


def test_folder_layout_is_the_originals(folder, tmp_path):
    report = quietly(folder, tmp_path / "out", sizes=(32, 16), format="png")
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.*") if not p.name.startswith("."))
    good = [name for name in names if not any(word in name for word in ("cut", "notes", "empty"))]
    assert (report.length, report.sizes, report.resumed) == (60, (16, 32), 0)
    keys = set(contents(report.out))
    assert {f"{s}-{k:05d}".encode() for s in (16, 32) for k in range(60)} | {b"length"} <= keys
    prep.close_reader(report.out)
    for size in (16, 32):
        stored = original_images(report.out, size)
        for k, name in enumerate(good):
            expected = Image.open(folder / name).convert("RGB").resize((size, size), Image.Resampling.LANCZOS)
            np.testing.assert_array_equal(stored[k], np.asarray(expected), err_msg=name)


def test_skipped_files_are_listed_with_reasons(folder, tmp_path):
    report = quietly(folder, tmp_path / "out")
    reasons = dict(report.skipped)
    assert list(reasons) == ["010-cut.jpg", "020-notes.txt", "030-empty.png"]
    assert "truncated" in reasons["010-cut.jpg"]
    assert reasons["020-notes.txt"] == "not an image" and reasons["030-empty.png"] == "empty file"
    assert "3 files skipped" in str(report) and "020-notes.txt" in str(report)


def test_truncated_jpeg_is_damaged_even_if_the_process_tolerates_it(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert "010-cut.jpg" in dict(quietly(folder, tmp_path / "out").skipped)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True  # the caller's setting is left as it was


def test_centre_crop_and_squeeze(tmp_path):
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 255  # only the centre is white
    root = tmp_path / "in"
    root.mkdir()
    Image.fromarray(wide).save(root / "wide.png")
    Image.fromarray(wide.transpose(1, 0, 2)).save(root / "tall.png")
    quietly(root, tmp_path / "crop", format="png")
    assert all((image == 255).all() for image in original_images(tmp_path / "crop", 16))
    quietly(root, tmp_path / "squeeze", format="png", crop=False, resample="box")
    tall, squeezed = original_images(tmp_path / "squeeze", 16)
    assert squeezed[:, 0].max() == 0 and squeezed[:, 8].min() == 255
    np.testing.assert_array_equal(tall, squeezed.transpose(1, 0, 2))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(orientation):
    upright = picture(3, 32, 24)
    undo = {  # how a camera with this orientation flag stores an upright picture
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    result = images.decode(encoded(stored, "PNG", exif=exif))
    np.testing.assert_array_equal(np.asarray(result), np.asarray(upright))


def test_colour_modes():
    grey = picture(5, mode="L")
    np.testing.assert_array_equal(images.decode(encoded(grey)), grey.convert("RGB"))
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)  # 16 bits: Pillow alone would clip it to white
    np.testing.assert_array_equal(images.decode(encoded(deep)), grey.convert("RGB"))
    palette = picture(5).quantize(32)
    np.testing.assert_array_equal(images.decode(encoded(palette)), palette.convert("RGB"))
    cmyk = images.decode(encoded(picture(5, mode="CMYK"), "JPEG", quality=100))
    assert cmyk.mode == "RGB" and np.abs(np.asarray(cmyk, int) - np.asarray(picture(5), int)).max() < 12
    bilevel = images.decode(encoded(picture(5, mode="1")))
    assert bilevel.mode == "RGB" and set(np.unique(bilevel)) <= {0, 255}
    with pytest.raises(images.Refused, match="floating-point"):
        images.decode(encoded(Image.fromarray(np.zeros((4, 4), np.float32)), "TIFF"))


def test_transparency_is_laid_over_white():
    colour = Image.new("RGBA", (8, 8), (200, 0, 0, 0))  # invisible red
    colour.paste((0, 0, 200, 255), (0, 0, 4, 8))  # solid blue
    for image in (colour, colour.quantize(8), picture(1, 8, 8, "L").convert("LA")):
        result = np.asarray(images.decode(encoded(image)))
        if image.mode != "LA":
            assert (result[:, :4] == (0, 0, 200)).all() and (result[:, 4:] == 255).all(), image.mode
        else:
            np.testing.assert_array_equal(result, picture(1, 8, 8, "L").convert("RGB"))
    keyed = encoded(Image.new("RGB", (8, 8), (1, 2, 3)), "PNG", transparency=(1, 2, 3))  # a colour declared invisible
    assert (np.asarray(images.decode(keyed)) == 255).all()


def test_large_jpeg_decoded_at_reduced_scale_looks_the_same():
    data = encoded(picture(2, 800, 640), "JPEG", quality=95)
    full, reduced = images.decode(data), images.decode(data, shrink_to=64)
    assert full.size == (800, 640) and 128 <= min(reduced.size) < 640
    a, b = (np.asarray(images.to_square(i, 64, "lanczos", True), float) for i in (full, reduced))
    assert np.abs(a - b).mean() < 1.0


# ---------------------------------------------------------------------------------------------------- hostile input


def test_zip_is_read_in_memory_and_cannot_escape(tmp_path):
    archive, data = tmp_path / "faces.zip", encoded(picture())
    link = zipfile.ZipInfo("link.png")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(archive, "w") as file:
        for name in ("b.png", "a/deep/er.png", "../evil.png", "/abs.png", "a/../../evil2.png", "C:\\evil3.png"):
            file.writestr(name, data)
        for name in ("__MACOSX/b.png", ".DS_Store", "a/._er.png", "empty/"):
            file.writestr(name, data if name[-1] != "/" else b"")
        file.writestr(link, "/etc/passwd")
        file.writestr("README.md", "hello")
    before = set(tmp_path.rglob("*"))
    report = quietly(archive, tmp_path / "out")
    assert report.length == 2
    reasons = dict(report.skipped)
    assert set(reasons) == {
        "../evil.png", "/abs.png", "a/../../evil2.png", "C:\\evil3.png", "link.png", "README.md"
    }  # fmt: skip
    assert all("leaves the archive" in reasons[name] for name in reasons if "evil" in name or "abs" in name)
    assert {p.name for p in set(tmp_path.rglob("*")) - before} == {"out", "data.mdb", "lock.mdb"}
    assert not list(tmp_path.parent.glob("evil*"))


def test_zip_and_folder_give_the_same_dataset(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for path in folder.rglob("*.*"):
            file.write(path, path.relative_to(folder).as_posix())
    a = contents(quietly(folder, tmp_path / "a").out)
    b = contents(quietly(tmp_path / "photos.zip", tmp_path / "b").out)
    a.pop(b"meta"), b.pop(b"meta")  # which names their sources
    assert a == b


def bomb_png(side):
    """A PNG header that declares side x side pixels, followed by a little data."""
    chunk = lambda kind, body: struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))  # noqa: E731
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "side", [10_000, 60_000]
)  # Pillow by itself would only warn at the first, and refuse the second
def test_decompression_bombs_are_refused(tmp_path, side, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # even if someone switched Pillow's own guard off
    root = tmp_path / "in"
    root.mkdir()
    (root / "bomb.png").write_bytes(bomb_png(side))
    picture().save(root / "fine.png")
    report = quietly(root, tmp_path / "out")
    reason = dict(report.skipped)["bomb.png"]
    assert report.length == 1 and "fill the memory" in reason and Image.MAX_IMAGE_PIXELS is None


def test_zip_bombs_are_refused_without_unpacking(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "MAX_FILE_BYTES", 32 << 20)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("ratio.bmp", bytes(16 << 20))  # 1000 : 1
        file.writestr("size.bmp", bytes(40 << 20))
        file.writestr("fine.png", encoded(picture()))
    opened = []
    real_open = zipfile.ZipFile.open
    monkeypatch.setattr(
        zipfile.ZipFile,
        "open",
        lambda self, name, *a, **k: opened.append(name.filename) or real_open(self, name, *a, **k),
    )
    report = quietly(tmp_path / "bomb.zip", tmp_path / "out")
    assert report.length == 1 and opened == ["fine.png"]
    assert (
        "times its size" in dict(report.skipped)["ratio.bmp"] and "declares 40 MiB" in dict(report.skipped)["size.bmp"]
    )


def test_damaged_and_encrypted_zip_entries_are_skipped(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name in ("bad.png", "fine.png", "secret.png"):
            file.writestr(name, encoded(picture()))
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"bad.png") + 60] ^= 0xFF  # its checksum no longer fits
    place = raw.rindex(b"secret.png") - 46  # the central directory's record of it
    raw[place + 8] |= 1
    path.write_bytes(raw)
    report = quietly(path, tmp_path / "out")
    assert report.length == 1
    assert "CRC" in dict(report.skipped)["bad.png"] and "encrypted" in dict(report.skipped)["secret.png"]


def test_links_pipes_and_unreadable_files_do_not_stop_the_run(folder, tmp_path):
    os.mkfifo(folder / "pipe.png")
    (folder / "gone.png").symlink_to(tmp_path / "nowhere")
    (folder / "loop").symlink_to(folder)
    report = quietly(folder, tmp_path / "out")
    assert report.length == 60 and {"pipe.png", "gone.png", "loop"} <= set(dict(report.skipped))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p / "missing", ["no such folder or zip", "missing"]),
        (lambda p: p / "empty", ["holds no files"]),
        (lambda p: p / "future.zip", ["a damaged zip archive (zip file version 16.0)", "future.zip"]),
        (lambda p: p / "page.zip", ["not a (whole) zip", "page.zip"]),
        (lambda p: "pocket:webtoo", ["webtoo", "photo, webtoon"]),
        (lambda p: "pocket:webtoon?m=3", ["m=3", "expected whole numbers as in"]),
        (lambda p: p / "text", ["none of the 1 files", "a.txt: not an image"]),
    ],
)
def test_bad_sources(tmp_path, make, words, monkeypatch):
    fake_pocket(monkeypatch)
    (tmp_path / "empty").mkdir()
    (tmp_path / "page.zip").write_text("<html>quota exceeded</html>")
    with zipfile.ZipFile(tmp_path / "future.zip", "w") as file:
        file.writestr("a.png", b"a")
        file.filelist[0].extract_version = 160
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("hello")
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        quietly(make(tmp_path), tmp_path / "out")
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"sizes": ()}, "sizes"), ({"sizes": (0,)}, "sizes"), ({"format": "gif"}, "'jpeg' or 'png'"),
        ({"quality": 0}, "quality=0"), ({"resample": "cubic"}, "bicubic"), ({"workers": -1}, "workers=-1"),
        ({"limit": 0}, "limit=0"),
    ],
)  # fmt: skip
def test_bad_settings_leave_nothing_behind(folder, tmp_path, options, word):
    with pytest.raises(ValueError, match=word):
        quietly(folder, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------------------------------- settings, limits, caches


def test_rerun_continues_or_says_what_differs(folder, tmp_path):
    out = tmp_path / "out"
    first = quietly(folder, out)
    again = quietly(folder, out)
    assert (again.resumed, again.length, again.skipped) == (first.length, first.length, first.skipped)
    with pytest.raises(FileExistsError, match=r"quality=100 there, quality=90 asked.*overwrite=True"):
        quietly(folder, out, quality=90)
    picture(99).save(folder / "new.png")
    with pytest.raises(FileExistsError, match="63 items.*64 items"):
        quietly(folder, out)
    assert quietly(folder, out, overwrite=True).length == 61 and len(LMDBDataset(out)) == 61


def test_other_peoples_folders_are_left_alone(folder, tmp_path):
    with pytest.raises(FileExistsError, match="other files"):
        quietly(folder, tmp_path, overwrite=True)
    with pytest.raises(ValueError, match="both source and output"):
        quietly(folder, folder)
    with lmdb.open(str(tmp_path / "foreign")) as env, env.begin(write=True) as txn:
        txn.put(b"length", b"3")
    with pytest.raises(FileExistsError, match="not written by prepare"):
        quietly(folder, tmp_path / "foreign")
    quietly(folder, tmp_path / "ours")
    with pytest.raises(ValueError, match="is a dataset already"):
        quietly(tmp_path / "ours", tmp_path / "more")


def test_output_inside_the_source_is_not_its_own_input(folder):
    assert quietly(folder, folder / "lmdb").skipped == quietly(folder, folder / "lmdb").skipped
    assert len(LMDBDataset(folder / "lmdb")) == 60


def test_limit(folder, tmp_path):
    head, everything = sources.open_source(folder, limit=10), sources.open_source(folder)
    assert head.names == everything.names[:10] and head.fingerprint != everything.fingerprint
    assert quietly(folder, tmp_path / "out", limit=10).length + 1 == 10  # one of the ten is damaged


def test_two_writers_are_kept_apart(folder, tmp_path):
    with only_writer(tmp_path / "out"), pytest.raises(InUse, match="another process writes"):
        quietly(folder, tmp_path / "out")
    assert quietly(folder, tmp_path / "out").length == 60  # the lock went with its holder


def test_who_wants_the_same_cached_dataset_waits_for_it(folder, tmp_path):
    """As when two trainings start together: the second must not fail because the first looks or writes."""

    def cached():
        return ensure_lmdb(folder, tmp_path, 16, workers=0, progress=False)

    first = cached()
    with ThreadPoolExecutor(1) as pool:
        with only_writer(first):
            second = pool.submit(cached)
            with pytest.raises(TimeoutError):
                second.result(timeout=0.3)
        assert second.result(timeout=30) == first


def test_ensure_lmdb_prepares_once_and_follows_changes(folder, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(prep, "encode_all", lambda *a: calls.append(1) or encode_all(*a))
    first = ensure_lmdb(folder, tmp_path / "cache", 16, workers=0, progress=False)
    assert ensure_lmdb(folder, tmp_path / "cache", 16, workers=0, progress=False) == first and len(calls) == 1
    assert ensure_lmdb(first, tmp_path / "cache", 16) == first
    assert ensure_lmdb(folder, tmp_path / "cache", 32, workers=0, progress=False) != first
    picture(99).save(folder / "new.png")
    changed = ensure_lmdb(folder, tmp_path / "cache", 16, workers=0, progress=False)
    assert changed != first and len(LMDBDataset(changed)) == 61 and len(calls) == 3


def test_map_grows_from_small(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(prep, "FIRST_MAP_BYTES", 64 << 10)
    report = quietly(folder, tmp_path / "out", sizes=(16, 64), format="png")
    assert report.length == 60 and os.path.getsize(tmp_path / "out" / "data.mdb") > 128 << 10
    monkeypatch.undo()
    quietly(folder, tmp_path / "roomy", sizes=(16, 64), format="png")
    assert contents(tmp_path / "out") == contents(tmp_path / "roomy")
    assert prep.FIRST_MAP_BYTES < 1 << 30


def test_full_disk_is_said_plainly():
    class FullDisk:
        def begin(self, write):
            raise lmdb.Error("mdb_txn_commit: Input/output error")

    with pytest.raises(OSError, match="is the disk full.*safe"):
        prep._put(FullDisk(), [(b"key", b"value")])


def test_progress_bar_names_rate_and_time_left(folder, tmp_path, capsys, monkeypatch):
    quietly(folder, tmp_path / "quick", progress=True)
    assert capsys.readouterr().err == ""  # what is soon over needs none
    monkeypatch.setattr("stylegan2.bars.WAIT", 0)
    monkeypatch.setattr("stylegan2.data.prepare.bar", partial(bars.bar, mininterval=0, miniters=1))  # every step
    quietly(folder, tmp_path / "out", progress=True)
    shown = capsys.readouterr().err
    assert "63/63" in shown and "img/s" in shown and "<" in shown
    quietly(folder, tmp_path / "silent")
    assert capsys.readouterr().err == ""


# ----------------------------------------------------------------------------------------------------- pocket sources


def fake_pocket(monkeypatch):
    """A stand-in renderer: the pixels tell domain, seed, index and size."""

    def render(faces, domain, size):
        out = np.zeros((len(faces), 3, size, size), np.uint8)
        for k, (seed, index) in enumerate(faces):
            out[k] = np.random.default_rng([seed, index, size, len(domain)]).integers(0, 256, (3, size, size))
        return torch.from_numpy(out)

    module = types.SimpleNamespace(
        DOMAINS=("photo", "webtoon"), TARGET_SET_SIZE=40, VERSION=1, render=render,
        sample=lambda domain, n, seed=0, start=0: [(seed, start + k) for k in range(n)],
    )  # fmt: skip
    monkeypatch.setattr("stylegan2.pocket.source.world", module)
    return module


def test_pocket_source_is_stored_without_loss(tmp_path, monkeypatch):
    pocket = fake_pocket(monkeypatch)
    report = quietly("pocket:webtoon?seed=7&start=3", tmp_path / "out", sizes=(16, 32))
    assert report.length == 40 and ", PNG, " in inspect(report.out)
    for size in (16, 32):
        drawn = pocket.render(pocket.sample("webtoon", 40, seed=7, start=3), "webtoon", size)
        dataset = LMDBDataset(report.out, size)
        np.testing.assert_array_equal(np.stack([image.numpy() for image in dataset]), drawn)
    assert quietly("pocket:photo?n=5", tmp_path / "five").length == 5
    assert world.TARGET_SET_SIZE == 1000  # shipped targets learned from so many faces


def test_real_pocket_source_is_stored_without_loss(tmp_path):
    pocket = pytest.importorskip("stylegan2.pocket.world", reason="the renderer is not there yet")
    report = quietly("pocket:webtoon?n=40&seed=3", tmp_path / "out", sizes=64)
    drawn = np.asarray(pocket.render(pocket.sample("webtoon", 40, seed=3), "webtoon", 64))
    np.testing.assert_array_equal(np.stack([image.numpy() for image in LMDBDataset(report.out)]), drawn)


# --------------------------------------------------------------------------------------- workers, kills and resuming


@pytest.mark.parametrize("source", ["folder", "pocket:webtoon?n=40&seed=3"])
def test_workers_write_the_same_bytes(folder, tmp_path, monkeypatch, source):
    source = folder if source == "folder" else source
    monkeypatch.setattr(prep, "CHUNK", 4)
    alone = quietly(source, tmp_path / "alone", sizes=(16, 32))
    started, torch_threads = [], torch.get_num_threads()
    monkeypatch.setattr(prep, "ThreadPoolExecutor", lambda n: started.append(n) or ThreadPoolExecutor(n))
    together = quietly(source, tmp_path / "together", sizes=(16, 32), workers=2)
    assert started == [2] and together.skipped == alone.skipped
    assert contents(alone.out) == contents(together.out)
    assert torch.get_num_threads() == torch_threads  # while they work: 1


def test_threads_are_strict_and_leave_pillow_as_it_was(tmp_path, monkeypatch):
    """A caller that tolerates cut-off files gets them refused all the same, and its setting back."""
    whole = tmp_path / "many"
    whole.mkdir()
    for k in range(40):
        picture(k).save(whole / f"{k}.jpg")
        (whole / f"{k}.jpg").write_bytes((whole / f"{k}.jpg").read_bytes()[: -200 if k % 2 else None])
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    limit, filters = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    report = quietly(whole, tmp_path / "out", workers=4)
    assert report.length == 20 and all("damaged" in reason for _, reason in report.skipped)
    assert ImageFile.LOAD_TRUNCATED_IMAGES and limit == Image.MAX_IMAGE_PIXELS and warnings.filters == filters


CHILD = """
import os, signal, sys

def main(source, out, count, kill_at):
    from stylegan2.data import prepare

    prepare.CHUNK = 4
    real, calls = prepare._put, 0

    def put(env, pairs):
        nonlocal calls
        if calls == kill_at:  # half a transaction, then the end
            with env.begin(write=True) as txn:
                for key, value in pairs[: len(pairs) // 2 + 1]:
                    txn.put(key, value)
                os.kill(os.getpid(), signal.SIGKILL)
        calls += 1
        real(env, pairs)

    prepare._put = put
    prepare.prepare(source, out, sizes=(16, 32), workers=count, progress=False)

if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:]))
"""


def start_child(tmp_path, folder, out, count, kill_at):
    script = tmp_path / "child.py"
    script.write_text(CHILD)
    return subprocess.Popen(
        [sys.executable, script, folder, out, str(count), str(kill_at)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def check_prefix(out, whole):
    """A killed LMDB is readable by the original and holds a true prefix; returns its length."""
    partial = contents(out)
    length = int(partial.get(b"length", b"0"))
    record = json.loads(partial[b"meta"])
    assert record["length"] == length and record["length"] + record["skipped"] == record["done"]
    for size in (16, 32):
        assert all(partial[f"{size}-{k:05d}".encode()] == whole[f"{size}-{k:05d}".encode()] for k in range(length))
        assert f"{size}-{length:05d}".encode() not in partial  # nothing beyond the prefix
    prep.close_reader(out)
    assert len(original_images(out, 16)) == length
    return length


@pytest.mark.parametrize("kill_at", [0, 1, 7])
def test_sigkill_within_a_transaction_then_resume(folder, tmp_path, kill_at):
    whole = contents(quietly(folder, tmp_path / "whole", sizes=(16, 32)).out)
    out = tmp_path / "out"
    child = start_child(tmp_path, folder, out, 0, kill_at)
    assert child.wait(timeout=60) == -signal.SIGKILL
    length = check_prefix(out, whole) if kill_at else 0
    assert length < 60 and (length > 0) == (kill_at == 7)
    report = quietly(folder, out, sizes=(16, 32))
    assert (report.resumed, report.length) == (length, 60)
    assert [name for name, _ in report.skipped] == ["010-cut.jpg", "020-notes.txt", "030-empty.png"]
    assert contents(out) == whole


def test_sigkill_from_outside_with_workers(folder, tmp_path):
    for k in range(300):
        picture(k).save(folder / f"more{k:03d}.png")
    whole = contents(quietly(folder, tmp_path / "whole", sizes=(16, 32)).out)
    out = tmp_path / "out"
    rng = random.Random(0)
    seen = []
    for _ in range(2):
        child = start_child(tmp_path, folder, out, 2, -1)
        target = (seen[-1] if seen else 0) + rng.randint(20, 60)
        deadline = time.monotonic() + 60
        while child.poll() is None and time.monotonic() < deadline and stored(out) < target:
            time.sleep(0.01)
        child.kill()
        child.wait()
        seen.append(check_prefix(out, whole))
        assert all_gone(child), "workers outlived their parent"
    assert 0 < seen[0] < seen[1] <= 360
    report = quietly(folder, out, sizes=(16, 32))
    assert report.resumed == seen[1] and contents(out) == whole


def stored(out):
    """Length of an LMDB that another process is creating and writing, 0 as long as there is none."""
    try:
        with open_reader(out).begin() as txn:
            return int(txn.get(b"length") or 0)
    except (FileNotFoundError, ValueError):
        return 0


def all_gone(child, seconds=20):
    """Have the workers of a killed parent ended by themselves? They share its output, which ends with the last one."""
    ready, _, _ = select.select([child.stdout], [], [], seconds)
    return bool(ready) and child.stdout.read() == b""
