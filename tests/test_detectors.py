"""Detectors of faces, one by one, and on pages that are seen tile by tile."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from tiny_training import dies_at

from stylegan2.checkpoints import CheckpointError
from stylegan2.collect import detectors, face_detector
from stylegan2.collect.detectors import Cascade, Face, distinct, make, on_pages, overlap
from stylegan2.collect.face_detector import CELL, TYPICAL, FaceNet, decode
from stylegan2.pocket.nets.detector_training import (
    EVALUATION_SEED,
    WINDOW,
    DetectorConfig,
    DetectorTraining,
    count_hits,
    cut_window,
    evaluate,
    loss_of,
    truth,
)
from stylegan2.pocket.world.pages import make_page
from stylegan2.published.fetch import Published

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"
ANIMEFACE = SHARED / "lbpcascade_animeface.xml"
HAAR = """<opencv_storage><cascade><height>20</height><width>20</width><stageNum>1</stageNum><stages><_><maxWeakCount>0
</maxWeakCount><stageThreshold>0</stageThreshold><weakClassifiers/></_></stages><features><_><rects><_>0 0 2 2 -1.</_>
</rects></_></features></cascade></opencv_storage>"""
needs_shared = pytest.mark.skipif(not ANIMEFACE.is_file(), reason="the shared test data are not here")


@cache
def pages(count: int):
    return [make_page(EVALUATION_SEED + i) for i in range(count)]


# ----------------------------------------------------------------------------------------------- real pictures, by all
@needs_shared
def test_animeface_finds_twelve_of_twelve_webtoon_faces():
    image = Image.open(SHARED / "webtoon-grid-12-faces.png").convert("RGB")
    found = make("animeface", ANIMEFACE)(image)
    cells = {(int((f.box[0] + f.box[2]) / 2 // 128), int((f.box[1] + f.box[3]) / 2 // 128)) for f in found}
    assert len(found) == 12 and len(cells) == 12  # one in each cell of the grid of 4 x 3
    assert found == sorted(found, key=lambda face: -face.score)


@needs_shared
def test_the_cascade_needs_nothing_that_opencv_5_dropped(monkeypatch):
    import cv2

    monkeypatch.delattr(cv2, "CascadeClassifier", raising=False)  # gone there, and its files too
    image = Image.open(SHARED / "webtoon-grid-12-faces.png").convert("RGB").crop((0, 0, 256, 128))
    first, second = make("animeface", ANIMEFACE, sure=0.2)(image)
    assert first.score >= second.score >= 2 and abs(first.box[0] - second.box[0]) > 64
    assert (
        make("animeface", ANIMEFACE, min_size=200)(image) == make("animeface", ANIMEFACE)(image.resize((20, 20))) == []
    )


@needs_shared
def test_the_known_hash_is_that_of_the_cascade():
    assert hashlib.sha256(ANIMEFACE.read_bytes()).hexdigest() == detectors.ANIMEFACE.sha256


def test_the_shipped_detector_finds_the_faces_of_pages_it_never_saw():
    result = evaluate(make("pocket"), pages(12))
    assert result["faces"] >= 40 and result["recall"] >= 0.95 and result["precision"] >= 0.95, result


def test_what_is_said_of_the_shipped_detector_is_of_a_hundred_pages():
    said = json.loads((ROOT / "checkpoints" / "pocket" / "detector.json").read_text())["held out"]
    assert said["pages"] >= 100 and said["recall"] >= 0.95 and said["precision"] >= 0.95


# ---------------------------------------------------------------------------------------------------------- interface
def test_a_wrong_name_lists_the_right_ones():
    with pytest.raises(ValueError, match="'dlib', expected one of pocket, animeface, photo"):
        make("dlib")
    with pytest.raises(ValueError, match="at least 8 pixels"):
        make("photo", min_size=2)


def test_files_that_are_no_detectors_are_refused(tmp_path):
    for text in ("<html></html>", "<?xml version='1.0'?><opencv_storage></opencv_storage>", "", HAAR):
        (tmp_path / "a.xml").write_text(text)
        with pytest.raises(ValueError, match="a.xml' is no cascade"):
            Cascade(tmp_path / "a.xml")
    with pytest.raises(ValueError, match="has its own files"):
        make("photo", tmp_path / "a.xml")
    with pytest.raises(FileNotFoundError, match="none.xml"):
        make("animeface", tmp_path / "none.xml")
    with pytest.raises(CheckpointError, match="no file"):
        make("pocket", tmp_path / "none.pt")
    for other in ({"format": "something"}, {"format": face_detector.FORMAT}):
        torch.save(other, tmp_path / "other.pt")
        with pytest.raises(CheckpointError, match="no face detector"):
            make("pocket", tmp_path / "other.pt")


@pytest.fixture
def server():
    """Serves bytes at /good.xml, and others than promised at /bad.xml."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = b"<cascade/>" if self.path == "/good.xml" else b"<html>quota</html>"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_fetched_file_must_have_the_known_hash(server, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    digest = hashlib.sha256(b"<cascade/>").hexdigest()
    good = Published("good.xml", f"{server}/good.xml", 0.1, digest, "--cascade")
    assert good.find().read_bytes() == b"<cascade/>" and good.cached.is_file()
    bad = Published("bad.xml", f"{server}/bad.xml", 0.1, digest, "--cascade")
    with pytest.raises(ConnectionError, match=r"bad.xml.*hash.*--cascade FOLDER"):
        bad.find()
    assert not bad.cached.exists() and [p.name for p in good.cached.parent.iterdir()] == ["good.xml"]


# --------------------------------------------------------------------------------------------------------------- tiles
def dots(image: Image.Image) -> list[Face]:
    """A detector of red squares that also sees a square of which its picture shows a part."""
    red = np.asarray(image)[:, :, 0] > 128
    found = []
    count, labels = __import__("cv2").connectedComponents(red.astype(np.uint8))
    for k in range(1, count):
        y, x = np.nonzero(labels == k)
        box = tuple(map(float, (x.min(), y.min(), x.max() + 1, y.max() + 1)))
        found.append(Face(box, 1.0 / (1 + (box[2] - box[0]))))
    return found


@pytest.mark.parametrize("turned", [False, True])
def test_every_face_of_a_tall_or_wide_page_is_found_once_and_whole(turned):
    page = Image.new("RGB", (100, 1030))
    known = [(10, y, 50, y + 40) for y in (0, 70, 140, 205, 480, 560, 930, 985)]  # some lie across seams of the tiles
    known += [(2, 270, 98, 366), (5, 640, 75, 710)]  # some nearly fill the page
    for x0, y0, x1, y1 in known:
        ImageDraw.Draw(page).rectangle((x0, y0, x1 - 1, y1 - 1), fill="red")
    if turned:
        page = page.transpose(Image.Transpose.TRANSPOSE)
        known = [(y0, x0, y1, x1) for x0, y0, x1, y1 in known]
    found = [face.box for face in on_pages(dots, page)]
    assert sorted(found) == sorted(tuple(map(float, box)) for box in known)


@pytest.mark.parametrize("part", [0.3, 0.6, 0.8, 0.96])
def test_a_close_up_is_found_wherever_it_lies(part):
    side = round(100 * part)
    for y in range(0, 500 - side, 7):
        page = Image.new("RGB", (100, 500))
        ImageDraw.Draw(page).rectangle((2, y, 1 + side, y + side - 1), fill="red")
        assert [face.box for face in on_pages(dots, page)] == [(2.0, y, 2.0 + side, float(y + side))]


def test_the_shipped_detector_finds_close_ups_at_every_height():
    page = pages(1)[0]
    x0, y0, x1, y1 = max(page.boxes, key=lambda box: box[2] - box[0])
    side = (x1 - x0) / 0.8
    left, top = max(0, round((x0 + x1 - side) / 2)), round((y0 + y1 - side) / 2)
    close = page.image.crop((left, top, left + round(side), top + round(side))).resize((400, 400))
    factor = 400 / round(side)
    for y in range(0, 1200, 170):
        tall = Image.new("RGB", (400, 1600), "white")
        tall.paste(close, (0, y))
        (face,) = on_pages(make("pocket"), tall)
        known = [(v - o) * factor + s for v, o, s in zip((x0, y0, x1, y1), (left, top) * 2, (0, y) * 2, strict=True)]
        assert overlap(face.box, known) > 0.6


def test_a_line_is_no_page():
    assert on_pages(lambda image: pytest.fail("asked"), Image.new("RGB", (4, 4000))) == []


@needs_shared
def test_sureness_is_how_many_windows_agree():
    assert [make("animeface", ANIMEFACE, sure=sure).neighbours for sure in (None, 0.0, 0.5, 1.0)] == [5, 1, 5, 10]


def test_a_cascade_of_another_kind_is_refused():
    haar = Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"
    with pytest.raises(ValueError, match="no cascade of local binary patterns"):
        make("animeface", haar)


def test_one_scale_of_sureness_for_all_detectors():
    assert make("pocket", sure=0.7).sure == 0.7
    for wrong in (-0.1, 3, float("nan")):
        with pytest.raises(ValueError, match="0 to 1"):
            make("photo", sure=wrong)


def test_what_is_fetched_is_pinned():
    assert len(detectors.ANIMEFACE.sha256) == 64
    assert any(len(part) == 40 for part in detectors.ANIMEFACE.url.split("/"))


def test_a_squarish_picture_is_seen_as_a_whole():
    sizes = []
    on_pages(lambda image: sizes.append(image.size) or [], Image.new("RGB", (100, 190)))
    assert sizes == [(100, 190)]


def test_of_boxes_on_each_other_the_best_stays():
    a, b, c = Face((0, 0, 10, 10), 0.5), Face((1, 1, 11, 11), 0.9), Face((20, 0, 30, 10), 0.1)
    assert distinct([a, b, c]) == [b, c]
    assert overlap(a.box, a.box) == 1 and overlap(a.box, c.box) == 0
    assert overlap(a.box, [a.box, c.box]).tolist() == [1, 0]
    assert overlap((0, 0, 10, 10), (0, 5, 10, 15)) == pytest.approx(1 / 3)


# ---------------------------------------------------------------------------------------------------- the small network
def test_maps_and_boxes_are_each_others_inverse():
    boxes = torch.tensor([[10.0, 20.0, 58.0, 68.0], [100.0, 90.0, 190.0, 180.0], [-90.0, 0.0, -10.0, 80.0]])
    maps, cells = truth(boxes, WINDOW, WINDOW)
    assert cells.sum() == 2 and maps[0].max() == 1  # the third one's middle lies outside
    maps[0] = torch.logit(maps[0].clamp(1e-4, 1 - 1e-4))
    found = sorted(face.box for face in decode(maps, 0.9))
    torch.testing.assert_close(torch.tensor(found), boxes[:2], rtol=0, atol=1e-3)


def test_right_maps_cost_least():
    wanted, cells = (x[None] for x in truth(torch.tensor([[30.0, 30.0, 90.0, 90.0]]), WINDOW, WINDOW))
    right = wanted.clone()
    right[:, 0] = torch.logit((wanted[:, 0] == 1).float().clamp(1e-5, 1 - 1e-5))
    least = loss_of(right, wanted, cells)
    assert all(value < 1e-2 for value in least.values())
    for channel, name in ((0, "heat"), (1, "place"), (3, "size")):
        worse = right.clone()
        worse[:, channel] = worse[:, channel] + 1.5 if channel else -right[:, 0]
        assert loss_of(worse, wanted, cells)[name] > least[name] + 0.1


def test_a_window_shows_the_faces_it_says():
    import random

    rng, shown = random.Random(0), 0
    for _ in range(20):
        pixels, boxes = cut_window(rng, pages(2)[0])
        assert pixels.shape == (3, WINDOW, WINDOW) and pixels.dtype == torch.uint8 and boxes.shape[1] == 4
        shown += len(truth(boxes, WINDOW, WINDOW)[1].nonzero())
    assert shown >= 10


def test_a_mirrored_window_has_mirrored_boxes(monkeypatch):
    import random

    page, windows = pages(2)[0], {}
    for flip in (0.9, 0.1):  # the fourth draw decides; colours stay
        draws = iter([0.3, 0.4, 0.5])
        rng = random.Random(0)
        rng.uniform = lambda a, b, draws=draws: a + next(draws) * (b - a)
        answers = iter([flip, 0.9])
        rng.random = lambda answers=answers: next(answers)
        windows[flip] = cut_window(rng, page)
    (straight, boxes), (mirrored, others) = windows[0.9], windows[0.1]
    assert torch.equal(mirrored, straight.flip(2))
    torch.testing.assert_close(others[:, [0, 2]], WINDOW - boxes[:, [2, 0]])


def test_any_size_of_picture_can_be_looked_at():
    torch.manual_seed(0)
    detector = face_detector.PocketDetector(FaceNet(), min_size=8, sure=0.0)
    for size in ((40, 30), (350, 300), (64, 300)):
        assert all(face.side >= 8 for face in detector(Image.new("RGB", size)))
    assert len(detector._factors(400)) == 3 and len(face_detector.PocketDetector(FaceNet(), 48)._factors(400)) == 1
    assert FaceNet()(torch.zeros(1, 3, 64, 96)).shape == (1, 4, 64 // CELL, 96 // CELL) and TYPICAL > CELL


def test_hits_pair_every_box_once():
    known = [(0, 0, 10, 10), (20, 0, 30, 10)]
    assert count_hits([(0, 0, 10, 10), (1, 0, 11, 10)], known) == 1
    assert count_hits([(1, 1, 11, 11), (20, 0, 30, 10)], known) == 2
    assert count_hits([(6, 0, 16, 10)], known) == 0


def test_training_goes_on_where_it_stopped_and_writes_what_it_found(tmp_path, monkeypatch):
    config = DetectorConfig(images=12, batch=2, pages=2, held_out=1)
    whole, parts = tmp_path / "whole.pt", tmp_path / "parts.pt"
    DetectorTraining(config, "cpu").train(whole, tmp_path / "a")
    steps = dies_at(monkeypatch, DetectorTraining, 5)
    with pytest.raises(KeyboardInterrupt):
        DetectorTraining(config, "cpu").train(parts, tmp_path / "b")
    assert not parts.exists()
    DetectorTraining(config, "cpu").train(parts, tmp_path / "b")
    assert steps == [0, 1, 2, 3, 4, 4, 5]
    a, b = (torch.load(path, weights_only=True)["state"] for path in (whole, parts))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert json.loads(parts.with_suffix(".json").read_text())["held out"]["pages"] == 1
    assert not list((tmp_path / "b").glob("*.pt"))
    with pytest.raises(ValueError, match="images >= batch"):
        DetectorConfig(images=1)
