"""From seconds to the table that is printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.contest import Result
from benchmarks.workloads import Workload

OURS = ("ours float32", "ours mixed")
UNSTEADY = 1.5  # slowest over fastest repetition
BUSY = f"the slowest repetition took over {UNSTEADY} times as long as the fastest: the machine was busy meanwhile"


def second_variant(device: str) -> str:
    """What peers are measured with besides as they ship: our allocator settings, or on CUDA their lower precision."""
    return "mixed" if device == "cuda" else "warm"


def ratios(results: Mapping[str, Result], variant: str = "") -> dict[str, float | None]:
    """How many times faster each of ours is than the fastest peer, as they ship ("") or "warm" or "mixed"."""
    peers = [r.median for name, r in results.items() if name not in OURS and name.partition(" ")[2] == variant]
    fastest = min(filter(None, peers), default=None)
    medians = {name: results[name].median if name in results else None for name in OURS}
    return {name: fastest / own if fastest and own else None for name, own in medians.items()}


def number(value: float | None) -> str:
    """Three figures."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.3g}" if value < 10 else f"{value:.1f}"


def render(measured: Mapping[Workload, Mapping[str, Result]], peers: Sequence[str], device: str) -> str:
    """A Markdown table with footnotes."""
    variant = second_variant(device)
    second = "with our allocator settings" if variant == "warm" else "in their lower precision"
    header = ["workload", "unit", *OURS, *[f"{name} ({variant})" for name in peers]]
    header += ["× faster peer", f"× {second}", "deviation", "of mixed"]
    footnotes: list[str] = []
    rows = [_row(w, results, peers, variant, footnotes) for w, results in measured.items()]
    lines = [f"| {' | '.join(cells)} |" for cells in [header, ["---"] * len(header), *rows]]
    lines += [
        "",
        f"Peers compute in float32, in brackets {second}. Ratios: ours in float32 / mixed; above 1 ours is faster.",
        "Deviation: the largest difference from ours in float32, in standard deviations; then that of ours in mixed.",
    ]
    return "\n".join(lines + [f"[{i}] {text}" for i, text in enumerate(footnotes, 1)])


def _row(
    w: Workload, results: Mapping[str, Result], peers: Sequence[str], variant: str, footnotes: list[str]
) -> list[str]:
    def cell(who: str) -> str:
        result = results.get(who)
        if result is None:
            return "–"
        shown = number(result.median and w.value(result.median)) if not result.error else "failed"
        unsteady = not result.error and max(result.seconds) > UNSTEADY * min(result.seconds)
        mark = result.error or (BUSY if unsteady else None)
        if mark is None:
            return shown
        if mark not in footnotes:
            footnotes.append(mark)
        return f"{shown} [{footnotes.index(mark) + 1}]"

    cells = [w.name, w.unit, *map(cell, OURS)]
    for peer in peers:
        other = f"{peer} {variant}"
        cells.append(cell(peer) + (f" ({cell(other)})" if other in results else ""))
    cells += [_pair(ratios(results)), _pair(ratios(results, variant))]
    return [*cells, _largest(results, peers), _largest(results, OURS[1:])]


def _largest(results: Mapping[str, Result], names: Sequence[str]) -> str:
    """Deviation of some contestants."""
    known = [results[name].deviation for name in names if name in results and results[name].deviation is not None]
    return f"{max(known):.1e}" if known else "–"


def _pair(values: Mapping[str, float | None]) -> str:
    """float32 / mixed."""
    shown = ["–" if value is None else f"{value:.2f}" for value in values.values()]
    return " / ".join(shown) if set(shown) != {"–"} else "–"
