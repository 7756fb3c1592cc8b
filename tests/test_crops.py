"""Faces cut out of pages: kept, left out, gone on with."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from typer.testing import CliRunner

from stylegan2 import cli
from stylegan2.collect import crops, detectors
from stylegan2.collect.align import cut
from stylegan2.collect.crops import (
    CropConfig,
    contact_sheet,
    crop,
    difference_hash,
    hash_distance,
    sharpness,
    square_around,
)
from stylegan2.collect.detectors import Face
from stylegan2.collect.rows import append_row, read_rows
from stylegan2.data.dataset import LMDBDataset
from stylegan2.data.prepare import prepare
from stylegan2.data.sources import open_source
from stylegan2.pocket.world.pages import make_page


class Known:
    """A detector that knows the boxes of these pages, by their sizes."""

    def __init__(self, pages):
        self.boxes = {page.image.size: page.boxes for page in pages}
        self.calls = 0

    def __call__(self, image: Image.Image) -> list[Face]:
        self.calls += 1
        return [Face(box, 0.9) for box in self.boxes.get(image.size, ())]


@pytest.fixture(scope="module")
def strips():
    return [make_page(seed, panels=2, width=300) for seed in (1, 2, 3)]


@pytest.fixture
def known(strips, monkeypatch) -> Known:
    known = Known(strips)
    monkeypatch.setattr(detectors, "make", lambda *a, **k: known)
    monkeypatch.setattr(detectors, "on_pages", lambda detector, image: detector(image))
    return known


@pytest.fixture
def folder(strips, tmp_path) -> Path:
    """Three pages in two folders, something that is none, and a crawler's manifest."""
    for i, page in enumerate(strips):
        path = tmp_path / "pages" / f"episode {i // 2}" / "0001.png" if i != 1 else tmp_path / "pages" / "b.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        page.image.save(path)
    (tmp_path / "pages" / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    (tmp_path / "pages" / "manifest.jsonl").write_text("{}\n")
    return tmp_path / "pages"


def quietly(src, out, overwrite=False, **settings):
    config = CropConfig(**({"detector": "pocket", "size": 64, "min_size": 16, "twins": 0.0} | settings))
    return crop(src, out, config, overwrite, progress=False)


def faces(out: Path) -> list[str]:
    return sorted(path.name for path in (out / "faces").iterdir())


def test_every_face_becomes_a_square_of_the_size_asked_for(folder, strips, known, tmp_path):
    report = quietly(folder, tmp_path / "out", size=96)
    assert report.pages == 4 and report.known == 0 and report.kept == sum(len(page.boxes) for page in strips)
    assert len(faces(tmp_path / "out")) == report.kept  # pages of one name in two folders do not collide
    assert all(Image.open(tmp_path / "out" / "faces" / name).size == (96, 96) for name in faces(tmp_path / "out"))
    assert [name for name, _ in report.skipped] == ["broken.jpg"] and "manifest" not in str(report)
    rows = read_rows(tmp_path / "out" / "crops.jsonl")
    assert rows[0]["settings"]["size"] == 96 and {row["page"] for row in rows[1:]} >= {"b.png", "broken.jpg"}
    assert Image.open(tmp_path / "out" / "contact_sheet.jpg").width >= 12 * 80


def test_of_a_folder_of_crops_only_the_faces_become_a_dataset(folder, known, tmp_path):
    """What was left out, and the contact sheet, are pictures too."""
    found = quietly(folder, tmp_path / "out")
    (tmp_path / "out" / crops.REJECTED).mkdir(exist_ok=True)
    Image.new("RGB", (64, 64)).save(tmp_path / "out" / crops.REJECTED / "nobody.png")
    assert len(open_source(tmp_path / "out")) == found.kept == len(open_source(tmp_path / "out" / crops.FACES))


def test_a_crop_frames_the_face_as_rendered_faces_are():
    """The box of a rendered face gives back nearly the picture that it was rendered in."""
    config = CropConfig()
    corners = square_around(Face((100, 200, 155, 255), 1.0), (1000, 1000), config)
    side, left, top = corners[2, 0] - corners[0, 0], corners[0, 0], corners[0, 1]
    assert side == pytest.approx(99) and left == pytest.approx(78) and top == pytest.approx(164.25)


def test_a_square_is_moved_into_the_page_and_mirrored_only_where_it_cannot_fit(tmp_path):
    config = CropConfig(margin=0.5, lift=0.0)
    corners = square_around(Face((0, 0, 50, 50), 1.0), (300, 300), config)
    assert corners.min() == 0 and corners.max() == 100
    for box in ((0, 0, 98, 98), (2, 300, 100, 398), (0, 0, 100, 400)):  # a face cut off by the page, however large
        for extreme in (CropConfig(margin=3, lift=1), CropConfig(margin=3, lift=-1), CropConfig(margin=0, lift=1)):
            corners = square_around(Face(box, 1.0), (100, 400), extreme)
            assert cut(Image.new("RGB", (100, 400)), corners, 32).size == (32, 32)
    wide = square_around(Face((10, 0, 90, 80), 1.0), (100, 400), config)
    assert wide[0, 0] < 0 and wide[2, 0] > 100 and wide[0, 1] == 0


def test_a_zip_and_a_single_picture_are_sources_too(folder, strips, known, tmp_path):
    with zipfile.ZipFile(tmp_path / "pages.zip", "w") as archive:
        archive.write(folder / "b.png", "some/b.png")
        archive.write(folder / "b.png", "../escape.png")
    report = quietly(tmp_path / "pages.zip", tmp_path / "a")
    assert report.kept == len(strips[1].boxes) and "leaves the archive" in str(report)
    assert quietly(folder / "b.png", tmp_path / "b").kept == len(strips[1].boxes)


def test_a_page_is_done_once(folder, known, tmp_path):
    first = quietly(folder, tmp_path / "out")
    before, calls = faces(tmp_path / "out"), known.calls
    again = quietly(folder, tmp_path / "out")
    assert known.calls == calls == 3 and again.known == 3 and faces(tmp_path / "out") == before
    assert again.kept == first.kept


def test_an_interrupted_run_goes_on(folder, known, tmp_path, monkeypatch):
    whole = quietly(folder, tmp_path / "whole")
    once, calls = known.__call__, []

    def dies(image):
        calls.append(image.size)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return once(image)

    monkeypatch.setattr(detectors, "make", lambda *a, **k: dies)
    with pytest.raises(KeyboardInterrupt):
        quietly(folder, tmp_path / "out")
    with open(tmp_path / "out" / "crops.jsonl", "a") as file:
        file.write('{"page": "cut o')  # as a kill may leave it
    report = quietly(folder, tmp_path / "out")
    assert report.known == 1 and report.kept == whole.kept and len(calls) == 4
    assert faces(tmp_path / "out") == faces(tmp_path / "whole")
    assert quietly(folder, tmp_path / "out").known == 3


def test_a_page_that_changed_is_cut_again_and_its_old_faces_go(folder, strips, known, tmp_path):
    quietly(folder, tmp_path / "out")
    strips[0].image.transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(folder / "b.png")  # was the second strip
    report = quietly(folder, tmp_path / "out")
    assert report.kept == 2 * len(strips[0].boxes) + len(strips[2].boxes) == len(faces(tmp_path / "out"))
    assert quietly(folder, tmp_path / "out").known == 3


def test_a_page_that_cannot_be_read_any_more_keeps_its_faces(folder, known, tmp_path):
    before, content = quietly(folder, tmp_path / "out").kept, (folder / "b.png").read_bytes()
    (folder / "b.png").write_bytes(b"\x89PNG cut")
    for _ in range(2):
        report = quietly(folder, tmp_path / "out")
        assert report.kept == before == len(faces(tmp_path / "out"))
        assert [name for name, _ in report.skipped] == ["b.png", "broken.jpg"]
    assert len(read_rows(tmp_path / "out" / "crops.jsonl")) == 5  # settings and four pages, said once
    (folder / "b.png").write_bytes(content)
    assert quietly(folder, tmp_path / "out").known == 3


def test_when_a_face_goes_its_twin_takes_its_place(strips, known, tmp_path):
    (tmp_path / "pages").mkdir()
    for name in ("a.png", "b.png"):
        strips[0].image.save(tmp_path / "pages" / name)
    count = len(strips[0].boxes)
    report = quietly(tmp_path / "pages", tmp_path / "out", twins=0.01)
    assert (report.kept, report.rejected) == (count, {"duplicate": count})
    strips[1].image.save(tmp_path / "pages" / "a.png")
    report = quietly(tmp_path / "pages", tmp_path / "out", twins=0.01)
    assert report.kept == count + len(strips[1].boxes) == len(faces(tmp_path / "out")) and not report.rejected


def test_pages_from_elsewhere_do_not_replace_those_that_are_there(folder, strips, known, tmp_path):
    quietly(folder, tmp_path / "out")
    before = faces(tmp_path / "out")
    (tmp_path / "others").mkdir()
    strips[2].image.save(tmp_path / "others" / "b.png")  # the name of another page
    with pytest.raises(FileExistsError, match="source .*pages there, .*others asked for"):
        quietly(tmp_path / "others", tmp_path / "out")
    assert faces(tmp_path / "out") == before


def test_pictures_that_nobody_names_are_not_touched(folder, known, tmp_path):
    mine = tmp_path / "out" / "faces" / "mine.png"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="no crops.jsonl that names them: they are not touched"):
            quietly(folder, tmp_path / "out", overwrite)
    mine.rename(tmp_path / "mine.png")
    quietly(folder, tmp_path / "out")
    (tmp_path / "mine.png").rename(mine)
    row = {"page": "x", "sha256": "", "faces": [{"file": "../../mine.png", "reason": None, "hash": "00"}]}
    append_row(tmp_path / "out" / "crops.jsonl", row)
    (tmp_path / "mine.png").write_bytes(b"elsewhere")
    quietly(folder, tmp_path / "out", True, margin=0.1)
    assert mine.read_bytes() == b"mine" and (tmp_path / "mine.png").read_bytes() == b"elsewhere"


def test_another_cascade_is_another_setting(tmp_path):
    (tmp_path / "a.xml").write_text("a")
    one = CropConfig(cascade=str(tmp_path / "a.xml")).settings
    (tmp_path / "a.xml").write_text("b")
    other = CropConfig(cascade=str(tmp_path / "a.xml")).settings
    assert one != other and CropConfig().settings["cascade"] is None


def test_other_settings_in_one_folder_are_refused_unless_it_is_replaced(folder, known, tmp_path):
    quietly(folder, tmp_path / "out")
    before = faces(tmp_path / "out")
    with pytest.raises(FileExistsError, match=r"margin 0.4 there, 0.1 asked for.*overwrite=True"):
        quietly(folder, tmp_path / "out", margin=0.1)
    assert faces(tmp_path / "out") == before
    assert quietly(folder, tmp_path / "out", overwrite=True, margin=0.1).known == 0


def test_small_blurred_and_repeated_faces_are_left_out_and_shown(strips, tmp_path, monkeypatch):
    page, size = max(strips, key=lambda page: len(page.boxes)), 48
    pages = {"a.png": page.image, "b.png": page.image.filter(ImageFilter.GaussianBlur(12)), "c.png": page.image}
    (tmp_path / "pages").mkdir()
    for name, image in pages.items():
        image.save(tmp_path / "pages" / name)
    monkeypatch.setattr(detectors, "make", lambda *a, **k: Known([page]))
    monkeypatch.setattr(detectors, "on_pages", lambda detector, image: detector(image))
    report = quietly(tmp_path / "pages", tmp_path / "out", min_size=size, twins=0.08)
    large = sum(x1 - x0 >= size for x0, _, x1, _ in page.boxes)
    small = 3 * (len(page.boxes) - large)
    assert report.kept == large and report.rejected.get("too small", 0) == small
    assert report.rejected["blurred"] == large and report.rejected["duplicate"] == large
    left_out = len(list((tmp_path / "out" / "rejected").iterdir()))
    assert left_out == small + 2 * large and "blurred" in str(report)
    sheet = Image.open(tmp_path / "out" / "contact_sheet.jpg")
    assert sheet.height > 3 * 80


def test_sharpness_falls_with_blur_whatever_the_size(strips):
    box = strips[0].boxes[0]
    face = strips[0].image.crop(tuple(map(round, box))).resize((256, 256), Image.Resampling.LANCZOS)
    values = [sharpness(face.filter(ImageFilter.GaussianBlur(r))) for r in (0, 2, 4, 8)]
    assert values == sorted(values, reverse=True) and values[0] > 10 * values[-1]
    assert sharpness(Image.new("RGB", (64, 64), "red")) == 0


def test_a_hash_survives_saving_and_tells_faces_apart(strips, tmp_path):
    a, b = (page.image.crop(tuple(map(round, page.boxes[0]))).resize((256, 256)) for page in strips[:2])
    a.resize((150, 150)).save(tmp_path / "a.jpg", quality=60)
    worse = Image.open(tmp_path / "a.jpg").resize((256, 256))
    assert hash_distance(difference_hash(a), difference_hash(worse)) < 0.06
    assert hash_distance(difference_hash(a), difference_hash(b)) > 0.12
    assert hash_distance(b"\x00" * 32, b"\xff" * 32) == 1


def test_pages_without_faces_say_what_to_try(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(detectors, "make", lambda *a, **k: lambda image: [])
    with pytest.raises(
        ValueError,
        match=r"no face was kept from 3 pages .none was found.: try another detector .detector=animeface or .*"
        r"Not read: broken.jpg: not an image",
    ):
        quietly(folder, tmp_path / "out")


def test_where_nothing_can_be_read_each_file_and_its_reason_is_named(tmp_path):
    """And no other detector is proposed, which could not read it either."""
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "a.pdf").write_bytes(b"%PDF-1.7 no picture")
    with zipfile.ZipFile(pages / "b.cbz", "w") as archive:
        archive.writestr("1.png", b"no picture")
    with pytest.raises(ValueError) as caught:
        quietly(pages, tmp_path / "out")
    reasons = dict.fromkeys(("a.pdf", "b.cbz"))
    for line in ("none of 2 files is a picture that can be read", ".cbz can be given by itself", *reasons):
        assert line in str(caught.value)
    assert "detector" not in str(caught.value)


def test_faces_that_were_left_out_are_counted_and_unreadable_pages_named_beside_them(folder, tmp_path):
    pages = tmp_path / "mine"
    shutil.copytree(folder, pages)
    (pages / "empty.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"left out: \d+ blurred\): keep all.*Not read: .*; empty.png: empty file"):
        quietly(pages, tmp_path / "out", sharp=1000.0)


def test_settings_that_cannot_work_are_refused():
    for wrong in ({"detector": "dlib"}, {"size": 4}, {"margin": -1}, {"sharp": -1}, {"twins": 2}, {"lift": 3}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            CropConfig(**wrong)


def test_a_contact_sheet_shows_an_even_selection(tmp_path):
    for i in range(30):
        Image.new("RGB", (20, 20), (8 * i, 0, 0)).save(tmp_path / f"{i:02}.png")
    sheet = np.asarray(contact_sheet(sorted(tmp_path.iterdir()), most=10))
    assert [int(sheet[40, 80 * k + 40, 0]) // 8 for k in range(10)] == [0, 3, 6, 9, 12, 15, 18, 21, 24, 27]


def test_the_small_detector_cuts_a_dataset_that_prepare_takes(strips, tmp_path):
    """The whole way, with nothing replaced: pages, faces, dataset."""
    (tmp_path / "pages").mkdir()
    for i, page in enumerate(strips):
        page.image.save(tmp_path / "pages" / f"{i}.jpg", quality=90)
    words = ["crop", str(tmp_path / "pages"), "--out", str(tmp_path / "out"), "--size", "64", "--min-size", "24"]
    result = CliRunner().invoke(cli.app, words)
    assert result.exit_code == 0, result.output
    expected = sum(len(page.boxes) for page in strips)
    assert abs(len(faces(tmp_path / "out")) - expected) <= 1 and "contact_sheet.jpg" in result.output
    report = prepare(tmp_path / "out" / "faces", tmp_path / "faces.lmdb", 64, progress=False, workers=0)
    assert report.length == len(faces(tmp_path / "out")) and not report.skipped
    assert LMDBDataset(tmp_path / "faces.lmdb")[0].shape == (3, 64, 64)
    (tmp_path / "pages" / "broken.jpg").write_bytes(b"no picture")
    result = CliRunner().invoke(cli.app, words)
    assert result.exit_code == 1 and "skipped broken.jpg" in result.output and "1 left out" in result.stderr


def test_the_verb_says_in_one_line_what_is_wrong(tmp_path):
    for words in ([str(tmp_path / "none")], [str(tmp_path), "--detector", "dlib"], [str(tmp_path)]):
        result = CliRunner().invoke(cli.app, ["crop", *words, "--out", str(tmp_path / "out")])
        assert result.exit_code == 2 and result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert not os.path.exists(tmp_path / "out" / crops.FACES)
