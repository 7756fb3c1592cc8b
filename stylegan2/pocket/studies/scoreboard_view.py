"""The scoreboard as a scatter plot with the Pareto front, as a table and as a page."""

from __future__ import annotations

from collections.abc import Sequence

from stylegan2.pocket import likeness
from stylegan2.pocket.studies import markdown_table
from stylegan2.pocket.studies.scoreboard import SOURCE_DOMAIN

COLOURS = {
    "baseline": "#8a8a94",
    "freeze-style": "#c98b1d",
    "structure-loss-paper": "#2f7fd1",
    "structure-loss": "#14489c",
    "freeze-g": "#1f9d6b",
    "freeze-sg": "#7a5cff",
    "structure-loss-paper+freeze-g": "#d1476f",
    "one drawing": "#e07b39",
    "one drawing, its colours": "#f2b48a",
    "one sentence": "#2aa5b8",
}
MARKS = {32: "s", 64: "^"}  # by swap
COLUMNS = {  # number of a row -> its title and digits; the arrow says which is better
    "domain_distance": ("domain distance ↓", 1),
    "landmark_error_same_w": ("landmark error, same w ↓", 3),
    "landmark_error_same_z": ("same z ↓", 3),
    "attributes_kept_same_w": ("attributes kept ↑", 2),
    "structure_kept": ("structure kept ↑", 2),
    "colours_kept": ("colours kept ↑", 2),
    "who_top1": ("who is it? ↑", 2),
    "who_top5": ("of five ↑", 2),
}
BRIEF = ("domain_distance", "landmark_error_same_w", "structure_kept", "who_top1")


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points that no other one beats in both coordinates (less is better), by the first one."""
    front: list[int] = []
    for i in sorted(range(len(points)), key=lambda i: points[i]):
        if not front or points[i][1] < points[front[-1]][1]:
            front.append(i)
    return front


def scatter(rows: Sequence[dict], domains: Sequence[str] | None = None, ceiling: bool = True):
    """Landmark error of the same w against domain distance, one plot per domain (None: all): best is the lower left.

    Filled marks: the whole target model; hollow ones: its low resolutions swapped for the source's. Bars: one sd. Grey
    steps: the Pareto front. Dotted lines: the same attributes rendered in both domains; random pairs (`ceiling`).
    """
    import matplotlib.pyplot as plt

    domains = domains or list(dict.fromkeys(row["domain"] for row in rows))
    figure, axes = plt.subplots(
        1, len(domains), figsize=(4.6 * len(domains) + 1.2, 4.4), squeeze=False, layout="constrained"
    )
    for axis, domain in zip(axes[0], domains, strict=True):
        _scatter_domain(axis, [row for row in rows if row["domain"] == domain], ceiling)
        axis.set(title=f"{SOURCE_DOMAIN} → {domain}", xlabel="landmark error, same w (less: the face is kept)")
    axes[0][0].set_ylabel("domain distance (less: better cartoons)")
    handles, labels = axes[0][0].get_legend_handles_labels()
    for swap in sorted({row["swap"] for row in rows} & MARKS.keys()):
        handles += axes[0][0].plot([], [], MARKS[swap], color="#6a6a74", mfc="white", ms=8)
        labels.append(f"below {swap} px the source's")
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, 1 + len(domains)), frameon=False)
    plt.close(figure)
    return figure


def _scatter_domain(axis, rows: Sequence[dict], ceiling: bool) -> None:
    error, distance = "landmark_error_same_w", "domain_distance"
    points = [(row[error]["mean"], row[distance]["mean"]) for row in rows]
    front = [points[i] for i in pareto(points)]
    axis.step(*zip(*front, strict=True), where="post", color="#c9c9d2", zorder=0)
    others = sorted({row["method"] for row in rows} - COLOURS.keys())
    colours = COLOURS | {name: f"C{k % 10}" for k, name in enumerate(others)}
    for row, point in zip(rows, points, strict=True):
        colour, swap = colours[row["method"]], row["swap"]
        if swap is None:
            mark = {"fmt": "o", "mfc": colour, "label": row["method"], "zorder": 3}  # seen where a swap changes nothing
        else:
            mark = {"fmt": MARKS.get(swap, "D"), "mfc": "white", "zorder": 2}
        axis.errorbar(*point, row[distance]["sd"], row[error]["sd"], color=colour, ms=8, **mark)
    bounds = {"same attributes": rows[0]["floor"]}
    if ceiling:
        bounds["random pairs"] = max(row["ceiling"] for row in rows)
    for name, x in bounds.items():
        axis.axvline(x, color="#9a9aa4", ls=":", lw=1)
        axis.text(x, axis.get_ylim()[1], name, rotation=90, va="top", ha="right", size=8, color="#6a6a74")
    y = rows[0]["distance_same_people"]
    axis.axhline(y, color="#9a9aa4", ls=":", lw=1)
    axis.text(axis.get_xlim()[1], y, "same people, rendered", va="bottom", ha="right", size=8, color="#6a6a74")
    if any(row["swap"] for row in rows):
        axis.set_xlim(left=0)
    axis.spines[["top", "right"]].set_visible(False)


def table(rows: Sequence[dict], domain: str, swaps: Sequence[int | None] = (None,), brief: bool = False) -> str:
    """A domain's rows as a Markdown table, least landmark error first, best numbers in bold; brief: what matters most.

    No row is a ValueError.
    """
    chosen = [row for row in rows if row["domain"] == domain and row["swap"] in swaps]
    if not chosen:
        available = sorted({(row["domain"], str(row["swap"])) for row in rows})
        raise ValueError(f"no row of {domain!r} with a swap of {list(swaps)}; there are {available or 'none at all'}")
    chosen.sort(key=lambda row: row["landmark_error_same_w"]["mean"])
    columns = {name: COLUMNS[name] for name in (BRIEF if brief else COLUMNS)}
    lines = [[row["method"]] + [str(row["swap"] or "–")] * (not brief) for row in chosen]
    for name, (title, digits) in columns.items():
        means = [round(row[name]["mean"], digits) for row in chosen]  # equal as printed counts as equal
        best = max(means) if title.endswith("↑") else min(means)
        for line, row, mean in zip(lines, chosen, means, strict=True):
            line.append(_cell(row[name], digits, mean == best))
    titles = [title for title, _ in columns.values()]
    if not brief:
        titles = ["swap", *titles, "seeds"]
        lines = [[*line, str(row["seeds"])] for line, row in zip(lines, chosen, strict=True)]
    return f"{markdown_table(['method', *titles], lines)}\n\n{_bounds(chosen)}"


def kept_table(rows: Sequence[dict]) -> str:
    """What a person keeps in the whole target models (no swap), by groups of attributes: a table of all domains."""
    groups = list(likeness.STRUCTURE)
    titles = ["world", "method", "structure kept", *groups, "colours kept", "who is it?", "of five"]
    lines = []
    for row in rows:
        if row["swap"] is None:
            structure, *others = (_cell(row[name], 2) for name in likeness.MEASURES)
            parts = [f"{row['kept_by_group'][group]:.2f}" for group in groups]
            lines.append([row["domain"], row["method"], structure, *parts, *others])
    return markdown_table(titles, lines)


def _cell(number: dict, digits: int, best: bool = False) -> str:
    """A mean with its sd over the seeds; of a single seed with the interval over faces, if there is one."""
    text = f"{number['mean']:.{digits}f}"
    text = f"**{text}**" if best else text
    if number["sd"] is not None:
        return f"{text} ± {number['sd']:.{digits}f}"
    return f"{text} ({number['low']:.{digits}f} to {number['high']:.{digits}f})" if "low" in number else text


def _bounds(rows: Sequence[dict]) -> str:
    """The floors and ceilings of the numbers, in one line."""
    row, random = rows[0], sorted(round(row["ceiling"], 2) for row in rows)
    who = row["who_top1"]
    pairs = f"{random[0]:.2f}" + f" to {random[-1]:.2f}" * (random[0] < random[-1])
    return (
        f"Landmark error: {row['floor']:.3f} for the same attributes in both domains, {pairs} for random pairs. "
        f"Domain distance: {row['distance_floor']:.1f} for rendered faces of this world, "
        f"{row['distance_same_people']:.1f} for the photos' people rendered in it, "
        f"{row['distance_ceiling']:.0f} for photos. "
        f"Who is it: {who['floor']:.2f} by chance, {who['ceiling']:.2f} for people rendered in both worlds."
    )


PAGE = """# The scoreboard

Seven ways to fine-tune the source to another world, trained alike and measured alike. The question is what a method
keeps of a face, and what that costs. All start from `photo.pt`, see {images:,} images in batches of {batch}, and differ
only in their method. Beside them stand ways that need no data set: *one drawing* (notebook 11; three drawings, a
training each, with the colours of each face or the drawing's) and *one sentence* (notebook 12; three seeds).

- **Domain distance**: pocket distance of {faces:,} generated faces to rendered faces of the domain. Less: better
  cartoons, but not of the same people: this world has its own. A method that kept all people, and drew them perfectly,
  would reach the distance of the photos' people rendered in it (below each table).
- **Landmark error**: how far the judge's 16 landmarks lie apart in source and target, in distances between the eyes.
  *Same w*: one code through both generators; *same z*: each through its own mapping. Less: more of the face is kept.
- **Attributes kept**: of the attributes that could be kept, how much is. 1: all, as when the same attributes are
  rendered in both worlds; 0: as for random pairs.
- **Structure kept, colours kept**: what is left of pose, head, hair and expression, and of the colours, once the
  world's own change is taken out. 1: as of people rendered in both worlds; 0: strangers. A world may ask for other
  colours; it does not ask for another pose.
- **Who is it?** Among 100 photos, how often the right one is nearest to the cartoon, or among the nearest five.
  Background, light and clothes do not count. In brackets: 95 % confidence interval over faces.
- **Swap** 32 (64): the source's layers below 32 (64) pixels, the target's from there on. It changes nothing where the
  layers below 32 were frozen: they are the source's already. Swaps stand on top of the tables, since they keep most of
  the face; look at their domain distance before you choose one.

A landmark error can be *below* that of the same attributes rendered in both worlds: a rendered webtoon has larger eyes
and another chin, and a target that keeps the source's proportions has not gone all the way. Read it together with the
domain distance.

![Landmark error against domain distance](scoreboards.jpg)

{tables}

The same codes through the webtoon model of every method:

![Rows of faces](methods.jpg)

And of one drawing, and one sentence:

![A drawing, the source's faces, and the same codes in what came of the drawing and of the sentence](hints.jpg)

## The settings

How far FreezeSG reaches (resolution, number of codes), and what StructureLoss weighs. `relative` divides each
resolution's term by the source's variance there; `structure-loss` above is that with weight 10. All have one seed.
A weight of 100 was tried last: it keeps as much structure as FreezeSG at the same distance, but fewer people are told.
Three seeds of a method, of this world's first models (64 pixels), differed by about 0.003 in landmark error and 1 in
distance; take smaller gaps for nothing.

{sweeps}

![Landmark error against domain distance, with other settings](sweeps.jpg)

Made by `python -m stylegan2 pocket scoreboard`; the numbers are in `scoreboard.json` and `sweeps.json`.
"""


def page(rows: Sequence[dict], sweeps: Sequence[dict]) -> str:
    """The scoreboard as a Markdown page: what is measured, tables with and without swaps, the settings."""
    swaps = list(dict.fromkeys(row["swap"] for row in rows))
    domains = list(dict.fromkeys(row["domain"] for row in rows))
    tables = "\n\n".join(f"## {SOURCE_DOMAIN} → {domain}\n\n{table(rows, domain, swaps)}" for domain in domains)
    swept = [table(sweeps, domain) for domain in dict.fromkeys(row["domain"] for row in sweeps)]
    budget = {name: rows[0][name] for name in ("images", "batch", "faces")}
    return PAGE.format(tables=tables, sweeps="\n\n".join(swept) or "(not made yet)", **budget)
