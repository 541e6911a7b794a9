"""The ground state of H2 by VQE, on the noise of a 133-qubit IBM device (with efaas[plot])."""

import time
from functools import partial

import numpy as np
from matplotlib.figure import Figure
from qiskit.circuit.library import efficient_su2
from qiskit.quantum_info import SparsePauliOp
from scipy.optimize import OptimizeResult

import efaas

# H2 at 0.735 angstrom in STO-3G by Jordan-Wigner, as in Qiskit Nature's tutorials, in hartree.
terms = "IIII IIIZ IIZI IZII ZIII IIZZ IZIZ ZIIZ IZZI ZIZI ZZII XXXX XXYY YYXX YYYY"
coefficients = [-0.81054798, 0.17218393, -0.22575349, 0.17218393, -0.22575349, 0.12091263]
coefficients += [0.16892754, 0.16614543, 0.16614543, 0.17464343, 0.12091263, *[0.0452328] * 4]
hamiltonian = SparsePauliOp(terms.split(), coefficients)
repulsion = 0.71996899  # of the two nuclei
ground = np.linalg.eigvalsh(hamiltonian.to_matrix())[0] + repulsion

ansatz = efficient_su2(4, reps=1, entanglement="linear")
starts = np.random.default_rng(1).uniform(-np.pi, np.pi, (20, ansatz.num_parameters))
minimize = partial(efaas.minimize, method="L-BFGS-B", jac="parameter-shift", progress=False)
energies: list[float] = []
points = [starts[0]]


def show_progress(intermediate_result: OptimizeResult) -> None:
    energies.append(intermediate_result.fun + repulsion)
    points.append(intermediate_result.x.copy())  # SciPy goes on writing into its array
    print(f"\riteration {len(energies):2d}  {energies[-1]:9.4f} hartree", end="", flush=True)


with efaas.EFSession("fake_torino", seed=7) as session:
    energy = session.objective(ansatz, hamiltonian, shots=4096)
    began = time.perf_counter()
    result = minimize(energy, starts[0], callback=show_progress)
    speed = result.speculation.evaluations / (time.perf_counter() - began)
    # The noise floor: the lowest energy that this device can show. It is searched without shot
    # noise, and read with readout errors as the energies above.
    exact = session.objective(ansatz, hamiltonian, shots=None)
    lowest = min((minimize(exact, start) for start in [result.x, *starts]), key=lambda r: r.fun)
    precise = session.objective(ansatz, hamiltonian, shots=1_000_000)
    futures = precise.submit_many([*points, lowest.x])
    *path, floor = [future.result() + repulsion for future in futures]
    print(f"\nfinal energy  {path[-1]:9.4f} hartree ({energies[-1]:.4f} by 4096 shots)")
    print(f"noise floor   {floor:9.4f}\nexact         {ground:9.4f}")
    print(f"{result.speculation}, {speed:,.0f} evaluations/s\n{session.report()}")

axes = (figure := Figure(figsize=(7, 4.2), layout="constrained")).subplots()
axes.plot(path, color="0.7", label="the same points, a million shots")
axes.plot(range(1, len(path)), energies, "o", label="as the optimizer saw it, 4096 shots")
axes.axhline(floor, ls="--", color="tab:red", label=f"noise floor of fake_torino, {floor:.3f}")
axes.axhline(ground, ls=":", color="k", label=f"exact ground state, {ground:.3f}")
axes.set(xlabel="iteration of L-BFGS-B", ylabel="energy of H$_2$ (hartree)")
axes.legend()
figure.savefig("vqe_h2.png", dpi=150)
