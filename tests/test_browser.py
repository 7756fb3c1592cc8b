"""A learner's first minutes, in a real browser: open notebook 00 in JupyterLab, run it, move a slider, reset.

Screenshots of every step, the server's log and the page's console are left under build/browser/.
"""

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import find_chromium

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "browser"
NOTEBOOK = next(iter(sorted((ROOT / "notebooks").glob("00_*.ipynb"))), None)
OPEN_SECONDS = 120  # for JupyterLab to show the notebook and start its kernel
RUN_SECONDS = 300  # for all cells of the notebook
PANEL_SECONDS = 60  # for the panel to answer a key or a click

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
# The slider to move: truncation, or whatever comes first where a panel has no such slider.
SLIDER = re.compile("ψ|psi|truncation", re.IGNORECASE)
DIGEST = """async image => {
    const bytes = await (await fetch(image.src)).arrayBuffer();
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    return Array.from(digest, b => b.toString(16).padStart(2, "0")).join("");
}"""


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
    return {**os.environ, **own}


def copy_without_outputs(path: Path, folder: Path) -> None:
    """As a learner finds it after "clear all outputs": what the test sees later, this run made."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell.update(outputs=[], execution_count=None)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / path.name).write_text(json.dumps(notebook), encoding="utf-8")


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> object:
    """Poll until `condition()` is truthy and return that; fail saying `what` did not come."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.2)
    pytest.fail(f"waited {seconds} s in vain for {what}")


@pytest.fixture(scope="module")
def lab() -> Iterator[str]:
    """Address of notebook 00 in a JupyterLab of our own, token included."""
    assert NOTEBOOK is not None, "notebooks/ has no notebook 00"
    shutil.rmtree(FOLDER, ignore_errors=True)
    copy_without_outputs(NOTEBOOK, FOLDER / "notebooks")
    port, token = free_port(), secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1"]
    command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}"]
    command += [f"--ServerApp.root_dir={FOLDER / 'notebooks'}", "--LabApp.extension_manager=readonly"]
    environment = lab_environment()
    with (FOLDER / "jupyter.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)
    try:
        address = f"http://127.0.0.1:{port}"

        def answers() -> bool:
            assert server.poll() is None, (FOLDER / "jupyter.log").read_text()[-2000:]
            try:
                return urllib.request.urlopen(f"{address}/api?token={token}", timeout=5).status == 200
            except (urllib.error.URLError, OSError):
                return False

        wait_for(answers, OPEN_SECONDS, "JupyterLab to answer")
        yield f"{address}/lab/tree/{NOTEBOOK.name}?token={token}"
    finally:
        server.terminate()
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()


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


@pytest.fixture(scope="module")
def page(lab):
    """Notebook 00 open in headless Chromium, with nothing reached but this machine."""
    chromium = find_chromium()
    assert chromium, "CI must have Chromium: .ci/run installs it"
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.route(re.compile(r"^https?://(?!127\.0\.0\.1)"), lambda route: route.abort())
        page.console = Console(page)
        page.goto(lab)
        cells = len(json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"])
        wait_for(lambda: page.locator(".jp-Notebook .jp-Cell").count() == cells, OPEN_SECONDS, f"{cells} cells to show")
        page.locator("#jupyterlab-splash").wait_for(state="detached", timeout=OPEN_SECONDS * 1000)
        idle = page.locator('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
        idle.first.wait_for(state="attached", timeout=OPEN_SECONDS * 1000)
        page.console.errors.clear()  # what JupyterLab says to itself while it starts on a busy machine is not ours
        yield page
        shoot(page, "6_last")
        browser.close()


def shoot(page, name: str) -> None:
    page.screenshot(path=str(FOLDER / f"{name}.png"))


def unfinished(page) -> list[str]:
    """Prompts of the code cells that hold something and have no number yet."""
    cells = page.locator(".jp-Notebook .jp-CodeCell")
    prompts = cells.locator(".jp-InputPrompt").all_inner_texts()
    filled = [bool(text.strip()) for text in cells.locator(".jp-InputArea-editor .cm-content").all_inner_texts()]
    return [p for p, f in zip(prompts, filled, strict=True) if f and not re.search(r"\[\d+\]", p)]


def run_all_cells(page) -> None:
    """Run > Run All Cells; again if nothing starts, since JupyterLab drops what a kernel that reconnects was told."""
    prompts = page.locator(".jp-Notebook .jp-CodeCell .jp-InputPrompt")
    for _ in range(3):
        page.locator(".lm-MenuBar-item", has_text=re.compile("^Run$")).click()
        page.locator(".lm-Menu-item", has_text=re.compile("^Run All Cells$")).click()
        seen = 0
        for _ in range(15):
            time.sleep(1)
            seen = seen + 1 if any(re.search(r"\[[*\d]", p) for p in prompts.all_inner_texts()) else 0
            if seen == 3:  # it lasts
                return
    pytest.fail("no cell started to run")


def error_texts(page) -> list[str]:
    return page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"]').all_inner_texts()


def digest(image) -> str:
    """Fingerprint of the bytes that the image widget shows; empty while they are being replaced."""
    try:
        return image.evaluate(DIGEST)
    except Exception as error:  # playwright's own classes; only a fetch of a blob that was just replaced may fail
        if "fetch" in str(error):
            return ""
        raise


def find_panel(page):
    """The first output with a slider and a picture in it."""
    panels = page.locator(".jp-OutputArea-output").filter(has=page.locator(".noUi-handle"))
    return panels.filter(has=page.locator("img.widget-image, .widget-image img")).first


def test_notebook_runs_and_its_panel_answers(page):
    shoot(page, "1_opened")
    run_all_cells(page)
    wait_for(lambda: error_texts(page) or not unfinished(page), RUN_SECONDS, "every cell to have run")
    shoot(page, "2_ran")
    assert error_texts(page) == []

    panel = find_panel(page)
    panel.wait_for(timeout=PANEL_SECONDS * 1000)
    panel.scroll_into_view_if_needed()
    image = panel.locator("img.widget-image, .widget-image img").first
    before = wait_for(lambda: digest(image), PANEL_SECONDS, "the panel's picture")
    shoot(page, "3_panel")

    sliders = panel.locator(".widget-slider")
    named = sliders.filter(has_text=SLIDER)
    slider = (named if named.count() else sliders).first
    slider.locator(".noUi-handle").focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    wait_for(lambda: digest(image) not in ("", before), PANEL_SECONDS, "the picture to follow the slider")
    shoot(page, "4_slider_moved")

    panel.get_by_role("button", name=re.compile("reset", re.IGNORECASE)).first.click()
    wait_for(lambda: digest(image) == before, PANEL_SECONDS, "the first picture to come back after Reset")
    shoot(page, "5_reset")
    assert error_texts(page) == []


def test_page_has_no_errors_in_its_console(page):
    """Last in this file: it judges what the test above left in the console."""
    (FOLDER / "console.txt").write_text("\n".join(page.console.errors))
    assert page.console.errors == []
