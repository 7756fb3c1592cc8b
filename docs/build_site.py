"""Build the browsable site from the executed notebooks, README and friends, with sphinx. It opens offline, from file://.

A source tree is put together under build/site_source/ that mirrors the repository, so that relative links and pictures
in README and notebooks work as they stand; sphinx (docs/conf.py) turns it into build/site/.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from base64 import b64decode
from pathlib import Path

import nbformat
from stamp import COURSE, ROOT

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
PAGES = (
    *("checkpoints/pocket/SCOREBOARD.md", "checkpoints/README.md", "data/README.md", "benchmarks/README.md"),
    *("docs/full_scale.md", "docs/reliability.md", "CONTRIBUTING.md", "CHANGELOG.md"),
)
GUIDES = (
    "docs/glossary.md",
    "docs/paper.md",
    "docs/your_data.md",
    "docs/when_it_goes_wrong.md",
    "docs/coming_from_cartoon_stylegan.md",
)
IMAGE_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/gif": ".gif"}

IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)[^)]*\)")
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s#]+)(?:#[^)\s]*)?\)")
PICTURE_OF_CELL = re.compile(r"<!-- picture ([\w-]+) -->")
FENCED_CODE = re.compile(r"(^```.*?^```[^\S\n]*$)", re.MULTILINE | re.DOTALL)
TOCTREE = "\n```{{toctree}}\n:caption: {}\n:hidden:\n:maxdepth: 1\n\n{}\n```\n"


def place(source: Path, name: str | Path, content: bytes) -> Path:
    """Write a file of the source tree."""
    path = source / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def localise(text: str, folder: Path, source: Path) -> str:
    """Markdown of a file in `folder`, made to work in the site.

    Local pictures and linked files are copied to the same place below `source`; a picture from the network (a badge)
    becomes its words; a link to what the site does not show (a folder, a missing file) becomes plain text.
    """

    def kept(found: re.Match) -> str:
        words, target = found.groups()
        if re.match(r"[a-z]+:", target):
            return words if found[0].startswith("!") else found[0]
        origin = (folder / target).resolve()
        if not origin.is_file() or not origin.is_relative_to(ROOT):
            return words
        name = origin.relative_to(ROOT)
        if origin.suffix != ".ipynb" and not (source / name).exists():
            place(source, name, origin.read_bytes())
        return found[0]

    parts = FENCED_CODE.split(text)  # odd ones are fenced code, which stays as it is
    parts[::2] = [LINK.sub(kept, IMAGE.sub(kept, part)) for part in parts[::2]]
    return "".join(parts)


def without_widgets(output: dict) -> bool:
    """Drop the live view, which has no kernel here. True when something worth showing is left."""
    data = output.get("data")
    if data is None or WIDGET_VIEW not in data:
        return True
    del data[WIDGET_VIEW]
    return any(mime != "text/plain" for mime in data)


def place_notebook(path: Path, source: Path) -> list[nbformat.NotebookNode]:
    """Write the site's version of an executed notebook into the source tree; its cells."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.pop("attachments", None)  # a copy of what lies in docs/pictures, for Colab
            text = cell.source.replace("](attachment:", "](../docs/pictures/")
            cell.source = localise(text, ROOT / "notebooks", source)
        elif cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if without_widgets(output)]
    place(source, f"notebooks/{path.name}", nbformat.writes(notebook).encode())
    return notebook.cells


def with_pictures(text: str, cells: dict[str, nbformat.NotebookNode], source: Path) -> str:
    """A page of docs/ whose comments `<!-- picture CELL -->` became the largest picture of that cell's run."""

    def shown(found: re.Match) -> str:
        outputs = [output.get("data", {}) for output in cells[found[1]].get("outputs", [])]
        pictures = [(b64decode(data[m]), end) for data in outputs for m, end in IMAGE_SUFFIXES.items() if m in data]
        if not pictures:
            return ""
        content, suffix = max(pictures, key=lambda pair: len(pair[0]))
        path = place(source, f"docs/pictures/cell-{found[1]}{suffix}", content)
        return f"![The picture of notebook {found[1][:2]}, cell {found[1]}](pictures/{path.name})"

    return PICTURE_OF_CELL.sub(shown, text)


def assemble(executed: Path, source: Path) -> None:
    """Put the source tree together: notebooks (executed where there is one, else as committed), README and pages."""
    shutil.rmtree(source, ignore_errors=True)
    cells = {}
    for stop in COURSE:
        path = executed / f"{stop.stem}.ipynb"
        chosen = path if path.is_file() else ROOT / "notebooks" / path.name
        cells |= {cell.id: cell for cell in place_notebook(chosen, source)}
    for page in GUIDES + PAGES:
        text = localise((ROOT / page).read_text(encoding="utf-8"), (ROOT / page).parent, source)
        place(source, page, with_pictures(text, cells, source).encode())
    contents = {"The course": [f"{stop.number} · {stop.title} <notebooks/{stop.stem}>" for stop in COURSE]}
    contents |= {"Guides": GUIDES, "The project": PAGES}
    text = localise((ROOT / "README.md").read_text(encoding="utf-8"), ROOT, source) + "\n"
    for caption, entries in contents.items():
        text += TOCTREE.format(caption, "\n".join(entry.removesuffix(".md") for entry in entries))
    place(source, "index.md", text.encode())


def build_site(executed: Path, site: Path) -> Path:
    """Build everything anew; returns the path of the index. Raises RuntimeError with sphinx's words if it fails."""
    source = site.with_name("site_source")
    assemble(executed, source)
    fresh = site.with_name(f".site.{os.getpid()}")
    command = [sys.executable, "-m", "sphinx", "-q", "-E", "-b", "html", "-c", str(ROOT / "docs")]
    command += ["-d", str(site.with_name("site_cache")), str(source), str(fresh)]
    result = subprocess.run(command, capture_output=True, text=True)
    site.with_name("site.log").write_text(result.stdout + result.stderr)
    if result.returncode:
        shutil.rmtree(fresh, ignore_errors=True)
        raise RuntimeError(f"sphinx failed:\n{result.stderr[-2000:]}")
    shutil.rmtree(site, ignore_errors=True)
    os.replace(fresh, site)
    return site / "index.html"
