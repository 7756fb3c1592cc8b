"""`make app`: the cartoon panel as an app, in a real browser. Log and screenshots are left under build/app/."""

import base64
import io
import json
import re
import shlex
import sys
import urllib.error
import urllib.request

import browser
import numpy as np
import pytest
from browser import ROOT, RUN_SECONDS, wait_for
from browser_panel import LivePanel
from PIL import Image

from stylegan2.panels.app import MOST_MB, NO_FACE

FOLDER = ROOT / "build" / "app"
NOTEBOOK = ROOT / "docs" / "app.ipynb"
DROP = """([name, content]) => {
    const bytes = typeof content === "number" ? new Uint8Array(content)
        : Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([bytes], name));
    document.body.dispatchEvent(new DragEvent("drop", {dataTransfer, bubbles: true, cancelable: true}));
}"""


def app_command() -> list[str]:
    """What the Makefile starts."""
    text = (ROOT / "Makefile").read_text().replace("\\\n", "")
    (options,) = re.findall(r"-m voila (.*)", text)
    variables = dict(re.findall(r"^(\w+) := (.*)$", text, re.M))
    return shlex.split(re.sub(r"\$\((\w+)\)", lambda name: variables[name[1]], options))


def test_the_app_listens_on_this_machine_only_and_takes_large_photos():
    command = app_command()
    assert "--Voila.ip=127.0.0.1" in command and command[-1] == NOTEBOOK.relative_to(ROOT).as_posix()
    (size,) = re.findall(r"'websocket_max_message_size': (\d+)", " ".join(command))
    assert int(size) > (MOST_MB + 1) * 2**20


def test_its_notebook_is_committed_without_outputs():
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert code and all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3" and "widgets" not in notebook["metadata"]


# -------------------------------------------------------------------------------------------------------- in a browser

in_a_browser = [pytest.mark.browser, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def address():
    """Of the app, started as the Makefile does."""
    pytest.importorskip("voila", reason="voila is not installed")
    FOLDER.mkdir(parents=True, exist_ok=True)
    port = browser.free_port()
    command = [sys.executable, "-m", "voila", *app_command(), "--no-browser", f"--port={port}"]
    url = f"http://127.0.0.1:{port}"
    with browser.served(command, f"{url}/voila/templates/lab/static/voila.js", FOLDER / "voila.log", ROOT):
        yield url


@pytest.fixture(scope="module")
def page(address, chromium):
    page = browser.new_page(chromium)
    page.goto(address, timeout=RUN_SECONDS * 1000)
    page.locator("img.widget-image").wait_for(timeout=RUN_SECONDS * 1000)
    yield page
    page.screenshot(path=str(FOLDER / "last.png"))
    page.close()


@pytest.fixture
def panel(page) -> LivePanel:
    return LivePanel(page, name="the app")


def astronaut() -> bytes:
    """A photo of more than the 10 MiB that Jupyter carries by itself."""
    data = pytest.importorskip("skimage.data", reason="scikit-image brings the photo")
    file = io.BytesIO()
    Image.fromarray(data.astronaut()).resize((2048, 2048)).save(file, "BMP")
    assert file.tell() > 10 * 2**20
    return file.getvalue()


class TestApp:
    """In the order of a visit."""

    pytestmark = in_a_browser

    def test_it_shows_a_title_an_example_and_no_code(self, page, panel):
        page.screenshot(path=str(FOLDER / "opened.png"))
        assert page.title() == page.locator("h1").inner_text().rstrip("¶") == "Cartoonize yourself"
        text = page.inner_text("body").replace("\xa0", " ")
        assert "import" not in text and "Eileen Collins" in text
        assert panel.layout_faults() == []

    def test_a_photo_becomes_cartoons_that_can_be_downloaded(self, page, panel):
        first = panel.digest()
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Drop a photo").click()
        chooser.value.set_files({"name": "astronaut.bmp", "mimeType": "image/bmp", "buffer": astronaut()})
        panel.wait_for_change(first, "after an upload")
        panel.wait(lambda: "face 1 of 1" in panel.root.inner_text(), "the words on what was found")
        page.screenshot(path=str(FOLDER / "uploaded.png"))
        with page.expect_download() as download:
            page.get_by_text("Download").click()
        assert download.value.suggested_filename == "astronaut as cartoon.png"
        saved = Image.open(download.value.path())
        shown = panel.image.evaluate("image => [image.naturalWidth, image.naturalHeight]")
        assert saved.format == "PNG" and list(saved.size) == shown and np.asarray(saved).std() > 20

    def test_worlds_and_strength_are_chosen(self, page, panel):
        before, width = panel.digest(), panel.image.evaluate("image => image.naturalWidth")
        panel.click("storybook")
        fewer = panel.wait_for_change(before, "without a world")
        assert panel.image.evaluate("image => image.naturalWidth") < width
        with panel.holding("strength") as move:
            move(0.3)
            panel.wait_for_change(fewer, "while the strength is dragged")

    @pytest.mark.parametrize(
        ("name", "content", "says"),
        [("cat.jpg", "a cat", NO_FACE), ("notes.txt", "aGVsbG8=", "notes.txt cannot be read: not an image")],
    )
    def test_what_has_no_face_or_is_no_picture_is_said_when_it_is_dropped(self, page, panel, name, content, says):
        wait_for(browser.lasting(panel.digest, 1), browser.PANEL_SECONDS, "the picture to come to rest")
        before = panel.digest()
        if content == "a cat":
            file = io.BytesIO()
            Image.fromarray(pytest.importorskip("skimage.data").chelsea()).save(file, "JPEG")
            content = base64.b64encode(file.getvalue()).decode()
        page.evaluate(DROP, [name, content])
        wait_for(lambda: says in panel.error(), browser.PANEL_SECONDS, f"the words {says!r}")
        page.screenshot(path=str(FOLDER / f"refused_{name}.png"))
        assert panel.digest() == before

    def test_what_is_too_large_is_said_and_never_sent(self, page):
        said = []
        page.once("dialog", lambda dialog: (said.append(dialog.message), dialog.accept()))
        page.evaluate(DROP, ["film.mov", (MOST_MB + 1) * 2**20])
        wait_for(lambda: page.evaluate("1") and said, browser.PANEL_SECONDS, "the page to say so")
        assert said == ["film.mov is too large: 101 MB. A photo may have up to 100 MB."]

    def test_a_site_that_gives_itself_our_address_is_refused(self, address):
        """Else a page on the network could point its own name to 127.0.0.1, and talk to the app."""
        request = urllib.request.Request(address, headers={"Host": "example.org"})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(request, timeout=20)

    def test_it_leaves_no_errors(self, page):
        """Last in this class: it judges what the tests above left."""
        (FOLDER / "console.txt").write_text("\n".join(page.console.errors))
        assert page.console.errors == []
