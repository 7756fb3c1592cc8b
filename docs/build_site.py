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
from notebook_files import ROOT, find_notebooks

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

MARKDOWN_IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)[^)]*\)")
HTML_IMAGE = re.compile(r"""<img\b[^>]*?\bsrc=["']([^"']+)["'][^>]*>""", re.IGNORECASE)
MARKDOWN_LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
PICTURE_OF_CELL = re.compile(r"<!-- picture ([\w-]+) -->")
FENCED_CODE = re.compile(r"(^```.*?^```[^\S\n]*$)", re.MULTILINE | re.DOTALL)


def is_remote(target: str) -> bool:
    return re.match(r"[a-z]+:", target) is not None


def alt_text(html: str) -> str:
    match = re.search(r"""\balt=["']([^"']*)["']""", html)
    return match.group(1) if match else ""


def localise(text: str, folder: Path, source: Path) -> str:
    """Markdown of a file in `folder`, made to work in the site.

    Local pictures and linked files are copied to the same place below `source`; a picture from the network (a badge)
    becomes its words; a link to what the site does not show (a folder, a missing file) becomes plain text.
    """
    parts = FENCED_CODE.split(text)  # odd ones are fenced code, which stays as it is
    return "".join(part if i % 2 else _localise_prose(part, folder, source) for i, part in enumerate(parts))


def _localise_prose(text: str, folder: Path, source: Path) -> str:
    def copy(target: str) -> bool:
        origin = (folder / target).resolve()
        if not origin.is_file() or not origin.is_relative_to(ROOT):
            return False
        destination = source / origin.relative_to(ROOT)
        if not destination.exists() and destination.suffix != ".ipynb":
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(origin, destination)
        return True

    def html_image(match: re.Match) -> str:
        return alt_text(match[0]) if is_remote(match[1]) or not copy(match[1]) else match[0]

    def markdown_image(match: re.Match) -> str:
        return match[1] if is_remote(match[2]) or not copy(match[2]) else match[0]

    def link(match: re.Match) -> str:
        return match[0] if is_remote(match[2]) or copy(match[2]) else match[1]

    text = HTML_IMAGE.sub(html_image, text)
    text = MARKDOWN_IMAGE.sub(markdown_image, text)
    return MARKDOWN_LINK.sub(link, text)


def without_widgets(output: dict) -> bool:
    """Drop the live view, which has no kernel here. True when something worth showing is left."""
    data = output.get("data")
    if data is None or WIDGET_VIEW not in data:
        return True
    del data[WIDGET_VIEW]
    return any(mime != "text/plain" for mime in data)


def place_notebook(path: Path, folder: Path, source: Path) -> nbformat.NotebookNode:
    """Write the site's version of an executed notebook into the source tree and return it."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.pop("attachments", None)  # a copy of what lies in docs/pictures, for Colab
            cell.source = localise(cell.source.replace("](attachment:", "](../docs/pictures/"), folder, source)
        elif cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if without_widgets(output)]
    destination = source / "notebooks" / path.name
    destination.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, destination)
    return notebook


def label(name: str, notebook: nbformat.NotebookNode) -> str:
    """Number and title, as in `00 · Meet StyleGAN2`; a number that the title bears already is not repeated."""
    match = re.search(r"^# +(.+)", notebook.cells[0].source, re.MULTILINE)
    title = match[1].strip() if match else name[3:].replace("_", " ")
    return title if title.startswith(name[:2]) else f"{name[:2]} · {title}"


def what_you_will_learn(notebook: nbformat.NotebookNode) -> str:
    """The first list in the notebook's opening cell, as markdown; empty where there is none."""
    match = re.search(r"^(?:[-*] .+\n?(?:  +.+\n?)*)+", notebook.cells[0].source, re.MULTILINE)
    return match[0].strip() if match else ""


def picture(notebook: nbformat.NotebookNode) -> tuple[str, bytes] | None:
    """(suffix, bytes) of the notebook's most telling picture: the one that weighs most."""
    found = []
    for output in (o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs):
        for mime, suffix in IMAGE_SUFFIXES.items():
            if mime in output.get("data", {}):
                found.append((suffix, b64decode(output["data"][mime])))
    return max(found, key=lambda pair: len(pair[1]), default=None)


def with_pictures(text: str, notebooks: dict[str, nbformat.NotebookNode], source: Path) -> str:
    """A page of docs/ whose comments `<!-- picture CELL -->` became pictures of that cell's run."""
    cells = {cell.id: cell for notebook in notebooks.values() for cell in notebook.cells}

    def shown(match: re.Match) -> str:
        cell = cells[match[1]]
        found = picture(nbformat.v4.new_notebook(cells=[cell]))
        if found is None:
            return ""
        target = source / "docs" / "pictures" / f"cell-{match[1]}{found[0]}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(found[1])
        return f"![The picture of notebook {match[1][:2]}, cell {match[1]}](pictures/{target.name})"

    return PICTURE_OF_CELL.sub(shown, text)


def write_overview(notebooks: dict[str, nbformat.NotebookNode], source: Path) -> None:
    """The page that lists the notebooks, each with its title, what it teaches and a picture."""
    lines = ["# The notebooks", "", "Run top to bottom on this machine; every picture below was made in that run.", ""]
    for name, notebook in notebooks.items():
        lines += [f"## [{label(name, notebook)}](notebooks/{name}.ipynb)", "", what_you_will_learn(notebook), ""]
        if shown := picture(notebook):
            target = source / "overview" / f"overview-{name}{shown[0]}"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(shown[1])
            lines += [f"[![A picture from {name}](overview/{target.name})](notebooks/{name}.ipynb)", ""]
    (source / "overview.md").write_text("\n".join(lines), encoding="utf-8")


def toctree(caption: str, entries: list[str]) -> str:
    body = "\n".join(entries)
    return f"\n```{{toctree}}\n:caption: {caption}\n:hidden:\n:maxdepth: 1\n\n{body}\n```\n"


def assemble(executed: Path, source: Path) -> None:
    """Put the source tree together: notebooks (executed where there is one, else as committed), README and pages."""
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    notebooks = {}
    for path in find_notebooks():
        chosen = executed / path.name if (executed / path.name).is_file() else path
        notebooks[path.stem] = place_notebook(chosen, path.parent, source)
    pages = [page for page in GUIDES + PAGES if (ROOT / page).is_file()]
    for page in pages:
        target = source / page
        target.parent.mkdir(parents=True, exist_ok=True)
        text = localise((ROOT / page).read_text(encoding="utf-8"), (ROOT / page).parent, source)
        target.write_text(with_pictures(text, notebooks, source), encoding="utf-8")
    write_overview(notebooks, source)
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.is_file() else "# Cartoonize Yourself\n"
    entries = [f"{label(name, notebook)} <notebooks/{name}>" for name, notebook in notebooks.items()]
    contents = toctree("The course", ["overview", *entries])
    for caption, some in {"Guides": GUIDES, "The project": PAGES}.items():
        contents += toctree(caption, [page.removesuffix(".md") for page in some if page in pages])
    (source / "index.md").write_text(localise(text, ROOT, source) + "\n" + contents, encoding="utf-8")


def copy_raw_images(source: Path, site: Path) -> None:
    """Pictures that pages name in raw HTML are unknown to sphinx: put them where the pages look for them."""
    for page in source.rglob("*.md"):
        for target in HTML_IMAGE.findall(page.read_text(encoding="utf-8")):
            origin = (page.parent / target).resolve()
            if origin.is_file():
                destination = site / origin.relative_to(source.resolve())
                destination.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(origin, destination)


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
    copy_raw_images(source, fresh)
    shutil.rmtree(site, ignore_errors=True)
    os.replace(fresh, site)
    return site / "index.html"
