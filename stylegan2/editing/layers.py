"""Which of a generator's L codes an edit touches: presets from coarse to fine, or numbers such as "0-3,7".

Code i drives the i-th styled convolution, two codes per resolution above 4x4 (see :mod:`stylegan2.networks`).
"""

from __future__ import annotations

from collections.abc import Sequence


def layer_presets(num_ws: int) -> dict[str, tuple[int, ...]]:
    """Named sets of layers of a model with `num_ws` codes (L = 2 log2(resolution) - 2).

    coarse 0-1 (4x4 and the way to 8x8), middle 2-5 (8x8 to 32x32), fine the rest: the ranges in which SeFa's authors
    factorise a 256-pixel model. Presets that would be empty in a small model are left out. What a range decides is each
    model's own: :mod:`stylegan2.pocket.studies.ownership` measures it.
    """
    cuts = {"all": (0, num_ws), "coarse": (0, 2), "middle": (2, 6), "fine": (6, num_ws)}
    return {name: tuple(range(low, min(high, num_ws))) for name, (low, high) in cuts.items() if low < num_ws}


def parse_layers(layers: str | Sequence[int], num_ws: int) -> tuple[int, ...]:
    """Layers by preset ("coarse"), as text ("3", "0-4", "2,5-7") or as numbers, sorted and each once.

    Raises ValueError for text of another form, no layers at all, or layers that the model does not have.
    """
    presets, text = layer_presets(num_ws), layers_text(layers).strip()
    if text in presets:
        return presets[text]
    parts = parse_ranges(text, "layers", f"one of {', '.join(presets)}, or numbers such as 3, 0-4 or 2,5-7")
    if wrong := sorted({i for part in parts for i in (part[0], part[-1]) if i >= num_ws}):
        what = f"a model with {num_ws} codes has no layers {', '.join(map(str, wrong))}"
        raise ValueError(f"layers {layers!r}: {what}; expected 0 to {num_ws - 1}")
    return tuple(sorted({i for part in parts for i in part}))


def parse_ranges(text: str, name: str, expected: str) -> list[range]:
    """The ranges of a text such as "0-3,8", of any size. Raises ValueError for anything else: what was `expected`."""
    ranges = []
    for part in text.split(","):
        ends = [end.strip() for end in part.split("-")]
        if len(ends) > 2 or not all(end.isdecimal() for end in ends):
            raise ValueError(f"{name} {text!r}: expected {expected}")
        first, last = int(ends[0]), int(ends[-1])
        if first > last:
            raise ValueError(f"{name} {text!r}: expected the smaller number first, as in {last}-{first}")
        ranges.append(range(first, last + 1))
    return ranges


def layers_text(layers: str | Sequence[int]) -> str:
    """Layers as they were asked for, as text that `parse_layers` reads: "coarse", "0-4", "2,5,6"."""
    return layers if isinstance(layers, str) else ",".join(str(int(i)) for i in layers)
