"""A trace as a table of pandas, where pandas is installed."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from efaas.errors import MissingPackageError
from efaas.model.trace import TracedAttempt

if TYPE_CHECKING:
    import pandas as pd

    from efaas.observe.trace import Trace

__all__ = ["to_pandas"]


def to_pandas(trace: Trace) -> pd.DataFrame:
    """The attempts, a row each: the fields of ``TracedAttempt``, instants since the opening.

    Raises:
        MissingPackageError: Pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingPackageError("trace.to_pandas()", package="pandas") from error
    names = [each.name for each in dataclasses.fields(TracedAttempt)]
    frame = pd.DataFrame({n: [getattr(a, n) for a in trace.attempts] for n in names})
    for name in names:
        if name.endswith("_at"):
            frame[name] = frame[name].astype(float) - trace.opened_at
    frame.insert(4, "loop", [trace.loop_names.get(a.loop_id or "", "") for a in trace.attempts])
    return frame
