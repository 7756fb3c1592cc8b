"""The one error of reading checkpoints, and the checks that say what does not fit."""

from collections.abc import Collection, Mapping

from torch import Tensor

LISTED = 4  # an error names the first few entries, not hundreds


class CheckpointError(ValueError):
    """A file that cannot be read as a checkpoint: says which file, what it is and what was expected."""


def check_entries(
    name: str, given: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], optional: Collection[str] = ()
) -> None:
    """Hold the names and shapes of the state dict `given` against `shapes`.

    Args:
        name: what to call the network in the error, e.g. "generator".
        given: state dict of the file.
        shapes: shape by name of every entry that is known.
        optional: known entries that may be missing.

    Raises:
        CheckpointError: the first few missing, unknown and wrongly shaped entries.
    """
    problems = {
        "missing": [k for k in shapes if k not in given and k not in optional],
        "unknown": [k for k in given if k not in shapes],
        "wrong shape": [
            f"{k} {list(given[k].shape)} instead of {list(shape)}"
            for k, shape in shapes.items()
            if k in given and tuple(given[k].shape) != tuple(shape)
        ],
    }
    found = [f"{what}: {few(entries)}" for what, entries in problems.items() if entries]
    if found:
        raise CheckpointError(f"the {name}'s entries do not fit; " + "; ".join(found))


def need_entries(name: str, given: Mapping[str, Tensor], axes: Mapping[str, int]) -> None:
    """Make sure that the entries from which sizes are read are there, with so many axes.

    Raises:
        CheckpointError: the first that is missing or has another number of axes.
    """
    for k, ndim in axes.items():
        if k not in given:
            raise CheckpointError(f"the {name} lacks {k}, from which its size is read; it has {few(list(given))}")
        if given[k].ndim != ndim:
            raise CheckpointError(f"the {name}'s {k} should have {ndim} axes, has shape {list(given[k].shape)}")


def few(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return (", ".join(names[:LISTED]) or "nothing") + more
