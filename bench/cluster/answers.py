"""Ray's answers, and its errors as sentences."""

from collections.abc import Mapping
from typing import Any, NoReturn

from bench.core.errors import BenchError
from bench.core.progress import notice

PATIENCE = 20.0
"""Seconds before a notice that no worker could be placed."""


def answer(ray: Any, reference: Any) -> Any:
    """Return Ray's answer.

    Raises:
        BenchError: the remote BenchError, a missing package, or no response.
    """
    from ray.exceptions import RayError, RayTaskError

    try:
        return ray.get(reference)
    except RayTaskError as error:
        raise_cause(error)
    except RayError as error:
        raise BenchError(f"The cluster does not respond: {first_line(str(error))}.") from error


def raise_cause(error: Any) -> NoReturn:
    """Raise the exception of a worker.

    Raises:
        BenchError: the worker raised one, or a package is missing there.
    """
    cause = error.cause
    if isinstance(cause, BenchError):
        raise type(cause)(str(cause)) from None
    if isinstance(cause, ModuleNotFoundError):
        raise BenchError(
            f"{cause.name} is not installed on every machine of the cluster: install the same "
            "bench there, with the same packages."
        ) from None
    raise error


def tell_to_wait(resources: Mapping[str, float]) -> None:
    """Notify that no worker could be placed yet; `resources` is the request."""
    wanted = " and ".join(f"{n:g} {name[4:].upper()}" for name, n in resources.items() if n)
    notice(f"Waiting for the cluster to provide a worker, which needs {wanted}.")


def first_line(text: str) -> str:
    """Return the first line of Ray's message, without the full stop."""
    return text.strip().partition("\n")[0].rstrip(".:")
