"""The best cut of a weighted graph by QAOA, on the noise of a 127-qubit IBM device."""

from qiskit.circuit.library import qaoa_ansatz
from qiskit.quantum_info import SparsePauliOp
from scipy.optimize import OptimizeResult

import efaas

# A ring of eight nodes with two chords; which two-colouring cuts the most weight?
weights = {(0, 1): 1.0, (1, 2): 2.0, (2, 3): 1.5, (3, 4): 1.0, (4, 5): 2.5}
weights |= {(5, 6): 1.0, (6, 7): 2.0, (0, 7): 1.5, (0, 4): 1.0, (2, 6): 0.5}
num_nodes = 8


def cut(bits: str) -> float:
    """The weight between the nodes of colour 0 and of colour 1; node 0 is the last bit."""
    return sum(weight for (i, j), weight in weights.items() if bits[-1 - i] != bits[-1 - j])


# Each edge adds (1 - ZZ) / 2 to the cut, so the least energy is the largest cut.
edges = [("ZZ", [i, j], weight / 2) for (i, j), weight in weights.items()]
cost = SparsePauliOp.from_sparse_list(edges, num_qubits=num_nodes)
mean_cut = sum(weights.values()) / 2
ansatz = qaoa_ansatz(cost, reps=2)


def show_progress(intermediate_result: OptimizeResult) -> None:
    expected = mean_cut - intermediate_result.fun
    print(f"\rexpected cut {expected:7.3f} (random guessing {mean_cut})", end="", flush=True)


with efaas.EFSession("fake_sherbrooke", seed=7) as session:
    energy = session.objective(ansatz, cost, shots=4096)
    start = [-0.4, -0.2, 0.2, 0.4]  # the mixer's angles shrink, the cost's grow, as in annealing
    result = efaas.minimize(energy, start, method="COBYLA", callback=show_progress)
    circuit = ansatz.assign_parameters(result.x)
    circuit.measure_all()
    counts = session.sample(circuit, shots=4096).result().data.meas.get_counts()

best = max(counts, key=cut)
every = [f"{colours:0{num_nodes}b}" for colours in range(2**num_nodes)]
optimum = max(map(cut, every))
print(f"\n{result.speculation}")
print(f"best cut found     {cut(best):5.1f}  {best}")
print(f"best cut there is  {optimum:5.1f}  (all {len(every)} tried)")
hits = sum(count for bits, count in counts.items() if cut(bits) == optimum)
chance = sum(cut(bits) == optimum for bits in every) / len(every)
print(f"shots that hit it  {hits / 4096:6.1%}  (random guessing {chance:.1%})")
print("most likely bit strings:")
for bits in sorted(counts, key=counts.__getitem__, reverse=True)[:6]:
    print(f"  {bits}  {counts[bits] / 4096:6.1%}  cut {cut(bits):5.1f}")
