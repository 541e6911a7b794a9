"""What went wrong with a request, and when it is asked again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from efaas.backends.runtime.faults import Redactor, error_of, fault_of
from efaas.backends.runtime.retry import Fault, RetryPolicy, Trouble
from efaas.errors import AccessError, InputError, ProviderError, UnavailableError

CANARY = "canary-7f3a9c51d2"


def http_error(status: int, body: str = "", **headers: str) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    response._content = body.encode()
    response.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return requests.HTTPError(f"{status} Client Error: {body}", response=response)


def wrapped(error: Exception) -> Exception:
    """As the vendor's client does: the cause is kept, but not shown."""
    from qiskit_ibm_runtime.exceptions import IBMRuntimeError

    try:
        try:
            raise error
        except Exception as first:
            raise IBMRuntimeError(f"Failed to run program: {first}") from None
    except IBMRuntimeError as second:
        return second


@pytest.mark.parametrize(
    ("status", "trouble"),
    [
        (401, Trouble.ACCESS),
        (403, Trouble.ACCESS),
        (404, Trouble.NOT_FOUND),
        (409, Trouble.CONFLICT),
        (422, Trouble.REFUSED),
        (429, Trouble.LIMITED),
        (500, Trouble.SERVER),
        (503, Trouble.SERVER),
    ],
)
def test_the_status_is_found_below_what_the_client_wraps_it_in(
    status: int, trouble: Trouble
) -> None:
    fault = fault_of(wrapped(http_error(status)), Redactor())
    assert (fault.trouble, fault.status) == (trouble, status)


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (requests.exceptions.ReadTimeout("no answer"), Trouble.TIMEOUT),
        (requests.exceptions.ConnectTimeout("no answer"), Trouble.TIMEOUT),
        (requests.exceptions.ConnectionError("reset"), Trouble.CONNECTION),
        (requests.exceptions.ChunkedEncodingError("cut off"), Trouble.CONNECTION),
        (requests.exceptions.JSONDecodeError("no JSON", "<html>", 0), Trouble.GARBLED),
        (KeyError("id"), Trouble.GARBLED),
    ],
)
def test_what_is_no_answer_is_told_apart(error: Exception, trouble: Trouble) -> None:
    fault = fault_of(wrapped(error) if trouble is not Trouble.GARBLED else error, Redactor())
    assert fault.trouble is trouble
    assert not fault.trouble.had_no_effect


def test_a_retry_after_is_read_as_seconds_and_as_a_date() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    seconds = fault_of(http_error(429, Retry_After="17"), Redactor(), now=now)
    date = fault_of(
        http_error(503, Retry_After="Thu, 01 Jan 2026 00:01:00 GMT"), Redactor(), now=now
    )
    nonsense = fault_of(http_error(503, Retry_After="soon"), Redactor(), now=now)
    assert [f.retry_after_seconds for f in (seconds, date, nonsense)] == [17.0, 60.0, None]


passing = st.sampled_from([Trouble.LIMITED, Trouble.SERVER, Trouble.CONNECTION, Trouble.GARBLED])
jitters = st.floats(0, 1, exclude_max=True)


@given(trouble=passing, failures=st.integers(1, 20), jitter=jitters)
def test_waits_are_bounded_and_end(trouble: Trouble, failures: int, jitter: float) -> None:
    policy = RetryPolicy(attempts=8, most_seconds=60.0)
    wait = policy.wait_seconds(Fault(trouble, "no"), failures, jitter=jitter)
    if failures >= 8:
        assert wait is None
    else:
        assert wait is not None
        assert 0.5 * min(60.0, 0.5 * 2 ** (failures - 1)) <= wait <= 60.0


@given(seconds=st.floats(0, 900), jitter=jitters)
def test_the_servers_own_wait_is_never_cut_short(seconds: float, jitter: float) -> None:
    fault = Fault(Trouble.LIMITED, "429", 429, retry_after_seconds=seconds)
    wait = RetryPolicy().wait_seconds(fault, 1, jitter=jitter)
    assert wait is not None
    assert seconds <= wait <= seconds + 0.5


@given(jitter=jitters, failures=st.integers(1, 5))
@pytest.mark.parametrize("trouble", [Trouble.ACCESS, Trouble.REFUSED, Trouble.CLIENT])
def test_what_cannot_pass_is_not_asked_again(
    trouble: Trouble, jitter: float, failures: int
) -> None:
    assert RetryPolicy().wait_seconds(Fault(trouble, "no"), failures, jitter=jitter) is None


def test_a_wait_that_is_too_long_is_not_obeyed_but_given_up() -> None:
    fault = Fault(Trouble.LIMITED, "429", 429, retry_after_seconds=10_000.0)
    assert RetryPolicy().wait_seconds(fault, 1, jitter=0.0) is None


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (Fault(Trouble.ACCESS, "no", 401), AccessError, "save_account"),
        (Fault(Trouble.ACCESS, "no", 403), AccessError, "plan"),
        (Fault(Trouble.SERVER, "down", 503), UnavailableError, "could not be reached"),
        (Fault(Trouble.NOT_FOUND, "no job", 404), ProviderError, "refused"),
    ],
)
def test_an_error_says_what_to_do(fault: Fault, kind: type[ProviderError], says: str) -> None:
    error = error_of(fault, "sending", job_id="j1")
    assert type(error) is kind
    assert says in str(error)
    assert error.job_id == "j1"


@given(
    before=st.text(max_size=20),
    after=st.text(max_size=20),
    form=st.sampled_from(["{}", "Bearer {}", "token={}", '"apikey": "{}"', "https://x/?k={}"]),
)
def test_no_text_keeps_a_secret_that_was_learned(before: str, after: str, form: str) -> None:
    redactor = Redactor()
    redactor.learn(CANARY)
    assert CANARY not in redactor.clean(before + form.format(CANARY) + after)
    assert CANARY not in repr(redactor)


def test_tokens_are_taken_out_that_nobody_told_of() -> None:
    token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln"
    text = f"Authorization: Bearer {token} and again {token}"
    assert token not in Redactor().clean(text)
    assert "apikey: hush" not in Redactor().clean("apikey: hush")


@pytest.mark.parametrize(
    "fields", [{"attempts": 0}, {"first_seconds": 0.0}, {"factor": 0.5}, {"most_seconds": -1.0}]
)
def test_a_policy_that_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        RetryPolicy(**fields)
