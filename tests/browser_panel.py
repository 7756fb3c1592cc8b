"""A panel of the course in a browser: its pictures watched, its controls used as by hand. See tests/browser.py."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from browser import FOLDER, PANEL_SECONDS, is_idle, lasting, wait_for

REST_SECONDS = 0.4  # a picture that stays so long is the last one: longer than a preview stands
IMAGE = "img.widget-image, .widget-image img"
DIGEST = """async image => {
    const bytes = await (await fetch(image.src)).arrayBuffer();
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    return Array.from(digest, b => b.toString(16).padStart(2, "0")).join("");
}"""
# Controls that reach out of a box around them, and texts that end in dots or are cut.
LAYOUT_FAULTS = """root => {
    const faults = new Set();
    const name = e => (e.innerText || e.placeholder || e.className).trim().slice(0, 60);
    for (const e of root.querySelectorAll("button, label, input, textarea, img, .widget-readout, .noUi-target")) {
        const own = e.getBoundingClientRect();
        if (!own.width || !own.height) continue;
        for (let box = e.parentElement; root.contains(box); box = box.parentElement) {
            const around = box.getBoundingClientRect();
            if (own.right > around.right + 1.5 || own.left < around.left - 1.5)
                faults.add(`"${name(e)}" reaches out of ${box.className.split(" ").pop() || box.tagName}`);
        }
        if (e.matches("button, label, .widget-readout") && e.scrollWidth > e.clientWidth + 1)
            faults.add(`"${name(e)}" is cut: ${e.scrollWidth} pixels of text in ${e.clientWidth}`);
    }
    return [...faults];
}"""


class LivePanel:
    """A panel in the page, as its user has it.

    Args:
        page: with the notebook.
        cell: number of the code cell that shows the panel; None: the first one with a slider and a picture.
        name: for messages.
    """

    def __init__(self, page, cell: int | None = None, name: str = "panel"):
        self.page, self.name = page, name
        cells = page.locator(".jp-Notebook .jp-CodeCell")
        outputs = (page if cell is None else cells.nth(cell)).locator(".jp-OutputArea-output")
        outputs = outputs.filter(has=page.locator(".noUi-handle"))
        self.root = outputs.filter(has=page.locator(IMAGE)).first
        self.image = self.root.locator(IMAGE).first
        self.root.wait_for()
        self.root.scroll_into_view_if_needed()

    # ------------------------------------------------------------------------------------------------------ pictures

    def digest(self) -> str:
        """Fingerprint of the bytes that the image widget shows; empty while they are being replaced."""
        try:
            return self.image.evaluate(DIGEST)
        except Exception as error:  # playwright's own classes; only a fetch of a blob that was just replaced may fail
            if "fetch" in str(error):
                return ""
            raise

    def height(self) -> int:
        """Of the picture, in its own pixels."""
        return self.image.evaluate("image => image.naturalHeight")

    def wait(self, condition: Callable[[], object], what: str) -> object:
        """As `wait_for`; fails at once when the panel shows an error, and says which."""

        def checked() -> object:
            if error := self.error():
                pytest.fail(f"{self.name}: waited for {what}, the panel says: {error}")
            return condition()

        return wait_for(checked, PANEL_SECONDS, f"{self.name}: {what}")

    def picture(self) -> str:
        """The digest of the picture on show, once it stays the same and the kernel has nothing to do."""
        rests = lasting(lambda: is_idle(self.page) and self.digest(), REST_SECONDS)
        return self.wait(rests, "the picture to come to rest")

    def wait_for_change(self, before: str, what: str) -> str:
        """Until the picture is another than `before`; returns its digest."""
        return self.wait(lambda: (now := self.digest()) != before and now, f"the picture to change {what}")

    def wait_for_picture(self, expected: str, what: str) -> None:
        self.wait(lambda: self.digest() == expected, what)

    def reset(self, first: str) -> None:
        """Press Reset when the picture has come to rest, and wait for the first one.

        A slider's last position leaves the browser when the kernel has answered the one before. Pressed sooner than a
        hand goes from a slider to a button, Reset would come between the two.
        """
        self.picture()
        self.click("Reset")
        self.wait_for_picture(first, "the first picture to come back after Reset")

    def error(self) -> str:
        """What the panel complains about; empty if nothing."""
        messages = self.root.locator(".widget-html").filter(has=self.page.locator("b"))
        return " ".join(messages.all_inner_texts())

    def shoot(self, name: str) -> None:
        self.root.screenshot(path=str(FOLDER / f"{name}.png"))

    def layout_faults(self) -> list[str]:
        """Controls that are cut off, texts that are not whole."""
        return self.root.evaluate(LAYOUT_FAULTS)

    # ------------------------------------------------------------------------------------------------------ controls

    def slider(self, label: str):
        """The slider whose label begins so."""
        labels = self.page.locator(".widget-label", has_text=re.compile(rf"^\s*{re.escape(label)}"))
        return self.root.locator(".widget-slider").filter(has=labels).first

    @contextmanager
    def holding(self, label: str) -> Iterator[Callable[..., None]]:
        """Mouse button down on a slider's handle; gives a function that moves it to a fraction of the track."""
        handle, track = (self.slider(label).locator(f".noUi-{part}").first for part in ("handle", "base"))
        handle.scroll_into_view_if_needed()
        held, along, mouse = handle.bounding_box(), track.bounding_box(), self.page.mouse
        y = held["y"] + held["height"] / 2
        mouse.move(held["x"] + held["width"] / 2, y)
        mouse.down()
        try:
            yield lambda fraction, steps=6: mouse.move(along["x"] + fraction * along["width"], y, steps=steps)
        finally:
            mouse.up()

    def type_number(self, label: str, number: str) -> None:
        """Write into the number beside a slider."""
        readout = self.slider(label).locator(".widget-readout")
        readout.fill(number)
        readout.press("Enter")

    def type_text(self, field: str, text: str) -> None:
        """Write into a text field, by its label or the grey text in it, and press Enter."""
        labelled = self.root.locator(".widget-text").filter(has_text=re.compile(rf"^\s*{re.escape(field)}\s*$"))
        line = labelled.locator("input").or_(self.root.get_by_placeholder(field)).first
        line.fill(text)
        line.press("Enter")

    def click(self, text: str) -> None:
        """Click a button, one of a row of options, or a box to tick."""
        named = re.compile(rf"^\s*{re.escape(text)}\s*$")
        self.root.locator("button, .widget-checkbox label").filter(has_text=named).first.click()

    def copied_settings(self) -> str:
        """Press "Copy settings"; the text that shows."""
        self.click("Copy settings")
        area = self.root.locator("textarea")
        return self.wait(lambda: area.count() and area.input_value(), "the settings to show")
