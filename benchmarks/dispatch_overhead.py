"""What a job costs before anything is computed: a no-op through efaas and through a thread pool.

Run it with ``make bench`` or ``python benchmarks/dispatch_overhead.py``. Ratios are medians over
interleaved blocks of one run, so a busy machine slows both sides. They are taken on one processor
where the system allows it: otherwise the kernel's guess where to run a woken thread, which changes
from run to run and from pool to pool, decides more than the code does.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import efaas

BLOCKS = 40
CALLS = 250
SUSTAINED = 100_000
IN_FLIGHT = 1_000


def seconds_of(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - started) / CALLS


def resident_megabytes() -> float:
    """Memory of this process now (Linux), or its peak where that cannot be read."""
    try:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * 4096 / 2**20
    except OSError:
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def burst(session: efaas.EFSession, times: int) -> None:
    for _ in range(times):
        for future in [session.call(int) for _ in range(IN_FLIGHT)]:
            future.result()


def main() -> int:
    everywhere = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    if everywhere:
        os.sched_setaffinity(0, {min(everywhere)})
    with efaas.EFSession("aer", seed=1) as session, ThreadPoolExecutor(1) as pool:
        ours, theirs = [], []
        for _ in range(BLOCKS):
            theirs.append(seconds_of(lambda: pool.submit(int).result()))
            ours.append(seconds_of(lambda: session.call(int).result()))
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        print("A no-op job: submit, schedule, dispatch, resolve (medians)")
        print(f"  ThreadPoolExecutor   {1e6 * statistics.median(theirs):8.1f} us")
        print(f"  efaas session.call   {1e6 * statistics.median(ours):8.1f} us")
        print(f"  ratio                {statistics.median(ratios):8.2f}   (at most 3)")

        if everywhere:
            os.sched_setaffinity(0, everywhere)
        burst(session, 10)  # the allocator's first growth is not a leak
        gc.collect()
        before = resident_megabytes()
        started = time.perf_counter()
        burst(session, SUSTAINED // IN_FLIGHT)
        elapsed = time.perf_counter() - started
        gc.collect()
        growth = resident_megabytes() - before
        print(f"{SUSTAINED:,} jobs, {IN_FLIGHT:,} in flight")
        print(f"  per job              {1e6 * elapsed / SUSTAINED:8.1f} us")
        print(f"  memory grew by       {growth:8.1f} MB")
    return 0 if statistics.median(ratios) <= 3 else 1


if __name__ == "__main__":
    sys.exit(main())
