"""Download a file from the first working address.

What comes is written to a partial file and moved only when its size and hash are right. An
interrupted transfer resumes, now or in the next process, if the server still has the same version
(RFC 9110, sections 13.1.5 and 14).
"""

import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from bench.core.errors import BenchError
from bench.core.files import sha256_file
from bench.core.locks import hold
from bench.core.progress import notice, progress
from bench.networks.download.connection import UnusableSource, http_get, refuse_offline
from bench.networks.download.partial import Partial, Version

_MEGABYTE = 2**20
_BYTES = "[0-9]{1,18}"  # longest size of a file; Python refuses to parse longer numbers
_BUSY = (408, 425, 429)  # and all from 500 on; retrying may help


@dataclass(frozen=True)
class DownloadLimits:
    """Limits of a download.

    Attributes:
        largest: maximum bytes of a file whose size is not known beforehand.
        patience: seconds without data before a timeout.
        tries: attempts per source, each resuming where the last one stopped.
        pause: seconds between attempts.
    """

    largest: int = 4 * 2**30
    patience: float = 60
    tries: int = 5
    pause: float = 2


@dataclass(frozen=True)
class ExpectedFile:
    """Expected hexadecimal hash, and size in bytes, of a file; None if unknown."""

    sha256: str | None = None
    size: int | None = None


class _Broken(Exception):
    """Raised if a transfer failed and may succeed on retry."""


def download(
    sources: Sequence[str], target: Path, wanted: ExpectedFile, limits: DownloadLimits | None = None
) -> str:
    """Download a file to `target` unless it exists, and return its sha256.

    Two processes that fetch the same file wait for each other. An interrupted download keeps what
    has arrived, for the next one.

    Raises:
        BenchError: no source gives the file, with what each said; or it can't be written; or
            BENCH_OFFLINE is set.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    # A kernel lock, which ends with the process.
    with target.with_name(f".{target.name}.lock").open("a") as lock:
        hold(lock.fileno(), target, notice)
        if target.is_file():
            digest = sha256_file(target)
            if wanted.sha256 in (None, digest):
                Partial(target).discard()  # left by a kill after the rename
                return digest
        refuse_offline(target.name)
        failures = []
        for source in sources:
            try:
                return _from(source, Partial(target), wanted, limits or DownloadLimits())
            except UnusableSource as error:
                failures.append(f"{source}: {error}")
        raise BenchError(f"{target.name} can't be downloaded. {' '.join(failures)}")


def is_web_page(path: Path) -> bool:
    """Return True if a file begins like HTML or XML."""
    with path.open("rb") as file:
        return file.read(256).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")


def _from(source: str, partial: Partial, wanted: ExpectedFile, limits: DownloadLimits) -> str:
    """Download the complete file from one source.

    Raises:
        UnusableSource: the source does not have it, or failed too often.
    """
    reason = ""
    for number in range(limits.tries):
        if number:
            time.sleep(limits.pause)
        try:
            resumed = _transfer(source, partial, wanted, limits)
        except _Broken as error:
            reason = str(error)
            continue
        if wanted.sha256 is None and is_web_page(partial.path):
            partial.discard()
            raise UnusableSource("it returned a web page instead of the file.")
        digest = sha256_file(partial.path)
        if wanted.sha256 in (None, digest):
            partial.finish()
            return digest
        partial.discard()
        reason = f"the file has sha256 {digest}, not {wanted.sha256}: refused."
        if not resumed:
            raise UnusableSource(reason)
    raise UnusableSource(f"{reason} Gave up after {limits.tries} tries.")


def _transfer(source: str, partial: Partial, wanted: ExpectedFile, limits: DownloadLimits) -> bool:
    """Complete the partial file; return True if earlier bytes were reused.

    Raises:
        _Broken, UnusableSource: what has arrived is kept where it may be of use.
    """
    known = _resumable(source, partial, wanted)
    start = partial.size() if known else 0
    if known and start == known.length:
        return True
    try:
        plain = wanted.sha256 is not None
        with http_get(source, _headers(known, start), limits.patience, plain=plain) as answer:
            _check_status(answer, partial)
            version, first = _version(source, answer)
            resumed = answer.status == 206
            if resumed and (version, first) != (known, start):
                partial.discard()
                raise _Broken("it changed between two parts.")
            _check_content(version, answer, wanted, limits)
            _check_disk(partial, (version.length or wanted.size or 0) - first)
            if not resumed:
                partial.begin(version)
            _receive(answer, partial, version.length, wanted.size or limits.largest)
    except (OSError, HTTPException) as error:
        raise _Broken(f"the connection failed ({_words(error)}).") from None
    arrived, whole = partial.size(), version.length or wanted.size
    if whole is not None and arrived < whole:
        raise _Broken(f"it stopped after {arrived:,} of {whole:,} bytes.")
    return resumed


def _resumable(source: str, partial: Partial, wanted: ExpectedFile) -> Version | None:
    """Return the version to resume, if any.

    None where bytes of another version would pass unnoticed, now or when the hash is compared.
    """
    known = partial.version()
    if known is None or known.source != source:
        return None
    return known if known.etag or known.modified or wanted.sha256 else None


def _headers(known: Version | None, start: int) -> dict[str, str]:
    headers = {"Accept-Encoding": "identity"}
    if known:
        headers["Range"] = f"bytes={start}-"
        strong = known.etag if known.etag and not known.etag.startswith("W/") else None
        if validator := strong or known.modified:
            headers["If-Range"] = validator
    return headers


def _check_status(answer: HTTPResponse, partial: Partial) -> None:
    if answer.status in (200, 206):
        return
    said = f"it answers {answer.status} {answer.reason}".rstrip() + "."
    if answer.status == 416:  # the file is now shorter than the part
        partial.discard()
        raise _Broken(said)
    if answer.status in _BUSY or answer.status >= 500:
        raise _Broken(said)
    raise UnusableSource(said)


def _version(source: str, answer: HTTPResponse) -> tuple[Version, int]:
    """Return the version in the response, and its first byte (-1: unclear)."""
    headers = answer.headers
    first, length = "0", headers.get("Content-Length", "")
    if answer.status == 206:
        parts = rf"bytes ({_BYTES})-{_BYTES}/({_BYTES}|\*)"
        place = re.fullmatch(parts, headers.get("Content-Range", ""))
        first, length = place.groups() if place else ("-1", "")
    whole = int(length) if re.fullmatch(_BYTES, length) else None
    return Version(source, whole, headers.get("ETag"), headers.get("Last-Modified")), int(first)


def _check_content(
    version: Version, answer: HTTPResponse, wanted: ExpectedFile, limits: DownloadLimits
) -> None:
    if answer.headers.get_content_type() == "text/html":
        raise UnusableSource("it returned a web page instead of the file.")
    if (encoding := answer.headers.get("Content-Encoding", "identity")) != "identity":
        raise UnusableSource(f"it sent the file with an unrequested encoding ({encoding}).")
    if version.length is None:
        return
    if wanted.size is not None and version.length != wanted.size:
        raise UnusableSource(
            f"it offers {version.length:,} bytes, not {wanted.size:,}: another file."
        )
    if wanted.size is None and version.length > limits.largest:
        raise UnusableSource(f"it offers {version.length:,} bytes, more than {limits.largest:,}.")


def _check_disk(partial: Partial, missing: int) -> None:
    free = shutil.disk_usage(partial.path.parent).free
    if missing > free:
        raise BenchError(
            f"{partial.target.name} needs {missing:,} bytes more in {partial.path.parent}, where "
            f"{free:,} are free: free some space, or set BENCH_CACHE to another folder."
        )


def _receive(answer: HTTPResponse, partial: Partial, length: int | None, most: int) -> None:
    """Append the body to the partial file, never more than announced or allowed."""
    bound = most if length is None else length
    arrived = partial.size()
    total = None if length is None else length // _MEGABYTE
    with progress(f"{partial.target.name} (MiB)", total, arrived // _MEGABYTE) as advance:
        while piece := answer.read1(_MEGABYTE):
            if arrived + len(piece) > bound:
                partial.discard()
                raise UnusableSource(f"it sends more than {bound:,} bytes.")
            partial.append(piece)
            before, arrived = arrived, arrived + len(piece)
            advance(arrived // _MEGABYTE - before // _MEGABYTE)


def _words(error: Exception) -> str:
    reason = getattr(error, "reason", None)  # urllib wraps the socket's error
    return str(reason or error) or type(error).__name__
