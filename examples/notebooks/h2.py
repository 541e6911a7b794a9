"""The hydrogen molecule on two qubits, at any bond length, computed from its basis functions.

Each atom has one orbital, a sum of three Gaussians (STO-3G). By symmetry the molecule's orbitals
are the sum g and the difference u of the two, so nothing has to be iterated. Of two electrons of
opposite spin, one qubit says where the first is, the other where the second is: the parity mapping
with its two symmetries taken off.

Source: the integrals are those of Szabo and Ostlund, Modern Quantum Chemistry, appendix A; the
basis is that of Hehre, Stewart and Pople, J. Chem. Phys. 51, 2657 (1969), with the digits of the
Basis Set Exchange.

    python examples/notebooks/h2.py

prints the lowest energy at some bond lengths, and the Hamiltonian.
"""

import math
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from qiskit.quantum_info import SparsePauliOp

EXPONENTS = (3.42525091, 0.62391373, 0.16885540)
WEIGHTS = (0.15432897, 0.53532814, 0.44463454)
BOHR = 0.529177210903  # angstrom


def hydrogen(distance: float) -> SparsePauliOp:
    """The energy of the molecule in hartree, the repulsion of its nuclei included.

    In Hartree-Fock's state both electrons are in g: qubit 0 is 1, and qubit 1 is 0.

    Args:
        distance: Of the nuclei, in angstrom; more than 0.
    """
    apart = distance / BOHR
    overlap, one, two = integrals(apart)
    g = np.array([1.0, 1.0]) / math.sqrt(2 + 2 * overlap)
    u = np.array([1.0, -1.0]) / math.sqrt(2 - 2 * overlap)

    def repulsion(p: Any, q: Any, r: Any, s: Any) -> float:
        return float(np.einsum("i,j,k,l,ijkl", p, q, r, s, two))

    both_in_g = 2 * g @ one @ g + repulsion(g, g, g, g)
    both_in_u = 2 * u @ one @ u + repulsion(u, u, u, u)
    one_in_each = g @ one @ g + u @ one @ u + repulsion(g, g, u, u)
    terms = {
        "II": (both_in_g + both_in_u + 2 * one_in_each) / 4 + 1 / apart,
        "IZ": (both_in_u - both_in_g) / 4,
        "ZI": (both_in_g - both_in_u) / 4,
        "ZZ": (2 * one_in_each - both_in_g - both_in_u) / 4,
        "XX": repulsion(g, u, g, u),  # both electrons change their orbital
    }
    return SparsePauliOp(list(terms), np.array(list(terms.values())))


def ground_energy(distance: float) -> float:
    """The lowest energy of the molecule in this basis, in hartree, by diagonalization."""
    return float(np.linalg.eigvalsh(hydrogen(distance).to_matrix())[0])


class Gaussian(NamedTuple):
    """One of the three of an atom's orbital, normalized; lengths in bohr."""

    exponent: float
    weight: float
    at: float


def integrals(apart: float) -> tuple[float, Any, Any]:
    """Of the two atoms' orbitals: overlap, energies of one electron, repulsions of two.

    Args:
        apart: Distance of the nuclei, in bohr.
    """
    orbitals = [
        [
            Gaussian(a, w * (2 * a / math.pi) ** 0.75, at)
            for a, w in zip(EXPONENTS, WEIGHTS, strict=True)
        ]
        for at in (0.0, apart)
    ]
    overlaps, one, two = np.zeros((2, 2)), np.zeros((2, 2)), np.zeros((2, 2, 2, 2))
    for i, j in product(range(2), repeat=2):
        for a, b in product(orbitals[i], orbitals[j]):
            weight = a.weight * b.weight
            overlaps[i, j] += weight * overlap_of(a, b)
            one[i, j] += weight * (kinetic(a, b) + sum(attraction(a, b, at) for at in (0.0, apart)))
    for place in product(range(2), repeat=4):
        for a, b, c, d in product(*(orbitals[atom] for atom in place)):
            two[place] += a.weight * b.weight * c.weight * d.weight * repulsion_of(a, b, c, d)
    return float(overlaps[0, 1]), one, two


def overlap_of(a: Gaussian, b: Gaussian) -> float:
    both = a.exponent + b.exponent
    shrunk = math.exp(-a.exponent * b.exponent / both * (a.at - b.at) ** 2)
    return shrunk * math.pow(math.pi / both, 1.5)


def kinetic(a: Gaussian, b: Gaussian) -> float:
    reduced = a.exponent * b.exponent / (a.exponent + b.exponent)
    return reduced * (3 - 2 * reduced * (a.at - b.at) ** 2) * overlap_of(a, b)


def attraction(a: Gaussian, b: Gaussian, nucleus: float) -> float:
    both = a.exponent + b.exponent
    return (
        -2
        * math.sqrt(both / math.pi)
        * overlap_of(a, b)
        * boys(both * (centre(a, b) - nucleus) ** 2)
    )


def repulsion_of(a: Gaussian, b: Gaussian, c: Gaussian, d: Gaussian) -> float:
    left, right = a.exponent + b.exponent, c.exponent + d.exponent
    reduced = left * right / (left + right)
    distance = centre(a, b) - centre(c, d)
    clouds = overlap_of(a, b) * overlap_of(c, d)
    return 2 * math.sqrt(reduced / math.pi) * clouds * boys(reduced * distance**2)


def centre(a: Gaussian, b: Gaussian) -> float:
    return (a.exponent * a.at + b.exponent * b.at) / (a.exponent + b.exponent)


def boys(t: float) -> float:
    """The integral of exp(-t x^2) over x from 0 to 1."""
    return 1 - t / 3 if t < 1e-8 else math.sqrt(math.pi / t) / 2 * math.erf(math.sqrt(t))


if __name__ == "__main__":
    for distance in (0.4, 0.735, 1.0, 1.5, 3.0, 6.0):
        terms = ", ".join(f"{name} {x.real:+.6f}" for name, x in hydrogen(distance).to_list())
        print(f"{distance:5.3f} angstrom: {ground_energy(distance):.6f} hartree ({terms})")
