"""Put the repository's address wherever a file must hold it: Colab badges, set-up cells, README's clone command.

    python docs/stamp.py                        the address that stylegan2/__init__.py names, everywhere else
    python docs/stamp.py OWNER/REPOSITORY       in a fork: first this address into stylegan2/__init__.py
    python docs/stamp.py --check                change nothing; exit code 1 where a file differs

The one place where it is written by hand is `stylegan2.__repository__`. A test holds the rest to it. Needs nothing but
Python, so that a fork is ready for Colab before anything is installed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
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
            "git could not fetch the course, for the reason above. It must be public on GitHub. In a fork, run "
            "`python docs/stamp.py OWNER/REPOSITORY`: it writes the fork's address (stylegan2.__repository__) into "
            "all notebooks. Commit, push, and open the notebook from there"
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


def parse(text: str) -> str:
    """The address of a repository on GitHub, from where Colab opens notebooks.

    Args:
        text: OWNER/REPOSITORY, or an address as the browser or git shows it.

    Raises:
        ValueError: anything else.
    """
    found = GITHUB.fullmatch(text.strip())
    if not found:
        raise ValueError(
            f"{text!r} is no repository on GitHub: expected OWNER/REPOSITORY or https://github.com/OWNER/REPOSITORY"
        )
    return f"https://github.com/{found[1]}/{found[2]}"


def setup_cell(address: str) -> str:
    """The first cell of every notebook."""
    return SETUP.replace("ADDRESS", address).replace("BRANCH", BRANCH).replace("FOLDER", address.rpartition("/")[2])


def badge(address: str, name: str) -> str:
    """Markdown that opens a notebook in Colab."""
    target = f"{COLAB}/github/{address.removeprefix('https://github.com/')}/blob/{BRANCH}/notebooks/{name}"
    return f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({target})"


def stamped_notebook(text: str, name: str, address: str) -> str:
    """A notebook's JSON with its badge and the shared set-up cell."""
    notebook = json.loads(text)
    first = notebook["cells"][0]
    words = re.sub(r"\[!\[Open in Colab\][^\n]*", lambda _: badge(address, name), "".join(first["source"]))
    setup = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    first["source"], setup["source"] = words.splitlines(keepends=True), setup_cell(address).splitlines(keepends=True)
    return json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"


def stamped_readme(text: str, address: str) -> str:
    """README with the commands that clone, and enter what was cloned."""
    folder = address.rpartition("/")[2]
    return re.sub(r"git clone https://\S+\ncd \S+", lambda _: f"git clone {address}\ncd {folder}", text)


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
