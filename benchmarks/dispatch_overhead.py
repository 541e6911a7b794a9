"""What a job costs before anything is computed: a no-op through efaas and through a thread pool.

Run it with ``make bench`` or ``python benchmarks/dispatch_overhead.py``. Ratios are medians over
interleaved blocks of one run, so a busy machine slows both sides.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import efaas

BLOCKS = 40
CALLS = 250
SUSTAINED = 100_000


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


def main() -> None:
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

        gc.collect()
        before = resident_megabytes()
        started = time.perf_counter()
        for _ in range(SUSTAINED // 1000):
            for future in [session.call(int) for _ in range(1000)]:
                future.result()
        elapsed = time.perf_counter() - started
        gc.collect()
        growth = resident_megabytes() - before
        print(f"{SUSTAINED:,} jobs, a thousand in flight")
        print(f"  per job              {1e6 * elapsed / SUSTAINED:8.1f} us")
        print(f"  memory grew by       {growth:8.1f} MB")


if __name__ == "__main__":
    main()
