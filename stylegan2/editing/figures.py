"""Matplotlib figures: curves of a log, bars, and paths of two numbers."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from anyascii import anyascii
from PIL import Image

from stylegan2.fonts import has_letters


def curves(
    rows: Sequence[Mapping[str, float]], names: Mapping[str, Sequence[str]], x: str = "images", xlabel="images seen"
):
    """Lines of a log against its column `x`, one small plot per entry of `names`: {"losses": ["loss_g", "loss_d"]}."""
    from matplotlib.ticker import MaxNLocator

    most = max(map(len, names.values()))
    crowded = most > 2  # a legend would cover lines
    figure, axes = _plots(4 * len(names), 2.6 + 0.25 * most * crowded, len(names))
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.2)} if crowded else {}
    for axis, (title, columns) in zip(axes, names.items(), strict=True):
        for column in columns:
            points = [(row[x], row[column]) for row in rows if column in row]
            axis.plot(*zip(*points, strict=True) if points else ((), ()), label=column)
        axis.set(title=title, xlabel=xlabel)
        axis.xaxis.set_major_locator(MaxNLocator(5))
        axis.xaxis.set_major_formatter(lambda images, _: f"{images:,.0f}")
        axis.legend(frameon=False, **below)
    return figure


def bars(values: Mapping[str, float], highlight: Sequence[str] = (), xlabel: str = ""):
    """Horizontal bars with their numbers; the names in `highlight` in colour, the others grey."""
    figure, (axis,) = _plots(7, 0.5 + 0.42 * len(values))
    colours = ["#7a5cff" if name in highlight else "#c9c9d2" for name in values]
    rectangles = axis.barh([figure_text(name) for name in values], list(values.values()), color=colours)
    axis.bar_label(rectangles, [f"{v:,.0f}" if v >= 100 else f"{v:.3g}" for v in values.values()], padding=4)
    axis.invert_yaxis()
    axis.set(xlabel=xlabel)
    axis.margins(x=0.12)
    return figure


def paths(named: Mapping[str, Mapping[str, tuple[float, float]]], xlabel="", ylabel="", limits=None):
    """How two numbers go together while a setting moves: {line: {point: (x, y)}}, points joined in their order.

    `limits` {name: x} are dotted vertical lines, e.g. the floor and the ceiling of a measure.
    """
    figure, (axis,) = _plots(7, 4.2)
    colours, sides = ("#7a5cff", "#c98b1d", "#1f9d6b", "#d1476f"), ((7, 5, "left"), (-7, -12, "right"))
    for i, (name, points) in enumerate(named.items()):
        colour, (dx, dy, align) = colours[i % len(colours)], sides[i % len(sides)]
        axis.plot(*zip(*points.values(), strict=True), "o-", color=colour, label=figure_text(name))
        for text, at in points.items():
            axis.annotate(figure_text(text), at, (dx, dy), textcoords="offset points", ha=align, size=9, color=colour)
    for name, x in (limits or {}).items():
        axis.axvline(x, color="#9a9aa4", ls=":", lw=1)
        axis.text(x, axis.get_ylim()[1], figure_text(name), rotation=90, va="top", ha="right", size=8, color="#6a6a74")
    axis.set(xlabel=xlabel, ylabel=ylabel)
    axis.legend(frameon=False)
    return figure


def to_pil(figure) -> Image.Image:
    """A matplotlib figure as a picture."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=140)
    return Image.open(buffer).convert("RGB")


def _plots(width: float, height: float, count: int = 1):
    """A figure of so many inches, which pyplot forgets at once, and its plots side by side."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, count, figsize=(width, height), squeeze=False, layout="constrained")
    plt.close(figure)
    for axis in axes[0]:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes[0]


def figure_text(text: str) -> str:
    """For Matplotlib, whose font has Greek and Cyrillic letters too: the rest in Latin ones."""
    if text.isascii():
        return text
    from matplotlib import font_manager

    return text if has_letters(font_manager.findfont("DejaVu Sans"), text) else anyascii(text)
