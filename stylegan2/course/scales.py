"""The two scales of the course, shipped and fetched: which models there are, at what size, and how they are trained."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from stylegan2 import checkpoints
from stylegan2.editing import latents
from stylegan2.files import CourseError
from stylegan2.pocket import world
from stylegan2.pocket.studies.scoreboard import RATES
from stylegan2.published import clip_files
from stylegan2.published.zoo import BY_COURSE, Zoo

FULL_SIZE = 256
PHOTOS_SEED = 910_000  # of rendered photos that no training uses
BATCH = 16
GIB_FOR_BATCH = 12  # for 16 images at 256 pixels, config-f: 10.2 in float32 (benchmarks/README.md), and some room
CLIP, SECOND_CLIP = "ViT-B/32", "ViT-B/16"
GIB_FOR_TWO = 8  # of a GPU's memory, with which the second one is used beside the first


class PocketModels:
    """What is in `checkpoints/pocket` of the course's folder."""

    scale, resolution = "pocket", world.SIZE  # side of all images in pixels
    description = f"pocket scale ({world.SIZE}-pixel faces, nothing to download)"
    worlds = ("webtoon", "storybook", "portrait")  # what the source was fine-tuned to, webtoons first
    weights: Path | None = None  # a folder with files that the scale's tools need; None: their own cache

    def __init__(self, root: Path):
        self.folder = root / "checkpoints" / "pocket"

    def names(self) -> list[str]:
        """Of all fine-tuned models, WORLD_METHOD."""
        return sorted(path.stem for path in self.folder.glob("*_*.pt"))

    def file(self, name: str) -> Path:
        """The file of "photo", "encoder", "judge" or WORLD_METHOD. Raises CourseError where there is none."""
        path = self.folder / f"{name}.pt"
        if "_" in name and name not in self.names():
            raise CourseError(f"no shipped model '{name}'; there are: {', '.join(self.names()) or 'none'}")
        if not path.exists():
            raise CourseError(f"checkpoints/pocket/{path.name} is missing: fetch it with git, or run `make pocket`")
        return path

    def clip(self) -> Path:
        """The file of a CLIP, for `ClipModel.load`."""
        return self.file("clip")

    def more_clips(self, device: torch.device) -> list[Path]:
        """Files of other CLIPs, whose losses may be averaged with that of `clip`."""
        return []

    def photos(self, n: int, device: torch.device) -> Tensor:
        """Photos that the source was not trained on, [n, 3, R, R] in [-1, 1]."""
        faces = world.sample("photo", n, seed=PHOTOS_SEED)
        return world.render(faces, "photo", self.resolution).float().div(127.5).sub(1).to(device)

    def training(self, device: torch.device, tiny: bool) -> dict:
        """Settings of `TrainConfig` that are not its defaults; tiny: for tests."""
        return {"batch": BATCH, **RATES}

    def fewer(self, count: int) -> int:
        """A number of steps or images for tests at this scale, from that for pocket scale."""
        return count


class FullModels(PocketModels):
    """The published models, fetched by the zoo, and the judge of the pocket world, since there is no other."""

    scale, resolution = "full", FULL_SIZE
    description = f"full scale ({FULL_SIZE}-pixel faces, published models, each fetched when a cell asks for it)"
    worlds = ("webtoon", "disney", "metfaces")

    def __init__(self, root: Path, zoo: Zoo):
        super().__init__(root)
        self.zoo = zoo

    def names(self) -> list[str]:
        return sorted(name for name in BY_COURSE if "_" in name)

    def file(self, name: str) -> Path:
        """As of `PocketModels`; FetchError: it cannot be fetched."""
        if name in ("judge", "clip"):
            return super().file(name)
        if name not in BY_COURSE:
            raise CourseError(f"no published model '{name}'; there are: {', '.join(self.names())}")
        return self.zoo.fetch(BY_COURSE[name])

    @property
    def weights(self) -> Path | None:
        return self.zoo.folder if any(self.zoo.folder.glob("*.pth")) else None

    def clip(self) -> Path:
        """ViT-B/32, found or fetched beside the zoo's models; else the pocket CLIP."""
        try:
            return clip_files.find(CLIP, self.zoo.folder)
        except ConnectionError as error:
            print(f"texts are read by the pocket CLIP, which has only ever seen rendered faces: {error}")
            return super().clip()

    def more_clips(self, device: torch.device) -> list[Path]:
        """ViT-B/16, where a GPU has the memory for it and it can be had."""
        if device.type != "cuda" or torch.cuda.get_device_properties(device).total_memory < GIB_FOR_TWO * 2**30:
            return []
        try:
            return [clip_files.find(SECOND_CLIP, self.zoo.folder)]
        except ConnectionError as error:
            print(f"without {SECOND_CLIP}: {error}")
            return []

    def photos(self, n: int, device: torch.device) -> Tensor:
        """Rendered by the source itself, since no photographs may be shipped."""
        g = checkpoints.load(self.file("photo"), device, g_ema_only=True).g_ema
        return latents.render(g, latents.ws_from_seeds(g, range(PHOTOS_SEED, PHOTOS_SEED + n), 0.7)).clamp(-1, 1)

    def training(self, device: torch.device, tiny: bool) -> dict:
        if tiny:
            return {"batch": 4}
        room = torch.cuda.get_device_properties(device).total_memory / 2**30 if device.type == "cuda" else GIB_FOR_BATCH
        parts = 1
        while room * parts < GIB_FOR_BATCH and parts < BATCH:
            parts *= 2
        return {"batch": BATCH, "accumulate": parts}

    def fewer(self, count: int) -> int:
        return max(2, count // 8)
