"""A partial download and its version."""

from dataclasses import asdict, dataclass
from pathlib import Path

from bench.core.errors import BenchError
from bench.core.files import read_json, write_json
from bench.core.validation import read_back


@dataclass(frozen=True)
class Version:
    """Version of a served file; `length` is that of the complete file."""

    source: str
    length: int | None
    etag: str | None
    modified: str | None


class Partial:
    """The downloaded part of `target`, in a hidden file beside it.

    It outlives the process on purpose; the next download goes on with it.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f".{target.name}.part")
        self._note = target.with_name(f".{target.name}.part.json")

    def version(self) -> Version | None:
        """Return the version of the partial bytes; None if absent or unknown."""
        if not self.size():
            return None
        try:
            return read_back(Version, read_json(self._note, "a version"), str(self._note))
        except BenchError:
            return None

    def size(self) -> int:
        """Return the number of downloaded bytes."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def begin(self, version: Version) -> None:
        """Discard the downloaded bytes and start another version.

        Raises:
            BenchError: the folder can't be written.
        """
        self.discard()  # first, so that old bytes never get the new note
        write_json(self._note, asdict(version))
        self.append(b"")

    def append(self, piece: bytes) -> None:
        """Append bytes durably.

        Raises:
            BenchError: the bytes can't be written; unlike a network failure, which is an OSError
                too, this is not worth a retry.
        """
        rest = memoryview(piece)
        try:
            with self.path.open("ab", buffering=0) as file:
                while rest:
                    rest = rest[file.write(rest) :]
        except OSError as error:
            raise BenchError(f"{self.path} can't be written: {error.strerror}.") from None

    def discard(self) -> None:
        """Discard the downloaded bytes."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def finish(self) -> None:
        """Rename the partial file to its target."""
        self.path.replace(self.target)
        self._note.unlink(missing_ok=True)
