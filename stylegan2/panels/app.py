"""The cartoon panel as an app: a photo, the worlds, the strength, and a link that downloads (`make app`)."""

from __future__ import annotations

import io
from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets as w
import torch
from IPython.display import HTML, display
from PIL import Image

from stylegan2.collect.align import NoFace
from stylegan2.display import fitted, stack, table
from stylegan2.panels.cartoon import GAP, LINE, CartoonPanel, How, Studio, download_link, words_below

SIDE = 200  # pixels of a face: four of them fit beside the controls
NO_FACE = "No face was found. Take a photo that shows eyes, nose and mouth, larger and not from the side."
MOST_MB = 100  # of a photo; the server takes a little more (Makefile: LARGE_PHOTOS)
# ipywidgets' button takes no photo that is dropped. So a drop, anywhere on the page, is handed to its hidden file field
# as if it had been chosen there; and what the server would not take, be it dropped or chosen, never leaves the page.
SCRIPT = """
<script>
const choose = HTMLInputElement.prototype.click, most = %d;
let dropped = null;
function refuse(event) {
    const file = event.target.files[0];
    if (!file || file.size <= most * 2 ** 20) return;
    event.stopImmediatePropagation();
    alert(`${file.name} is too large: ${Math.round(file.size / 2 ** 20)} MB. A photo may have up to ${most} MB.`);
}
HTMLInputElement.prototype.click = function () {
    if (this.type !== "file") return choose.call(this);
    this.addEventListener("change", refuse, true);
    if (!dropped) return choose.call(this);
    this.files = dropped;
    this.dispatchEvent(new Event("change"));
};
const over = event => {
    event.preventDefault();
    document.body.classList.toggle("over", event.type === "dragover");
};
for (const type of ["dragover", "dragleave", "drop"]) addEventListener(type, over);
addEventListener("drop", event => {
    const photo = new DataTransfer();
    for (const file of [...event.dataTransfer.files].slice(0, 1)) photo.items.add(file);
    if (!photo.files.length) return;
    dropped = photo.files;
    document.querySelector(".widget-upload").click();
    dropped = null;
});
</script>
<style>
.widget-upload { line-height: normal !important; border-radius: 6px; background: none; font-size: 15px; }
.widget-upload:hover, .over .widget-upload { border-color: #b5446e !important; color: #b5446e; }
.download a { display: inline-block; margin-top: 8px; padding: 6px 18px; border-radius: 4px; }
.download a, .download a:hover { background: #b5446e; color: white; text-decoration: none; }
.jp-RenderedMarkdown { max-width: 70em; }
</style>
"""


@torch.no_grad()
def render_worlds(studio: Studio, photo: str, strength: float = 1.0, **more: Any) -> Image.Image:
    """A photo and its cartoon in every chosen world; below, where the person was read, the renderer's drawings of them.

    `more`: by name of a world, whether it is shown; and what is in `How`. Errors as of `render_cartoon`.
    """
    sitter, how = studio.sitter(photo), How(**{name: more[name] for name in more.keys() - studio.styles.keys()})
    styles = {name: style for name, style in studio.styles.items() if more.get(name)}
    cartoons = studio.cartoons(photo, styles, how, 4, 0.0, strength) if styles else {}
    faces = [sitter.photo[0], *(cartoon[0] for cartoon in cartoons.values())]
    below = words_below(studio, photo, how, cartoons, SIDE)
    rows = [table([faces, *below], ["photo", *styles], gap=GAP, band=LINE, side=SIDE)]
    drawings = {f"{name}, as read": studio.drawing(photo, name, how.correct) for name in styles}
    if any(drawings.values()):
        read = [fitted(picture, SIDE) for picture in (sitter.seen, *drawings.values())]
        rows.append(table([read], ["what was taken" if sitter.seen else "", *drawings], gap=GAP, band=LINE))
    return stack(rows, gap=GAP)


class CartoonApp(CartoonPanel):
    """The cartoon panel with little to choose: a box to tick for every world, and the strength."""

    def _parts(self) -> tuple[Callable[..., Image.Image], dict[str, w.ValueWidget], dict[str, Any]]:
        self.upload.description = "Drop a photo, or choose one"
        self.upload.layout = w.Layout(width="300px", height="84px", border="2px dashed #999999", margin="2px 2px 12px")
        worlds = {name: w.Checkbox(True, description=name) for name in self.studio.styles}
        return render_worlds, worlds | self._how(), {"above": [self.upload]}

    def _tools(self) -> list[w.Widget]:
        self.link = w.HTML().add_class("download")
        return [self.link]

    def _render_full(self) -> None:
        super()._render_full()
        png = io.BytesIO()
        self.picture.save(png, "PNG")
        name = f"{self.controls['photo'].value} as cartoon.png"
        self.link.value = download_link(escape(name), png.getvalue(), "Download")

    def show_error(self, error: Exception) -> None:
        """In words for somebody who sees no code."""
        if not isinstance(error, ValueError):
            return super().show_error(error)
        text = NO_FACE if isinstance(error, NoFace) else str(error)
        self.message.value = f"<b style='color:#b00020'>{escape(text, False)}</b>"

    def show(self) -> None:
        """As `Panel.show`, with what takes photos that are dropped."""
        display(HTML(SCRIPT % MOST_MB))
        super().show()
