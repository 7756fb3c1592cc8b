"""A person in a photo, read as the attributes of a pocket face.

    reading = describe(photo)                               # most attributes, and how sure we are
    reading = reading.corrected({"glasses": "round"})       # the person knows better
    world.render(reading.faces(), "webtoon", 256)

The mesh (`collect.facemesh`) gives pose and proportions, the silhouette the hair, and both say where colours are.
"""

from stylegan2.pocket.portrait.figure import figure
from stylegan2.pocket.portrait.reading import Reading, corrections, describe

__all__ = ["Reading", "corrections", "describe", "figure"]
