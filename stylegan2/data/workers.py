"""Loading and encoding many images, by threads or by processes; the bytes are the same.

Pillow decodes and resizes without holding Python's lock, so a few threads keep as many cores busy, and they start at
once. Only encoding holds the lock: from about 8 workers on, processes are faster. Rendered sets need processes too.
Processes are spawned, not forked (threads of torch or OpenCV do not survive a fork), and starting them takes a second
or two: they are called in only when the first chunks show that the rest will take longer than that.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice

from stylegan2.data.images import Settings, encode, strict_pillow
from stylegan2.data.sources import Source

MOST_THREADS = 8  # more workers are processes
WORTH_WORKERS = 4.0  # seconds of work left that justify starting processes
TRIAL_CHUNKS = 2  # done here before deciding; the first one is slow for reasons of its own (imports, warm-up)

Encoded = dict[int, bytes] | str  # size -> bytes of an image file, or the reason why there is no image


def encode_chunk(listing: Source, settings: Settings, chunk: range) -> list[Encoded]:
    """Load some items of a source and encode each at every size."""
    loaded = listing.load(chunk, settings)
    return [
        item if isinstance(item, str) else {size: encode(image, settings) for size, image in item.items()}
        for item in loaded
    ]


def encode_all(listing: Source, settings: Settings, chunks: list[range], workers: int) -> Iterator[list[Encoded]]:
    """The encoded items of each chunk, in order, with up to `workers` threads or processes (0: only this thread)."""
    if listing.threads and 1 <= workers <= MOST_THREADS:
        yield from _encode_in_threads(listing, settings, chunks, workers)
        return
    for number, chunk in enumerate(chunks):
        begin = time.perf_counter()
        yield encode_chunk(listing, settings, chunk)
        left = (time.perf_counter() - begin) * (len(chunks) - number - 1)
        if workers and number + 1 >= TRIAL_CHUNKS and left > WORTH_WORKERS:
            yield from _encode_in_pool(listing, settings, chunks[number + 1 :], workers)
            return


def _encode_in_threads(
    listing: Source, settings: Settings, chunks: list[range], workers: int
) -> Iterator[list[Encoded]]:
    """As above by threads, image by image, a chunk ahead of the reader."""

    def collected(chunk: list[Future]) -> list[Encoded]:
        return [item for future in chunk for item in future.result()]

    # strict around all of them: `decode` changes the same settings for each image, and puts back what it found
    with strict_pillow():
        pool, ahead = ThreadPoolExecutor(workers), deque()
        try:
            for chunk in chunks:
                ahead.append([pool.submit(encode_chunk, listing, settings, range(i, i + 1)) for i in chunk])
                if len(ahead) > 1:
                    yield collected(ahead.popleft())
            yield from map(collected, ahead)
        finally:
            pool.shutdown(cancel_futures=True)


class WorkersDied(OSError):
    """The worker processes ended before their work was done."""


def _encode_in_pool(listing: Source, settings: Settings, chunks: list[range], workers: int) -> Iterator[list[Encoded]]:
    """As above by worker processes, which run a few chunks ahead of the reader."""
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_worker, (listing, settings))
    try:
        waiting, todo = deque(), iter(chunks)
        for _ in chunks:
            waiting += [pool.submit(_work, chunk) for chunk in islice(todo, 2 * workers + 2 - len(waiting))]
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        died = WorkersDied("the worker processes ended unexpectedly (what is stored is safe): try again with workers=0")
        died.add_note("In a script, call prepare below `if __name__ == '__main__':`")
        raise died from error
    finally:
        pool.shutdown(cancel_futures=True)


# -------------------------------------------------------------------------------------------------- in a worker process

_TASK: tuple[Source, Settings] | None = None  # what this worker process works on


def _start_worker(listing: Source, settings: Settings) -> None:
    global _TASK
    _TASK = (listing, settings)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_die_with_parent, daemon=True).start()
    listing.enter_worker()


def _die_with_parent() -> None:
    """A parent killed by SIGKILL cannot stop its workers, so they watch it; otherwise they would wait for ever."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _work(chunk: range) -> list[Encoded]:
    return encode_chunk(*_TASK, chunk)
