"""Work that would hold the interpreter for long, on processes of our own or on an executor."""

from __future__ import annotations

import logging
import multiprocessing
import os
import pickle
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING

import numpy as np

from efaas.backends.protocol import Estimates, Samples

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor, Future

    from numpy.typing import NDArray

    from efaas.backends.program import Program

__all__ = ["Workers", "joined", "width_of"]

logger = logging.getLogger("efaas.backends")

_Piece = tuple[
    "NDArray[np.float64]", "int | None", tuple[int, ...], "tuple[tuple[int, ...], ...] | None"
]
"""Angles, shots, seeds and wanted observables of some points."""

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_MOST_PROGRAMS = 32
"""Programs that a worker keeps."""


class Workers:
    """A pool of processes that run programs, started when first needed; or a given executor.

    A program is sent to every worker that meets it for the first time, and kept there.
    """

    def __init__(self, count: int, executor: Executor | None = None) -> None:
        """Promise ``count`` processes; none is started yet.

        Args:
            count: Into how many pieces the points of a round are split.
            executor: Where they run instead; it stays its owner's.
        """
        self.count = count
        self._executor = executor
        self._pool: ProcessPoolExecutor | None = None
        self._lock = threading.Lock()
        self._closed = False

    def run(
        self,
        key: str,
        program: Program,
        angles: NDArray[np.float64],
        shots: int | None,
        seeds: Sequence[int],
        wanted: Sequence[tuple[int, ...]] | None,
    ) -> Estimates | Samples:
        """Run a program with its points spread over the processes.

        A pool of our own that lost a process is started once more; if it fails again, that is the
        error. What a given executor has no result for runs in this process.

        Args:
            key: Identifies the program.
            program: See ``Program.run``, as for the other arguments.
            angles: Shape ``(points, slots)``.
            shots: Shots of each setting, or None.
            seeds: One per point.
            wanted: For each point the observables to estimate; None for all.
        """
        parts = [part for part in np.array_split(np.arange(len(angles)), self.count) if len(part)]
        pieces: list[_Piece] = [
            (
                angles[part],
                shots,
                tuple(seeds[i] for i in part),
                None if wanted is None else tuple(wanted[i] for i in part),
            )
            for part in parts
        ]
        if self._executor is not None:
            return self._run_given(self._executor, key, program, pieces)
        for attempt in range(2):
            pool = self._started()
            try:
                return joined(self._map(pool, key, program, pieces))
            except BrokenProcessPool:
                self._discard(pool)
                if attempt:
                    raise
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Stop the processes and wait until they are gone; it may be called twice."""
        with self._lock:
            pool, self._pool = self._pool, None
            self._closed = True
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

    def _run_given(
        self, executor: Executor, key: str, program: Program, pieces: Sequence[_Piece]
    ) -> Estimates | Samples:
        with self._lock:
            if self._closed:
                raise RuntimeError("the backend is closed")
        try:
            return joined(self._map(executor, key, program, pieces))
        except Exception as error:
            # A worker died, or the cluster is gone: the values are the same wherever they are
            # computed. If it is the program that fails, it says so here once more.
            logger.warning(
                "%s gave no result (%s: %s); the round runs in this process",
                type(executor).__name__,
                type(error).__name__,
                error,
            )
        return joined([program.run(*piece) for piece in pieces])

    def _map(
        self,
        pool: Executor,
        key: str,
        program: Program,
        pieces: Sequence[_Piece],
    ) -> list[Estimates | Samples]:
        futures = [pool.submit(_run_known, key, *piece) for piece in pieces]
        results: list[Estimates | Samples] = []
        data: bytes | None = None
        sent: dict[int, Future[Estimates | Samples]] = {}
        found = [future.result() for future in futures]
        for index, result in enumerate(found):
            if result is None:
                data = data or pickle.dumps(program)
                sent[index] = pool.submit(_run_new, key, data, *pieces[index])
        for index, result in enumerate(found):
            results.append(sent[index].result() if result is None else result)
        return results

    def _started(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._closed:
                raise RuntimeError("the worker processes are closed")
            if self._pool is None:
                self._pool = ProcessPoolExecutor(
                    self.count,
                    mp_context=multiprocessing.get_context("spawn"),
                    initializer=_limit_threads,
                )
            return self._pool

    def _discard(self, pool: ProcessPoolExecutor) -> None:
        with self._lock:
            if self._pool is pool:
                self._pool = None
        pool.shutdown(wait=True, cancel_futures=True)


def width_of(executor: Executor) -> int:
    """How many pieces it runs side by side, as far as it says; else this machine's cores."""
    width = getattr(executor, "_max_workers", None)
    return width if isinstance(width, int) and width > 0 else os.cpu_count() or 1


def joined(parts: Sequence[Estimates | Samples]) -> Estimates | Samples:
    """The results of consecutive points as one."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if isinstance(first, Estimates):
        rest = [part for part in parts if isinstance(part, Estimates)]
        return Estimates(
            np.concatenate([part.evs for part in rest]),
            np.concatenate([part.stds for part in rest]),
        )
    samples = [part for part in parts if isinstance(part, Samples)]
    registers = {
        name: np.concatenate([part.registers[name] for part in samples]) for name in first.registers
    }
    return Samples(registers, first.num_bits)


_PROGRAMS: dict[str, Program] = {}
"""In a worker process: the programs it has been sent."""

_KEEPING = threading.Lock()  # an executor may run several of our functions in one process


def _limit_threads() -> None:
    for name in _THREAD_VARIABLES:
        os.environ[name] = "1"


def _run_known(
    key: str,
    angles: NDArray[np.float64],
    shots: int | None,
    seeds: Sequence[int],
    wanted: Sequence[tuple[int, ...]] | None,
) -> Estimates | Samples | None:
    """In a worker: run a program that was sent before, or None if it was not."""
    program = _PROGRAMS.get(key)
    return None if program is None else program.run(angles, shots, seeds, wanted)


def _run_new(
    key: str,
    data: bytes,
    angles: NDArray[np.float64],
    shots: int | None,
    seeds: Sequence[int],
    wanted: Sequence[tuple[int, ...]] | None,
) -> Estimates | Samples:
    """In a worker: keep a program and run it."""
    program: Program = pickle.loads(data)
    with _KEEPING:
        while len(_PROGRAMS) >= _MOST_PROGRAMS:
            del _PROGRAMS[next(iter(_PROGRAMS))]
        _PROGRAMS[key] = program
    return program.run(angles, shots, seeds, wanted)
