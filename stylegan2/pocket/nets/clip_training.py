"""Training of the pocket CLIP on rendered faces of all domains and their captions.

The loss is CLIP's (arXiv 2103.00020, figure 3), on captions that are sampled anew at every step. So small a network
learns first what tells many faces apart: hair, skin, clothes. What a renderer knows makes the rest quicker:

- half of every batch are twins of the other half, which differ from them in one attribute, and captions say in which;
- a caption belongs to every face of the batch of which it is true ("red hair": to all who have it), where CLIP has one;
- a linear layer on the images' embeddings learns to tell the faces' attributes, and is thrown away at the end.
"""

from __future__ import annotations

import io
import math
import os
import zipfile
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylegan2 import files
from stylegan2.data.roughen import roughen
from stylegan2.pocket import world
from stylegan2.pocket.nets.fit import Fit, FitConfig, mirrored, sets_of_faces, warm_cosine
from stylegan2.pocket.nets.judge import INPUT_SIZE, to_float
from stylegan2.pocket.nets.muon import Muon, split
from stylegan2.pocket.world.captions import only_of, phrases
from stylegan2.published.clip_files import openai_clip
from stylegan2.published.clip_model import MEAN, SD, TOKENS, ClipModel, tokenize
from stylegan2.runtime import pick_dtype

FACES_SEED = 710_000  # sequences of faces that no data set, no judge and no evaluation uses
EVALUATION_SEED = 810_000
CHUNK = 500  # faces rendered by a worker at a time, each with its twin
TWIN_SEED = 500_000  # added to the seed of faces: those from whom their twins have one attribute
DIFFER = (  # in which a twin differs; those of a row together
    ("smile",), ("mouth_open",), ("yaw",), ("roll",), ("eye_size",), ("eye_open",), ("eye_tilt",), ("nose_size",),
    ("lips",), ("brow_height",), ("brow_angle",), ("brow_thickness",), ("face_width",), ("face_height",), ("jaw",),
    ("skin",), ("glasses",), ("beard",), ("hair_style",), ("fringe",), ("hair_colour",), ("eye_colour",),
    ("clothes_colour",), ("background", "background2"),
)  # fmt: skip
ARCHITECTURE = {
    "embed_dim": 64,
    "image_resolution": INPUT_SIZE,
    "vision_layers": (2, 2, 1, 1),  # blocks: a ResNet
    "vision_width": 12,
    "vision_patch_size": None,
    "context_length": TOKENS,
    "vocab_size": 49_408,  # OpenAI's table: clip.tokenize needs all of it, though faces need few of its rows
    "transformer_width": 64,
    "transformer_heads": 1,
    "transformer_layers": 3,
}


@dataclass(frozen=True)
class ClipConfig(FitConfig):
    """How the pocket CLIP is trained."""

    images: int = 768_000  # shown in all: 40 minutes on a core
    batch: int = 128  # faces that a caption is told apart from, less one
    own_faces: int = 8_000  # rendered per domain with that domain's statistics, each with a twin
    cross_faces: int = 1_000  # rendered per pair of another domain's statistics and this domain, with twins too
    lr: float = 2e-3  # at its highest, after a warm-up; falls to 0 along a cosine
    attributes: float = 4.0  # weight of the attributes' squared error
    seed: int = 0

    may_be_zero = ("seed", "cross_faces", "attributes")
    halves = "half of it twins"


@dataclass
class Pool:
    """Rendered faces, each followed by its twin, and what can be said of them: as they are, and in a mirror."""

    images: Tensor  # uint8 [N, 3, INPUT_SIZE, INPUT_SIZE]
    domains: list[str]
    sayable: tuple[list, list]  # N x topics x phrases; of the mirror images
    attributes: Tensor  # [2, N, A], see `Faces.vector`

    def __len__(self) -> int:
        return len(self.domains)

    def captions(self, chosen: list[int], flips: list[bool], rng: torch.Generator) -> tuple[list[str], Tensor]:
        """Of the chosen faces, [B] each; each says first what is not true of its twin, if there is anything.

        -> texts, and for each text (row) of which of the faces (columns) it is true: bool [B, B].
        """
        pairs = [(self.sayable[flip][k], self.sayable[flip][k ^ 1]) for k, flip in zip(chosen, flips, strict=True)]
        sayable, domains = [own for own, _ in pairs], [self.domains[k] for k in chosen]
        texts, facts_of_texts = world.random_captions(sayable, domains, rng, [only_of(*pair) for pair in pairs])
        facts_of_faces = [{domain, *chain(*topics)} for domain, topics in zip(domains, sayable, strict=True)]
        return texts, torch.tensor([[text <= face for face in facts_of_faces] for text in facts_of_texts])


def render_pool(config: ClipConfig) -> Pool:
    """Faces with every domain's statistics in every domain."""
    images, domains, sayable, attributes = [], [], ([], []), []
    for statistics, domain, count, seed in sets_of_faces(
        config.own_faces, config.cross_faces, FACES_SEED + 10 * config.seed
    ):
        for start in range(0, count, CHUNK):
            faces, others = (
                world.sample(statistics, min(CHUNK, count - start), seed=seed + more, start=start)
                for more in (0, TWIN_SEED)
            )
            faces = with_twins(faces, others, start)
            ways = faces, faces.mirror()
            images.append(world.render(faces, domain, INPUT_SIZE))
            domains += [domain] * len(faces)
            attributes.append(torch.stack([way.vector() for way in ways]))
            for said, way in zip(sayable, ways, strict=True):
                said += phrases(way)
    return Pool(torch.cat(images), domains, sayable, torch.cat(attributes, 1))


def with_twins(faces: world.Faces, others: world.Faces, start: int = 0) -> world.Faces:
    """Each face [N], followed by its twin: the same but for one of DIFFER, in turn, which is the other face's."""
    twins = dict(faces.values)
    kind = (torch.arange(len(faces)) + start) % len(DIFFER)
    for k, names in enumerate(DIFFER):
        for name in names:
            mine = (kind == k).view(-1, *[1] * (faces.values[name].ndim - 1))
            twins[name] = torch.where(mine, others.values[name], faces.values[name])
    pairs = {name: torch.stack([value, twins[name]], 1).flatten(0, 1) for name, value in faces.values.items()}
    return world.Faces(pairs)


def _network() -> nn.Module:
    """A CLIP as OpenAI makes it; `attributes`, which reads a face's off its embedding; `known`: tokens so far."""
    model = openai_clip().model.CLIP(**ARCHITECTURE).float()
    model.register_buffer("known", torch.zeros(ARCHITECTURE["vocab_size"], dtype=torch.bool))
    model.attributes = nn.Linear(ARCHITECTURE["embed_dim"], len(world.VECTOR_NAMES))
    return model


class ClipTraining(Fit):
    """A CLIP that learns what captions say of rendered faces."""

    def __init__(self, config: ClipConfig, device: torch.device | str):
        super().__init__(config, _network, device)
        self.settings["architecture"] = ARCHITECTURE
        inside = ("attn.in_proj_weight", "attn.out_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")  # of blocks
        self.optimiser = Muon(split(self.model, lambda name, p: p.ndim == 4 or name.endswith(inside)), config.lr)
        self.schedule = warm_cosine(self.optimiser, config.steps, 0.05)
        self.dtype = pick_dtype("auto", self.device)
        self.mean, self.sd = (torch.tensor(x, device=self.device)[:, None, None] for x in (MEAN, SD))

    @cached_property
    def pool(self) -> Pool:
        """The faces that it learns from."""
        return render_pool(self.config)

    def batch(self) -> tuple[Tensor, ...]:
        """images [B, 3, H, W], flips [B] (bool), tokens [B, T]: as many columns as the longest caption needs; is_true
        [B, B] (bool): captions x faces; attributes [B, A]."""
        pool, half, rng = self.pool, self.config.batch // 2, self.rng()
        chosen = 2 * torch.randint(len(pool) // 2, (half,), generator=rng)
        chosen = torch.stack([chosen, chosen + 1], 1).flatten()  # each with its twin
        flips = (torch.rand(half, generator=rng) < 0.5).repeat_interleave(2)
        texts, is_true = pool.captions(chosen.tolist(), flips.tolist(), rng)
        tokens = tokenize(texts)
        longest = int(tokens.argmax(1).max()) + 1
        parts = pool.images[chosen], flips, tokens[:, :longest], is_true, pool.attributes[flips.long(), chosen]
        return tuple(part.to(self.device) for part in parts)

    def losses(
        self, images: Tensor, flips: Tensor, tokens: Tensor, is_true: Tensor, attributes: Tensor
    ) -> dict[str, Tensor]:
        """And the share of faces whose most similar caption is true of them (by chance: that of true pairs)."""
        x = to_float(mirrored(images, flips))
        x, _ = roughen(x, x.new_zeros(len(x), 1, 2), self.rng(self.device))
        self.model.known[tokens.flatten()] = True
        with torch.autocast(self.device.type, torch.bfloat16, self.dtype == torch.bfloat16):
            seen = self.model.encode_image((x * 0.5 + 0.5 - self.mean) / self.sd)
            read = self.model.encode_text(tokens)
        seen, read = seen.float(), read.float()
        logits = self.model.logit_scale.exp() * F.normalize(read, dim=1) @ F.normalize(seen, dim=1).T
        loss = (cross_entropy_of_all(logits, is_true) + cross_entropy_of_all(logits.T, is_true.T)) / 2
        regression = self.config.attributes * F.mse_loss(self.model.attributes(seen), attributes)
        right = is_true.T.gather(1, logits.argmax(0)[:, None]).float().mean()
        return {"loss": loss, "attributes": regression, "right": right}

    def train_step(self, *batch: Tensor) -> dict[str, Tensor]:
        parts = super().train_step(*batch)
        with torch.no_grad():
            self.model.logit_scale.clamp_(0, math.log(100))  # as CLIP does
        return parts

    def state(self) -> dict[str, Tensor]:
        """The weights as float16, for `clip.load`; rows of tokens that never occurred are zero."""
        weights = {name: value.cpu() for name, value in self.model.state_dict().items()}
        never = ~weights.pop("known")
        state = {name: value.half() for name, value in weights.items() if not name.startswith("attributes.")}
        state["token_embedding.weight"][never] = 0
        return state

    def finish(self, path: Path, meta: dict) -> tuple[ClipModel, dict]:
        write_deflated(path, self.state())  # 2 MB instead of 8: most tokens never occur
        model = ClipModel.load(path, self.device)
        retrieval = {domain: measure_retrieval(model, domain) for domain in world.DOMAINS}
        return model, {"retrieval": retrieval, "twins": measure_twins(model)}


def cross_entropy_of_all(logits: Tensor, is_true: Tensor) -> Tensor:
    """Cross-entropy of logits [B, B] with all true columns of a row (bool [B, B]), each as probable as the others.

    At best the mean logarithm of their number. (UniCL, arXiv 2204.03610, has the same targets.)
    """
    return F.cross_entropy(logits, F.normalize(is_true.float(), p=1, dim=1))


def write_deflated(path: str | os.PathLike, content: Any) -> None:
    """`files.write`, compressed: `torch.load` reads it all the same, but cannot map it."""
    stored = io.BytesIO()
    torch.save(content, stored)
    with files.replacing(path) as part, zipfile.ZipFile(stored) as old, zipfile.ZipFile(part, "w") as new:
        for entry in old.infolist():  # without the time of day
            new.writestr(zipfile.ZipInfo(entry.filename), old.read(entry), zipfile.ZIP_DEFLATED, 9)


@torch.no_grad()
def measure_retrieval(model: ClipModel, domain: str, rounds: int = 25, among: int = 32) -> dict[str, float]:
    """How often the right one of `among` captions is found, on faces of a domain that it never saw.

    Captions are whole sentences (`pocket.captions`), all different in each round, if only in a word.
    -> {"caption": share of faces whose caption is the most similar one, "face": share of captions whose face is,
    "chance": 1 / among}.
    """
    faces = world.sample(domain, 2 * rounds * among, seed=EVALUATION_SEED)
    texts, right = enumerate(world.captions(faces)), torch.arange(among, device=model.mean.device)
    shares = {"caption": [], "face": []}
    for _ in range(rounds):
        chosen: dict[str, int] = {}
        while len(chosen) < among:  # each caption once
            number, text = next(texts)
            chosen.setdefault(text, number)
        images = to_float(world.render(faces[list(chosen.values())], domain))
        scores = model.encode_images(images.to(right.device)) @ model.encode_texts(list(chosen)).T
        for name, axis in (("caption", 1), ("face", 0)):
            shares[name].append(float((scores.argmax(axis) == right).float().mean()))
    return {name: sum(values) / rounds for name, values in shares.items()} | {"chance": 1 / among}


@torch.no_grad()
def measure_twins(model: ClipModel, count: int = 1920) -> dict[str, float]:
    """Of two photos that differ in one attribute, how often does a phrase fit the one better of which alone it is true?

    -> {first attribute of a row of DIFFER: share of phrases}; 0.5 by chance.
    """
    faces, others = (world.sample("photo", count, seed=EVALUATION_SEED + k) for k in (0, TWIN_SEED))
    pairs, right = with_twins(faces, others), {}
    parts = (to_float(world.render(pairs[k : k + CHUNK], "photo")) for k in range(0, len(pairs), CHUNK))
    seen, said = torch.cat([model.encode_images(part.to(model.mean.device)) for part in parts]), phrases(pairs)
    telling = [only_of(said[k], said[k ^ 1]) for k in range(len(pairs))]
    texts = sorted(set(chain(*telling)))
    cosines = (seen @ model.encode_texts(texts).T).cpu()
    for k, of_one in enumerate(telling):
        better = [float(cosines[k, t] > cosines[k ^ 1, t]) for t in map(texts.index, of_one)]
        right.setdefault(DIFFER[k // 2 % len(DIFFER)][0], []).extend(better)
    return {name: round(sum(shares) / len(shares), 3) for name, shares in right.items() if shares}
