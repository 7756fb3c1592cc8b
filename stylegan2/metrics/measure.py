"""A number that says what it means: between its floor and its ceiling."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """One number between its floor and its ceiling."""

    name: str
    value: float
    floor: float
    ceiling: float
    floor_is: str
    ceiling_is: str
    faces: int

    def __str__(self) -> str:
        return (
            f"{self.name} {self.value:.3g}  (floor {self.floor:.3g}: {self.floor_is}; "
            f"ceiling {self.ceiling:.3g}: {self.ceiling_is}; {self.faces:,} faces)"
        )
