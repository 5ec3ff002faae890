"""HTTP GET with strict limits."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPResponse, InvalidURL
from urllib.parse import urljoin, urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request

from bench.core.errors import BenchError

OFFLINE = "BENCH_OFFLINE"

_MOVED = (301, 302, 303, 307, 308)
_REDIRECTS = 5


class UnusableSource(BenchError):
    """Raised for a source that cannot provide the file; retries are pointless."""


def refuse_offline(what: str) -> None:
    """Check that network access is allowed.

    Raises:
        BenchError: BENCH_OFFLINE is set.
    """
    if os.environ.get(OFFLINE, "0") not in ("", "0"):
        raise BenchError(
            f"{what} needs a download, but {OFFLINE} forbids connections: unset it, "
            "or bring the file from another machine with `bench weights add`."
        )


@contextmanager
def http_get(
    address: str, headers: Mapping[str, str], patience: float, *, plain: bool
) -> Iterator[HTTPResponse]:
    """Return the response to a GET of any status, after at most five redirects.

    Redirects are followed here and not by urllib, which reads the whole body of each, allows ftp,
    and would step down from https to http.

    Args:
        address: https, or http where `plain` allows it.
        headers: request headers.
        patience: seconds without a byte after which the connection is given up.
        plain: whether http will do, since a known hash decides about the content.

    Raises:
        UnusableSource: an address that must not be followed, or too many redirects.
        OSError, http.client.HTTPException: the network's failures.
    """
    opener = OpenerDirector()
    for handler in (ProxyHandler(), HTTPHandler(), HTTPSHandler()):
        opener.add_handler(handler)
    location = address
    for _ in range(_REDIRECTS + 1):
        try:
            address = urljoin(address, location)
            _check(address, plain)
            request = Request(address, headers={"User-Agent": "bench", **headers})  # noqa: S310 - checked
            answer: HTTPResponse = opener.open(request, timeout=patience)
        except (ValueError, InvalidURL):
            raise UnusableSource(
                f"it redirects to {location!r}, which is not an address."
            ) from None
        if answer.status not in _MOVED:
            with answer:
                yield answer
            return
        answer.close()
        plain = plain and urlsplit(address).scheme == "http"
        location = answer.headers.get("Location", "")
    raise UnusableSource(f"it redirects more than {_REDIRECTS} times.")


def _check(address: str, plain: bool) -> None:
    scheme = urlsplit(address).scheme
    if scheme != "https" and not (plain and scheme == "http"):
        wanted = "http or https" if plain else "https"
        raise UnusableSource(f"it redirects to {address}, which is not {wanted}.")
