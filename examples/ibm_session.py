"""The ground state of H2 on IBM hardware, within a budget.

    python examples/ibm_session.py ibm_torino

needs an account that is saved once; see docs/howto/ibm_hardware.md. Without an account:

    python examples/ibm_session.py fake_torino
"""

import sys

import numpy as np
from qiskit.circuit.library import efficient_su2
from qiskit.quantum_info import SparsePauliOp

import efaas

# H2 at 0.735 angstrom in STO-3G by parity mapping, two qubits tapered off, in hartree.
terms = {"II": -1.05237, "IZ": 0.39794, "ZI": -0.39794, "ZZ": -0.01128, "XX": 0.18093}
hamiltonian = SparsePauliOp(list(terms), list(terms.values()))
repulsion = 0.71997  # of the two nuclei
exact = np.linalg.eigvalsh(hamiltonian.to_matrix())[0] + repulsion

ansatz = efficient_su2(2, su2_gates=["ry"], reps=1)
start = np.full(ansatz.num_parameters, 0.1)
device = sys.argv[1] if len(sys.argv) > 1 else "fake_torino"

backend = efaas.backends.RuntimeBackend(
    device,
    # Nothing is sent that would pass any of these. The price is that of your contract.
    budget=efaas.Budget(qpu_seconds=120, session_seconds=600, jobs=60),
    options={"resilience_level": 1},  # of IBM's Estimator: readout mitigation
)
print(f"{backend}, calibrated {backend.calibration().taken_at:%d %B %Y, %H:%M}")
cost = backend.cost(ansatz, hamiltonian, shots=1024)
print(f"an evaluation alone is expected to take {cost.qpu_seconds:.1f} s of QPU time")

with efaas.EFSession(backend, seed=7) as session:
    energy = session.objective(ansatz, hamiltonian, shots=1024)
    result = efaas.minimize(energy, start, method="COBYLA", options={"maxiter": 20})
    report = session.report()

print(f"energy {result.fun + repulsion:.4f} hartree, exact {exact:.4f}; {result.message}")
print(f"{result.speculation}; mode {backend.mode!r}")
print(report)
for event in backend.events:
    print(f"{event.kind}: {event.message}")
backend.close()
