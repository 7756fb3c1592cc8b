"""Training of the pocket CLIP on rendered faces of all domains and what can be said of them.

The loss is CLIP's (arXiv 2103.00020, figure 3): in a batch of N faces and N captions each face must find its caption,
and each caption its face. Captions are drawn anew at every step (`pocket.random_captions`), from one fragment to a
whole description, so that a text such as "red hair" means something by itself. Faces are roughened as for the judge:
generated ones are softer than rendered ones. :mod:`stylegan2.published.clip_model` uses the result.

What so small a network learns first is what tells many faces of a batch apart: hair, skin, clothes, background,
glasses. Smiles and poses, which tell few apart, would take it many times as long.
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

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from stylegan2 import files
from stylegan2.data.roughen import roughen
from stylegan2.pocket import world
from stylegan2.pocket.nets.judge import SIZE, read_dict
from stylegan2.pocket.world.captions import phrases
from stylegan2.published.clip_files import openai_clip
from stylegan2.published.clip_model import MEAN, SD, TOKENS, ClipModel, tokenize
from stylegan2.runtime import pick_device, pick_dtype
from stylegan2.setting_types import check_seed

TRAINING_FORMAT = "stylegan2 pocket CLIP, in training"
FACES_SEED = 710_000  # sequences of faces that no data set, no judge and no evaluation draws from
EVALUATION_SEED = 810_000
LONGEST = 64  # tokens of a caption
CHUNK = 500  # faces rendered by a worker at a time
NO_EFFECT = ("save_every", "workers")  # settings that may change when a training goes on
ARCHITECTURE = {
    "embed_dim": 64,
    "image_resolution": SIZE,
    "vision_layers": 4,
    "vision_width": 128,
    "vision_patch_size": 8,
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

    images: int = 3_000_000  # shown in all: 5 minutes on a GPU, most of a day on two cores
    batch: int = 512  # faces that a caption is told apart from, less one
    own_faces: int = 24_000  # rendered per domain with that domain's statistics
    cross_faces: int = 4_000  # rendered per pair of another domain's statistics and this domain
    lr: float = 1e-3  # at its highest, after a warm-up; falls to 0 along a cosine
    weight_decay: float = 0.05
    seed: int = 0
    save_every: int = 500_000  # images between two states to continue from
    workers: int | None = None  # processes that render and write captions; None: one per core, none on a small machine

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.images < self.batch or self.batch < 2:
            raise ValueError(f"expected images >= batch >= 2, got images={self.images}, batch={self.batch}")
        if min(self.own_faces, self.save_every) < 1 or self.cross_faces < 0 or (self.workers or 0) < 0:
            raise ValueError("own_faces and save_every must be positive, cross_faces and workers not negative")

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

    def __len__(self) -> int:
        return len(self.domains)


def render_pool(config: ClipConfig) -> Pool:
    """Faces with every domain's statistics in every domain; by worker processes where there are any."""
    jobs = []
    for d, domain in enumerate(world.DOMAINS):
        for statistics in world.DOMAINS:
            count = config.own_faces if statistics == domain else config.cross_faces
            seed = FACES_SEED + 10 * config.seed + d
            jobs += [(statistics, domain, seed, i, min(CHUNK, count - i)) for i in range(0, count, CHUNK)]
    parts = list(_in_workers(_render_part, jobs, config.processes))
    images, sayable, mirrored, domains = zip(*parts, strict=True)
    return Pool(torch.cat(images), *([x for part in parts for x in part] for parts in (sayable, mirrored, domains)))


def _in_workers(work, jobs: Sequence, processes: int) -> Iterable:
    if not processes:
        yield from map(work, jobs)
        return
    with ProcessPoolExecutor(processes, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        yield from pool.map(work, jobs)


def _render_part(job: tuple[str, str, int, int, int]) -> tuple[Tensor, list, list, list[str]]:
    statistics, domain, seed, start, count = job
    faces = world.sample(statistics, count, seed=seed, start=start)
    images = world.render(faces, domain, SIZE)
    return images, phrases(faces), phrases(faces.mirror()), [domain] * count


class Batches(Dataset):
    """Step -> the faces of that step, which of them are mirrored, and the tokens of their captions: by (seed, step)."""

    def __init__(self, pool: Pool, config: ClipConfig, first: int = 0):
        self.pool, self.config, self.first = pool, config, first

    def __len__(self) -> int:
        return self.config.steps - self.first

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor, Tensor]:
        """faces [B], mirrored [B] (bool), tokens [B, T]: as many columns as the longest caption needs."""
        size, step = self.config.batch, self.first + i
        if i >= len(self):
            raise IndexError(i)
        rng = torch.Generator().manual_seed((self.config.seed * 1_000_003 + step) % 2**63)
        chosen = torch.randint(len(self.pool), (size,), generator=rng)
        mirrored = torch.rand(size, generator=rng) < 0.5
        pairs = list(zip(chosen.tolist(), mirrored.tolist(), strict=True))
        sayable = [(self.pool.mirrored if flip else self.pool.sayable)[k] for k, flip in pairs]
        captions = world.random_captions(sayable, [self.pool.domains[k] for k, _ in pairs], rng)
        tokens = tokenize(captions)
        return chosen, mirrored, tokens[:, : int(tokens.argmax(1).max()) + 1]


# -------------------------------------------------------------------------------------------------------- the training
class _Run:
    """Network, optimiser and place in the schedule: what is saved and continued."""

    def __init__(self, config: ClipConfig, device: torch.device):
        self.config, self.device, self.step = config, device, 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)  # initial weights only; everything else has its own generator
            self.model = openai_clip().model.CLIP(**ARCHITECTURE).float().to(device)
        for block in self.model.transformer.resblocks:  # no buffer of the model: it would be copied at every use
            block.attn_mask = block.attn_mask.to(device)
        matrices = [p for p in self.model.parameters() if p.ndim > 1]
        others = [p for p in self.model.parameters() if p.ndim < 2]
        groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.lr = torch.tensor(config.lr, device=device)  # a tensor: a recorded step reads it anew
        self.optimiser = torch.optim.AdamW(groups, self.lr, betas=(0.9, 0.98), capturable=device.type == "cuda")
        self.known = torch.zeros(ARCHITECTURE["vocab_size"], dtype=torch.bool, device=device)  # tokens seen so far
        self.dtype = pick_dtype("auto", device)
        self.mean, self.sd = (torch.tensor(x, device=device)[:, None, None] for x in (MEAN, SD))
        self.recorded = _Recorded(self._learn) if device.type == "cuda" else None

    def save(self, path: Path) -> None:
        state = {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}
        rest = {"step": self.step, "known": self.known.cpu(), "settings": _settings(self.config)}
        files.write(path, {"format": TRAINING_FORMAT, **state, **rest})

    def resume(self, path: Path) -> None:
        """Go on where a run with the same settings stopped; a file of other settings is passed over."""
        content = read_dict(path, TRAINING_FORMAT)
        if content["settings"] != _settings(self.config):
            return
        self.model.load_state_dict(content["model"])
        self.optimiser.load_state_dict(content["optimiser"])
        for group in self.optimiser.param_groups:
            group["lr"] = self.lr
        self.step, self.known = content["step"], content["known"].to(self.device)

    def train_step(self, images: Tensor, mirrored: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 [B, 3, 64, 64], bool [B], long [B, T] -> (loss, share of faces that found their caption)."""
        rng = torch.Generator(self.device).manual_seed((self.config.seed * 1_000_003 + self.step) % 2**63)
        x = torch.where(mirrored[:, None, None, None], images.flip(3), images).float().div_(127.5).sub_(1)
        x, _ = roughen(x, x.new_zeros(len(x), 1, 2), rng)
        self.lr.fill_(learning_rate(self.config, self.step))
        self.known[tokens.flatten()] = True
        self.step += 1
        inputs = ((x * 0.5 + 0.5 - self.mean) / self.sd, tokens)
        return self._learn(*inputs) if self.recorded is None else self.recorded(*inputs)

    def _learn(self, x: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised images and tokens: one step of Adam."""
        with torch.autocast(self.device.type, torch.bfloat16, self.dtype == torch.bfloat16, cache_enabled=False):
            seen, read = self.model.encode_image(x), self.model.encode_text(tokens)
        logits = self.model.logit_scale.exp() * _cosines(seen.float(), read.float())
        right = torch.arange(len(x), device=self.device)
        loss = (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, math.log(100))  # as CLIP does
        return loss.detach(), (logits.argmax(1) == right).float().mean()

    def state(self) -> dict[str, Tensor]:
        """The weights as float16, for `clip.load`; rows of tokens that never occurred are zero."""
        state = {name: value.detach().cpu().half() for name, value in self.model.state_dict().items()}
        state["token_embedding.weight"][~self.known.cpu()] = 0
        return state


class _Recorded:
    """A training step as one CUDA graph: so small a network otherwise waits for its thousand kernels to be launched.

    The first steps run as they are, the next one is recorded, and from then on the recording is played with new inputs.
    """

    def __init__(self, step):
        self.step, self.warmed, self.graph = step, 0, None

    def __call__(self, x: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        tokens = F.pad(tokens, (0, LONGEST - tokens.shape[1]))  # zeros: after the text, where nothing looks
        if self.warmed < 3:
            self.warmed += 1
            return self._on_the_side(x, tokens)
        if self.graph is None:
            self.inputs, self.graph = (x.clone(), tokens.clone()), torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.outputs = self.step(*self.inputs)
        for kept, new in zip(self.inputs, (x, tokens), strict=True):
            kept.copy_(new)
        self.graph.replay()
        return tuple(output.clone() for output in self.outputs)

    def _on_the_side(self, x: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """A step on a stream of its own, as recording demands of what goes before it."""
        here, side = torch.cuda.current_stream(), torch.cuda.Stream()
        side.wait_stream(here)
        with torch.cuda.stream(side):
            outputs = self.step(x, tokens)
        here.wait_stream(side)
        return outputs


def learning_rate(config: ClipConfig, step: int) -> float:
    """Linear up over the first twentieth of the run, then half a cosine down to 0."""
    t = (step + 1) / config.steps
    return config.lr * min(t / 0.05, 0.5 + 0.5 * math.cos(math.pi * t))


def _cosines(a: Tensor, b: Tensor) -> Tensor:
    return F.normalize(a, dim=1) @ F.normalize(b, dim=1).T


def _settings(config: ClipConfig) -> dict:
    settings = {name: value for name, value in vars(config).items() if name not in NO_EFFECT}
    return {**settings, "renderer": world.VERSION, "architecture": ARCHITECTURE}


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
    started, run, state = time.perf_counter(), _Run(config, where), Path(scratch) / f"{path.stem}_training.pt"
    if state.is_file():
        run.resume(state)
    _train(run, render_pool(config), state, progress)
    files.write(path, run.state(), deflate=True)  # 2 MB instead of 8: most tokens never occur
    model = ClipModel.load(path, where)
    minutes = (time.perf_counter() - started) / 60
    files.write_json(
        path.with_suffix(".json"),
        {"training": {**_settings(config), "minutes": round(minutes, 1)}, "retrieval": measure_retrieval(model)},
    )
    state.unlink(missing_ok=True)
    return model


def _train(run: _Run, pool: Pool, state: Path, progress: bool) -> None:
    from tqdm.auto import tqdm

    config, batch = run.config, run.config.batch
    every, images = max(1, config.save_every // batch), pool.images.to(run.device)
    loader = DataLoader(Batches(pool, config, run.step), batch_size=None, num_workers=config.processes)
    total, done = config.steps * batch, run.step * batch
    with tqdm(total=total, initial=done, unit="img", disable=not progress, mininterval=5) as bar:
        for chosen, mirrored, tokens in loader:
            chosen, mirrored, tokens = (t.to(run.device) for t in (chosen, mirrored, tokens))
            loss, found = run.train_step(images[chosen], mirrored, tokens)
            bar.update(batch)
            if run.step % 50 == 0:
                bar.set_postfix(loss=f"{float(loss):.3f}", found=f"{float(found):.0%}", refresh=False)
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
    return {domain: _retrieve(model, domain, rounds, among) for domain in world.DOMAINS}


def _retrieve(model: ClipModel, domain: str, rounds: int, among: int) -> dict[str, float]:
    faces = world.sample(domain, 2 * rounds * among, seed=EVALUATION_SEED)
    texts, device = world.captions(faces), model.mean.device
    found, start = {"caption": [], "face": []}, 0
    for _ in range(rounds):
        chosen: dict[str, int] = {}
        while len(chosen) < among:  # each caption once
            chosen.setdefault(texts[start], start)
            start += 1
        images = world.render(faces[list(chosen.values())], domain, SIZE).float().div(127.5).sub(1)
        scores = model.encode_images(images.to(device)) @ model.encode_texts(list(chosen)).T
        right = torch.arange(among, device=device)
        found["caption"].append(float((scores.argmax(1) == right).float().mean()))
        found["face"].append(float((scores.argmax(0) == right).float().mean()))
    return {name: sum(values) / rounds for name, values in found.items()} | {"chance": 1 / among}
