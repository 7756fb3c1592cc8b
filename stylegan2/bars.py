"""Progress bars with the time left, for all that may take long. What is soon over shows none, and none stays behind."""

from __future__ import annotations

from collections.abc import Iterable

from tqdm import tqdm

WAIT = 2.0  # seconds before a bar shows


def bar(items: Iterable | None = None, what: str = "", unit: str = "it", shown: bool = True, **settings) -> tqdm:
    """A text bar on stderr that appears after `WAIT` seconds, if `shown`, and is wiped away at the end.

    items: to go through; None: a bar to `update` by hand, in a `with` statement. what: stands before the bar.
    unit: of the items, for their rate. settings: more of `tqdm`, such as `total` or `initial`.
    """
    return tqdm(items, desc=what or None, unit=unit, delay=WAIT, leave=False, disable=not shown, **settings)
