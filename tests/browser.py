"""JupyterLab in headless Chromium, for tests: a server of our own, notebooks opened and run (panels: browser_panel.py).

What stays of it lies under build/browser/: the server's log, what the pages complained about, screenshots.
"""

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "browser"
OPEN_SECONDS = 120  # for JupyterLab to show the notebook and start its kernel
RUN_SECONDS = 300  # for all cells of the notebook
PANEL_SECONDS = 60  # for the panel to answer a key or a click
WINDOW = {"width": 1280, "height": 1400}  # as tall as the tallest panel, for the screenshots

CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Every cell in the page, not only those in view; no questions and no news from the network.
LAB_SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none", "autoStartDefaultKernel": True},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "docmanager-extension/plugin": {"autosave": False},
}


def poll(condition: Callable[[], object], seconds: float) -> object:
    """What `condition()` returns as soon as it is truthy; None if that does not come."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    return None


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> object:
    """As `poll`; fails saying `what` did not come."""
    if not (value := poll(condition, seconds)):
        pytest.fail(f"waited {seconds} s in vain for {what}")
    return value


def lasting(condition: Callable[[], object], seconds: float) -> Callable[[], object]:
    """The condition, true only when its value has been the same for so long."""
    last, since = None, 0.0

    def lasts() -> object:
        nonlocal last, since
        value, now = condition(), time.monotonic()
        if value != last:
            last, since = value, now
        return value if now - since > seconds else None

    return lasts


# ----------------------------------------------------------------------------------------------------------- notebooks


def copy_without_outputs(path: Path, folder: Path) -> None:
    """As a learner finds it after "clear all outputs": what the test sees later, this run made."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / path.name).write_text(json.dumps(notebook), encoding="utf-8")


def write_notebook(path: Path, sources: list[str]) -> None:
    """A notebook of these code cells."""
    blank = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    cells = [{**blank, "id": f"cell-{i}", "source": source} for i, source in enumerate(sources)]
    language = {"name": "python3", "display_name": "Python 3", "language": "python"}
    about = {"kernelspec": language, "language_info": {"name": "python"}}
    notebook = {"cells": cells, "metadata": about, "nbformat": 4, "nbformat_minor": 5}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook), encoding="utf-8")


# ------------------------------------------------------------------------------------------------------------- server


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def lab_environment() -> dict[str, str]:
    """JupyterLab's settings and state in a folder of ours, the course at its smallest."""
    settings = FOLDER / "settings"
    for name, values in LAB_SETTINGS.items():
        path = settings / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    own = {name: str(FOLDER / name.lower()) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")}
    own |= {"JUPYTERLAB_SETTINGS_DIR": str(settings), "JUPYTERLAB_WORKSPACES_DIR": str(FOLDER / "workspaces")}
    own |= {"COURSE_SCALE": "pocket", "COURSE_BUDGET": "test", "JUPYTER_PREFER_ENV_PATH": "1"}
    own |= {"OMP_NUM_THREADS": "1"}  # panels take as many as are free, and each number of threads rounds in its own way
    return {**os.environ, **own}


@contextmanager
def served(command: list[str], address: str, log: Path, cwd: Path | None = None) -> Iterator[None]:
    """A server of our own, from its first answer at that address; its words go to the log."""
    environment = lab_environment()
    with log.open("w") as out:
        server = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=environment, cwd=cwd)

    def answers() -> bool:
        if server.poll() is not None:
            pytest.fail(f"the server ended: {log.read_text()[-2000:]}")
        try:
            return urllib.request.urlopen(address, timeout=5).status == 200
        except (urllib.error.URLError, OSError):
            return False

    try:
        wait_for(answers, OPEN_SECONDS, "the server to answer")
        yield
    finally:
        server.terminate()
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()


@contextmanager
def lab_server(notebooks: Path) -> Iterator[Callable[[str], str]]:
    """A JupyterLab of our own on a folder; gives {name of a notebook: its address, token included}, as a function."""
    port, token = free_port(), secrets.token_hex(16)
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"]
    command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}"]
    command += [f"--ServerApp.root_dir={notebooks}", "--LabApp.extension_manager=readonly"]
    with served(command, f"{address}/api?token={token}", FOLDER / "jupyter.log"):
        # A workspace for each: else the second page would open the first one's notebook too.
        yield lambda name: f"{address}/lab/workspaces/{name.partition('.')[0]}/tree/{name}?token={token}"


# --------------------------------------------------------------------------------------------------------------- page


class Console:
    """What the page complains about; complaints about pictures from the network (badges) are not ours."""

    def __init__(self, page):
        self.errors: list[str] = []
        page.on("console", self._message)
        page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))

    def _message(self, message) -> None:
        where = message.location.get("url", "")
        remote = where.startswith("http") and not where.startswith("http://127.0.0.1")
        if message.type == "error" and not remote:
            self.errors.append(f"{message.text} ({where.split('?')[0]})")


def new_page(browser):
    """A page that reaches nothing but this machine. It has a `console`."""
    page = browser.new_page(viewport=WINDOW)
    page.set_default_timeout(PANEL_SECONDS * 1000)
    page.route(re.compile(r"^https?://(?!127\.0\.0\.1)"), lambda route: route.abort())
    page.console = Console(page)
    return page


def open_notebook(browser, address: str, cells: int):
    """A notebook with so many cells in a page of its own, see `new_page`."""
    page = new_page(browser)
    page.goto(address, timeout=OPEN_SECONDS * 1000)
    wait_for(lambda: page.locator(".jp-Notebook .jp-Cell").count() == cells, OPEN_SECONDS, f"{cells} cells to show")
    page.locator("#jupyterlab-splash").wait_for(state="detached", timeout=OPEN_SECONDS * 1000)
    # JupyterLab may start a second kernel in place of a first one that is slow to answer
    wait_for(lasting(lambda: is_idle(page), 1), OPEN_SECONDS, "the kernel to start")
    page.console.errors.clear()  # what JupyterLab says to itself while it starts on a busy machine is not ours
    return page


def is_idle(page) -> bool:
    """Does the page show that the kernel has nothing to do?"""
    return page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]').count() > 0


def shoot(page, name: str) -> None:
    page.screenshot(path=str(FOLDER / f"{name}.png"))


def unfinished(page) -> list[str]:
    """Prompts of the code cells that hold something and have no number yet."""
    cells = page.locator(".jp-Notebook .jp-CodeCell")
    prompts = cells.locator(".jp-InputPrompt").all_inner_texts()
    filled = [bool(text.strip()) for text in cells.locator(".jp-InputArea-editor .cm-content").all_inner_texts()]
    return [p for p, f in zip(prompts, filled, strict=True) if f and not re.search(r"\[\d+\]", p)]


def start_all_cells(page) -> None:
    """Run > Run All Cells; again if nothing starts, since JupyterLab drops what a kernel that reconnects was told."""
    prompts = page.locator(".jp-Notebook .jp-CodeCell .jp-InputPrompt")
    for _ in range(3):
        page.locator(".lm-MenuBar-item", has_text=re.compile("^Run$")).click()
        page.locator(".lm-Menu-item", has_text=re.compile("^Run All Cells$")).click()
        started = lambda: any(re.search(r"\[[*\d]", p) for p in prompts.all_inner_texts())  # noqa: E731
        if poll(lasting(started, 1.5), 15):
            return
    pytest.fail("no cell started to run")


def run_all_cells(page) -> None:
    """Start all cells and wait for them; fails with the first error."""
    start_all_cells(page)
    wait_for(lambda: error_texts(page) or not unfinished(page), RUN_SECONDS, "every cell to have run")
    if errors := error_texts(page):
        pytest.fail(f"a cell failed: {errors[0]}")


def error_texts(page) -> list[str]:
    return page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"]').all_inner_texts()
