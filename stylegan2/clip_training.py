"""Training of the pocket CLIP on rendered faces of all domains and what can be said of them.

CLIP's own loss (arXiv 2103.00020, figure 3): in a batch of N faces and N captions each face must find its caption, and
each caption its face. Captions are drawn anew at every step (`pocket.random_captions`). By captions alone so small a
network learns hair and skin, and even after millions of faces nothing of smiles and poses, which tell few faces of a
batch apart. But of a rendered face we know everything, so three more losses help:

* fragments: each of many single ones ("red hair", "a frown") must find *all* the faces that it is true of (the
  supervised contrastive loss, arXiv 2004.11362);
* attributes: the image's vector must hold the face's attributes along fixed axes, at right angles to each other: what
  it does not hold, no text can learn to point at;
* meanings: a fragment's vector must point along these axes to what the faces that it is true of have in common.

Faces are roughened as for the judge: generated ones are softer than rendered ones. :mod:`stylegan2.clip_model` uses the
result.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from stylegan2 import text_files
from stylegan2.checkpoints import files
from stylegan2.clip_model import MEAN, SD, TOKENS, ClipModel, tokenize
from stylegan2.data import pocket
from stylegan2.data.pocket_captions import TOPICS, phrases
from stylegan2.data.roughen import roughen
from stylegan2.judge import SIZE, read_dict
from stylegan2.runtime import keep_memory_warm, pick_device, pick_dtype

TRAINING_FORMAT = "stylegan2 pocket CLIP, in training"
FACES_SEED = 710_000  # sequences of faces that no data set, no judge and no evaluation draws from
EVALUATION_SEED = 810_000
CHUNK = 500  # faces rendered by a worker at a time
NO_EFFECT = ("save_every", "workers")  # settings that may change when a training goes on
ARCHITECTURE = {  # OpenAI's ResNet CLIP, all of it as narrow as its text tower allows
    "embed_dim": 128,
    "image_resolution": SIZE,
    "vision_layers": (1, 1, 1, 1),
    "vision_width": 16,
    "vision_patch_size": None,
    "context_length": TOKENS,
    "vocab_size": 49_408,  # OpenAI's table: clip.tokenize needs all of it, though faces need few of its rows
    "transformer_width": 64,
    "transformer_heads": 1,
    "transformer_layers": 3,
}


@dataclass(frozen=True)
class ClipConfig:
    """How the pocket CLIP is trained.

    Raises:
        ValueError: for numbers that cannot work.
    """

    images: int = 300_000  # shown in all: a quarter of an hour on two cores
    batch: int = 128  # faces that a caption is told apart from, less one
    fragments: int = 96  # single fragments per step, about as many of each topic
    captions: int = 32  # faces of a batch that get a caption too
    attributes: float = 2.0  # weight of the attributes' squared error
    meanings: float = 2.0  # weight of the fragments' distance to what they mean
    own_faces: int = 5_000  # rendered per domain with that domain's statistics
    cross_faces: int = 500  # rendered per pair of another domain's statistics and this domain
    lr: float = 2.5e-3  # at its highest, after a warm-up; falls to 0 along a cosine
    weight_decay: float = 0.05
    start: str | None = None  # a CLIP file to go on from, instead of random weights
    faces_seed: int = 0  # which faces are rendered
    seed: int = 0  # of the weights, the order of faces, captions
    save_every: int = 20_000  # images between two states to continue from
    workers: int | None = None  # processes that render and write captions; None: one per core, none on a small machine

    def __post_init__(self) -> None:
        if self.images < self.batch or not 2 <= self.captions <= self.batch:
            raise ValueError(
                f"expected images >= batch >= captions >= 2, got {self.images}, {self.batch}, {self.captions}"
            )
        if min(self.fragments, self.own_faces, self.save_every) < 1 or self.cross_faces < 0 or (self.workers or 0) < 0:
            raise ValueError(
                "fragments, own_faces and save_every must be positive, cross_faces and workers not negative"
            )

    @property
    def steps(self) -> int:
        return self.images // self.batch

    @property
    def processes(self) -> int:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return (cores - 1 if cores > 2 else 0) if self.workers is None else self.workers


# ---------------------------------------------------------------------------------------------------------- the faces
@dataclass
class Pool:
    """Rendered faces and what can be said of them: of each as it is, and of its mirror image."""

    images: Tensor  # uint8 [N, 3, 64, 64]
    sayable: list  # N x topics x phrases
    mirrored: list
    domains: list[str]
    attributes: Tensor  # [2, N, A], of the faces and of their mirror images: mean 0, sd 1

    def __len__(self) -> int:
        return len(self.domains)


class Fragments:
    """Every single thing that is said of some face of a pool, and of which faces it is true.

    Attributes:
        texts: K fragments.
        tokens: [K, T] of them.
        topic: [K], index of what a fragment is about.
        true: bool [2, N, K], of the faces as they are and of their mirror images.
        meaning: [K, A], the mean of the (standardised) attributes of all faces that a fragment is true of.
    """

    def __init__(self, pool: Pool):
        said = sorted({(t, text) for face in pool.sayable for t, texts in enumerate(face) for text in texts})
        self.texts, self.topic = [text for _, text in said], torch.tensor([t for t, _ in said])
        tokens = tokenize(self.texts)
        self.tokens = tokens[:, : int(tokens.argmax(1).max()) + 1]
        place = {text: k for k, text in enumerate(self.texts)}
        self.true = torch.zeros(2, len(pool), len(said), dtype=torch.bool)
        for truth, sayable in zip(self.true, (pool.sayable, pool.mirrored), strict=True):
            for row, face in zip(truth, sayable, strict=True):
                row[[place[text] for texts in face for text in texts if text in place]] = True
        count = self.true.sum((0, 1)).clamp_min(1)[:, None]
        self.meaning = sum(t.float().T @ a for t, a in zip(self.true, pool.attributes, strict=True)) / count

    def pick(self, count: int, rng: torch.Generator) -> Tensor:
        """Indices of `count` different fragments [count], as many of each topic as there are."""
        weight = (1 / torch.bincount(self.topic, minlength=len(TOPICS)).clamp_min(1))[self.topic]
        return torch.multinomial(weight, min(count, len(weight)), generator=rng)


def render_pool(config: ClipConfig) -> Pool:
    """Faces with every domain's statistics in every domain; by worker processes where there are any."""
    jobs = []
    for d, domain in enumerate(pocket.DOMAINS):
        for statistics in pocket.DOMAINS:
            count = config.own_faces if statistics == domain else config.cross_faces
            seed = FACES_SEED + 10 * config.faces_seed + d
            jobs += [(statistics, domain, seed, i, min(CHUNK, count - i)) for i in range(0, count, CHUNK)]
    parts = list(_in_workers(_render_part, jobs, config.processes))
    images, *lists, attributes = zip(*parts, strict=True)
    joined = ([x for part in parts for x in part] for parts in lists)
    return Pool(torch.cat(images), *joined, _standardised(torch.cat(attributes, dim=1)))


def _standardised(attributes: Tensor) -> Tensor:
    """[2, N, A] to mean 0 and sd 1 in every column; what hardly varies is not blown up."""
    flat = attributes.flatten(0, 1)
    return (attributes - flat.mean(0)) / flat.std(0).clamp_min(0.2)


def _in_workers(work, jobs: Sequence, processes: int) -> Iterable:
    if not processes:
        yield from map(work, jobs)
        return
    with ProcessPoolExecutor(processes, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        yield from pool.map(work, jobs)


def _render_part(job: tuple[str, str, int, int, int]) -> tuple[Tensor, list, list, list[str], Tensor]:
    statistics, domain, seed, start, count = job
    faces = pocket.sample(statistics, count, seed=seed, start=start)
    images = pocket.render(faces, domain, SIZE)
    vectors = torch.stack([faces.vector(), faces.mirror().vector()])
    return images, phrases(faces), phrases(faces.mirror()), [domain] * count, vectors


class Batch(NamedTuple):
    """What one step learns from: B faces, a caption for the first C of them, and M fragments."""

    images: Tensor  # uint8 [B, 3, 64, 64]
    attributes: Tensor  # [B, A]
    tokens: Tensor  # long [C, T]
    fragments: Tensor  # long [M, T]
    true: Tensor  # bool [B, M]: is the fragment true of the face?
    meaning: Tensor  # [M, A]: what the faces that it is true of have in common

    def to(self, device: torch.device) -> Batch:
        return Batch(*(part.to(device) for part in self))


class Batches(Dataset):
    """Step -> its `Batch`, a function of (seed, step). Made by worker processes, where there are any."""

    def __init__(self, pool: Pool, config: ClipConfig, first: int = 0):
        self.pool, self.config, self.first = pool, config, first
        self.fragments = Fragments(pool)

    def __len__(self) -> int:
        return self.config.steps - self.first

    def __getitem__(self, i: int) -> Batch:
        """Raises IndexError beyond the last step."""
        if i >= len(self):
            raise IndexError(i)
        size, pool = self.config.batch, self.pool
        rng = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.first + i)
        faces = torch.randint(len(pool), (size,), generator=rng)
        flip = torch.rand(size, generator=rng) < 0.5
        pairs = list(zip(faces.tolist(), flip.tolist(), strict=True))[: self.config.captions]
        sayable = [(pool.mirrored if mirrored else pool.sayable)[k] for k, mirrored in pairs]
        tokens = tokenize(pocket.random_captions(sayable, [pool.domains[k] for k, _ in pairs], rng))
        picked = self.fragments.pick(self.config.fragments, rng)
        images, side = pool.images[faces], flip.long()
        return Batch(
            torch.where(flip[:, None, None, None], images.flip(3), images),
            pool.attributes[side, faces],
            tokens[:, : int(tokens.argmax(1).max()) + 1],
            self.fragments.tokens[picked],
            self.fragments.true[side, faces][:, picked],
            self.fragments.meaning[picked],
        )


# -------------------------------------------------------------------------------------------------------- the training
class _Run:
    """Network, optimiser and place in the schedule: what is saved and continued."""

    def __init__(self, config: ClipConfig, device: torch.device):
        from clip.model import CLIP

        torch.manual_seed(config.seed)  # initial weights only; everything else has its own generator
        self.config, self.device, self.step = config, device, 0
        self.model = CLIP(**ARCHITECTURE).float().to(device)
        self.known = torch.zeros(ARCHITECTURE["vocab_size"], dtype=torch.bool, device=device)  # tokens seen so far
        if config.start is not None:
            self.model.load_state_dict(ClipModel.load(config.start).model.state_dict())
            self.known |= self.model.token_embedding.weight.any(1)  # by the training before, too
        self.model.visual.to(memory_format=torch.channels_last)
        self.axes = attribute_axes().to(device)
        matrices = [p for p in self.model.parameters() if p.ndim > 1]
        others = [p for p in self.model.parameters() if p.ndim < 2]
        groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, config.lr, betas=(0.9, 0.98))
        self.dtype = pick_dtype("auto", device)
        self.mean, self.sd = (torch.tensor(x, device=device)[:, None, None] for x in (MEAN, SD))

    @property
    def parts(self) -> dict:
        return {"model": self.model, "optimiser": self.optimiser}

    def save(self, path: Path) -> None:
        state = {name: part.state_dict() for name, part in self.parts.items()}
        rest = {"step": self.step, "known": self.known.cpu(), "settings": _settings(self.config)}
        files.write(path, {"format": TRAINING_FORMAT, **state, **rest})

    def resume(self, path: Path) -> None:
        """Go on where a run with the same settings stopped; a file of other settings is passed over."""
        content = read_dict(path, TRAINING_FORMAT)
        if content["settings"] != _settings(self.config):
            return
        for name, part in self.parts.items():
            part.load_state_dict(content[name])
        self.step, self.known = content["step"], content["known"].to(self.device)

    def train_step(self, batch: Batch) -> dict[str, float]:
        """One step of Adam; returns the losses, and the share of faces that found their caption."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.config, self.step)
        for tokens in (batch.tokens, batch.fragments):
            self.known[tokens.flatten()] = True
        self.model.train()
        parts, found = self.losses(batch)
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack(list(parts.values())).sum().backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, math.log(100))  # as CLIP does
        self.step += 1
        return {name: float(loss.detach()) for name, loss in parts.items()} | {"found": float(found)}

    def losses(self, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        """The parts of the loss, weighted, and the share of faces that found their caption."""
        images = self._seen(batch.images)
        with torch.autocast(self.device.type, torch.bfloat16, self.dtype == torch.bfloat16):
            seen = self.model.encode_image(images)
            read, told = self.model.encode_text(batch.tokens), self.model.encode_text(batch.fragments)
        scale = self.model.logit_scale.exp()
        logits, right = scale * _cosines(seen[: len(read)], read), torch.arange(len(read), device=self.device)
        error = F.mse_loss(seen.float() @ self.axes, batch.attributes)
        apart = 1 - F.cosine_similarity(told.float(), batch.meaning @ self.axes.T)
        parts = {
            "captions": (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2,
            "fragments": fragment_loss(scale * _cosines(seen, told), batch.true),
            "attributes": self.config.attributes * error,
            "meanings": self.config.meanings * apart.mean(),
        }
        return parts, (logits.argmax(1) == right).float().mean()

    def _seen(self, images: Tensor) -> Tensor:
        """uint8 [B, 3, 64, 64] -> as CLIP takes them, roughened."""
        rng = torch.Generator(self.device).manual_seed(self.config.seed * 1_000_003 + self.step)
        x = images.float().div_(127.5).sub_(1)
        x, _ = roughen(x, x.new_zeros(len(x), 1, 2), rng)
        return ((x * 0.5 + 0.5 - self.mean) / self.sd).contiguous(memory_format=torch.channels_last)

    def state(self) -> dict[str, Tensor]:
        """The weights as float16, for `clip.load`; rows of tokens that never occurred are zero."""
        state = {name: value.detach().cpu().half() for name, value in self.model.state_dict().items()}
        state["token_embedding.weight"][~self.known.cpu()] = 0
        return state


def learning_rate(config: ClipConfig, step: int) -> float:
    """Linear up over the first twentieth of the run, then half a cosine down to 0."""
    t = (step + 1) / config.steps
    return config.lr * min(t / 0.05, 0.5 + 0.5 * math.cos(math.pi * t))


def attribute_axes() -> Tensor:
    """A fixed direction for every attribute, at right angles to all others: [E, A], columns of length 1."""
    shape = ARCHITECTURE["embed_dim"], len(pocket.VECTOR_NAMES)
    return torch.linalg.qr(torch.randn(*shape, generator=torch.Generator().manual_seed(0))).Q


def _cosines(a: Tensor, b: Tensor) -> Tensor:
    return F.normalize(a.float(), dim=1) @ F.normalize(b.float(), dim=1).T


def fragment_loss(logits: Tensor, true: Tensor) -> Tensor:
    """Each fragment must find the faces that it is true of: -log softmax over the faces, mean over the true ones.

    Args:
        logits: [B, M], scaled cosines of faces and fragments.
        true: bool [B, M]. Fragments that are true of no face, or of all, say nothing and do not count.
    """
    count = true.sum(0)
    tells = (count > 0) & (count < len(true))
    each = -(logits.log_softmax(0) * true).sum(0) / count.clamp_min(1)  # [M]
    return (each * tells).sum() / tells.sum().clamp_min(1)


def _settings(config: ClipConfig) -> dict:
    settings = {name: value for name, value in vars(config).items() if name not in NO_EFFECT}
    return {**settings, "renderer": pocket.VERSION, "architecture": ARCHITECTURE}


def train_clip(
    path: str | os.PathLike,
    config: ClipConfig | None = None,
    device: str = "auto",
    scratch: str | os.PathLike = "build/pocket",
    progress: bool = True,
) -> ClipModel:
    """Train a pocket CLIP, save it at `path` and what it can beside it as `.json`; called again, it goes on.

    Args:
        path: where the weights go, usually checkpoints/pocket/clip.pt.
        config: lengths and sizes.
        device: "auto", "cpu" or "cuda".
        scratch: folder for the state of an unfinished training.
        progress: a bar.
    """
    config, path, where = config or ClipConfig(), Path(path), pick_device(device)
    keep_memory_warm()
    started, run, state = time.perf_counter(), _Run(config, where), Path(scratch) / f"{path.stem}_training.pt"
    if state.is_file():
        run.resume(state)
    _train(run, render_pool(config), state, progress)
    files.write(path, run.state(), deflate=True)  # 2 MB instead of 8: most tokens never occur
    model = ClipModel.load(path)
    minutes = (time.perf_counter() - started) / 60
    text_files.write_json(
        path.with_suffix(".json"),
        {"training": {**_settings(config), "minutes": round(minutes, 1)}, "retrieval": measure_retrieval(model)},
    )
    state.unlink(missing_ok=True)
    return model


def _train(run: _Run, pool: Pool, state: Path, progress: bool) -> None:
    from tqdm.auto import tqdm

    config, batch, recent = run.config, run.config.batch, {}
    every = max(1, config.save_every // batch)
    loader = DataLoader(Batches(pool, config, run.step), batch_size=None, num_workers=config.processes)
    total, done = config.steps * batch, run.step * batch
    with tqdm(total=total, initial=done, unit="img", disable=not progress, mininterval=5) as bar:
        for part in loader:
            for name, value in run.train_step(part.to(run.device)).items():
                recent[name] = recent.get(name, value) * 0.98 + value * 0.02
            bar.update(batch)
            if run.step % 50 == 0:
                bar.set_postfix({name: f"{value:.3f}" for name, value in recent.items()}, refresh=False)
            if run.step % every == 0 and run.step < config.steps:
                run.save(state)


# ------------------------------------------------------------------------------------------------------ what it can do
@torch.no_grad()
def measure_retrieval(model: ClipModel, rounds: int = 25, among: int = 32) -> dict[str, dict[str, float]]:
    """How often the right caption is found among `among`, on faces that it never saw, all of one domain.

    Captions are `pocket.captions`, whole sentences as a person would say them; in each round all are different, though
    some differ in a word.

    Returns:
        {domain: {"caption": share of faces whose caption is the most similar one, "face": share of captions whose face
        is, "chance": 1 / among}}.
    """
    return {domain: _retrieve(model, domain, rounds, among) for domain in pocket.DOMAINS}


def _retrieve(model: ClipModel, domain: str, rounds: int, among: int) -> dict[str, float]:
    faces = pocket.sample(domain, 2 * rounds * among, seed=EVALUATION_SEED)
    texts, device = pocket.captions(faces), model.mean.device
    found, start = {"caption": [], "face": []}, 0
    for _ in range(rounds):
        chosen: dict[str, int] = {}
        while len(chosen) < among:  # each caption once
            chosen.setdefault(texts[start], start)
            start += 1
        images = pocket.render(faces[list(chosen.values())], domain, SIZE).float().div(127.5).sub(1)
        scores = model.encode_images(images.to(device)) @ model.encode_texts(list(chosen)).T
        right = torch.arange(among, device=device)
        found["caption"].append(float((scores.argmax(1) == right).float().mean()))
        found["face"].append(float((scores.argmax(0) == right).float().mean()))
    return {name: sum(values) / rounds for name, values in found.items()} | {"chance": 1 / among}
