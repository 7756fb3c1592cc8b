"""What a notebook asks for: models, datasets, folders and step budgets. Only this module knows the scale."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from stylegan2 import checkpoints
from stylegan2.collect.align import Frame
from stylegan2.course.drive import drive_folder
from stylegan2.course.scales import FullModels, PocketModels
from stylegan2.data.prepare import ensure_lmdb
from stylegan2.editing.encoder import load_encoder
from stylegan2.files import CourseError, find_root
from stylegan2.networks import Generator
from stylegan2.pocket.nets.judge import Judge
from stylegan2.pocket.nets.perceptual import distance_for, frame_for
from stylegan2.pocket.person import PersonCodes
from stylegan2.published.clip_model import ClipModel
from stylegan2.published.fetch import FetchError
from stylegan2.published.zoo import BY_COURSE, Zoo
from stylegan2.runtime import keep_memory_warm

SCALES = ("auto", "pocket", "full")
BUDGETS = ("course", "test")
SCALE, RESULTS = "COURSE_SCALE", "COURSE_OUT"  # variables: one of SCALES; a folder for runs and pictures
SMALLER = 'write SCALE = "pocket" into the first cell and run the notebook again'
JUDGE_AT_FULL = "the judge has only ever seen rendered faces: what it says about others is a guess"


@dataclass
class Course:
    """The course at one scale."""

    root: Path  # the course's folder (the one with `notebooks/` in it)
    chosen: PocketModels  # the models of the scale
    budget: str  # "course" for learners; "test" makes every training a matter of seconds
    device: torch.device
    results: Path | None = None  # a folder for what notebooks make; None: `build/` in the course's folder
    _settled: bool = field(default=False, repr=False)  # has anything been done that depends on the scale?

    @property
    def models(self) -> PocketModels:
        """Those of the scale, which cannot change from now on."""
        self._settled = True
        return self.chosen

    @property
    def scale(self) -> str:
        """ "pocket": rendered faces and shipped models; "full": published models, of 256 pixels."""
        return self.models.scale

    @property
    def resolution(self) -> int:
        """Side of all images in pixels."""
        return self.models.resolution

    @property
    def frame(self) -> Frame:
        """Where faces lie in the images of this scale, for cutting a photo."""
        return frame_for(self.resolution)

    @cached_property
    def lab(self) -> Course:
        """The course at pocket scale, where the truth about a face is known; at that scale this very course."""
        if self.scale == "pocket":
            return self
        return replace(self, chosen=PocketModels(self.root))

    @property
    def shipped(self) -> Path:
        """Folder of the models that come with the course, and of measurements of them."""
        return self.chosen.folder

    @property
    def build(self) -> Path:
        """Where notebooks write runs and pictures; safe to delete. The variable COURSE_OUT names another folder."""
        if elsewhere := os.environ.get(RESULTS):
            return Path(elsewhere)
        return self.results / self.scratch.name if self.results else self.scratch

    @property
    def scratch(self) -> Path:
        """A folder of this machine for datasets and small files, which are read at random and soon made again."""
        return self.root / "build" / ("course" if self.scale == "pocket" else "course-full")

    @property
    def training(self) -> dict:
        """Settings of `TrainConfig` at this scale that are not its defaults."""
        return self.models.training(self.device, tiny=self.budget == "test")

    @property
    def processes(self) -> int:
        """How many can share a training here: one for each GPU, or two on a CPU."""
        return torch.cuda.device_count() if self.device.type == "cuda" else 2

    def steps(self, course: int, test: int) -> int:
        """One of two numbers, e.g. of images to train on: `course` for learners, `test` for automatic checks."""
        return course if self.budget == "course" else self.models.fewer(test)

    def file(self, name: str = "photo") -> Path:
        """The file of a model, as commands take it: "photo", "encoder", or WORLD_METHOD; fetched if need be.

        If the first one cannot be fetched, and nothing depends on the scale yet, the course goes on at pocket scale and
        says so. Raises CourseError, with what to do, where there is no such model or it cannot be fetched.
        """
        try:
            path = self.chosen.file(name)
        except FetchError as error:
            why = " ".join(str(error).split())
            if self._settled:
                raise CourseError(f"{why}; or {SMALLER}") from None
            self.chosen = PocketModels(self.root)
            print(f"{self.chosen.description}, since full scale cannot be had ({why})")
            path = self.chosen.file(name)
        self._settled = True
        return path

    def source(self) -> checkpoints.Checkpoint:
        """The model that everything starts from: a generator of photos of faces, with its discriminator."""
        return checkpoints.load(self.file("photo"), device=self.device)

    def target(self, method: str = "baseline", domain: str = "webtoon") -> checkpoints.Checkpoint:
        """A model fine-tuned from the source to `domain` by `method`. Raises CourseError where there is none."""
        return checkpoints.load(self.file(f"{domain}_{method}"), device=self.device)

    def worlds(self, method: str = "freeze-sg") -> dict[str, Generator]:
        """The generators of all worlds made by a method, by world, webtoons first."""
        return self._generators({world: f"{world}_{method}" for world in self.models.worlds})

    def methods(self, names: Sequence[str], domain: str = "webtoon") -> dict[str, Generator]:
        """The generators of a world made by those methods, by method; methods that nobody used are left out."""
        return self._generators({name: f"{domain}_{name}" for name in names})

    def _generators(self, wanted: dict[str, str]) -> dict[str, Generator]:
        """Generators of {key: model}; what cannot be fetched is named and left out. CourseError if nothing is left."""
        generators, why = {}, "none were made"
        for name, model in wanted.items():
            if model not in self.models.names():
                continue
            try:
                path = self.models.file(model)
            except FetchError as error:
                print(f"without {name}: {error}")
                why = str(error)
            else:
                generators[name] = checkpoints.load(path, device=self.device, g_ema_only=True).g_ema
        if not generators:
            raise CourseError(f"no models {', '.join(wanted.values())}: {why}")
        return generators

    def scoreboard(self, name: str = "scoreboard") -> list[dict]:
        """Rows of the shipped comparison of methods ("scoreboard") or of their settings ("sweeps"), at pocket scale."""
        return json.loads((self.shipped / f"{name}.json").read_text())

    @cached_property
    def judge(self) -> Judge:
        """The network that reads attributes and landmarks of a face. It was trained in the pocket world."""
        if self.scale != "pocket":
            print(JUDGE_AT_FULL)
        return Judge.load(self.file("judge"), self.device)

    @cached_property
    def clip(self) -> ClipModel:
        """The network that says how well a text describes a face."""
        if self.chosen.scale != "pocket":
            self.file("photo")  # first: where it cannot be had, the course goes on at pocket scale
        return ClipModel.load(self.models.clip(), self.device)

    @cached_property
    def clips(self) -> list[ClipModel]:
        """`clip`, and at full scale a second one where memory allows."""
        first = self.clip
        return [first, *(ClipModel.load(path, self.device) for path in self.models.more_clips(self.device))]

    @cached_property
    def encoder(self):
        """The network that goes from an image to codes of the source."""
        encoder = load_encoder(self.file("encoder"), self.device).encoder
        if encoder.psi == 1:
            return encoder
        g = checkpoints.load(self.file("photo"), self.device, g_ema_only=True).g_ema
        return encoder.around(g.mapping)

    @cached_property
    def people(self) -> PersonCodes | None:
        """What makes codes of a person who was read off a photo; None where nothing does, as at full scale."""
        return PersonCodes.find(self.file().with_name("codes.pt"), self.source().g_ema)

    @cached_property
    def perceptual_distance(self):
        """The perceptual distance between two images."""
        try:
            return distance_for(self.resolution, self.file("judge"), self.device, self.models.weights)
        except ConnectionError as error:
            raise CourseError(f"{error}; or {SMALLER}") from None

    def photos(self, n: int) -> Tensor:
        """Photos of the source's world that it was not trained on, [n, 3, R, R] in [-1, 1]."""
        return self.models.photos(n, self.device)

    def record(self, name: str = "photo") -> dict[str, str]:
        """Path and hash of a model, for a panel's "Copy settings"."""
        path = self.file(name)
        model = path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.name
        return {"model": model, "sha256": checkpoints.sha256(path)[:16]}

    def dataset(self, source: str | os.PathLike = "pocket:webtoon") -> Path:
        """An LMDB of a folder or zip of images, or of a rendered set ("pocket:webtoon"), prepared at first use."""
        workers = min(8, os.cpu_count() or 2)
        return Path(ensure_lmdb(source, self.scratch / "datasets", self.resolution, workers))

    def new_run(self, name: str) -> Path:
        """An empty folder for a training run called `name`; the run before it is kept as `name.previous`."""
        folder = self.build / "runs" / name
        previous = folder.with_name(f"{name}.previous")
        if folder.exists():
            shutil.rmtree(previous, ignore_errors=True)
            folder.rename(previous)
        return folder


def setup(scale: str = "auto", drive: bool = False) -> Course:
    """Prepare a notebook: find the course, choose the scale, seed PyTorch, and say so in one line. Nothing is fetched.

    Args:
        scale: "pocket", "full" or "auto" (full with a GPU and what it needs, else pocket). The variable COURSE_SCALE
            overrules it.
        drive: on Colab, keep downloads and results on Google Drive, which is mounted if need be; datasets, which are
            read at random, stay on the machine.

    Raises ValueError for an unknown scale or budget, CourseError outside the course's folder.
    """
    wanted, scale = scale, os.environ.get(SCALE) or scale
    budget = os.environ.get("COURSE_BUDGET", "course")
    named = [("SCALE", wanted, SCALES), (f"the variable {SCALE}", scale, SCALES), ("COURSE_BUDGET", budget, BUDGETS)]
    for who, name, known in named:
        if name not in known:
            raise ValueError(f"{who} is {name!r}, expected one of: {', '.join(known)}")
    torch.manual_seed(0)
    warnings.filterwarnings("ignore", message=".*IProgress not found.*")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        keep_memory_warm()
    root = find_root()
    results, drive_words = drive_folder() if drive else (None, "")
    models, why = choose_models(root, scale, device, results)
    if wanted not in ("auto", scale):
        why += f" by the variable {SCALE}"
    machine = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    print(f"{models.description}{why} on {machine}, PyTorch {torch.__version__}")
    if drive_words:
        print(drive_words)
    return Course(root, models, budget, device, results)


def choose_models(
    root: Path, scale: str, device: torch.device, downloads: Path | None = None
) -> tuple[PocketModels, str]:
    """The models of a scale, and why where full scale falls back to pocket.

    `downloads`: a folder for them; None: the course's own.
    """
    if scale == "pocket" or (scale == "auto" and device.type != "cuda"):
        return PocketModels(root), ""
    own = root / "checkpoints" / "full"
    zoo = Zoo(downloads / "models" if downloads else own, scratch=own)
    if obstacle := zoo.obstacle(BY_COURSE["photo"]):
        return PocketModels(root), f", since full scale cannot be had ({' '.join(obstacle.split())})"
    return FullModels(root, zoo), ""
