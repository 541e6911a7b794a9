"""A sampler primitive over a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qiskit.primitives import BaseSamplerV2

from efaas.errors import InputError
from efaas.primitives.job import SessionJob, submitted
from efaas.primitives.options import SamplerOptions
from efaas.primitives.pubs import DEFAULT_SHOTS, checked_shots, sampler_request, several

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from efaas.primitives.pubs import SubmitsEvaluations

__all__ = ["SessionSampler"]


class SessionSampler(BaseSamplerV2):  # type: ignore[misc]  # Qiskit ships no types
    """Measured bits of pubs, sampled by a session; made by ``session.sampler()``.

    All pubs of a ``run`` are queued before any is waited for.
    """

    def __init__(
        self,
        session: SubmitsEvaluations,
        *,
        default_shots: int = DEFAULT_SHOTS,
        loop: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Build on a session.

        Args:
            session: What runs the evaluations.
            default_shots: Shots where neither pub nor ``run`` names a number.
            loop: Evaluations of one experiment and one loop run on one device.
            options: The same as scripts for other primitives have it: see ``options``.

        Raises:
            ShotsError: ``default_shots`` is no whole number of 1 or more.
            UnknownOptionError: There is no such option.
        """
        self._session = session
        self._options = SamplerOptions({"default_shots": default_shots, **(options or {})})
        self._loop = loop

    @property
    def options(self) -> SamplerOptions:
        """``default_shots``, which can be set."""
        return self._options

    @property
    def default_shots(self) -> int:
        """Shots where neither pub nor ``run`` names a number."""
        return self._options.default_shots

    def run(self, pubs: Iterable[Any], *, shots: int | None = None) -> SessionJob:
        """The job of the pubs, already queued.

        Args:
            pubs: Sampler pubs in any of Qiskit's forms.
            shots: Shots for the pubs that name none.

        Raises:
            InputError: A pub cannot be used; nothing was queued.
            ClosedError: The session is closed.
        """
        if shots is not None:
            shots = checked_shots(shots)
        requests = []
        for index, pub in enumerate(several(pubs)):
            try:
                requests.append(sampler_request(pub, shots, default_shots=self.default_shots))
            except InputError as error:
                error.add_note(f"in pub {index}")
                raise
        return submitted(self._session, requests, loop=self._loop)
