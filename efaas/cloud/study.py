"""Many runs: spread over processes, and kept as far as they came."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from efaas.cloud.progress import Progress

__all__ = ["Row", "rounded", "run_all", "write_json"]

Row: TypeAlias = dict[str, Any]
"""What is kept of a run: names, numbers and None."""

T = TypeVar("T")

_DIGITS = 9
"""Significant digits that are written: sums in another order differ in later ones."""


def run_all(
    work: Callable[[T], list[Row]], tasks: Sequence[T], *, processes: int = 0
) -> tuple[list[Row], bool]:
    """The rows of all tasks, in the tasks' order, whichever was done first; whether all are done.

    Their numbers are as they will be written, so that what is made of a file is what was printed.

    Ctrl-C ends it early, when the tasks that run have ended: then these are the rows of those that
    were finished before.

    Args:
        work: What to do with a task; a function of a module, so that it can be sent to a process.
        tasks: Picklable.
        processes: How many side by side; 0 for one per core, 1 to stay in this process.
    """
    done: dict[int, list[Row]] = {}
    progress = Progress(len(tasks))
    try:
        for index, rows in _each(work, tasks, processes or os.cpu_count() or 1):
            done[index] = rows
            progress.done(str(tasks[index]))
    except KeyboardInterrupt:
        pass
    finally:
        progress.close()
    found: list[Row] = [rounded(row) for index in sorted(done) for row in done[index]]
    return found, len(done) == len(tasks)


def _each(
    work: Callable[[T], list[Row]], tasks: Sequence[T], processes: int
) -> Iterator[tuple[int, list[Row]]]:
    if processes == 1 or len(tasks) < 2:
        for index, task in enumerate(tasks):
            yield index, work(task)
        return
    context = multiprocessing.get_context("spawn")
    workers = min(processes, len(tasks))
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=_begin, initargs=(work,)
    ) as pool:
        index_of = {pool.submit(work, task): index for index, task in enumerate(tasks)}
        try:
            for future in as_completed(index_of):
                yield index_of[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _begin(_work: object) -> None:
    """In a process of the pool, when what it will do has been sent to it, and so is imported.

    Ctrl-C reaches every process; it is for the one that collects. A simulation makes so many
    objects that looking for garbage in what was imported would take a tenth of its time.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.collect()
    gc.freeze()


def rounded(value: Any) -> Any:
    """The same with floats to nine significant digits."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    return value


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write it so that equal contents are equal files; items of lists have a line each."""
    parts = []
    for name, value in sorted(rounded(content).items()):
        if isinstance(value, list):
            items = ",\n".join(json.dumps(it, sort_keys=True, allow_nan=False) for it in value)
            text = f"[\n{items}\n]"
        else:
            text = json.dumps(value, sort_keys=True, allow_nan=False)
        parts.append(f"{json.dumps(name)}: {text}")
    path.write_text("{" + ",\n".join(parts) + "}\n", encoding="utf-8")
