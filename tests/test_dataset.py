"""The dataset class, the order of the data, and batches."""

import itertools
import multiprocessing
import pickle
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

import stylegan2.pocket  # noqa: F401  (rendered sets are told from files)
from stylegan2.batches import BatchOrder, batches
from stylegan2.data import dataset as dataset_module
from stylegan2.data.dataset import LMDBDataset, inspect, read_meta
from stylegan2.data.prepare import prepare


@pytest.fixture(scope="module")
def pixels():
    """The 21 images of the dataset: uint8 [21, 3, 16, 16]."""
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (21, 3, 16, 16), dtype=np.uint8))


@pytest.fixture(scope="module")
def path(tmp_path_factory, pixels):
    root = tmp_path_factory.mktemp("dataset")
    (root / "images").mkdir()
    for k, image in enumerate(pixels):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(root / "images" / f"{k:02d}.png")
    prepare(root / "images", root / "lmdb", sizes=(8, 16), format="png", workers=0, progress=False)
    return root / "lmdb"


# ----------------------------------------------------------------------------------------------------------- dataset


@pytest.mark.parametrize("cache", [False, True])
def test_items_flips_and_indices(path, pixels, cache):
    dataset = LMDBDataset(path, cache=cache)
    assert (len(dataset), dataset.resolution, dataset.is_cached) == (21, 16, cache)
    assert dataset[3].dtype == torch.uint8 and torch.equal(dataset[3], pixels[3])
    assert torch.equal(dataset[3, True], pixels[3].flip(2)) and torch.equal(dataset[-1], pixels[20])
    assert torch.equal(torch.stack(list(dataset)), pixels)
    assert torch.equal(dataset.batch([(4, False), (4, True)]), torch.stack([pixels[4], pixels[4].flip(2)]))
    with pytest.raises(IndexError, match=r"image 21 .*0 to 20"):
        dataset[21]


def test_what_a_caller_does_to_an_image_stays_with_the_caller(path, pixels):
    dataset = LMDBDataset(path, cache=True)
    dataset[0].zero_(), dataset.batch([(0, False)]).zero_()
    assert torch.equal(dataset[0], pixels[0])


def test_cache_respects_its_limit(path, monkeypatch):
    monkeypatch.setattr(dataset_module, "CACHE_LIMIT", 1000)
    small = LMDBDataset(path, cache=True)
    assert not small.is_cached and small[0].shape == (3, 16, 16)


def test_resolutions(path):
    assert LMDBDataset(path, 8)[0].shape == (3, 8, 8)
    with pytest.raises(ValueError, match=r"no images of 32 px; it has 8, 16 px"):
        LMDBDataset(path, 32)


def test_unusable_paths(path, tmp_path):
    with pytest.raises(FileNotFoundError, match="no dataset at.*prepare"):
        LMDBDataset(tmp_path / "missing")
    with pytest.raises(FileNotFoundError, match="no dataset at 'D:/faces.lmdb'"):  # a path on Windows
        LMDBDataset("D:/faces.lmdb")
    with pytest.raises(ValueError, match="rendered set.*prepare pocket:photo --out"):
        LMDBDataset("pocket:photo")
    with pytest.raises(ValueError, match="not an LMDB but a folder"):
        LMDBDataset(tmp_path)
    (tmp_path / "data.mdb").write_bytes(b"<html>" * 5000)
    with pytest.raises(ValueError, match="not a readable LMDB"):
        LMDBDataset(tmp_path)
    with pytest.raises(ValueError, match="not an LMDB but a file"):
        LMDBDataset(tmp_path / "data.mdb")


def test_lmdb_without_images(tmp_path):
    import lmdb

    for name, length in (("none", None), ("zero", b"0")):
        with lmdb.open(str(tmp_path / name)) as env, env.begin(write=True) as txn:
            txn.put(b"other", b"1")
            if length:
                txn.put(b"length", length)
    with pytest.raises(ValueError, match="without a usable 'length'"):
        LMDBDataset(tmp_path / "none")
    with pytest.raises(ValueError, match="empty"):
        LMDBDataset(tmp_path / "zero")


def test_replaced_file_is_noticed(path, pixels, tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels[0].permute(1, 2, 0).numpy()).save(tmp_path / "in" / "0.png")
    options = {"format": "png", "workers": 0, "progress": False}
    prepare(tmp_path / "in", tmp_path / "out", sizes=16, **options)
    dataset = LMDBDataset(tmp_path / "out")
    assert torch.equal(dataset[0], pixels[0])
    Image.fromarray(pixels[1].permute(1, 2, 0).numpy()).save(tmp_path / "in" / "0.png")
    prepare(tmp_path / "in", tmp_path / "out", sizes=16, overwrite=True, **options)  # while the dataset is in use
    assert torch.equal(dataset[0], pixels[1])


def test_pickles_small_and_reads_on(path, pixels):
    dataset = LMDBDataset(path, cache=True)
    assert torch.equal(dataset[2], pixels[2])
    data = pickle.dumps(dataset)
    assert len(data) < 2000 and torch.equal(pickle.loads(data)[2], pixels[2])


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_in_dataloader_workers(path, pixels, context):
    if context not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {context} on this system")
    dataset = LMDBDataset(path)
    assert torch.equal(dataset[0], pixels[0])  # opened here first: a forked worker inherits that
    loader = DataLoader(dataset, batch_size=7, num_workers=1, multiprocessing_context=context)
    assert torch.equal(torch.cat(list(loader)), pixels)


# ------------------------------------------------------------------------------------------------------------- order


def take(order, count):
    return list(itertools.islice(order, count))


@pytest.mark.parametrize(("length", "batch"), [(21, 4), (21, 21), (8, 4), (5, 1)])
def test_every_epoch_is_a_fresh_permutation(length, batch):
    items = [index for pairs in take(BatchOrder(length, batch, seed=1), 4 * length) for index, _ in pairs]
    epochs = [items[k * length : (k + 1) * length] for k in range(4 * batch)]
    assert all(sorted(epoch) == list(range(length)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] and epochs[0] != list(range(length))


def test_start_equals_skipping():
    straight = take(BatchOrder(21, 4, seed=3), 30)
    assert take(BatchOrder(21, 4, seed=3, start=11), 19) == straight[11:]
    order = BatchOrder(21, 4, seed=3)
    assert [order.batch_at(k) for k in (29, 0, 17)] == [straight[29], straight[0], straight[17]]  # in any order
    far = BatchOrder(21, 4, seed=3, start=10**9)
    assert next(iter(far)) == far.batch_at(10**9)


def test_shards_partition_each_batch():
    whole = take(BatchOrder(21, 6, seed=2), 12)
    shards = [take(BatchOrder(21, 6, seed=2, num_shards=3, shard=s), 12) for s in range(3)]
    for step, pairs in enumerate(whole):
        assert all(shards[s][step] == pairs[s::3] for s in range(3))
    for bad in ({"num_shards": 4}, {"num_shards": 3, "shard": 3}, {"num_shards": 0}):
        with pytest.raises(ValueError, match="shard"):
            BatchOrder(21, 6, seed=2, **bad)


def test_order_depends_on_the_seed_and_stays_the_same_for_ever():
    assert take(BatchOrder(21, 4, seed=1), 5) != take(BatchOrder(21, 4, seed=2), 5)
    assert take(BatchOrder(21, 4, seed=-1), 1) == take(BatchOrder(21, 4, seed=2**64 - 1), 1)
    # These numbers must never change: runs in progress are resumed by them.
    assert BatchOrder(10, 4, seed=0).batch_at(0) == FIXED_FIRST
    assert BatchOrder(10, 4, seed=0).batch_at(7) == FIXED_EIGHTH


FIXED_FIRST = [(0, False), (9, False), (1, False), (6, False)]
FIXED_EIGHTH = [(4, False), (7, False), (8, True), (1, True)]


def test_positions_and_flips_are_fair():
    pairs = [pair for part in take(BatchOrder(10, 10, seed=0), 2000) for pair in part]
    assert abs(sum(flip for _, flip in pairs) / 20_000 - 0.5) < 0.02
    assert not any(flip for part in take(BatchOrder(10, 10, seed=0, mirror=False), 50) for _, flip in part)
    flips = Counter(index for index, flip in pairs if flip)
    assert all(abs(flips[k] / 2000 - 0.5) < 0.06 for k in range(10))  # no image is always seen from one side
    firsts = Counter(index for index, _ in pairs[::10])
    assert all(abs(firsts[k] / 2000 - 0.1) < 0.035 for k in range(10))  # and none always comes first


# ----------------------------------------------------------------------------------------------------------- batches


@pytest.mark.parametrize("cache", [False, True])
def test_batches_follow_the_order_from_any_step(path, pixels, cache):
    dataset = LMDBDataset(path, cache=cache)
    for start in (0, 7):
        stream = batches(dataset, 4, seed=5, start=start)
        for pairs in take(BatchOrder(21, 4, seed=5, start=start), 8):
            expected = torch.stack([pixels[index].flip(2) if flip else pixels[index] for index, flip in pairs])
            assert torch.equal(next(stream), expected)


def test_workers_give_the_same_batches_and_leave_the_random_state_alone(path):
    dataset = LMDBDataset(path)
    state = torch.get_rng_state()
    here, there = batches(dataset, 4, seed=5, start=3), batches(dataset, 4, seed=5, start=3, workers=2)
    assert all(torch.equal(next(here), next(there)) for _ in range(12))
    assert torch.equal(torch.get_rng_state(), state)


def test_too_small_a_dataset_is_told_before_any_work(path):
    with pytest.raises(ValueError, match=r"21 images, fewer than one batch of 22.*at most 21"):
        batches(LMDBDataset(path), 22, seed=0)  # at the call, not at the first next()
    with pytest.raises(ValueError, match="batch=0"):
        batches(LMDBDataset(path), 0, seed=0)
    assert next(batches(LMDBDataset(path), 21, seed=0)).shape == (21, 3, 16, 16)


# ------------------------------------------------------------------------------------------------------------ looking


def test_inspect(path, pixels):
    size = (path / "data.mdb").stat().st_size
    assert read_meta(path)["settings"]["resample"] == "lanczos"
    pixels = torch.stack(list(LMDBDataset(path, 8))).double()
    mean, std = (" ".join(f"{v:.1f}" for v in values((0, 2, 3))) for values in (pixels.mean, pixels.std))
    assert inspect(path) == (
        f"{path}: 21 images, 8 px, 16 px, PNG, {size / 2**20:.1f} MiB\n"
        "  keys 8-00000, 16-00020, length\n"
        f"  mean {mean}, standard deviation {std} (RGB, 0..255)"
    )
