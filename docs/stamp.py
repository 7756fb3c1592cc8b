"""Write what is said in one place (`stylegan2.__repository__`, `COURSE` below, docs/course_times.json) wherever a file
holds it: the address in badges, set-up cells and links to code, with their line numbers; each notebook's head and end.

    python docs/stamp.py                        the address that stylegan2/__init__.py names, everywhere else
    python docs/stamp.py OWNER/REPOSITORY       in a fork: first this address into stylegan2/__init__.py
    python docs/stamp.py --check                change nothing; exit code 1 where a file differs

Needs nothing but Python, so that a fork is ready for Colab before anything is installed.
"""

from __future__ import annotations

import argparse
import ast
import base64
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TIMES = ROOT / "docs" / "course_times.json"  # seconds of each code cell, as measured
HOME = Path("stylegan2", "__init__.py")  # holds the address
ADDRESS = re.compile(r'(?m)^(__repository__ = )"([^"]*)"')
GITHUB = re.compile(
    r"(?:(?:https?://|ssh://git@)?github\.com/|git@github\.com:)?([\w-]+)/([\w.-]+?)(?:\.git)?/?", re.I | re.A
)
BRANCH = "main"  # what Colab opens and clones: a notebook gets the code that it was committed with
COLAB = "https://colab.research.google.com"
SETUP = """# On Colab, which opens this file alone: fetch the course, install what is missing, and keep what is there
SCALE = "auto"  # @param ["auto", "pocket", "full"]
USE_DRIVE = False  # @param {type:"boolean"}
try:
    from stylegan2.course import setup
except ModuleNotFoundError:
    from importlib.util import find_spec
    from pathlib import Path

    !GIT_TERMINAL_PROMPT=0 git clone --quiet --depth 1 --branch BRANCH ADDRESS
    if not Path("FOLDER").is_dir():
        raise RuntimeError(
            "git could not fetch the course, for the reason above. It must be public on GitHub. In a fork, run `python "
            "docs/stamp.py OWNER/REPOSITORY`, which writes its address (stylegan2.__repository__) into all notebooks"
        ) from None
    !pip list --format=freeze | grep -iE "^(torch|torchvision|numpy|opencv[a-z-]*)=" > keep.txt
    !pip install --quiet --constraint keep.txt ./FOLDER
    if not find_spec("stylegan2"):
        raise RuntimeError(
            "the course was fetched, but pip could not install it, for the reason above. To let pip replace what is in "
            "its way, run this, restart the kernel, and run this cell again: !pip install ./FOLDER"
        ) from None
    %cd -q FOLDER/notebooks
    from stylegan2.course import setup
course = setup(SCALE, drive=USE_DRIVE)"""


@dataclass(frozen=True)
class Stop:
    """A notebook of the course: a name for the map, what it makes, and which notebooks to know (or that help)."""

    stem: str
    title: str  # as links name it, after the number
    short: str  # as the map does
    makes: str  # the map's second line
    teaser: str  # after "Next"
    needs: tuple[str, ...] = ()
    helps: tuple[str, ...] = ()

    @property
    def number(self) -> str:
        return self.stem[:2]

    @property
    def link(self) -> str:
        return f"[{self.number} {self.title}]({self.stem}.ipynb)"


COURSE = (
    Stop("00_meet_stylegan2", "Meet StyleGAN2", "Meet", "z, w, a face", "a generator and what is inside"),
    Stop("01_crawl_and_crop", "Crawl and crop", "Crawl", "pages, faces", "faces out of web pages, if you may"),
    Stop("02_prepare_lmdb", "Prepare a dataset", "Dataset", "folder, LMDB", "pictures that training reads fast",
         helps=("01",)),
    Stop("03_finetune_baseline", "Fine-tune: the baseline", "Baseline", "G learns webtoons",
         "the source learns another world, and forgets the person", ("00",), ("02",)),
    Stop("04_freeze_sg", "FreezeSG", "FreezeSG", "keep the layers", "forbid the coarse layers to change", ("03",)),
    Stop("05_structure_loss", "StructureLoss", "Structure", "ask by a loss",
         "ask by a loss, compare all methods, and build your own world", ("03",), ("04",)),
    Stop("06_layer_swapping", "Swap layers", "Swap", "two models in one", "join two models, without training",
         ("00", "03")),
    Stop("07_sefa", "SeFa", "SeFa", "sliders", "sliders straight from the weights", ("00",), ("04",)),
    Stop("08_styleclip", "StyleCLIP", "Words", "text edits", "say in words what should change", ("00",), ("07",)),
    Stop("09_style_mixing", "Style mixing", "Mix", "codes of two", "one face from the codes of two", ("00",), ("06",)),
    Stop("10_cartoonize_yourself", "Cartoonize yourself", "You", "your photo", "your own photo, in every style",
         ("00", "06"), ("04",)),
    Stop("11_one_drawing", "One drawing", "Drawing", "a style from one", "a style from a single drawing", ("09", "10")),
    Stop("12_one_sentence", "One sentence", "Sentence", "a style from a text", "a style from words alone",
         ("03", "08"), ("11",)),
)  # fmt: skip
STOPS = {stop.number: stop for stop in COURSE}
POCKET = "Faces, sizes and times in the text are those of pocket scale"


def spoken(seconds: float) -> str:
    """A measured time as a reader wants it."""
    for limit, words in ((15, "under 15 seconds"), (30, "under half a minute"), (60, "about a minute")):
        if seconds <= limit:
            return words
    halves = -int(-seconds // 30)
    return f"about {halves // 2}{'½' if halves % 2 else ''} minutes"


def time_of(stem: str) -> str:
    """How long a notebook takes from top to bottom, as measured."""
    return spoken(sum(json.loads(TIMES.read_text(encoding="utf-8"))[stem]))


def head(stop: Stop) -> str:
    """What stands between a notebook's badge and what one learns in it."""
    needs = ", ".join(STOPS[n].link for n in stop.needs) or "what a neural network and a tensor are"
    helps = f"; {', '.join(STOPS[n].link for n in stop.helps)} helps" if stop.helps else ""
    return (
        f"![Map of the course: you are at {stop.number}, {stop.title}](attachment:map_{stop.number}.png)\n\n"
        f"**Time:** {time_of(stop.stem)} on two CPU cores. **Before:** {needs}{helps}. "
        f"**Words:** [glossary](../docs/glossary.md). {POCKET}."
    )


def attached_map(stop: Stop) -> dict[str, dict[str, str]]:
    """The map inside of the notebook: Colab opens a notebook alone, without the pictures beside it."""
    name = f"map_{stop.number}.png"
    content = (ROOT / "docs" / "pictures" / name).read_bytes()
    return {name: {"image/png": base64.b64encode(content).decode("ascii")}}


def following(stop: Stop) -> str:
    """The line that leads on."""
    after = COURSE[COURSE.index(stop) + 1 :]
    if after:
        return f"**Next:** {after[0].link}: {after[0].teaser}."
    return "**Next:** [your own data](../docs/your_data.md), from a folder of pictures to your own generator."


LINKED = re.compile(r"\[`([\w.]+)`\]\(https://github\.com/[^)#]*?/blob/[^)#]*?/(stylegan2/[\w/]+\.py)(?:#[^)]*)?\)")


def lines_of(path: Path, symbol: str) -> str:
    """Where a function, class or method stands, as GitHub's anchor: "L10-L12". Raises ValueError: no such name."""
    nodes: list = [ast.parse(path.read_text(encoding="utf-8"))]
    for name in symbol.split("."):
        kinds = ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef
        nodes = [node for node in nodes[0].body if isinstance(node, kinds) and node.name == name]
        if not nodes:
            raise ValueError(f"{path} has no {symbol}, to which a notebook links")
    node = nodes[0]
    body = [part for part in node.body if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))]
    return f"L{(body if isinstance(node, ast.FunctionDef) else [node])[0].lineno}-L{node.end_lineno}"


def linked(text: str, address: str) -> str:
    """Links to code such as [`losses.r1_penalty`](https://github.com/…/stylegan2/losses.py): address and lines anew."""

    def link(found: re.Match) -> str:
        file = ROOT / found[2]
        symbol = found[1].removeprefix(f"{file.stem}.")
        return f"[`{found[1]}`]({address}/blob/{BRANCH}/{found[2]}#{lines_of(file, symbol)})"

    return LINKED.sub(link, text)


def parse(text: str) -> str:
    """The address of OWNER/REPOSITORY on GitHub, also as the browser or git shows it. Raises ValueError: no such."""
    found = GITHUB.fullmatch(text.strip())
    if not found:
        raise ValueError(
            f"{text!r} is no repository on GitHub: expected OWNER/REPOSITORY or https://github.com/OWNER/REPOSITORY"
        )
    return f"https://github.com/{found[1]}/{found[2]}"


def setup_cell(address: str) -> str:
    """The first code cell of every notebook."""
    return SETUP.replace("ADDRESS", address).replace("BRANCH", BRANCH).replace("FOLDER", address.rpartition("/")[2])


def badge(address: str, name: str) -> str:
    """Markdown that opens a notebook in Colab."""
    target = f"{COLAB}/github/{address.removeprefix('https://github.com/')}/blob/{BRANCH}/notebooks/{name}"
    return f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({target})"


def stamped_notebook(text: str, name: str, address: str) -> str:
    """A notebook's JSON with its head, the shared set-up cell, links to code, and what comes next."""
    notebook = json.loads(text)
    cells = notebook["cells"]
    setup = next(cell for cell in cells if cell["cell_type"] == "code")
    setup["source"] = setup_cell(address).splitlines(keepends=True)
    stop = next((stop for stop in COURSE if name == f"{stop.stem}.ipynb"), None)
    for cell in (cell for cell in cells if cell["cell_type"] == "markdown"):
        words = linked("".join(cell["source"]), address)
        words = re.sub(r"\[!\[Open in Colab\][^\n]*", lambda _: badge(address, name), words)
        if stop and cell is cells[0]:
            top = f"{badge(address, name)}\n\n{head(stop)}\n\n"
            words = re.sub(r"(?s)(?<=\n\n).*?(?=\*\*What you will learn\*\*)", lambda _, top=top: top, words, count=1)
            cell["attachments"] = attached_map(stop)
        if stop and cell is cells[-1]:
            words = re.sub(r"(?m)^\*\*Next:\*\*.*", lambda _: following(stop), words)
        cell["source"] = words.splitlines(keepends=True)
    return json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"


def stamped_readme(text: str, address: str) -> str:
    """README with the commands that clone, and enter what was cloned, and the measured times."""
    folder = address.rpartition("/")[2]
    text = re.sub(r"git clone https://\S+\ncd \S+", lambda _: f"git clone {address}\ncd {folder}", text)
    row = re.compile(r"(?m)^(\| \[[^]]*\]\(notebooks/(\w+)\.ipynb\) \|.*\|)[^|]*\|$")
    return row.sub(lambda found: f"{found[1]} {time_of(found[2]).removeprefix('about ')} |", text)


def stamped(root: Path, address: str | None = None) -> dict[Path, str]:
    """Every file below `root` that holds the address, as it should be; None: the address that is there already."""
    home = (root / HOME).read_text(encoding="utf-8")
    address = address or ADDRESS.search(home)[2]
    found = {root / HOME: ADDRESS.sub(lambda old: f'{old[1]}"{address}"', home)}
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        found[path] = stamped_notebook(path.read_text(encoding="utf-8"), path.name, address)
    readme = root / "README.md"
    return found | {readme: stamped_readme(readme.read_text(encoding="utf-8"), address)}


def write(path: Path, text: str) -> None:
    """To a neighbour first, then renamed: a notebook is never half written."""
    partial = path.with_name(f".{path.name}.tmp")
    partial.write_text(text, encoding="utf-8", newline="\n")
    os.replace(partial, path)


def main() -> None:
    """Write what differs, or with --check only name it (exit code 1)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("repository", nargs="?", help="a fork's address: OWNER/REPOSITORY or its URL")
    parser.add_argument("--check", action="store_true", help="change nothing")
    parser.add_argument("--root", type=Path, default=ROOT, help="the course's folder")
    given = parser.parse_args()
    try:
        address = parse(given.repository) if given.repository else None
    except ValueError as error:
        parser.error(str(error))
    wanted = stamped(given.root, address)
    changed = [path for path, text in wanted.items() if path.read_text(encoding="utf-8") != text]
    for path in changed:
        print(f"{'differs' if given.check else 'stamped'}: {path.relative_to(given.root)}")
        if not given.check:
            write(path, wanted[path])
    if changed and not given.check:
        print("Commit these files and push them: Colab opens what is on GitHub.")
    sys.exit(bool(changed and given.check))


if __name__ == "__main__":
    main()
