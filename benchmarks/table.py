"""From seconds to the table that is printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.contest import Result

OURS = ("ours float32", "ours mixed")
UNSTEADY = 1.5  # slowest over fastest repetition
BUSY = f"the slowest repetition took over {UNSTEADY} times as long as the fastest: the machine was busy meanwhile"


def fastest(results: Mapping[str, Result], names: Sequence[str]) -> str | None:
    """Whoever of `names` has the smallest median; None where none of them was measured."""
    measured = [name for name in names if name in results and results[name].median]
    return min(measured, key=lambda name: results[name].median, default=None)


def ratio(results: Mapping[str, Result], ours: str, others: Sequence[str]) -> float | None:
    """How many times faster `ours` is than the fastest of `others`."""
    rival = fastest(results, others)
    if rival is None or ours not in results or not results[ours].median:
        return None
    return results[rival].median / results[ours].median


def share(flops: float | None, gflops: float | None, seconds: float | None) -> float | None:
    """Time that the convolutions alone would take at the machine's best rate, over the time that was taken."""
    return flops / (gflops * 1e9) / seconds if flops and gflops and seconds else None


def peers_in(results: Mapping[str, Result], variant: str = "") -> list[str]:
    """Names of the peers' results, as they ship ("") or "warm" or "mixed"."""
    names = [name for name in results if not name.startswith("ours")]
    return [name for name in names if name.partition(" ")[2] == variant]


def second_variant(device: str) -> str:
    """What peers are measured with besides as they ship: our allocator settings, or on CUDA their lower precision."""
    return "mixed" if device.startswith("cuda") else "warm"


def figures(results: Mapping[str, Result], flops: float | None, limits: Mapping[str, float], device: str) -> dict:
    """Everything derived of one workload: ratios and shares for each of ours (None where there is nothing)."""
    rates = {"ours float32": limits.get("float32"), "ours mixed": limits.get("bfloat16")}
    variants = {"faster_peer": "", f"faster_peer_{second_variant(device)}": second_variant(device)}
    shipped = peers_in(results)
    derived: dict = {"fastest_peer": fastest(results, shipped)}
    for key, variant in variants.items():
        derived[f"ratio_to_{key}"] = {ours: ratio(results, ours, peers_in(results, variant)) for ours in OURS}
    medians = {name: results[name].median if name in results else None for name in OURS}
    derived["share_of_limit"] = {name: share(flops, rates[name], medians[name]) for name in OURS}
    return derived


# ------------------------------------------------------------------------------------------------------------ printing


def number(value: float | None) -> str:
    """Three figures."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.3g}" if value < 10 else f"{value:.1f}"


def render(report: Mapping) -> str:
    """The report of `compare` as a Markdown table with footnotes."""
    peers, variant = list(report["peers"]), second_variant(report["device"])
    second = "with our allocator settings" if variant == "warm" else "in their lower precision"
    header = ["workload", "unit", *OURS, *[f"{name} ({variant})" for name in peers]]
    header += ["× faster peer", f"× {second}", "share of limit", "deviation", "of mixed"]
    footnotes: list[str] = []
    rows = [_row(name, entry, peers, variant, footnotes) for name, entry in report["workloads"].items()]
    lines = [_line(header), _line(["---"] * len(header)), *map(_line, rows), ""]
    return "\n".join([*lines, *_legend(report, second), *[f"[{i}] {text}" for i, text in enumerate(footnotes, 1)]])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _row(name: str, entry: Mapping, peers: Sequence[str], variant: str, footnotes: list[str]) -> list[str]:
    contestants, derived = entry["contestants"], entry["derived"]

    def cell(who: str) -> str:
        found = contestants.get(who)
        if found is None:
            return "–"
        unsteady = not found["error"] and found["max"] > UNSTEADY * found["min"]
        marks = [found["error"]] * bool(found["error"]) + found["notes"] + [BUSY] * unsteady
        return ("failed" if found["error"] else number(found["value"])) + _marks(marks, footnotes)

    cells = [name, entry["unit"], *map(cell, OURS)]
    for peer in peers:
        other = f"{peer} {variant}"
        cells.append(cell(peer) + (f" ({cell(other)})" if other in contestants else ""))
    ratios = [derived[key] for key in derived if key.startswith("ratio_to_")]
    cells += [_pair(pair, lambda v: f"{v:.2f}") for pair in ratios]
    cells.append(_pair(derived["share_of_limit"], "{:.0%}".format))
    return [*cells, _deviation(contestants, peers), _deviation(contestants, ["ours mixed"])]


def _deviation(contestants: Mapping[str, Mapping], names: Sequence[str]) -> str:
    """The largest of some contestants'."""
    found = [contestants[name]["deviation"] for name in names if name in contestants]
    known = [deviation for deviation in found if deviation is not None]
    return f"{max(known):.1e}" if known else "–"


def _pair(values: Mapping[str, float | None], form) -> str:
    """float32 / mixed."""
    shown = ["–" if values[name] is None else form(values[name]) for name in OURS]
    return " / ".join(shown) if set(shown) != {"–"} else "–"


def _marks(texts: Sequence[str], footnotes: list[str]) -> str:
    """ " [1, 2]"; new texts are added to the footnotes."""
    footnotes += [text for text in dict.fromkeys(texts) if text not in footnotes]
    found = sorted(footnotes.index(text) + 1 for text in texts)
    return f" [{', '.join(map(str, found))}]" if found else ""


def _legend(report: Mapping, second: str) -> list[str]:
    rates = ", ".join(f"{name} {value:,.0f}" for name, value in report["limits"].items() if name != "copy")
    machine = report["machine"]
    commits = ", ".join(f"{name} {commit[:10]}" for name, commit in report["peers"].items()) or "none"
    return [
        f"{machine['processor']}, {machine['threads']} threads, {machine['accelerator'] or 'no GPU'}; PyTorch "
        f"{machine['torch']}; {report['rounds']} rounds, medians. Peers: {commits}. Ours: {report['ours'][:10]}.",
        f"Limit: 3x3 convolutions reach {rates} GFLOP/s, copies {report['limits'].get('copy', 0):.1f} GB/s.",
        f"Peers compute in float32, in brackets {second}. Ratios and shares: ours in float32 / in mixed precision; "
        "above 1 ours is faster. Share: the least convolution work at the limit's rate, over the time taken "
        "(Winograd's algorithm can pass 100%).",
        "Deviation: the largest difference between the peers' output and ours in float32, in standard deviations; "
        "then that of our mixed precision.",
    ]
