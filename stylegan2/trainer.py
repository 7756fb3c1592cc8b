"""The training loop of StyleGAN2-ADA: iterations, and around them log, samples, snapshots, resume, stop, roll back.

A snapshot needs no random state, since the random numbers of an iteration are a function of (seed, step), and so is the
order of the data: a run that was killed and resumed computes the same bits as one that was not.
"""

from __future__ import annotations

import copy
import math
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from stylegan2 import checkpoints, display, files, transfer
from stylegan2.bars import bar
from stylegan2.batches import batches
from stylegan2.config import TrainConfig
from stylegan2.files import CheckpointError
from stylegan2.inputs import step_generator
from stylegan2.iteration import Iteration
from stylegan2.networks import Generator
from stylegan2.runs import RunLog, latest, prune, snapshot_files
from stylegan2.runtime import images_at_once, is_out_of_memory, keep_memory_warm, let_go, reproducible


class Diverged(ValueError):
    """Numbers of a run became NaN or infinite; the message says what was lost and what to do."""


class Trainer(Iteration):
    """One run, or this process's part of it.

    Args:
        dataset: yields uint8 [3, R, R] for (index, flip); see `stylegan2.data.dataset`.
        g, d: the networks to train, modified in place; for fine-tuning see `Trainer.fine_tune`.
        g_ema: averaged generator to go on with; None: a copy of `g`.
        methods: transfer methods; what they call the source is `g` as it is given here.
        device: default the networks'.

    Attributes:
        step: iterations done; images_seen: real images shown so far; last: values of the last line of the log.
        begun_as: `config.images` of the run when it began: it may be longer now.
        g_ema: the averaged generator, the result of a run; frozen: exact names of the frozen parameters.
        source: the generator that methods compare with: a copy that never changes; None where none compares.

    Raises ValueError for a dataset smaller than a batch, or of another resolution than the networks, a method that does
    not fit the networks, or a batch that cannot be shared.
    """

    last: dict[str, float] = {}
    _stop = False

    @classmethod
    def fine_tune(
        cls,
        config: TrainConfig,
        dataset: Dataset,
        source: checkpoints.Checkpoint,
        methods: Sequence[transfer.Method] = (),
        device: torch.device | str | None = None,
    ) -> Trainer:
        """A run that starts from copies of a model: of its averaged generator, so that what is frozen is the source's
        in the averaged generator that comes out as well.

        Raises ValueError for a source without a discriminator, and as the class does.
        """
        if source.d is None:
            raise ValueError("the source has no discriminator, which fine-tuning needs: use a checkpoint with 'd'")
        g = copy.deepcopy(source.g_ema).requires_grad_(True)
        return cls(config, dataset, g, copy.deepcopy(source.d), methods=methods, device=device)

    @property
    def precision(self) -> str:
        """Type of the convolutions, "float32", "bfloat16" or "float16"."""
        return str(self.d.compute_dtype).removeprefix("torch.")

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return Path(self.config.out)

    # ------------------------------------------------------------------------------------------------------ the loop
    def run(
        self, on_log: Callable | None = None, on_sample: Callable | None = None, progress: bool = True
    ) -> Generator:
        """Train until `config.images` images were shown, resuming what the run's folder holds; returns `g_ema`.

        Ctrl-C (or the notebook's stop button, SIGTERM, or `stop()`) finishes the iteration, saves and returns.

        on_log: called with (trainer, values) after each line of the log. on_sample: called with (trainer, images
        [N, 3, R, R]) after each sample picture. progress: show a bar with images/s and time left.

        Raises:
            MemoryError: a batch does not fit; says which setting to change. The same run goes on with it.
            Diverged: losses or parameters became NaN or infinite. The networks are those of the newest snapshot then,
                and no snapshot holds such numbers.
        """
        if self.device.type == "cpu":
            keep_memory_warm()
        self.resume()
        self.world.copy_from_first([self.g, self.d, self.g_ema])
        c, log, self._stop = self.config, None, False
        if self.world.is_first:
            files.write_json(self.folder / "config.json", {**c.to_json(), "methods": self.method_names})
            log = RunLog(self.folder, self.images_seen, c.tensorboard, self.loss_names)
        order = {"mirror": c.mirror, "start": self.step, "num_shards": self.world.size, "shard": self.world.rank}
        stream = batches(self.dataset, c.batch, c.seed, c.workers, self.device.type == "cuda", **order)
        total = {"total": c.steps * c.batch, "initial": self.images_seen, "smoothing": 0.1}
        steps = bar(what="train", unit="img", shown=progress and self.world.is_first, **total)
        with steps, closing(log) if log else nullcontext(), self._stop_on_interrupt(), reproducible(self.device):
            try:
                if self.step == 0:
                    self._sample(on_sample)
                self._loop(stream, log, steps, on_log, on_sample)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                for optimiser in (self.g_optimiser, self.d_optimiser):
                    optimiser.zero_grad(set_to_none=True)
                let_go(error)
                parts = f" in {c.accumulate} parts" if c.accumulate > 1 else ""
                raise MemoryError(
                    f"not enough memory for a batch of {c.batch}{parts}: set accumulate={2 * c.accumulate}, which "
                    "computes it in more parts, with the same result, or a smaller batch"
                ) from None
        return self.g_ema

    def _loop(self, stream: Iterator[Tensor], log: RunLog | None, steps: tqdm, on_log, on_sample) -> None:
        start, images, saved = time.perf_counter(), self.images_seen, self.images_seen
        while self.step < self.config.steps and not self._stop:
            before = self.images_seen
            self.train_step(next(stream))
            steps.update(self.config.batch)
            if self._crossed(before, self.config.log_images):
                now = time.perf_counter()
                speed = (self.images_seen - images) / (now - start)
                start, images = now, self.images_seen
                self.last = {**self.world.means(self._averages.pop()), "images_per_second": speed}
                if broken := [name for name, value in self.last.items() if not math.isfinite(value)]:
                    self._roll_back(broken)
                if log:
                    log.write(self.images_seen, self.last)
                steps.set_postfix(G=f"{self.last['loss_g']:.2f}", D=f"{self.last['loss_d']:.2f}", p=f"{self.ada.p:.2f}")
                if on_log:
                    on_log(self, self.last)
            if self._crossed(before, self.config.sample_images):
                self._sample(on_sample)
            if self._crossed(before, self.config.snapshot_images):
                saved = self.save()
            self._stop = self.world.any(self._stop)
        if saved != self.images_seen:
            self.save()

    def _crossed(self, before: int, every: int) -> bool:
        """Did the last iteration pass a multiple of `every` images, or end the run?"""
        return before // every != self.images_seen // every or self.step == self.config.steps

    def stop(self) -> None:
        """Ask a running `run` to finish its iteration, save and return."""
        self._stop = True

    @contextmanager
    def _stop_on_interrupt(self):
        """Ctrl-C or SIGTERM (`torchrun`, clusters) asks to stop, a second one ends at once. In the main thread only."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        # None: set by code outside Python
        previous = {n: signal.getsignal(n) or signal.SIG_DFL for n in (signal.SIGINT, signal.SIGTERM)}

        def handler(number, frame):
            self.stop()
            if self.world.is_first:
                tqdm.write("stopping after this iteration and saving; interrupt again to stop at once")
            signal.signal(number, previous[number])

        for number in previous:
            signal.signal(number, handler)
        try:
            yield
        finally:
            for number, old in previous.items():
                signal.signal(number, old)

    # ------------------------------------------------------------------------------------------- samples, snapshots
    @torch.no_grad()
    def sample(self) -> Tensor:
        """The run's fixed latents through g_ema, with its fixed noise: [rows * columns, 3, R, R] in [-1, 1]."""
        count = self.config.sample_rows * self.config.sample_columns
        z = torch.randn(count, self.g.z_dim, generator=step_generator(self.config.seed, 0, stream=1)).to(self.device)
        # in small batches: a large preview must not need more memory than training does
        size = images_at_once(self.g_ema.synthesis, self.config.batch)
        return torch.cat([self.g_ema(chunk, noise="const") for chunk in z.split(size)])

    def _sample(self, on_sample: Callable | None) -> None:
        self._update_mean()  # so that `on_sample` may truncate
        if not self.world.is_first:
            return
        images = self.sample()
        picture = display.grid(images.cpu(), self.config.sample_columns)
        display.save(picture, self.folder / "samples" / f"{self.images_seen:09d}.png")
        if on_sample:
            on_sample(self, images)

    def _update_mean(self) -> None:
        """Bring the averaged generator's mean w up to date; that of a frozen mapping stays, to the last bit."""
        if any(parameter.requires_grad for parameter in self.g.mapping.layers.parameters()):
            self.g_ema.mapping.update_mean()

    def save(self) -> int:
        """Write a snapshot and drop old ones; returns `images_seen`. Raises Diverged rather than write NaN."""
        networks = {"G": self.g, "D": self.d, "averaged G": self.g_ema}
        states = {name: network.state_dict().values() for name, network in networks.items()}
        if broken := [name for name, state in states.items() if not all(tensor.isfinite().all() for tensor in state)]:
            self._roll_back(broken)
        self._update_mean()
        state = {
            "step": self.step,
            "begun_as": self.begun_as,
            "batch": self.config.batch,
            "g_optimiser": self.g_optimiser.state_dict(),
            "d_optimiser": self.d_optimiser.state_dict(),
            "path_length_mean": float(self.path_length.mean),
            "ada": self.ada.state_dict(),
            "averages": self._averages.state_dict(),
            "dataset_length": len(self.dataset),
        }
        meta = {"images": self.images_seen, "precision": self.precision, "frozen": self.frozen}
        meta |= {"methods": self.method_names, "origin": self._origin}
        if self.world.is_first:
            path = self.folder / "snapshots" / f"{self.images_seen:09d}.pt"
            checkpoints.save(path, g_ema=self.g_ema, g=self.g, d=self.d, meta=meta, training=state)
            prune(self.folder, self.config.keep, self.images_seen)
        return self.images_seen

    def resume(self) -> bool:
        """Load the newest readable snapshot of the run's folder, if there is one. Returns whether.

        A finished run goes on where `config.images` is larger now, with the half-life of the averaged generator that
        it began with. Raises ValueError when the folder holds a run with other settings, frozen parameters, networks or
        data, or a longer one; CheckpointError when its newest readable snapshot has no training state.
        """
        return not self.step and self._restore()

    def _roll_back(self, broken: list[str]) -> None:
        """Go back to the newest snapshot, and say so."""
        images, self.last = self.images_seen, {}
        self._averages.pop()
        saved = self._restore()  # moves `images_seen`
        back = f"the networks are those of {self.images_seen:,} images again" if saved else "nothing was saved before"
        raise Diverged(
            f"{', '.join(broken)} became NaN or infinite within the last {min(images, self.config.log_images):,} of "
            f"{images:,} images; {back}. The same command would do the same again: start a new run, with --source "
            f"{self.config.out} --out ANOTHER, and a lower --lr, a higher --r1-gamma or --precision float32"
        )

    def _restore(self) -> bool:
        """Take everything from the newest snapshot. Returns whether there is one."""
        path = self.world.of_first(self._newest_snapshot() if self.world.is_first else None)
        if path is None:
            return False
        snapshot = checkpoints.load(path, device=self.device)
        if snapshot.training is None or snapshot.g is None or snapshot.d is None:
            raise CheckpointError(f"'{path}' is a model without training state: it can be loaded, not resumed")
        try:
            self._check_resumable(path, snapshot)
            self._take_over(snapshot)
        except KeyError as error:
            raise CheckpointError(
                f"'{path}' has no entry {error}: it was written by another version; start a new run in another folder"
            ) from error
        return True

    def _take_over(self, snapshot: checkpoints.Checkpoint) -> None:
        for name in ("g", "d", "g_ema"):
            getattr(self, name).load_state_dict(getattr(snapshot, name).state_dict())
        state = snapshot.training
        _load_moments(self.g_optimiser, state["g_optimiser"])
        _load_moments(self.d_optimiser, state["d_optimiser"])
        self.path_length.mean = torch.tensor(state["path_length_mean"], device=self.device)
        self.ada.load_state_dict(state["ada"], self.world.is_first)
        self._averages.load_state_dict(state["averages"])
        self.step, self.begun_as = state["step"], state["begun_as"]

    def _newest_snapshot(self) -> Path | None:
        if snapshot_files(self.folder) and (self.folder / "config.json").exists():
            self.config.check_same(self.folder / "config.json")
        return latest(self.folder)

    def _check_resumable(self, path: Path, snapshot: checkpoints.Checkpoint) -> None:
        """What config.json does not hold: networks, frozen parameters and data must be those of the snapshot."""
        done, info = snapshot.training["step"] * self.config.batch, snapshot.info
        if snapshot.training["step"] > self.config.steps:
            raise ValueError(
                f"'{self.folder}' has been trained on {done:,} images already, more than images={self.config.images}: "
                f"nothing was done; to train it further, ask for more than {done:,}"
            )
        pairs = {"generator": (self.g, snapshot.g), "discriminator": (self.d, snapshot.d)}
        differ = [name for name, (own, other) in pairs.items() if _shapes(own) != _shapes(other)]
        if info["frozen"] != self.frozen:
            differ.append(f"frozen parameters ({len(info['frozen'])} then, {len(self.frozen)} now)")
        now, then = self.method_names, info["methods"]
        if then != now:
            differ.append(f"methods ({', '.join(then) or 'none'} then, {', '.join(now) or 'none'} now)")
        if self._origin and info["origin"] != self._origin:
            differ.append("source")
        length = snapshot.training["dataset_length"]
        if length != len(self.dataset):
            differ.append(f"dataset ({length:,} images then, {len(self.dataset):,} now)")
        if differ:
            raise ValueError(
                f"'{path}' is of another run, with a different {' and a different '.join(differ)}: "
                "start it as before to resume it, or use another folder for a new run"
            )
        if info["precision"] != self.precision:
            change = f"resuming in {self.precision} a run begun in {info['precision']}"
            warnings.warn(f"{change}: results will differ", stacklevel=3)


def _load_moments(optimiser: torch.optim.Optimizer, state: dict) -> None:
    """Load Adam's state, its moments in the memory layout of the parameters: the fused step takes that for granted."""
    optimiser.load_state_dict(state)
    for parameter, moments in optimiser.state.items():
        for name, value in moments.items():
            if value.shape == parameter.shape:
                moments[name] = torch.empty_like(parameter).copy_(value)


def _shapes(network: torch.nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in network.state_dict().items()}
