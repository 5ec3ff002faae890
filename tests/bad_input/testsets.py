"""Test sets that were edited, moved or written by another version."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.core.files import write_bytes, write_json
from tests.bad_input.case import Arrange, Refused

FOLDER = Path("testsets/tiny")


def edited(change: Callable[[dict[str, Any]], object]) -> Arrange:
    """Change the values of the manifest."""

    def make(home: Path) -> None:
        file = home / FOLDER / "manifest.json"
        value = json.loads(file.read_bytes())
        change(value)
        write_json(file, value)

    return make


def manifest(text: str) -> Arrange:
    return lambda home: write_bytes(home / FOLDER / "manifest.json", text.encode())


def entry(**values: Any) -> Arrange:
    return edited(lambda value: value["images"][0].update(values))


def plan(**values: Any) -> Arrange:
    return edited(lambda value: value["plan"].update(values))


def picture(data: bytes) -> Arrange:
    return lambda home: write_bytes(home / FOLDER / "lr" / "face-0.png", data)


def swapped(home: Path) -> None:
    """Replace an image by a link to an equal one outside."""
    file = home / FOLDER / "hr" / "face-0.png"
    file.rename(home / "elsewhere.png")
    file.symlink_to(home / "elsewhere.png")


def folder_in_place(home: Path) -> None:
    file = home / FOLDER / "lr" / "face-0.png"
    file.unlink()
    file.mkdir()


def refused(make: Arrange, *says: str, command: str = "run", code: int = 1) -> Refused:
    return Refused(command, says, make, code)


MANIFEST = "testsets/tiny/manifest.json"
DAMAGED = (f"{MANIFEST} is damaged",)
AGAIN = "prepare the test set again"
CHANGED = ("Test set tiny has changed", "prepare it again")
TRUST = "do not use it"

REFUSED = {
    "an empty manifest": refused(manifest(""), *DAMAGED, "a test set's manifest"),
    "half a manifest": refused(manifest('{"format": 1, '), *DAMAGED),
    "a manifest without end": refused(manifest("[" * 100_000), *DAMAGED, "too deep"),
    "a manifest that is a list": refused(manifest("[]"), "not a manifest of format 1", AGAIN),
    "a manifest of another version": refused(
        edited(lambda value: value.update(format=2)), "not a manifest of format 1", AGAIN
    ),
    "a manifest without a plan": refused(
        edited(lambda value: value.pop("plan")), *DAMAGED, "lacks 'plan'"
    ),
    "a manifest with a key more": refused(entry(note="x"), *DAMAGED, "has no 'note'"),
    "a manifest of a wrong type": refused(plan(size="16"), *DAMAGED, "a whole number"),
    "a manifest without images": refused(
        edited(lambda value: value.update(images=[])), "has no image", AGAIN
    ),
    "an image twice": refused(
        edited(lambda value: value["images"].append(value["images"][0])), "an image twice", AGAIN
    ),
    "a scale of none": refused(plan(scale=0), "scale 0", AGAIN),
    "a negative size": refused(plan(size=-16), "size -16", AGAIN),
    "an id with a way out": refused(entry(id="../../x"), "'../../x'", TRUST),
    "an id from the root": refused(entry(id="/etc/passwd"), "'/etc/passwd'", TRUST),
    "an id with Windows' way out": refused(entry(id="..\\..\\x"), "separator", TRUST),
    "an id with NUL": refused(entry(id="a\0b"), "'a\\x00b'", "control character", TRUST),
    "an id with a line break": refused(entry(id="a\nb"), "'a\\nb'", "control character", TRUST),
    "an id that is no text": refused(entry(id="\ud800"), "has text that is not UTF-8", "damaged"),
    "no id": refused(entry(id=""), "is blank", TRUST),
    "a picture elsewhere": refused(entry(lr="../../photos/face-0.png"), "outside", TRUST),
    "a picture at the root": refused(entry(hr="/etc/passwd"), "'/etc/passwd'", "outside", TRUST),
    "a picture with NUL": refused(entry(hr="hr/\0.png"), "outside", TRUST),
    "a picture that is a link out": refused(swapped, "hr/face-0.png", "outside", TRUST),
    "a hash that was edited": refused(
        entry(lr_sha256="0" * 64), "lr/face-0.png has changed", *CHANGED
    ),
    "a hash of the source that was edited": refused(
        entry(source_sha256="0" * 64),
        "tiny holds a test set made from other images",
        "--name",
        command="prepare celeba --source photos --scale 4 --name tiny",
    ),
    "a picture that is missing": refused(
        lambda home: (home / FOLDER / "lr" / "face-0.png").unlink(), "is missing", *CHANGED
    ),
    "a picture that was replaced": refused(picture(b"x"), "lr/face-0.png has changed", *CHANGED),
    "a folder in a picture's place": refused(
        folder_in_place,
        "is missing",
        *CHANGED,
    ),
    "verify: a picture more": refused(
        lambda home: write_bytes(home / FOLDER / "lr" / "odd.png", b""),
        "1 files of tiny have changed or are missing",
        command="verify tiny",
    ),
    "no test set any more": Refused(
        "run",
        ("There is no test set 'tiny'", "`bench prepare` makes one"),
        lambda home: (home / FOLDER / "manifest.json").unlink(),
        2,
    ),
    "a note of the last one that is no text": refused(
        lambda home: write_bytes(home / "testsets" / ".last", b"\xff\xfe"),
        "There is no test set",
        code=2,
    ),
    "pictures of another size than the plan's": refused(
        plan(size=32, scale=8), "face-0.png is not 32 x 32", *CHANGED
    ),
}
