"""The vendor's primitives, adapted: options passed through, shots, tags, seeds and caps set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from efaas.errors import InputError

if TYPE_CHECKING:
    from efaas.backends.runtime.client import Order

__all__ = ["OLDEST_CLIENT", "Options", "checked_options", "primitive_for"]

OLDEST_CLIENT = (0, 50)
"""The first version of qiskit-ibm-runtime that has the primitives used here."""

_SHOTS_FIELDS = ("default_shots", "default_precision")
_MOST_SEED = 2**31


@dataclass(frozen=True)
class Options:
    """The user's options for each primitive, as fields of the vendor's option models.

    Attributes:
        estimator: For estimates.
        sampler: For samples.
    """

    estimator: Mapping[str, Any]
    sampler: Mapping[str, Any]

    @property
    def noise_factors(self) -> int:
        """How many times each circuit is run for extrapolation to zero noise."""
        resilience = dict(self.estimator.get("resilience") or {})
        level = self.estimator.get("resilience_level", 1)
        is_on = resilience.get("zne_mitigation")
        if not (is_on or (is_on is None and level == 2)):
            return 1
        factors = dict(resilience.get("zne") or {}).get("noise_factors", "auto")
        return 3 if isinstance(factors, str) else len(factors)

    def seeds_of_items(self, kind: str, seeds: Sequence[int]) -> list[int]:
        """The seeds of all items that the primitive makes of pubs, from those of the pubs."""
        if kind == "sample":
            return list(seeds)
        items = [seed for seed in seeds for _ in range(self.noise_factors)]
        return items + list(seeds[:1]) * self.learns_readout

    @property
    def learns_readout(self) -> bool:
        """Whether circuits are added that learn the errors of reading qubits."""
        resilience = dict(self.estimator.get("resilience") or {})
        level = self.estimator.get("resilience_level", 1)
        is_on = resilience.get("measure_mitigation")
        return bool(is_on or (is_on is None and level >= 1))


def checked_options(options: Any, sampler_options: Any) -> Options:
    """The options, once the vendor's models have accepted them.

    Args:
        options: A mapping or ``EstimatorOptions`` of the vendor; None for its defaults.
        sampler_options: The same for samples, a mapping or ``SamplerOptions``; by default those of
            ``options`` that a sampler has, too.

    Raises:
        InputError: The vendor's models do not accept them, or the client is too old.
    """
    estimator_model, sampler_model = _models()
    estimator = _as_fields("options", options, estimator_model)
    if sampler_options is None:
        sampler = {name: v for name, v in estimator.items() if name in sampler_model.model_fields}
        if isinstance(sampler.get("execution"), Mapping):
            sampler["execution"] = dict(sampler["execution"])
    else:
        sampler = _as_fields("sampler_options", sampler_options, sampler_model)
    return Options(estimator, sampler)


def primitive_for(order: Order, mode: Any, options: Options) -> Callable[[bool], Any]:
    """What submits an order when it is called, with whether that is a dry run."""
    estimator_model, sampler_model = _models()
    if order.kind == "estimate":
        from qiskit_ibm_runtime.executor_estimator import Estimator

        estimator_options = estimator_model(**options.estimator)
        estimator_options.default_shots = order.shots
        _complete(estimator_options, order)
        estimator = Estimator(mode=mode, options=estimator_options)
        return lambda dry_run: estimator.run(order.pubs, dry_run=dry_run)
    from qiskit_ibm_runtime.executor_sampler import Sampler

    settings = sampler_model(**options.sampler)
    settings.default_shots = order.shots
    _complete(settings, order)
    sampler = Sampler(mode=mode, options=settings)
    return lambda dry_run: sampler.run(order.pubs, shots=order.shots, dry_run=dry_run)


def _complete(settings: Any, order: Order) -> None:
    tags = [*settings.environment.job_tags, order.tag]
    settings.environment = settings.environment.model_copy(update={"job_tags": tags})
    if order.cap_seconds is not None:
        given = settings.max_execution_time
        settings.max_execution_time = min(order.cap_seconds, given or order.cap_seconds)
    if order.experimental:
        settings.experimental = {**settings.experimental, **order.experimental}
    if order.seed is not None:
        seed = order.seed % _MOST_SEED
        settings.simulator = settings.simulator.model_copy(update={"seed_simulator": seed})


def _models() -> tuple[Any, Any]:
    """The vendor's option models; the names at the top of its package are those of older ones."""
    try:
        from qiskit_ibm_runtime.options_models.estimator import EstimatorOptions
        from qiskit_ibm_runtime.options_models.sampler import SamplerOptions
    except ImportError as error:
        from qiskit_ibm_runtime import __version__ as version

        oldest = ".".join(map(str, OLDEST_CLIENT))
        raise InputError(
            f"RuntimeBackend needs the primitives of qiskit-ibm-runtime {oldest} or newer, and "
            f"{version} is installed: pip install -U qiskit-ibm-runtime"
        ) from error
    return EstimatorOptions, SamplerOptions


def _as_fields(name: str, options: Any, model: Any) -> dict[str, Any]:
    if options is None:
        return {}
    if isinstance(options, model):
        fields = {key: getattr(options, key) for key in options.model_fields_set}
    elif isinstance(options, Mapping):
        fields = dict(options)
    else:
        raise InputError(
            f"{name} is a mapping such as {{'resilience_level': 1}}, or the vendor's "
            f"{model.__name__}; got {options!r}"
        )
    for given in _SHOTS_FIELDS:
        if fields.get(given) is not None:
            raise InputError(
                f"{name} must not set {given}: shots are said where they are asked for, as in "
                "session.objective(circuit, observable, shots=4096)"
            )
        fields.pop(given, None)
    try:
        model(**fields)
    except ValueError as error:
        raise InputError(f"{name} are not what the vendor's primitives take: {error}") from error
    return fields
