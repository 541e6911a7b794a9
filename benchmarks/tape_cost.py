"""What it costs to remember a job: the recorder with and without a session's tape.

Run it with ``make bench`` or ``python benchmarks/tape_cost.py``. It prints the least of many
blocks, so that a busy machine does not count.
"""

from __future__ import annotations

import sys
import time

from efaas.dispatch.ticket import Ticket
from efaas.model.job import CPU, Job, JobState
from efaas.observe import Recorder

BLOCKS, JOBS, MOST_MICROSECONDS = 40, 2000, 5.0


def ended_job() -> Ticket:
    ticket = Ticket(Job(1, 1, "ada", (CPU,)), [], int, None, 0.0, 0)
    ticket.dispatched(CPU, 0.0)
    ticket.attempted(1.0, None)
    ticket.finished(JobState.DONE, 1.0)
    return ticket


def microseconds(*, has_tape: bool) -> float:
    recorder = Recorder()
    if has_tape:
        recorder.tape(1, time.monotonic, "ada")
    ticket = ended_job()
    least = float("inf")
    for _ in range(BLOCKS):
        started = time.perf_counter()
        for _ in range(JOBS):
            recorder.job_finished(ticket)
        least = min(least, time.perf_counter() - started)
    return 1e6 * least / JOBS


def main() -> int:
    without, with_tape = microseconds(has_tape=False), microseconds(has_tape=True)
    print("Remembering a job that has ended (least of many blocks)")
    print(f"  sums only      {without:6.2f} us")
    print(f"  and the tape   {with_tape:6.2f} us   (at most {MOST_MICROSECONDS:g})")
    return 0 if with_tape <= MOST_MICROSECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
