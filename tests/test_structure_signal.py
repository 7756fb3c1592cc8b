"""What StructureLoss can see: shares of variance on tiny networks whose coarse colours are known."""

import pytest
import torch
from typer.testing import CliRunner

from stylegan2 import checkpoints, cli
from stylegan2.metrics.structure_signal import Spread, measure_structure_signal
from stylegan2.networks import Generator

R = 32


def generator(silent=(), seed: int = 0) -> Generator:
    """Tiny, with random weights; the blocks of `silent` add no colour."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        g = Generator(R, 8, 8, 2, {r: 4 for r in (4, 8, 16, 32)})
    for r in silent:
        g.synthesis.blocks[str(r)].to_rgb.weight.data.zero_()
    return g.requires_grad_(False)


def test_variance_is_torchs_whatever_the_batches():
    values, spread = torch.randn(30, 3, 4, generator=torch.Generator().manual_seed(0)) + 100, Spread()
    for part in values.split(7):
        spread.add(part)
    assert spread.mean() == pytest.approx(float(values.double().var(0, correction=0).mean()), rel=1e-9)


def test_coarse_colours_that_do_not_vary_are_no_signal():
    found = measure_structure_signal(generator(silent=(4, 8, 16)), faces=12)
    assert [found.sums[r] for r in (4, 8, 16)] == [0, 0, 0] and found.sums[R] == 1
    assert found.seen() == 0 and "signal is small here" in found.verdict() and "4, 8 and 16 px" in found.verdict()


def test_a_network_whose_colours_all_come_from_4_pixels_has_all_of_the_signal():
    """The sums above 4 px are that one, enlarged: blurred a little, they vary less and less."""
    found = measure_structure_signal(generator(silent=(8, 16, 32)), faces=12)
    assert found.sums[4] > found.sums[8] > found.sums[16] > found.sums[R] == 1
    assert found.seen() > 0.9 and "signal is large here" in found.verdict()


def test_shares_are_variances_of_the_running_sums_and_of_the_shrunk_image():
    g, n = generator(), 10
    found = measure_structure_signal(g, faces=n, batch=4)
    z = torch.stack([torch.randn(8, generator=torch.Generator().manual_seed(seed)) for seed in range(n)])
    image, rgbs = g.synthesis(g.mapping(z), "const", return_rgbs=True)
    whole = image.var(0, correction=0).mean()
    for r in (4, 8, 16, R):
        assert found.sums[r] == pytest.approx(float(rgbs[r].var(0, correction=0).mean() / whole), rel=1e-4)
        shrunk = torch.nn.functional.avg_pool2d(image, R // r)
        assert found.shown[r] == pytest.approx(float(shrunk.var(0, correction=0).mean() / whole), rel=1e-4)
    assert found.shown[4] <= found.shown[8] <= found.shown[16] <= found.shown[R] == found.sums[R] == 1


def test_brightness_changes_no_share_and_a_still_image_has_none():
    g = generator()
    before = measure_structure_signal(g, faces=8)
    for block in g.synthesis.blocks.values():
        block.to_rgb.weight.data *= 3
    assert measure_structure_signal(g, faces=8).sums == pytest.approx(before.sums, rel=1e-3)
    still = measure_structure_signal(generator(silent=(4, 8, 16, 32)), faces=8)
    assert set(still.sums.values()) == {0} and still.seen() == 0
    with pytest.raises(ValueError, match="at least 2 faces, got 1"):
        measure_structure_signal(g, faces=1)


def test_the_command_prints_a_table_and_a_sentence_for_any_checkpoint(tmp_path):
    g = generator(silent=(4, 8, 16))
    ours, other = tmp_path / "ours.pt", tmp_path / "rosinality.pt"
    checkpoints.save(ours, g_ema=g)
    checkpoints.export(other, checkpoints.load(ours, "cpu"))
    texts = []
    for path in (ours, other):
        result = CliRunner().invoke(cli.app, ["metrics", "--structure-signal", str(path), "--device", "cpu"])
        assert result.exit_code == 0, result.output
        texts.append(result.stdout)
    assert "RGB sum" in texts[0] and "200 faces" in texts[0] and "signal is small here" in texts[0]
    assert texts[0] == texts[1]
    for words in (["--domain", "photo"], ["--measure", "fid"], ["--out", str(tmp_path / "x.json")]):
        wrong = CliRunner().invoke(cli.app, ["metrics", str(ours), "--structure-signal", *words])
        assert wrong.exit_code == 2 and "leave out the other options" in wrong.output
