"""A progress line for `make course`: which notebook, which cell, time so far, estimated time left."""

from __future__ import annotations

import sys
import threading
import time

BAR_WIDTH = 16
TERMINAL_SECONDS = 0.5  # how often the line is drawn anew in a terminal
TRUST_SECONDS = 30.0  # how long it takes until this machine's pace outweighs what was expected
LOG_SECONDS = 20.0  # how often a line is written where there is no terminal (CI, a file)


def clock(seconds: float) -> str:
    """Seconds as m:ss or h:mm:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class Progress:
    """Writes the line from a thread, so that the clock moves while a long cell runs.

    `plan` holds, for each notebook in order, its name and the seconds expected of each of its code cells. What is left
    is the sum over what is not done yet, times how much slower or faster than expected this machine has been so far.
    """

    def __init__(self, plan: list[tuple[str, list[float]]]):
        self.plan = dict(plan)
        self.names = list(self.plan)
        self.total = sum(map(sum, self.plan.values()))
        self.terminal = sys.stdout.isatty()
        self.start = self.cell_start = time.monotonic()
        self.done = 0.0  # expected seconds of all that is finished
        self.spent = 0.0  # seconds that it took
        self.name, self.cell = "", 0
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()
        self._erase()

    def notebook_started(self, name: str) -> None:
        with self._lock:
            self.name, self.cell = name, 0
            self.cell_start = time.monotonic()

    def cell_started(self, number: int) -> None:
        with self._lock:
            self.cell = number

    def cell_done(self) -> None:
        with self._lock:
            now = time.monotonic()
            self.done += self.plan[self.name][self.cell - 1]
            self.spent += now - self.cell_start
            self.cell_start = now

    def notebook_done(self, line: str) -> None:
        """Print the finished notebook's own line; cells that a failure left out count as done."""
        with self._lock:
            position = self.names.index(self.name) + 1
            self.done = sum(sum(self.plan[name]) for name in self.names[:position])
            self._erase()
            print(f"[{position}/{len(self.names)}] {line}", flush=True)

    def seconds_left(self) -> float:
        """Estimated seconds until the last notebook is done."""
        pace = (self.spent + TRUST_SECONDS) / (self.done + TRUST_SECONDS)
        expected = self.plan[self.name][self.cell - 1] if self.cell and self.plan[self.name] else 0.0
        in_cell = min((time.monotonic() - self.cell_start) / pace, expected)
        return max(self.total - self.done - in_cell, 0.0) * pace

    def line(self) -> str:
        with self._lock:
            cells = len(self.plan[self.name])
            filled = round(BAR_WIDTH * max(self.cell - 1, 0) / max(cells, 1))
            bar = "█" * filled + "░" * (BAR_WIDTH - filled)
            position = f"[{self.names.index(self.name) + 1}/{len(self.names)}] {self.name:<24}"
            times = f"{clock(time.monotonic() - self.start)} so far, about {clock(self.seconds_left())} left"
            return f"{position} {bar} cell {self.cell}/{cells}  {times}"

    def _tick(self) -> None:
        while not self._stop.wait(TERMINAL_SECONDS if self.terminal else LOG_SECONDS):
            with self._lock:
                if self.name and self.terminal:
                    sys.stdout.write(f"\r\x1b[2K{self.line()}")
                    sys.stdout.flush()
                elif self.name:
                    print(self.line(), flush=True)

    def _erase(self) -> None:
        if self.terminal:
            sys.stdout.write("\r\x1b[2K")
            sys.stdout.flush()
