"""The scoreboard to look at: a scatter plot with the Pareto front, a table, and rows of faces."""

from __future__ import annotations

from collections.abc import Sequence

from stylegan2.pocket.studies.scoreboard import SOURCE_DOMAIN

COLOURS = {
    "baseline": "#8a8a94",
    "freeze-style": "#c98b1d",
    "structure-loss": "#2f7fd1",
    "freeze-g": "#1f9d6b",
    "freeze-sg": "#7a5cff",
    "structure-loss+freeze-g": "#d1476f",
}
OTHER = "#444450"  # methods that are not in the course's list


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points that no other one beats in both coordinates (less is better), by the first coordinate."""
    front: list[int] = []
    for i in sorted(range(len(points)), key=lambda i: points[i]):
        if not front or points[i][1] < points[front[-1]][1]:
            front.append(i)
    return front


def scatter(rows: Sequence[dict], domains: Sequence[str] | None = None, same: str = "w", ceiling: bool = True):
    """Landmark error against domain distance, one plot per domain: the lower left corner is where one wants to be.

    Filled marks: the whole target model; hollow ones: its low resolutions swapped for the source's (squares: below 16,
    triangles: below 32). Bars: one sd. Grey steps: the Pareto front. Dotted lines: landmark errors of the same
    attributes drawn in both domains, and of random pairs.

    Args:
        rows: of `scoreboard.rows`.
        domains: to show; None: all.
        same: "w" or "z", the codes that source and target have in common.
        ceiling: mark random pairs, far to the right of everything else.
    """
    import matplotlib.pyplot as plt

    domains = domains or list(dict.fromkeys(row["domain"] for row in rows))
    figure, axes = plt.subplots(
        1, len(domains), figsize=(4.6 * len(domains) + 1.2, 4.4), squeeze=False, layout="constrained"
    )
    for axis, domain in zip(axes[0], domains, strict=True):
        _scatter_domain(axis, [row for row in rows if row["domain"] == domain], f"landmark_error_same_{same}", ceiling)
        axis.set(title=f"{SOURCE_DOMAIN} → {domain}", xlabel=f"landmark error, same {same} (less: the face is kept)")
    axes[0][0].set_ylabel("domain distance (less: better cartoons)")
    handles, labels = axes[0][0].get_legend_handles_labels()
    for swap in sorted({row["swap"] for row in rows} & _MARKS.keys()):
        handles += axes[0][0].plot([], [], _MARKS[swap], color="#6a6a74", mfc="white", ms=8)
        labels.append(f"below {swap} px the source's")
    figure.legend(handles, labels, loc="outside lower center", ncols=min(4, 1 + len(domains)), frameon=False)
    plt.close(figure)
    return figure


def _scatter_domain(axis, rows: Sequence[dict], error: str, ceiling: bool) -> None:
    points = [(row[error]["mean"], row["domain_distance"]["mean"]) for row in rows]
    front = pareto(points)
    axis.step([points[i][0] for i in front], [points[i][1] for i in front], where="post", color="#c9c9d2", zorder=0)
    for row, (x, y) in zip(rows, points, strict=True):
        colour, swap = COLOURS.get(row["method"], OTHER), row["swap"]
        label = row["method"] if swap is None else None
        mark = {"fmt": "o" if swap is None else _MARKS.get(swap, "D"), "mfc": colour if swap is None else "white"}
        order = 2 if swap else 3  # where a swap changes nothing (its layers were frozen), the filled mark is seen
        bars = row["domain_distance"]["sd"], row[error]["sd"]
        axis.errorbar(x, y, *bars, color=colour, ms=8, label=label, zorder=order, **mark)
    bounds = {"same attributes": rows[0]["floor"]}
    if ceiling:
        bounds["random pairs"] = max(row["ceiling"] for row in rows)
    for name, x in bounds.items():
        axis.axvline(x, color="#9a9aa4", ls=":", lw=1)
        axis.text(x, axis.get_ylim()[1], name, rotation=90, va="top", ha="right", size=8, color="#6a6a74")
    if any(row["swap"] for row in rows):
        axis.set_xlim(left=0)
    axis.spines[["top", "right"]].set_visible(False)


_MARKS = {16: "s", 32: "^"}


COLUMNS = {"domain_distance": 1, "landmark_error_same_w": 3, "landmark_error_same_z": 3, "attributes_kept_same_w": 2}


def table(rows: Sequence[dict], domain: str, swaps: Sequence[int | None] = (None,)) -> str:
    """The rows of a domain as a Markdown table, least landmark error first; best numbers in bold.

    Raises ValueError where there is no such row.
    """
    chosen = [row for row in rows if row["domain"] == domain and row["swap"] in swaps]
    if not chosen:
        available = sorted({(row["domain"], str(row["swap"])) for row in rows})
        raise ValueError(f"no row of {domain!r} with a swap of {list(swaps)}; there are {available or 'none at all'}")
    chosen.sort(key=lambda row: row["landmark_error_same_w"]["mean"])
    best = {
        column: (max if column.startswith("attributes") else min)(_shown(row[column], digits) for row in chosen)
        for column, digits in COLUMNS.items()
    }
    lines = ["| method | swap | domain distance ↓ | landmark error, same w ↓ | same z ↓ | attributes kept ↑ | seeds |"]
    lines.append("|---|---|---|---|---|---|---|")
    for row in chosen:
        cells = [_cell(row[column], n, _shown(row[column], n) == best[column]) for column, n in COLUMNS.items()]
        swap = "–" if row["swap"] is None else str(row["swap"])
        lines.append(f"| {row['method']} | {swap} | " + " | ".join(cells) + f" | {row['seeds']} |")
    return "\n".join([*lines, "", _bounds(chosen)])


def _bounds(rows: Sequence[dict]) -> str:
    """Between what the numbers lie, in one line."""
    row, random = rows[0], sorted(round(row["ceiling"], 2) for row in rows)
    pairs = f"{random[0]:.2f}" + f" to {random[-1]:.2f}" * (random[0] < random[-1])
    return (
        f"Landmark error: {row['floor']:.3f} for the same attributes in both domains, {pairs} for random pairs. "
        f"Domain distance: {row['distance_floor']:.1f} for rendered faces, {row['distance_ceiling']:.0f} for photos."
    )


def _shown(number: dict, digits: int) -> float:
    """As it is printed: what looks equal counts as equal."""
    return round(number["mean"], digits)


def _cell(number: dict, digits: int, best: bool) -> str:
    text = f"{number['mean']:.{digits}f}"
    text = f"**{text}**" if best else text
    return text if number["sd"] is None else f"{text} ± {number['sd']:.{digits}f}"


PAGE = """# The scoreboard

Six ways to fine-tune the source to another world, trained alike and measured alike. The question is what a method
keeps of a face, and what that costs. All start from `photo.pt`, see {images:,} images in batches of {batch}, and differ
only in their method.

- **Domain distance**: pocket distance of {faces:,} generated faces to rendered faces of the domain. Less: better
  cartoons.
- **Landmark error**: how far the judge's 16 landmarks lie apart in source and target, in distances between the eyes.
  *Same w*: one code through both generators; *same z*: each through its own mapping. Less: more of the face is kept.
- **Attributes kept**: of the attributes that could be kept, how much is. 1: all, as when the same attributes are drawn
  in both worlds; 0: as for random pairs.
- **Swap** 16 (32): the source's layers below 16 (32) pixels, the target's from there on. It changes nothing where the
  layers below 16 were frozen: they are the source's already. Swaps stand on top of the tables, since they keep most of
  the face; look at their domain distance before you choose one.

A landmark error can be *below* that of the same attributes drawn in both worlds: a rendered webtoon has larger eyes and
another chin, and a target that keeps the source's proportions has not gone all the way. Read it together with the
domain distance.

![Landmark error against domain distance](scoreboards.jpg)

{tables}

The same codes through the webtoon model of every method:

![Rows of faces](methods.jpg)

## The settings

How far FreezeSG reaches (resolution, number of codes), and what StructureLoss weighs. `relative` divides each
resolution's term by the source's variance there. Most have one seed, and three seeds of a method differ by about 0.003
in landmark error and 1 in distance: smaller gaps mean nothing.

{sweeps}

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
