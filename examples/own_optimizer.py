"""An optimizer of one's own: its next step is computed and queued while circuits still run.

Here the circuits are simulated in less time than the step takes. On a device, where a job takes
seconds, the step costs no time at all, whichever way the decision goes.
"""

from functools import partial
from operator import gt
from typing import Any, NamedTuple

import numpy as np
from qiskit.circuit.library import efficient_su2

import efaas

SITES, STEPS = 6, 60
ising = {"I" * i + "ZZ" + "I" * (SITES - 2 - i): -1.0 for i in range(SITES - 1)}
ising |= {"I" * i + "X" + "I" * (SITES - 1 - i): -1.0 for i in range(SITES)}
ansatz = efficient_su2(SITES, reps=1)


class Search(NamedTuple):
    """Where the search is: the points that were the best, the latest last, and its step size."""

    path: tuple[np.ndarray, ...]
    size: float

    def trial(self, number: int) -> np.ndarray:
        """The next point: mostly along directions in which steps have succeeded."""
        random, x = np.random.default_rng(number), self.path[-1]
        spread = np.cov(np.array([*self.path, x]).T) + 0.1 * np.eye(len(x))
        step = np.linalg.cholesky(spread) @ random.normal(size=len(x))
        return np.asarray(x + self.size * step / np.linalg.norm(step))

    def after(self, trial: np.ndarray, is_better: bool) -> "Search":
        """What comes of a trial."""
        path = (*self.path, trial) if is_better else self.path
        return Search(path, self.size * (1.3 if is_better else 0.9))


def random_search(energy: efaas.Objective, x0: np.ndarray, *, speculates: bool) -> float:
    best, search = energy(x0), Search((x0,), 1.0)
    trial = search.trial(0)
    pending = energy.submit(trial)
    for number in range(1, STEPS):

        def next_step(is_better: bool, now: Any = (search, trial, number)) -> tuple[Any, Any, Any]:
            search, trial, number = now
            following = search.after(trial, is_better)
            point = following.trial(number)
            return following, point, energy.submit(point)

        is_better = pending.then(partial(gt, best))  # whether best > value
        if speculates:  # both ways begin now; the wrong one leaves no trace
            upcoming = is_better.speculate(next_step, guesses=[False, True])
        else:
            upcoming = is_better.then(next_step)
        best = min(best, pending.result())
        search, trial, pending = upcoming.result()
    return min(best, pending.result())


energies = []
for speculates in (False, True):
    with efaas.EFSession("fake_torino", seed=7) as session:
        energy = session.objective(ansatz, ising, shots=4096)
        x0 = np.random.default_rng(1).uniform(-np.pi, np.pi, energy.num_parameters)
        energies.append(random_search(energy, x0, speculates=speculates))
        print(f"speculates: {speculates!s:5}  energy {energies[-1]:.6f}")
        report = session.report()
print(f"guesses that came true: {report.hits}; same energy: {energies[0] == energies[1]}")
