"""Full-scale measures: their arithmetic by hand, on tiny networks; nothing is fetched.

The published networks cannot be had here. Their places are taken by a tiny extractor, a squared difference and a small
random ViT, so that every number is real, only not the published one.
"""

from __future__ import annotations

import importlib.util
import json
import pickle
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from typer.testing import CliRunner

from stylegan2 import checkpoints, cli, display
from stylegan2.checkpoints import CheckpointError
from stylegan2.data.prepare import prepare
from stylegan2.editing.latents import noise_from_seeds
from stylegan2.metrics import full, image_sets, path_length, structure
from stylegan2.metrics.image_sets import GeneratedImages, SourceImages, open_images
from stylegan2.networks import Generator
from stylegan2.pocket import measures
from stylegan2.published import fetch, pretrained

R = 16  # pixels
INSTALL = "python -m pip install --constraint constraints.txt --editable '.[full]'"


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"no {package}: {INSTALL}")


needs_fidelity, needs_lpips, needs_timm = needs("torch_fidelity"), needs("lpips"), needs("timm")


def extract(images: Tensor) -> Tensor:
    """A tiny network in the place of Inception: colours of the four quarters, uint8 [N, 3, H, W] -> [N, 12]."""
    assert images.dtype == torch.uint8
    return F.adaptive_avg_pool2d(images.float() / 255, 2).flatten(1)


def squared(a: Tensor, b: Tensor) -> Tensor:
    """In the place of LPIPS."""
    return (a - b).square().sum((1, 2, 3))


def pictures(n: int, seed: int = 0, brighter: int = 0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, 200, (n, 3, 4, 4), generator=rng, dtype=torch.uint8)
    return coarse.repeat_interleave(4, 2).repeat_interleave(4, 3) + brighter


def points(n: int, seed: int, moved: float = 0.0) -> Tensor:
    return torch.randn(n, 5, generator=torch.Generator().manual_seed(seed)) + moved


def tiny_generator(seed: int = 0, resolution: int = R) -> Generator:
    """With noise that can be seen: its strength begins at zero."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        g = Generator(resolution, 8, 8, 2, {4 * 2**k: 4 for k in range(resolution.bit_length() - 2)})
    for conv in g.synthesis.convs:
        conv.noise_strength.data.fill_(0.3)
    return g.requires_grad_(False)


@pytest.fixture(scope="module")
def g() -> Generator:
    return tiny_generator()


@pytest.fixture(scope="module")
def vit():
    timm = pytest.importorskip("timm", reason=f"no timm: {INSTALL}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3, "num_classes": 0}
        return timm.models.VisionTransformer(**sizes).eval()


@pytest.fixture
def injected(monkeypatch, request):
    """Tiny networks in the place of the published ones, for whatever asks for these."""
    small = {"inception": lambda: extract, "vgg": lambda: extract, "lpips": lambda: squared}
    small["dino"] = lambda: request.getfixturevalue("vit")
    loaders = {name: lambda weights=None, device="cpu", make=make: make() for name, make in small.items()}
    monkeypatch.setattr(full, "LOADERS", loaders)


# ------------------------------------------------------------------------------------------------------------ package
def test_nothing_heavy_comes_along():
    heavy = {"torch_fidelity", "torchvision", "lpips", "timm", "scipy"}
    code = f"import sys; from stylegan2.metrics import full; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


# ------------------------------------------------------------------------------------- FID, KID, precision and recall
@needs_fidelity
def test_equal_sets_are_at_distance_zero_and_brighter_ones_farther_and_farther_away():
    networks = {"inception": extract, "vgg": extract}
    found = [full.image_distances(pictures(60, 0, b), pictures(60), networks) for b in (0, 10, 20, 40)]
    fids, kids = [f["fid"] for f in found], [f["kid"] for f in found]
    assert abs(fids[0]) < 1e-4 and fids == sorted(fids) and fids[-1] > 0.1
    assert abs(kids[0]) < 0.02 and kids == sorted(kids) and kids[-1] > 0.1
    assert (found[0]["precision"], found[0]["recall"]) == (1, 1) and found[-1]["precision"] < 0.6


@needs_fidelity
def test_fid_is_the_frechet_distance_of_the_features():
    a, b = extract(pictures(50, 1)), extract(pictures(40, 2, 15))
    assert full.fid(a, b)["fid"] == pytest.approx(measures.frechet_distance(a, b), rel=1e-4)


@needs_fidelity
def test_kid_is_the_unbiased_distance_of_the_cubic_kernel():
    a, b = points(30, 0), points(30, 1, moved=0.5)
    aa, bb, ab = ((x.double() @ y.double().T / 5 + 1) ** 3 for x, y in ((a, a), (b, b), (a, b)))
    within = sum((kernel.sum() - kernel.trace()) / (30 * 29) for kernel in (aa, bb))  # no point with itself
    by_hand = float(within - 2 * ab.mean())
    found = full.kid(a, b)  # fewer than 1,000: every subset is the whole set
    assert found["kid"] == pytest.approx(by_hand, rel=1e-5) and found["kid_sd"] < 1e-6


@needs_fidelity
def test_precision_and_recall_by_hand():
    generated, real = points(25, 0), points(35, 1, moved=0.7)

    def share(of: Tensor, among: Tensor) -> float:
        apart = [[float((x - y).norm()) for y in among] for x in among]
        radius = [sorted(row)[3] for row in apart]  # the first is the point itself
        return np.mean([any(float((p - y).norm()) <= r for y, r in zip(among, radius, strict=True)) for p in of])

    found = full.precision_recall(generated, real)
    assert found["precision"] == pytest.approx(share(generated, real)) and 0 < found["precision"] < 1
    assert found["recall"] == pytest.approx(share(real, generated)) and 0 < found["recall"] < 1


def test_every_image_is_drawn_once_for_all_networks():
    class Counted(torch.utils.data.Dataset):
        asked: list[int] = []

        def __len__(self) -> int:
            return 7

        def __getitem__(self, index: int) -> Tensor:
            self.asked.append(index)
            return pictures(7)[index]

    networks = {"inception": extract, "vgg": lambda images: extract(images)[:, :3]}
    state = torch.get_rng_state()
    found = full.extract_features(Counted(), networks, batch=3)
    assert Counted.asked == list(range(7)) and torch.equal(torch.get_rng_state(), state)
    assert torch.equal(found["inception"], extract(pictures(7))) and found["vgg"].shape == (7, 3)


def test_too_few_images_and_unknown_measures_are_refused(g):
    with pytest.raises(ValueError, match="3 generated and 9 real images: expected at least 4"):
        full.image_distances(pictures(3), pictures(9), {})
    with pytest.raises(ValueError, match="fid, kid, pr, ppl, structure"):
        full.measure_generator(g, ["is"])
    with pytest.raises(ValueError, match="--data"):
        full.measure_generator(g, ["kid"])
    with pytest.raises(ValueError, match="--source"):
        full.measure_generator(g, ["structure"])


# ------------------------------------------------------------------------------------------------------ sets of images
def test_one_seed_is_one_image_whatever_is_drawn_beside_it(g):
    images = GeneratedImages(g, 6, first_seed=3)
    alone = torch.stack([images[i] for i in range(6)])
    assert alone.shape == (6, 3, R, R) and alone.dtype == torch.uint8 and len(images) == 6
    together = torch.cat(list(image_sets.batches(images, 4, None)))
    assert (together.int() - alone.int()).abs().max() <= 1  # the rounding of another batch size
    assert torch.equal(GeneratedImages(g, 2, first_seed=5)[0], alone[2])
    with pytest.raises(IndexError, match="image 6 of 6"):
        images[6]


def test_generated_images_are_those_of_the_command_line(g):
    drawn = cli.models._render(g, [3, 4], 1.0, "random", batch=2)
    images = GeneratedImages(g, 2, first_seed=3).__getitems__([0, 1])
    assert torch.equal(torch.stack(images), display.to_uint8(drawn))


def test_a_shared_mapping_gives_source_and_target_one_code(g):
    other = tiny_generator(1)
    same_w, same_z = GeneratedImages(other, 1, mapping=g.mapping)[0], GeneratedImages(other, 1)[0]
    ws = g.mapping(torch.randn(8, generator=torch.Generator().manual_seed(0))[None])
    assert torch.equal(same_w, display.to_uint8(other.synthesis(ws, noise_from_seeds(other, [0])))[0])
    assert not torch.equal(same_w, same_z)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Six pictures of 20 x 24 pixels."""
    path = tmp_path / "faces"
    path.mkdir()
    rng = np.random.default_rng(0)
    for k in range(6):
        Image.fromarray(rng.integers(0, 255, (20, 24, 3), dtype=np.uint8)).save(path / f"{k}.png")
    return path


def test_a_folder_a_zip_and_a_dataset_of_the_same_pictures_are_the_same(folder, tmp_path):
    prepare(folder, tmp_path / "faces.lmdb", (R,), format="png", workers=0)
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
    sets = [open_images(path, R) for path in (folder, tmp_path / "faces.lmdb", tmp_path / "faces.zip")]
    read = [torch.cat(list(image_sets.batches(images, 4, None))) for images in sets]
    assert read[0].shape == (6, 3, R, R) and torch.equal(read[0], read[1]) and torch.equal(read[0], read[2])
    with pytest.raises(ValueError, match="16 px"):
        open_images(tmp_path / "faces.lmdb", 32)
    with pytest.raises(FileNotFoundError, match="expected a folder of images"):
        open_images(tmp_path / "nowhere", R)


def test_rendered_faces_are_a_set_too():
    faces = SourceImages("pocket:webtoon?n=3", 32)
    assert len(faces) == 3 and faces[2].shape == (3, 32, 32) and not torch.equal(faces[0], faces[1])


def test_a_file_that_is_no_image_is_named(folder):
    (folder / "notes.txt").write_text("not a face")
    with pytest.raises(ValueError, match=r"'notes.txt' in folder faces gives no image .* take it out"):
        list(image_sets.batches(open_images(folder, R), 4, None))


# -------------------------------------------------------------------------------------------------------- path length
def test_path_length_is_the_square_of_the_derivative_along_the_path():
    """With a squared distance, d / epsilon^2 is |J (w2 - w1)|^2 in the limit, J the Jacobian of the synthesis."""
    g = tiny_generator().double()
    g.synthesis.compute_dtype = torch.float64
    lengths = path_length.path_lengths(g, 3, squared, batch=2)
    for length, seed in zip(lengths, (0, 1, 2), strict=True):
        z = [torch.randn(8, generator=torch.Generator().manual_seed(2 * seed + end)) for end in (0, 1)]
        w1, w2 = g.mapping(torch.stack(z)).split(1)
        noise = noise_from_seeds(g, [seed])
        line = partial(lambda w1, w2, noise, s: g.synthesis(w1 + s * (w2 - w1), noise), w1, w2, noise)
        _, moved = torch.autograd.functional.jvp(line, torch.zeros(()).double(), torch.ones(()).double())
        assert float(length) == pytest.approx(float(moved.square().sum()), rel=1e-3)


def test_path_length_does_not_depend_on_the_batch(g):
    lengths = [path_length.path_lengths(g, 5, squared, epsilon=0.1, batch=batch) for batch in (1, 2, 5)]
    assert lengths[0].shape == (5,) and len(set(lengths[0].tolist())) == 5
    assert torch.allclose(lengths[0], lengths[1], rtol=1e-3) and torch.allclose(lengths[0], lengths[2], rtol=1e-3)


def test_outliers_do_not_count(g):
    values = torch.randn(1234, generator=torch.Generator().manual_seed(0))
    low, high = (np.percentile(values, p, method=m) for p, m in ((1, "lower"), (99, "higher")))
    kept = path_length.without_outliers(values)
    assert np.array_equal(kept, values[(values.numpy() >= low) & (values.numpy() <= high)]) and len(kept) == 1210
    few = path_length.path_lengths(g, 4, squared, epsilon=0.1)
    assert path_length.perceptual_path_length(g, 4, squared, epsilon=0.1) == pytest.approx(float(few.mean()))


def test_path_length_looks_at_256_pixels():
    seen = []

    def watch(a: Tensor, b: Tensor) -> Tensor:
        seen.append(a)
        return squared(a, b)

    large = tiny_generator(resolution=512)
    path_length.path_lengths(large, 1, watch)
    assert [image.shape[2:] for image in seen] == [(256, 256)]


# ---------------------------------------------------------------------------------------------------------- structure
def structure_distance(a: Tensor, b: Tensor, model, **options) -> Tensor:
    return structure.structure_distances(a, [b], model, **options)[0]


@needs_timm
def test_keys_are_those_of_the_last_block(vit):
    images = pictures(2).repeat_interleave(2, 2).repeat_interleave(2, 3)  # 32 px: nothing to resize
    mean, sd = (torch.tensor(v)[:, None, None] for v in (structure.IMAGENET_MEAN, structure.IMAGENET_SD))
    tokens = vit._pos_embed(vit.patch_embed((images / 255 - mean) / sd))
    last = vit.blocks[1]
    qkv = last.attn.qkv(last.norm1(vit.blocks[0](tokens)))
    by_hand = qkv.reshape(2, 17, 3, 3, 8)[:, :, 1]  # [N, 1 + patches, heads, head size]
    keys = structure.vit_keys(vit, images)
    assert torch.allclose(keys, by_hand.flatten(2), atol=1e-5) and keys.shape == (2, 17, 24)
    assert not last.attn.qkv._forward_hooks
    similar = structure.self_similarity(keys)
    assert float(similar[1, 3, 5]) == pytest.approx(float(F.cosine_similarity(keys[1, 3], keys[1, 5], dim=0)), abs=1e-5)
    assert torch.allclose(similar.diagonal(dim1=1, dim2=2), torch.ones(2, 17))


@needs_timm
def test_an_image_keeps_its_own_structure_and_another_one_does_not(vit):
    a, b = pictures(5), pictures(5, seed=1)
    assert structure_distance(a, a, vit, batch=2).abs().max() < 1e-10
    assert torch.allclose(structure_distance(a, a / 127.5 - 1, vit), torch.zeros(5), atol=1e-6)  # floats too
    tinted = torch.cat([a[:, :1] // 2, a[:, 1:]], dim=1)
    far, near = structure_distance(a, b, vit, batch=2), structure_distance(a, tinted, vit)
    assert far.shape == (5,) and (far > near).all() and (near > 0).all()
    larger = a.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert (structure_distance(a, larger, vit) < far).all()  # of another size, the same picture
    first, other = (structure.self_similarity(structure.vit_keys(vit, x)) for x in (a, b))
    assert torch.allclose(far, torch.linalg.matrix_norm(first - other).square() / 17**2, atol=1e-6)
    with pytest.raises(ValueError, match="5 of the source, 4 others"):
        structure_distance(a, b[:4], vit)


@needs_timm
def test_structure_of_generators_lies_between_zero_and_another_face(vit, g):
    target = tiny_generator()
    target.mapping.load_state_dict(tiny_generator(1).mapping.state_dict())  # another mapping, the same synthesis
    found = structure.measure_structure(g, target, 12, vit, batch=5)
    assert found["same_w"].value < 1e-6 < found["same_z"].value
    assert found["same_w"].ceiling == found["same_z"].ceiling > found["same_w"].value
    assert "another face" in str(found["same_z"]) and "12 faces" in str(found["same_z"])


# ----------------------------------------------------------------------------------------------- packages and weights
def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(ImportError, match=r"torch-fidelity, .* pip install 'torch-fidelity>=0.4,<0.5'") as error:
        pretrained.inception()
    assert ".[full]" in str(error.value)


def test_weights_are_found_in_a_file_a_folder_or_the_cache(tmp_path, monkeypatch):
    weights = fetch.Published("net.pth", "https://example.org/net.pth", 7)
    with pytest.raises(FileNotFoundError, match=r"net.pth': download https://example.org/net.pth \(about 7 MB\)"):
        weights.find(tmp_path)
    (tmp_path / "net.pth").write_bytes(b"x")
    assert weights.find(tmp_path) == weights.find(tmp_path / "net.pth") == tmp_path / "net.pth"
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    asked = []

    def fetched(url, path, *_, **__):
        asked.append(url)
        path.parent.mkdir(parents=True)
        path.write_bytes(b"y")

    monkeypatch.setattr(fetch, "download", fetched)
    assert weights.find().read_bytes() == b"y" and weights.find().is_relative_to(tmp_path / "home")
    assert asked == ["https://example.org/net.pth"]  # once


def test_without_a_network_the_error_says_what_to_put_where(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(fetch, "silence", lambda *_: "no network")
    with pytest.raises(ConnectionError, match=f"{pretrained.VGG.url}: no network: .* put it at '{tmp_path}.*--weights"):
        pretrained.VGG.find()


@needs_fidelity
def test_weights_that_hold_code_or_do_not_fit_are_refused(tmp_path):
    ran = tmp_path / "ran"

    class Trap:
        def __reduce__(self):
            return (Path.touch, (ran,))

    (tmp_path / "trap.pth").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(CheckpointError, match="trap.pth"):
        pretrained.inception(tmp_path / "trap.pth")
    assert not ran.exists()
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="other.pth' holds other weights than expected: download https"):
        pretrained.inception(tmp_path / "other.pth")


def test_a_file_is_for_inception_and_a_folder_for_all(tmp_path, monkeypatch):
    asked = {}
    monkeypatch.setattr(
        full, "LOADERS", {name: lambda weights, device, n=name: asked.update({n: weights}) for name in full.LOADERS}
    )
    file = tmp_path / "w.pth"
    file.touch()
    full.load_networks(["fid", "kid", "pr"], file)
    assert asked == {"inception": file, "vgg": None}
    asked.clear()
    full.load_networks(["ppl"], file)
    full.load_networks(["pr", "structure"], tmp_path)
    assert asked == {"lpips": file, "vgg": tmp_path, "dino": tmp_path}
    with pytest.raises(FileNotFoundError, match="inception, vgg"):
        full.load_networks(["fid", "pr"], tmp_path / "none")


@needs_lpips
def test_lpips_stands_on_the_vgg_that_it_is_given(tmp_path):
    """VGG's layers under torchvision's names, random: LPIPS finds them, and measures."""
    rng = torch.Generator().manual_seed(0)
    widths = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256), 12: (256, 256), 14: (256, 256)}
    widths |= {17: (256, 512)} | {layer: (512, 512) for layer in (19, 21, 24, 26, 28)}
    state = {f"features.{k}.weight": torch.randn(o, i, 3, 3, generator=rng) / (2 * i) for k, (i, o) in widths.items()}
    state |= {f"features.{k}.bias": torch.zeros(o) for k, (i, o) in widths.items()}
    torch.save(state, tmp_path / pretrained.VGG.name)
    before = torch.get_rng_state()
    distance = pretrained.lpips_distance(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    a, b = (pictures(2, seed) / 127.5 - 1 for seed in (0, 1))
    assert distance(a, a).tolist() == [0, 0] and (distance(a, b) > 0).all() and distance(a, b).shape == (2,)


# ---------------------------------------------------------------------------------------------------------- everything
@needs_fidelity
@needs_timm
def test_all_measures_of_a_generator_are_plain_numbers(g, folder, injected):
    real = open_images(folder, R)
    found = full.measure_generator(g, list(full.MEASURES), real, tiny_generator(1), count=10, batch=4)
    assert json.loads(json.dumps(found)) == found
    assert (found["images"], found["real_images"], found["ppl_pairs"], found["resolution"]) == (10, 6, 10, R)
    drawn = torch.cat(list(image_sets.batches(GeneratedImages(g, 10), 10, None)))
    features = [extract(drawn), extract(torch.stack([real[k] for k in range(6)]))]
    assert found["fid"] == pytest.approx(full.fid(*features)["fid"], rel=0.01)
    assert found["ppl"] == pytest.approx(path_length.perceptual_path_length(g, 10, squared, batch=2), rel=0.01)
    text = full.format_results(found)
    for part in ("10 generated against 6 real", "few images", "FID", "KID", "precision", "PPL", "same w", "same z"):
        assert part in text, part


def call(*words) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, ["metrics", *map(str, words)])
    return result.exit_code, result.output


@needs_fidelity
def test_command_measures_against_a_folder_and_writes_the_numbers(g, folder, tmp_path, injected):
    checkpoints.save(tmp_path / "model.pt", g_ema=g)
    out = tmp_path / "new" / "results.json"
    code, text = call(tmp_path / "model.pt", "--data", folder, "--images", 8, "--out", out, "--device", "cpu")
    assert code == 0 and "FID" in text and "KID" in text and "precision" in text and "PPL" not in text, text
    written = json.loads(out.read_text())
    assert written["images"] == 8 and written["fid"] > 0 and written["data"] == str(folder)
    assert [path.name for path in out.parent.iterdir()] == ["results.json"]  # nothing half written
    code, text = call(tmp_path / "model.pt", "--data", folder, "--measure", "kid", "--images", 8, "--device", "cpu")
    assert code == 0 and "KID" in text and "FID" not in text.replace("few images make FID", "")


@needs_timm
def test_command_measures_path_and_structure_without_real_images(g, tmp_path, injected):
    for name, generator in (("source", g), ("target", tiny_generator(1))):
        checkpoints.save(tmp_path / f"{name}.pt", g_ema=generator)
    words = ["--measure", "ppl", "--measure", "structure", "--source", tmp_path / "source.pt", "--images", 6]
    code, text = call(tmp_path / "target.pt", *words, "--device", "cpu")
    assert code == 0 and "PPL" in text and "same w" in text and "another face" in text, text


def test_command_refuses_what_does_not_belong_together(g, folder, tmp_path, injected):
    path = tmp_path / "model.pt"
    checkpoints.save(path, g_ema=g)
    for words, said in [
        ([], "either --domain"),
        (["--domain", "photo", "--data", folder], "either --domain"),
        (["--domain", "photo", "--out", tmp_path / "x.json"], "--data instead"),
        (["--data", folder, "--measure", "is"], "fid, kid, pr, ppl, structure"),
        (["--data", folder, "--source", path], "--measure structure"),
        (["--measure", "structure"], "--source"),
        (["--measure", "fid"], "--data"),
        (["--data", folder, "--out", tmp_path], "is a folder"),
        (["--data", tmp_path / "none"], "no such folder"),
    ]:
        code, text = call(path, *words, "--device", "cpu")
        assert code == 2 and said in text and text.startswith("error: "), (words, text)
