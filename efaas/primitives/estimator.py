"""An estimator primitive over a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qiskit.primitives import BaseEstimatorV2

from efaas.errors import InputError
from efaas.primitives.job import SessionJob, submitted
from efaas.primitives.options import EstimatorOptions
from efaas.primitives.pubs import DEFAULT_PRECISION, checked_precision, estimator_request, several

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from efaas.primitives.pubs import SubmitsEvaluations

__all__ = ["SessionEstimator"]


class SessionEstimator(BaseEstimatorV2):  # type: ignore[misc]  # Qiskit ships no types
    """Expectation values of pubs, evaluated by a session; made by ``session.estimator()``.

    All pubs of a ``run`` are queued before any is waited for, and so share rounds with each other
    and with whatever else the session has in the queue.
    """

    def __init__(
        self,
        session: SubmitsEvaluations,
        *,
        default_precision: float = DEFAULT_PRECISION,
        loop: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Build on a session.

        Args:
            session: What runs the evaluations.
            default_precision: Standard error to aim at where neither pub nor ``run`` names one; 0
                for exact expectations.
            loop: Evaluations of one experiment and one loop run on one device.
            options: The same and more as scripts for other primitives have it: see ``options``.

        Raises:
            ShotsError: ``default_precision`` is negative or not finite.
            UnknownOptionError: There is no such option.
        """
        self._session = session
        self._options = EstimatorOptions(
            {"default_precision": default_precision, **(options or {})}
        )
        self._loop = loop

    @property
    def options(self) -> EstimatorOptions:
        """``default_precision`` and ``default_shots``, which can be set."""
        return self._options

    @property
    def default_precision(self) -> float:
        """Standard error to aim at where neither pub nor ``run`` names one."""
        return self._options.default_precision

    def run(self, pubs: Iterable[Any], *, precision: float | None = None) -> SessionJob:
        """The job of the pubs, already queued.

        Args:
            pubs: Estimator pubs in any of Qiskit's forms.
            precision: Standard error to aim at for the pubs that name none; it takes
                ``ceil(1 / precision**2)`` shots of each measurement setting, 0 is exact.

        Raises:
            InputError: A pub cannot be used; nothing was queued.
            ClosedError: The session is closed.
        """
        if precision is not None:
            precision = checked_precision(precision)
        requests = []
        for index, pub in enumerate(several(pubs)):
            try:
                requests.append(
                    estimator_request(pub, precision, default_precision=self.default_precision)
                )
            except InputError as error:
                error.add_note(f"in pub {index}")
                raise
        return submitted(self._session, requests, loop=self._loop)
