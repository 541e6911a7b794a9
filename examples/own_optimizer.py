"""An optimizer of one's own: its next step is computed and queued while circuits still run."""

import numpy as np
from qiskit.circuit.library import efficient_su2

import efaas

SITES, STEPS = 10, 15
ising = {"I" * i + "ZZ" + "I" * (SITES - 2 - i): -1.0 for i in range(SITES - 1)}
ising |= {"I" * i + "X" + "I" * (SITES - 1 - i): -1.0 for i in range(SITES)}
ansatz = efficient_su2(SITES, reps=1)


def proposed(x, size, path, number):
    """A random step, mostly along the directions in which steps have succeeded: slow to find."""
    random = np.random.default_rng(number)
    points, spreads = np.array(path), []
    for _ in range(300):  # bootstrapped, so that few points do not decide the directions
        rows = random.integers(len(points), size=len(points) + 1)
        spreads.append(np.cov(points[rows].T) + 0.01 * np.eye(len(x)))
    directions = np.linalg.cholesky(np.mean(spreads, axis=0))
    step = directions @ random.normal(size=len(x))
    return x + size * step / np.linalg.norm(step)


def random_search(energy, x, speculates):
    best, size, path, idle = energy(x), 1.0, [x], 0.0
    trial = proposed(x, size, path, 0)
    pending = energy.submit(trial)
    for number in range(1, STEPS):

        def next_step(is_better, x=x, trial=trial, size=size, path=tuple(path), number=number):
            """All that comes after the decision: the next point, and its evaluation."""
            origin, known = (trial, [*path, trial]) if is_better else (x, path)
            point = proposed(origin, size * (1.4 if is_better else 0.85), known, number)
            return point, energy.submit(point)

        is_better = pending.then(lambda value, best=best: value < best)
        if speculates:  # both ways begin now; the wrong one leaves no trace
            upcoming = is_better.speculate(next_step, guesses=[False, True])
        else:
            upcoming = is_better.then(next_step)
        if is_better.result():
            x, best, size, path = trial, pending.result(), 1.4 * size, [*path, trial]
        else:
            size *= 0.85
        trial, following = upcoming.result()
        following.result()
        ready_at, began_at = pending.job.timeline.finished_at, following.job.timeline.first_shot_at
        idle += max(0.0, began_at - ready_at)
        pending = following
    return min(best, pending.result()), idle


for speculates in (False, True):
    with efaas.EFSession("fake_torino", seed=7) as session:
        energy = session.objective(ansatz, ising, shots=4096)
        x0 = np.random.default_rng(1).uniform(-np.pi, np.pi, energy.num_parameters)
        lowest, idle = random_search(energy, x0, speculates)
        print(f"speculates: {speculates!s:5}  energy {lowest:.6f}, device idle for {idle:.3f} s")
        report = session.report()
print(f"{report.hits} guesses came true")
