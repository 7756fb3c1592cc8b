"""What a reader meets in the course as a whole: its length, its links, its pictures' words, and its map."""

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "docs"))
import drawings  # noqa: E402
import stamp  # noqa: E402

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MAX_WORDS, MAX_CELLS, MAX_LINES = 20_000, 50, 25
MAX_WORDS_BEYOND = 1_700  # of each notebook after 10
IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)[^)]*\)")
LINK = re.compile(r"(?<!!)\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")
CODE = re.compile(r"(?ms)^```.*?^```[^\S\n]*$|`[^`\n]*`")


def cells(path: Path, kind: str) -> list[str]:
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == kind]


def text_of(path: Path) -> str:
    return "\n\n".join(cells(path, "markdown")) if path.suffix == ".ipynb" else path.read_text(encoding="utf-8")


def anchors(path: Path) -> set[str]:
    """Of the headings of a page, as GitHub makes them."""
    headings = re.findall(r"(?m)^#+ (.+)$", CODE.sub(lambda m: m[0].strip("`"), text_of(path)))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_course_is_short():
    words = {path.stem: sum(len(text.split()) for text in cells(path, "markdown")) for path in NOTEBOOKS}
    beyond = {name: words.pop(name) for name in list(words) if name > "11"}
    assert sum(words.values()) <= MAX_WORDS, words
    assert max(beyond.values()) <= MAX_WORDS_BEYOND, beyond


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_is_short(path):
    assert len(json.loads(path.read_text(encoding="utf-8"))["cells"]) <= MAX_CELLS
    assert max(len(code.splitlines()) for code in cells(path, "code")) <= MAX_LINES


@pytest.mark.parametrize("path", NOTEBOOKS + PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere_and_pictures_have_words(path):
    text = CODE.sub(lambda m: m[0] if m[0].count("\n") == 0 else "", text_of(path))
    for alt, target in IMAGE.findall(text):
        assert len(alt) > 3, f"{target}: what does it show?"
        assert ":" in target or (path.parent / target).is_file(), target
    for target in LINK.findall(text):
        if ":" in target:
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), target
        assert not anchor or there.suffix == ".py" or anchor in anchors(there), f"{target}: {sorted(anchors(there))}"


def test_the_map_has_every_notebook_and_what_comes_before_comes_first():
    assert [stop.stem for stop in stamp.COURSE] == [path.stem for path in NOTEBOOKS]
    for stop in stamp.COURSE:
        assert all(other < stop.number for other in stop.needs + stop.helps)
    assert not [name for name in drawings.DRAWINGS if not drawings.is_current(name)], "run docs/drawings.py"


@pytest.mark.parametrize("stop", stamp.COURSE, ids=lambda stop: stop.stem)
def test_head_and_next_are_there(stop):
    """`stamp.py --check` (test_colab.py) holds their words to the map, to the measured times and to the code."""
    path = ROOT / "notebooks" / f"{stop.stem}.ipynb"
    texts = cells(path, "markdown")
    assert stamp.head(stop) in texts[0] and stamp.following(stop) in texts[-1]
    assert json.loads(path.read_text())["cells"][0]["attachments"] == stamp.attached_map(stop)  # Colab has no files


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(9, "under 15 seconds"), (45, "about a minute"), (61, "about 1½ minutes"), (279, "about 5 minutes")],
)
def test_times_are_spoken_plainly(seconds, words):
    assert stamp.spoken(seconds) == words


def test_every_loss_is_shown_beside_its_line():
    """Links to code name a function that is there; each loss of the game is linked in 00 or 03."""
    text = text_of(NOTEBOOKS[0]) + text_of(NOTEBOOKS[3])
    linked = {found[1] for found in stamp.LINKED.finditer(text)}
    names = {"discriminator_loss", "generator_loss", "r1_penalty", "path_lengths", "PathLengthRegulariser"}
    assert {f"losses.{name}" for name in names} | {"ops.modulated_conv2d", "ops.demodulation"} <= linked
    with pytest.raises(ValueError, match="has no gone_tomorrow"):
        stamp.lines_of(ROOT / "stylegan2" / "losses.py", "gone_tomorrow")
    body = (ROOT / "stylegan2" / "losses.py").read_text().splitlines()
    first, last = (int(n[1:]) for n in stamp.lines_of(ROOT / "stylegan2" / "losses.py", "generator_loss").split("-"))
    assert body[first - 1 : last] == ["    return F.softplus(-fake_logits).mean()"]


def test_pages_show_pictures_of_cells_that_have_one():
    from build_site import GUIDES, PICTURE_OF_CELL

    shown = {name for page in GUIDES for name in PICTURE_OF_CELL.findall((ROOT / page).read_text(encoding="utf-8"))}
    found = {cell["id"]: cell for path in NOTEBOOKS for cell in json.loads(path.read_text())["cells"]}
    assert shown
    for name in shown:
        mimes = [mime for output in found[name]["outputs"] for mime in output.get("data", {})]
        assert any(mime.startswith("image/") for mime in mimes), f"cell {name} shows no picture"
