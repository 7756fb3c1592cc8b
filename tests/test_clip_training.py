"""The pocket CLIP's training: what a step learns from, the losses, going on after a stop, and what it can do."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from clip.clip import _tokenizer
from clip.model import CLIP
from tiny_clip import tiny_clip
from tiny_training import dies_at

from stylegan2 import files
from stylegan2.pocket import world
from stylegan2.pocket.nets import clip_training as training
from stylegan2.pocket.nets.clip_training import ARCHITECTURE, ClipConfig, ClipTraining, Pool
from stylegan2.pocket.world.captions import TOPICS, phrases
from stylegan2.published.clip_model import ClipModel

SIDE = ARCHITECTURE["image_resolution"]
SHIPPED = Path(__file__).parents[1] / "checkpoints" / "pocket" / "clip.pt"
needs_shipped = pytest.mark.skipif(not SHIPPED.is_file(), reason="checkpoints/pocket/clip.pt is missing: `make pocket`")
TINY = {"images": 8 * 6, "batch": 8, "own_faces": 6, "cross_faces": 1}


@pytest.fixture
def unmeasured(monkeypatch):
    """Training without rendering thousands of faces afterwards."""
    monkeypatch.setattr(training, "measure_retrieval", lambda model, domain: {"caption": 0.5})
    monkeypatch.setattr(training, "measure_twins", lambda model: {"smile": 0.5})


@pytest.fixture(scope="module")
def pool() -> Pool:
    return training.render_pool(ClipConfig(**TINY))


def of_pool(pool: Pool, seed: int = 0) -> ClipTraining:
    """A training on faces that are rendered already."""
    run = ClipTraining(ClipConfig(**TINY, seed=seed), "cpu")
    run.pool = pool
    return run


def as_json(settings: dict) -> dict:
    """With lists for tuples."""
    return json.loads(json.dumps(settings))


def words(tokens: torch.Tensor) -> str:
    """Tokens [T] -> their text, without beginning and end."""
    return _tokenizer.decode(tokens[1 : int(tokens.argmax())].tolist()).strip().replace(" ,", ",").replace(" - ", "-")


# ----------------------------------------------------------------------------------------------------------- the faces
def test_the_pool_holds_every_pair_of_domains_with_true_words(pool):
    assert len(pool) == 2 * (4 * 6 + 12) == len(pool.sayable[0]) == len(pool.sayable[1])
    assert pool.images.shape == (72, 3, SIDE, SIDE) and pool.images.dtype == torch.uint8
    assert sorted(pool.domains) == sorted(list(world.DOMAINS) * 18)
    faces = world.sample("photo", 6, seed=training.FACES_SEED)  # the first job, between them their twins
    assert [said[:12:2] for said in pool.sayable] == [phrases(faces), phrases(faces.mirror())]
    assert (pool.images[:12:2].int() - world.render(faces, "photo", SIDE).int()).abs().max() <= 1
    assert torch.equal(pool.attributes[:, :12:2], torch.stack([faces.vector(), faces.mirror().vector()]))


def test_a_twin_differs_in_one_attribute_and_captions_say_in_which(pool):
    faces, others = world.sample("photo", 48), world.sample("photo", 48, seed=1)
    pairs = training.with_twins(faces, others)
    for k in range(48):
        differ = [
            name for name in pairs.values if not torch.equal(pairs.values[name][2 * k], pairs.values[name][2 * k + 1])
        ]
        assert set(differ) <= set(training.DIFFER[k % len(training.DIFFER)]), differ
    said, told = pool_of(pairs), 0
    captions, true = said.captions(list(range(96)), [False] * 96, torch.Generator().manual_seed(0))
    for k, caption in enumerate(captions):
        telling = training.only_of(said.sayable[0][k], said.sayable[0][k ^ 1])
        told += bool(telling)
        assert not telling or any(phrase in caption for phrase in telling), (caption, telling)
        assert true[k, k] and not (telling and true[k, k ^ 1]), "a caption that tells twins apart is true of one"
    assert told > 32


def test_a_caption_is_true_of_every_face_that_has_what_it_says():
    red = torch.tensor([1, 1, 1, 0, 0, 1, 0, 1], dtype=torch.bool)
    hair = [[["red hair" if r else "blue hair"], *[[]] * (len(TOPICS) - 1)] for r in red]
    domains = ["photo"] * 7 + ["webtoon"]
    pool = Pool(torch.zeros(8), domains, (hair, hair), torch.zeros(2, 8, 1))
    texts, is_true = pool.captions(list(range(8)), [False] * 8, torch.Generator().manual_seed(3))
    for text, row in zip(texts, is_true, strict=True):
        expected = red if "red" in text else ~red
        named = [word for word in ("photo", "webtoon", "cartoon", "comic") if word in text]  # a kind of picture
        if named:
            expected = expected & torch.tensor([(domain == "photo") == ("photo" in named) for domain in domains])
        assert torch.equal(row, expected), text


def test_the_loss_spreads_over_all_that_is_true():
    logits = torch.tensor([[9.0, 9.0, -9.0], [-9.0, -9.0, 9.0]])
    both = torch.tensor([[True, True, False], [False, False, True]])
    one = torch.tensor([[True, False, False], [False, False, True]])
    assert float(training.cross_entropy_of_all(logits, both)) == pytest.approx(math.log(2) / 2, abs=1e-4)
    assert float(training.cross_entropy_of_all(logits, ~both)) > 8
    labels = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 2]))
    assert float(training.cross_entropy_of_all(logits, one)) == pytest.approx(float(labels))


def test_another_seed_renders_other_faces(pool):
    assert not torch.equal(training.render_pool(ClipConfig(**TINY, seed=1)).images, pool.images)


def test_a_batch_is_a_function_of_seed_and_step(pool):
    run, again, other = (of_pool(pool, seed) for seed in (0, 0, 1))
    run.step = again.step = other.step = 4
    batch = run.batch()
    for a, b in zip(batch, again.batch(), strict=True):
        assert torch.equal(a, b)
    assert run.config.steps == 6
    images, mirrored, *_, attributes = batch
    for image, mirror, row in zip(images, mirrored, attributes, strict=True):
        k = int((pool.images == image).flatten(1).all(1).nonzero()[0])
        assert torch.equal(row, pool.attributes[int(mirror), k])
    assert mirrored.any() and not mirrored.all()
    assert not torch.equal(images, other.batch()[0])
    again.step = 5
    assert not torch.equal(images, again.batch()[0])


def test_captions_are_true_and_mirror_left_and_right(pool):
    """Whether a face is mirrored decides what its caption says."""
    flips, sides, run = 0, 0, of_pool(pool)
    for run.step in range(40):
        images, mirrored, tokens, *_ = run.batch()
        for image, flip, row in zip(images, mirrored.tolist(), tokens, strict=True):
            k = int((pool.images == image).flatten(1).all(1).nonzero()[0])
            said, caption = pool.sayable[int(flip)][k], words(row)
            flips += flip
            for side in ("left", "right"):
                if side in caption:
                    sides += 1
                    assert any(text in caption for texts in said for text in texts if side in text), (caption, said)
    assert 0.35 < flips / (8 * 40) < 0.65 and sides > 5


def test_settings_are_checked():
    for wrong, message in (
        ({"images": 100}, "images >= batch >= 2, got images=100, batch=128"),
        ({"batch": 1}, "batch >= 2, got images=768000, batch=1"),
        ({"own_faces": 0}, "must be positive"),
        ({"cross_faces": -1}, "not negative"),
    ):
        with pytest.raises(ValueError, match=message):
            ClipConfig(**wrong)


# -------------------------------------------------------------------------------------------------------- the training
def test_killed_training_goes_on_to_the_same_clip(unmeasured, tmp_path, monkeypatch):
    config = ClipConfig(**TINY)
    ClipTraining(config, "cpu").train(tmp_path / "a.pt", tmp_path / "a")
    steps = dies_at(monkeypatch, ClipTraining, 4)
    with pytest.raises(KeyboardInterrupt):
        ClipTraining(config, "cpu").train(tmp_path / "b.pt", tmp_path / "b")
    assert not (tmp_path / "b.pt").exists()
    ClipTraining(config, "cpu").train(tmp_path / "b.pt", tmp_path / "b")
    assert steps == [0, 1, 2, 3, 3, 4, 5]
    whole, resumed = (files.read(tmp_path / f"{name}.pt") for name in "ab")
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name
    assert not list((tmp_path / "b").iterdir())  # nothing to go on from any more
    written = json.loads((tmp_path / "b.json").read_text())
    assert (
        written["retrieval"] == dict.fromkeys(world.DOMAINS, {"caption": 0.5})
        and written["twins"] == {"smile": 0.5}
        and written["training"]["images"] == 48
    )
    assert written["training"]["architecture"] == as_json(ARCHITECTURE) and written["training"]["minutes"] >= 0


def test_a_state_of_other_settings_is_passed_over(tmp_path):
    run = ClipTraining(ClipConfig(**TINY), "cpu")
    run.step = 3
    run.save(tmp_path / "state.pt")
    other = ClipTraining(ClipConfig(**TINY, lr=0.5), "cpu")
    other.resume(tmp_path / "state.pt")
    same = ClipTraining(ClipConfig(**TINY), "cpu")
    same.resume(tmp_path / "state.pt")
    assert (other.step, same.step) == (0, 3)


def test_a_state_of_the_older_format_is_passed_over(tmp_path):
    run = ClipTraining(ClipConfig(**TINY), "cpu")
    run.save(tmp_path / "state.pt")
    content = files.read(tmp_path / "state.pt")
    del content["curve"]
    files.write(tmp_path / "state.pt", content | {"step": 3, "extra": {}})
    run.resume(tmp_path / "state.pt")
    assert run.step == 0


def test_tokens_that_never_occurred_are_zero_and_the_others_are_not(pool):
    run, seen = of_pool(pool), set()
    for _ in range(2):
        batch = run.batch()
        run.train_step(*batch)
        seen |= set(batch[2].flatten().tolist())
    table = run.state()["token_embedding.weight"]
    assert table.dtype == torch.float16 and len(seen) > 40
    assert set(table.any(1).nonzero()[:, 0].tolist()) == seen
    assert all(value.dtype == torch.float16 for value in run.state().values())
    openai = CLIP(**ARCHITECTURE).state_dict()
    assert set(run.state()) == set(openai), "what reads attributes is thrown away"


def pool_of(faces: world.Faces, sayable: list | None = None) -> Pool:
    """Faces of the photo world, of which is said what is given."""
    ways = faces, faces.mirror()
    said = (sayable, sayable) if sayable else tuple(map(phrases, ways))
    attributes = torch.stack([way.vector() for way in ways])
    return Pool(world.render(faces, "photo", SIDE), ["photo"] * len(faces), said, attributes)


def two_kinds(count: int, seed: int) -> Pool:
    """Faces whose hair is red or blue, and nothing else to be said."""
    faces = world.sample("photo", count, seed=seed).replace(hair_style="long")
    red = torch.arange(count) % 2 == 0
    colours = torch.where(red[:, None], torch.tensor([0.70, 0.30, 0.12]), torch.tensor([0.26, 0.40, 0.76]))
    said = [[[("red" if r else "blue") + " hair"], *[[] for _ in TOPICS[1:]]] for r in red]
    faces = faces.replace(hair_colour=colours)
    return pool_of(faces, said)


def test_a_tiny_training_learns_to_tell_two_kinds_of_faces():
    config = ClipConfig(images=16 * 60, batch=16)
    run, new = ClipTraining(config, "cpu"), two_kinds(40, 2)
    run.pool = two_kinds(64, 1)
    steps = [run.train_step(*run.batch()) for _ in range(config.steps)]
    for name in ("loss", "attributes"):
        assert sum(step[name] for step in steps[-5:]) < 0.9 * sum(step[name] for step in steps[:5]), name
    model = ClipModel(run.model)
    seen, read = model.encode_images(new.images.float() / 127.5 - 1), model.encode_texts(["red hair", "blue hair"])
    right = (seen @ read.T).argmax(1) == torch.arange(40) % 2
    assert right.float().mean() >= 0.9


# ------------------------------------------------------------------------------------------------------ what it can do
class Oracle:
    """Sees a face and knows its number, reads a caption and knows whose it is."""

    def __init__(self, domain: str, count: int):
        self.mean = torch.zeros(1)
        faces = world.sample(domain, count, seed=training.EVALUATION_SEED)
        self.texts = world.captions(faces)
        self.images = (world.render(faces, domain).float() / 127.5 - 1).flatten(1)

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        nearest = torch.cdist(images.flatten(1), self.images).argmin(1)
        return self.encode_texts([self.texts[k] for k in nearest])

    def encode_texts(self, texts: list[str]) -> torch.Tensor:
        return torch.eye(len(self.texts))[[self.texts.index(text) for text in texts]]


class Noise:
    """Sees and reads nothing."""

    mean = torch.zeros(1)
    rng = torch.Generator().manual_seed(0)

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(torch.randn(len(images), 16, generator=self.rng), dim=1)

    encode_texts = encode_images


@pytest.mark.parametrize("domain", ("photo", "portrait"))
def test_retrieval_of_one_who_knows_is_perfect(domain):
    found = training.measure_retrieval(Oracle(domain, 2 * 3 * 10), domain, rounds=3, among=10)
    assert found == {"caption": 1.0, "face": 1.0, "chance": 0.1}


def test_retrieval_of_noise_is_chance():
    found = {domain: training.measure_retrieval(Noise(), domain, rounds=12, among=5) for domain in world.DOMAINS}
    for name in ("caption", "face"):
        mean = sum(found[domain][name] for domain in found) / 4
        assert abs(mean - 0.2) < 4 * math.sqrt(0.2 * 0.8 / 240)


def test_twins_are_told_apart_by_one_who_knows_and_not_by_noise():
    class Knows(Noise):
        """Reads "glasses", and sees them."""

        def encode_images(self, images):
            worn = phrases(training.with_twins(*(world.sample("photo", 48, seed=s) for s in seeds)))
            return torch.tensor([[1.0, 0.0] if "glasses" in said[2] else [0.0, 1.0] for said in worn])

        def encode_texts(self, texts):
            return torch.tensor([[0.0, 1.0] if "no glasses" in text else [1.0, 0.0] for text in texts])

    seeds = (training.EVALUATION_SEED, training.EVALUATION_SEED + training.TWIN_SEED)
    assert training.measure_twins(Knows(), 48)["glasses"] == 1.0
    found = training.measure_twins(Noise(), 240)
    assert set(found) <= {names[0] for names in training.DIFFER} and len(found) > 15
    assert abs(sum(found.values()) / len(found) - 0.5) < 0.15


def test_an_untrained_clip_finds_no_captions():
    found = training.measure_retrieval(tiny_clip(), "photo", rounds=2, among=16)
    assert found["caption"] < 0.35 and found["face"] < 0.35


# ------------------------------------------------------------------------------------------------- the shipped weights
@pytest.fixture(scope="module")
def recorded() -> dict:
    return json.loads(SHIPPED.with_suffix(".json").read_text())


@needs_shipped
def test_what_is_recorded_of_the_shipped_clip(recorded):
    assert list(recorded["retrieval"]) == list(world.DOMAINS)
    for domain, found in recorded["retrieval"].items():
        assert found["caption"] >= 0.7 and found["face"] >= 0.7 and found["chance"] == 1 / 32, domain
    assert recorded["training"]["architecture"] == as_json(ARCHITECTURE)
    assert recorded["training"]["renderer"] == world.VERSION
    twins = recorded["twins"]  # what text edits need: it sees where a head turns, and who smiles
    assert min(twins[name] for name in ("yaw", "roll", "smile", "mouth_open", "glasses", "hair_colour")) > 0.85
    model = ClipModel.load(SHIPPED)
    assert model.size == ARCHITECTURE["image_resolution"]
    assert model.model.text_projection.shape == (ARCHITECTURE["transformer_width"], ARCHITECTURE["embed_dim"])


@needs_shipped
def test_the_shipped_clip_finds_as_many_captions_as_recorded(recorded):
    """4 of the 25 rounds: 128 faces of each domain."""
    model = ClipModel.load(SHIPPED)
    for domain, was in recorded["retrieval"].items():
        found = training.measure_retrieval(model, domain, rounds=4)
        for name in ("caption", "face"):
            off = math.sqrt(was[name] * (1 - was[name]) / 128)
            assert abs(found[name] - was[name]) < 3.5 * off, (domain, name)


@pytest.mark.slow
@needs_shipped
def test_the_whole_measurement_gives_what_is_recorded(recorded):
    model = ClipModel.load(SHIPPED)
    for domain, was in recorded["retrieval"].items():
        assert training.measure_retrieval(model, domain) == pytest.approx(was, abs=0.02), domain
