"""What is measured in the rendered world."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table of texts; a title may be empty."""
    lines = ["".join(f" {cell} |" if cell else " |" for cell in cells) for cells in (columns, *rows)]
    return "\n".join("|" + line for line in (lines[0], "---|" * len(columns), *lines[1:]))
