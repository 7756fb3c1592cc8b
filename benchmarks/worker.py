"""One contestant in a process of its own: allocator settings cannot be undone, and peers' module names clash.

The parent starts `python -m benchmarks.worker`, writes one JSON request per line and reads one JSON answer per line:

    {"do": "start", "workload": ..., "contestant": {...}, "device": "cpu", "scratch": folder}  prepares, not timed
    {"do": "time"}                                                      one timed repetition, answers its seconds
    {"do": "output", "file": path}           saves what the workload computes as a tensor, for comparing contestants

Whatever a peer prints goes to the log, so that answers stay readable.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import traceback
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


class WorkerError(RuntimeError):
    """A contestant could not do what it was asked for; the message is the last thing it said."""


@dataclass(frozen=True)
class Contestant:
    """Who computes, and how.

    kind: "ours" or the name of a peer; folder: the peer's checkout. precision: "float32" or "mixed".
    warm: with our allocator settings (`keep_memory_warm`).
    """

    kind: str
    precision: str = "float32"
    warm: bool = False
    folder: str = ""

    @property
    def name(self) -> str:
        """As it is called in the report: "ours float32", "nvidia", "nvidia warm", ..."""
        if self.kind == "ours":
            return f"ours {self.precision}"
        return self.kind + " mixed" * (self.precision == "mixed") + " warm" * self.warm


# ------------------------------------------------------------------------------------------------- the parent's side


class Worker:
    """A running worker process.

    Args:
        scratch: folder for its log and for whatever it writes.
        name: of its log.
    """

    def __init__(self, scratch: Path, name: str):
        scratch.mkdir(parents=True, exist_ok=True)
        self.log = scratch / f"{name}.log"
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "TQDM_DISABLE": "1"}
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.worker"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT, env=environment,
            )  # fmt: skip

    def send(self, do: str, **arguments) -> None:
        """Ask for something; `receive` gets the answer. Raises WorkerError where the process has died."""
        try:
            self.process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self.process.stdin.flush()
        except OSError:
            raise self._died() from None

    def receive(self) -> Any:
        """Wait for the answer. Raises WorkerError with what went wrong over there."""
        line = self.process.stdout.readline()
        if not line:
            raise self._died()
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer["value"]

    def ask(self, do: str, **arguments) -> Any:
        """`send`, then `receive`."""
        self.send(do, **arguments)
        return self.receive()

    def _died(self) -> WorkerError:
        code = self.process.wait()
        said = self.log.read_text().strip().splitlines()
        return WorkerError(f"its process ended with code {code}" + (f": {said[-1]}" if said else ""))

    def close(self) -> None:
        """End the process; its memory is free afterwards."""
        for stream in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):  # it died before it read everything
                stream.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


# ------------------------------------------------------------------------------------------------- the worker's side


def exact_float32() -> None:
    """No TensorFloat-32 on a GPU, for anybody: "float32" in the table means float32."""
    import torch

    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


class Session:
    """What a worker holds between requests."""

    def start(self, workload: str, contestant: dict, device: str, scratch: str) -> list[str]:
        """Import, build, and run once to warm up. Returns the contestant's notes."""
        import torch

        from benchmarks import ours, peers, workloads
        from stylegan2.runtime import keep_memory_warm

        who, self.device = Contestant(**contestant), torch.device(device)
        if who.warm:
            keep_memory_warm()
        exact_float32()
        if who.kind == "ours":
            implementation = ours.Ours(self.device, who.precision)
        else:
            folder = peers.check_folder(who.kind, who.folder)
            implementation = peers.PEERS[who.kind](folder, self.device, who.precision)
        folder = Path(scratch) / who.name.replace(" ", "-")
        folder.mkdir(parents=True, exist_ok=True)
        os.chdir(folder)  # some peers write files into the folder they run in
        self.job = workloads.WORKLOADS[workload].make(implementation, Path(scratch))
        self.job.warm_up()
        return implementation.notes

    def time(self) -> float:
        """Seconds of one repetition."""
        self._synchronise()
        begin = time.perf_counter()
        self.job.run()
        self._synchronise()
        return time.perf_counter() - begin

    def output(self, file: str) -> bool:
        """Save the result; False where the workload has none to compare."""
        import torch

        result = self.job.output()
        if result is not None:
            torch.save(result.detach().float().cpu(), file)
        return result is not None

    def limits(self, device: str) -> dict[str, float]:
        """What the machine can do, in warm memory."""
        from benchmarks import limits
        from stylegan2.runtime import keep_memory_warm

        keep_memory_warm()
        exact_float32()
        return limits.measure(device)

    def _synchronise(self) -> None:
        if self.device.type == "cuda":
            import torch

            torch.cuda.synchronize(self.device)


def request(contestant: Contestant) -> dict[str, Any]:
    """A contestant as JSON takes it."""
    return asdict(contestant)


def serve() -> None:
    """Answer requests until the parent closes the pipe."""
    warnings.simplefilter("ignore")  # peers warn at every call that PyTorch is newer than they are
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # from here on, prints go to the log
    session = Session()
    for line in sys.stdin:
        arguments = json.loads(line)
        try:
            answer = {"value": getattr(session, arguments.pop("do"))(**arguments)}
        except Exception as error:  # any failure of a peer's code is a footnote of the report, not the end of the run
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    serve()
