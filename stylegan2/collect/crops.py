"""Faces cut out of pages: `crop("pages", "crops")` finds them, cuts squares, and leaves out bad ones and duplicates.

    crops/faces/*.png        one square per face: a folder for `prepare`
    crops/rejected/*.png     what was left out, small
    crops/crops.jsonl        every page and every face found on it, kept or not, and why
    crops/contact_sheet.jpg  all of them to look at

Pages that are done are not done again. Only files that the list of faces names are ever removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from stylegan2 import display
from stylegan2.bars import bar
from stylegan2.collect import detectors
from stylegan2.collect.align import box_square, cut
from stylegan2.collect.detectors import Detector, Face
from stylegan2.collect.rows import append_row, read_rows
from stylegan2.data.images import Refused, decode
from stylegan2.data.sources import CROPS, FACES, FileSource, Source, open_source
from stylegan2.files import counted, only_writer
from stylegan2.setting_types import check_types

MANIFEST, SHEET, REJECTED = CROPS, "contact_sheet.jpg", "rejected"
TWIN = "duplicate of "  # begins the reason of a face that is one; a file follows
THUMB = 96  # pixels of what was left out
OURS = (".jsonl", ".json", ".txt")  # written beside pages by crawlers and by us: not reported
COMPARED = 6  # pages on which the detectors are compared
SOUGHT = 0.6  # faces down to this part of `min_size` are looked for, so that the report can say how many were too small
HASH_SIDE = 16  # a hash has 256 bits: with 64, different rendered faces look like twins
CLEARLY = 3  # grey levels of 255: JPEG turns smaller differences round
BLUR_SIDE = 128  # sharpness is compared at one size
COLUMNS, SIDE = 12, 80  # of the contact sheet: pictures in a row, pixels of a picture
LIMITS = dict(size=(16, 4096), min_size=(16, 4096), margin=(0, 3), lift=(-1, 1), sharp=(0, 1000), twins=(0, 1))


@dataclass(frozen=True)
class CropConfig:
    """What is cut, and what is left out. Raises ValueError for numbers that cannot work, or an unknown detector."""

    detector: str = "auto"  # one of `detectors.NAMES`; "auto": the one that suits the pages, see `detectors.choose`
    cascade: str | None = None  # see `detectors.make`, also for `sure`
    sure: float | None = None
    size: int = 256  # side of a crop in pixels
    margin: float = 0.4  # around the detector's box, on each side, in box sides: hair and shoulders
    lift: float = 0.25  # how far the square lies above the box's middle, in box sides: there is more hair than neck
    min_size: int = 48  # smallest face (detector's box) in pixels
    sharp: float = 0.03  # least sharpness, see `sharpness` (rendered faces have 0.1 to 1.3); 0 keeps all
    twins: float = 0.09  # crops whose hashes differ in less than this part of their bits are twins; 0: equal ones only
    # (different rendered faces differ in 0.12 or more, one that was shrunk and saved as a JPEG in 0.06 or less)

    def __post_init__(self) -> None:
        check_types(self)
        if self.detector not in ("auto", *detectors.NAMES):
            raise ValueError(f"detector is {self.detector!r}, expected auto or one of {', '.join(detectors.NAMES)}")
        for name, (low, high) in LIMITS.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} is {getattr(self, name)}, expected {low} to {high}")

    @property
    def settings(self) -> dict[str, object]:
        """All settings as plain values: of the cascade's file its hash."""
        file = self.cascade and Path(self.cascade)
        own = hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file and file.is_file() else self.cascade
        return asdict(self) | {"cascade": own}


@dataclass
class CropReport:
    """What lies in the folder now, also in words: `print(report)`."""

    out: str
    pages: int
    detector: str  # and, where it was chosen, why
    known: int = 0  # pages that were done by an earlier run
    kept: int = 0
    rejected: dict[str, int] = field(default_factory=dict)  # reason -> faces
    # pages that cannot be read, and why; faces that an earlier run cut out of them stay
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def __str__(self) -> str:
        left_out = ", ".join(f"{n} {reason}" for reason, n in self.rejected.items()) or "none"
        lines = [
            f"{self.out}: {counted(self.kept, 'face')} kept, left out: {left_out}; {counted(self.pages, 'page')}, "
            f"{self.known} were done, {counted(len(self.skipped), 'file')} skipped; detector: {self.detector}"
        ]
        lines += [f"  skipped {name}: {reason}" for name, reason in self.skipped[:10]]
        return "\n".join(lines + [f"  ... and {len(self.skipped) - 10} more"] * (len(self.skipped) > 10))


def crop(
    src: str | os.PathLike,
    out: str | os.PathLike,
    config: CropConfig | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> CropReport:
    """Cut the faces out of every picture of a folder, a zip, or of one picture. Run again, it goes on, or adds pages.

    `overwrite` begins anew where `out` holds faces cut with other settings or from elsewhere (else a FileExistsError),
    and removes those: files that the list of faces names, no others.
    Raises ValueError: no pictures, or no face on any page; FileNotFoundError, ConnectionError: no such source, or a
    detector that cannot be fetched; InUse: another process writes there.
    """
    config, src, out = config or CropConfig(), Path(src), Path(out)
    if src.is_file() and not zipfile.is_zipfile(src):
        source = FileSource(f"picture {src.name}", (src.name,), "", {}, src.parent, (src,))
    else:
        source = open_source(src, exclude=out)
    pages = [i for i, name in enumerate(source.names) if not name.lower().endswith(OURS)]
    config, why = _decided(config, source, pages, out)
    detect = detectors.make(config.detector, config.cascade, round(SOUGHT * config.min_size), config.sure)
    with only_writer(out):
        rows = _begin(out, config.settings | {"source": str(src.resolve())}, overwrite)
        work = _Work(out, config, rows, report := CropReport(str(out), len(pages), why))
        for i in bar(pages, "crop", "page", progress):
            work.page(source, i, detect)
        for i in pages:
            if work.is_orphaned(source.names[i]):
                work.page(source, i, detect, again=True)
        groups = _by_reason(work.rows)
        _write_sheet(out, groups)
    report.rejected = {reason: len(files) for reason, files in groups.items()}
    report.kept = report.rejected.pop("kept")
    if not report.kept:
        raise ValueError(_nothing_kept(report, config))
    return report


def _decided(config: CropConfig, source: Source, pages: list[int], out: Path) -> tuple[CropConfig, str]:
    """The settings with a detector, and why it is that one: the earlier run's, or what suits some of the pages."""
    if config.detector != "auto":
        return config, config.detector
    first, *_ = read_rows(out / MANIFEST) or [{}]
    before = "animeface" if config.cascade else first.get("settings", {}).get("detector")
    if before in detectors.NAMES:
        return replace(config, detector=before), before
    images = []
    for i in pages[:: max(1, len(pages) // COMPARED)]:
        if len(images) < COMPARED:
            with contextlib.suppress(Refused):
                images.append(decode(source.read(i)))
    known = detectors.choose(images, round(SOUGHT * config.min_size)) if images else ("photo", "nothing could be read")
    return replace(config, detector=known[0]), f"{known[0]} ({known[1]})"


def _nothing_kept(report: CropReport, config: CropConfig) -> str:
    """Why there is not one face, and what to do about it."""
    unread, read = [f"{name}: {reason}" for name, reason in report.skipped], report.pages - len(report.skipped)
    reasons = "; ".join(unread[:5]) + f"; and {len(unread) - 5} more" * (len(unread) > 5)
    if not read:
        tip = "a .zip or .cbz can be given by itself"
        return f"none of {report.pages} files is a picture that can be read ({reasons}); {tip}"
    others = " or ".join(f"detector={name}" for name in detectors.NAMES if name != config.detector)
    why, todo = "none was found", f"try another detector ({others})"
    if report.rejected:
        why = "left out: " + ", ".join(f"{n} {reason}" for reason, n in report.rejected.items())
        todo = f"keep all of them (sharp=0 twins=0), smaller ones too (min_size={config.min_size // 2})"
    return f"no face was kept from {counted(read, 'page')} ({why}): {todo}" + f". Not read: {reasons}" * bool(unread)


class _Work:
    def __init__(self, out: Path, config: CropConfig, rows: dict[str, dict], report: CropReport):
        self.out, self.config, self.report = out, config, report
        self.rows = rows  # of the manifest, by page
        faces = [face for row in rows.values() for face in row.get("faces", ())]
        self.hashes = {face["file"]: bytes.fromhex(face["hash"]) for face in faces if not face["reason"]}

    def is_orphaned(self, name: str) -> bool:
        """Was a face of this page left out as the duplicate of one that is gone?"""
        reasons = [face["reason"] or "" for face in self.rows.get(name, {}).get("faces", ())]
        return any(why.startswith(TWIN) and why.removeprefix(TWIN) not in self.hashes for why in reasons)

    def page(self, source: Source, i: int, detect: Detector, again: bool = False) -> None:
        """Cut one page's faces, unless that was done before (and not `again`)."""
        name = source.names[i]
        try:
            data = source.read(i)
            digest = hashlib.sha256(data).hexdigest()
            if not again and self.rows.get(name, {}).get("sha256") == digest:
                self.report.known += 1
                return
            image = decode(data)
        except Refused as refusal:
            if not again:
                self.report.skipped.append((name, str(refusal)))
            if name not in self.rows:
                self._note({"page": name, "skipped": str(refusal)})
            return
        old = {face["file"] for face in self.rows.get(name, {}).get("faces", ())}  # the page's content has changed
        self.hashes = {file: own for file, own in self.hashes.items() if file not in old}
        _remove(self.out, old)
        faces = enumerate(detectors.on_pages(detect, image), start=1)
        faces = [self._face(image, face, _file_name(name, digest, number)) for number, face in faces]
        self._note({"page": name, "sha256": digest, "width": image.width, "height": image.height, "faces": faces})

    def _note(self, row: dict) -> None:
        self.rows[row["page"]] = row
        append_row(self.out / MANIFEST, row)

    def _face(self, image: Image.Image, face: Face, name: str) -> dict:
        """Cut one face and write it to `FACES` or `REJECTED`."""
        square = cut(image, square_around(face, image.size, self.config), self.config.size)
        own = difference_hash(square)
        reason = self._reason(face, square, own)
        if reason is None:
            display.save(square, self.out / FACES / name)
            self.hashes[name] = own
        else:
            display.save(square.resize((THUMB, THUMB), Image.Resampling.LANCZOS), self.out / REJECTED / name)
        box = [round(v, 1) for v in face.box]
        return {"box": box, "score": round(face.score, 3), "file": name, "hash": own.hex(), "reason": reason}

    def _reason(self, face: Face, square: Image.Image, own: bytes) -> str | None:
        """Why a face is left out; None: it is kept."""
        if face.side < self.config.min_size:
            return "too small"
        if sharpness(square) < self.config.sharp:
            return "blurred"
        near = (TWIN + file for file, other in self.hashes.items() if hash_distance(own, other) <= self.config.twins)
        return next(near, None)


def square_around(face: Face, page: tuple[int, int], config: CropConfig) -> np.ndarray:
    """Corners of the square to cut, see `align.cut`: moved into the page where it fits."""
    side = min(face.side * (1 + 2 * config.margin), 3 * max(page))
    x, y = face.middle
    corner = []
    for middle, length in zip((x, y - config.lift * face.side), page, strict=True):
        low, high = (0, length - side) if side <= length else (-side / 2, length - side / 2)  # the middle on the page
        corner.append(min(max(middle - side / 2, low), high))
    return box_square(*corner, side)


def sharpness(image: Image.Image) -> float:
    """Variance of the Laplacian over that of the picture, at one size: near 0 for a plain or blurred one."""
    side = min(BLUR_SIDE, image.width)  # enlarging would blur
    small = image.convert("L").resize((side, side), Image.Resampling.BOX)
    grey = np.asarray(small).astype(np.float32)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var() / max(grey.var(), 1.0))


def difference_hash(image: Image.Image) -> bytes:
    """16 x 16 bits that survive saving and resizing: is a place clearly brighter than the one at its left?"""
    small = image.convert("L").resize((HASH_SIDE + 1, HASH_SIDE), Image.Resampling.BOX)
    grey = np.asarray(small).astype(int)
    return np.packbits(grey[:, 1:] - grey[:, :-1] > CLEARLY).tobytes()


def hash_distance(a: bytes, b: bytes) -> float:
    """Part of the bits that differ, 0 to 1."""
    return (int.from_bytes(a) ^ int.from_bytes(b)).bit_count() / (8 * len(a))


def _file_name(page: str, digest: str, number: int) -> str:
    """A name that is valid on every system and unique: its hash is of the page's whole name and content."""
    own = hashlib.sha256(f"{page}\n{digest}".encode()).hexdigest()[:8]
    stem = re.sub(r"[^A-Za-z0-9]+", "-", page.rpartition(".")[0] or page).strip("-")[-60:] or "page"
    return f"{stem}_{own}_{number}.png"


def _begin(out: Path, settings: dict[str, object], overwrite: bool) -> dict[str, dict]:
    """The rows of the manifest, by page; a new manifest where there is none."""
    path = out / MANIFEST
    first, *rows = read_rows(path) or [{}]
    before = first.get("settings", {})
    if before == settings and not overwrite:
        return {row["page"]: row for row in rows if "page" in row}  # of a page that was cut again, the last
    if not before and any(file for folder in (FACES, REJECTED) for file in (out / folder).glob("*.png")):
        raise FileExistsError(
            f"'{out / FACES}' or '{out / REJECTED}' holds pictures, but there is no {MANIFEST} that names them: they "
            "are not touched; choose another folder, or move them away"
        )
    if before and not overwrite:
        pairs = [(k, before.get(k), v) for k, v in settings.items() if before.get(k) != v]
        changed = ", ".join(f"{name} {old} there, {new} asked for" for name, old, new in pairs)
        raise FileExistsError(
            f"'{out}' holds faces cut with other settings ({changed}): choose another folder, or overwrite=True"
        )
    _remove(out, {face["file"] for row in rows for face in row.get("faces", ())})
    path.unlink(missing_ok=True)
    append_row(path, {"settings": settings})
    return {}


def _remove(out: Path, files: set[str]) -> None:
    """Delete faces, kept or not, but no file of a name that leads elsewhere."""
    for file in files:
        for folder in (FACES, REJECTED):
            if Path(file).name == file:
                (out / folder / file).unlink(missing_ok=True)


def _by_reason(rows: Mapping[str, dict]) -> dict[str, list[str]]:
    """Files of faces by the reason why they were left out; "kept": of the others."""
    groups: dict[str, list[str]] = {"kept": []}
    for row in rows.values():
        for face in row.get("faces", ()):
            groups.setdefault((face["reason"] or "kept").split(" of ")[0], []).append(face["file"])
    return groups


def _write_sheet(out: Path, groups: Mapping[str, list[str]]) -> None:
    """Faces kept, and those left out by reason, each with their number."""
    tables = []
    for name, names in groups.items():
        paths = [out / (FACES if name == "kept" else REJECTED) / file for file in names]
        if existing := [path for path in paths if path.is_file()]:
            sheet = contact_sheet(existing, 240 if name == "kept" else 48)
            tables.append(display.label(sheet, f"{name}: {len(paths)}"))
    if tables:
        display.save(display.stack(tables, 8), out / SHEET)


def contact_sheet(paths: Sequence[Path], most: int = 240) -> Image.Image:
    """Pictures (at least one) as a table; of more than `most` an even selection."""
    count = min(most, len(paths))
    sheet = Image.new("RGB", (COLUMNS * SIDE, -(-count // COLUMNS) * SIDE), display.PAPER)
    for i in range(count):
        with Image.open(paths[i * len(paths) // count]) as image:
            small = image.convert("RGB").resize((SIDE - 2, SIDE - 2), Image.Resampling.LANCZOS)
        sheet.paste(small, (i % COLUMNS * SIDE, i // COLUMNS * SIDE))
    return sheet
