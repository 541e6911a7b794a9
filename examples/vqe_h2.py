"""The ground state of H2 by VQE, on the noise of a 133-qubit IBM device."""

import time

import matplotlib.pyplot as plt
import numpy as np
from qiskit.circuit.library import efficient_su2
from qiskit.quantum_info import SparsePauliOp

import efaas

# H2 at 0.735 angstrom, STO-3G, Jordan-Wigner (the Hamiltonian of Qiskit Nature's tutorials),
# in hartree. The repulsion of the two nuclei is added at the end.
HAMILTONIAN = SparsePauliOp.from_list(
    [
        *(("IIII", -0.81054798), ("IIIZ", 0.17218393), ("IIZI", -0.22575349)),
        *(("IZII", 0.17218393), ("ZIII", -0.22575349), ("IIZZ", 0.12091263)),
        *(("IZIZ", 0.16892754), ("ZIIZ", 0.16614543), ("IZZI", 0.16614543)),
        *(("ZIZI", 0.17464343), ("ZZII", 0.12091263), ("XXXX", 0.04523280)),
        *(("XXYY", 0.04523280), ("YYXX", 0.04523280), ("YYYY", 0.04523280)),
    ]
)
NUCLEAR_REPULSION = 0.71996899
