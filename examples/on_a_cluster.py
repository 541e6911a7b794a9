"""A VQE whose simulations run on a cluster: here a local one, with the same numbers as without.

It needs Dask: ``pip install 'efaas[dask]'``. On a real cluster only the address changes.
"""

import numpy as np
from distributed import Client, LocalCluster
from qiskit.circuit.library import efficient_su2

import efaas
from efaas.backends import AerBackend

ansatz = efficient_su2(4, reps=1, entanglement="linear")
hamiltonian = {"ZZII": 1.0, "IZZI": 1.0, "IIZZ": 1.0, "XIII": 0.5, "IXII": 0.5, "IIXI": 0.5}
quiet = {"dashboard_address": None, "silence_logs": "ERROR"}
x0 = np.random.default_rng(3).uniform(-1.0, 1.0, ansatz.num_parameters)


def spectrum_of(size: int) -> float:
    """A classical step that a worker takes: any function that can be sent there."""
    matrix = np.random.default_rng(size).normal(size=(size, size))
    return float(np.linalg.eigvalsh(matrix + matrix.T)[0])


def vqe(session: efaas.EFSession) -> float:
    energy = session.objective(ansatz, hamiltonian, shots=2048)
    result = efaas.minimize(
        energy, x0, method="BFGS", jac="parameter-shift", options={"maxiter": 4}
    )
    return float(result.fun)


if __name__ == "__main__":  # the workers import this file
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, **quiet) as cluster,
        Client(cluster) as client,
    ):
        executor = client.get_executor()
        # A gradient is a round of 32 points; each of the two workers takes half of them.
        device = AerBackend("fake_manila", executor=executor, workers=2, worker_seconds=0.0)
        with efaas.EFSession(device, seed=7, executor=executor) as session:
            step = session.call(spectrum_of, 200)  # runs beside the VQE
            on_cluster = vqe(session)
            print(f"lowest eigenvalue  {step.result():.4f}, by a worker")
    with efaas.EFSession("fake_manila", seed=7) as session:
        here = vqe(session)
    print(f"on the cluster     {on_cluster:.6f}")
    print(f"in this process    {here:.6f}")
    print(f"same energy: {on_cluster == here}")
