"""The identity of a test set: every field of its plan, its images and their degradation counts."""

from dataclasses import fields, replace
from typing import Any

from bench.testsets.degradation import Parameters
from bench.testsets.manifest import FORMAT, Entry, Manifest, Plan

PARAMETERS = Parameters(r=4.0, s=41, sigma=1.5, delta=3.0, q=50, noise=7)
ENTRY = Entry(
    id="face-0",
    hr="hr/face-0.png",
    lr="lr/face-0.png",
    hr_sha256="1" * 64,
    lr_sha256="2" * 64,
    source="face-0.jpg",
    source_sha256="3" * 64,
    parameters=PARAMETERS,
)
OTHER = replace(ENTRY, id="face-1", hr_sha256="4" * 64, lr_sha256="5" * 64)
PLAN = Plan("celeba", 64, 1, "blind", 0, (0.0, 0.0, 1.0, 1.0), None, 512)
MANIFEST = Manifest(FORMAT, PLAN, "none", (ENTRY, OTHER))

PLANS: dict[str, Any] = {
    "recipe": "ffhq",
    "size": 128,
    "scale": 8,
    "degradation": "severe",
    "seed": 1,
    "crop": (0.0, 0.0, 1.0, 0.5),
    "aligned": "dlib",
    "ranges_for": 256,
    "noise": 0.05,
    "noise_unit": "unit",
}
ENTRIES: dict[str, Any] = {
    "id": "face-9",
    "hr": "hr/face-9.png",
    "lr": "lr/face-9.png",
    "hr_sha256": "a" * 64,
    "lr_sha256": "b" * 64,
    "source": "face-9.jpg",
    "source_sha256": "c" * 64,
    "parameters": None,
    "measurement": "measured/face-9.npy",
    "measurement_sha256": "d" * 64,
}
DRAWN: dict[str, Any] = {"r": 5.0, "s": 21, "sigma": 2.5, "delta": 4.0, "q": 60, "noise": 8}


def test_every_field_of_the_plan_counts() -> None:
    assert PLANS.keys() == {field.name for field in fields(Plan)}
    others = [replace(PLAN, **{name: value}) for name, value in PLANS.items()]
    made = {replace(MANIFEST, plan=plan).sha256 for plan in (PLAN, *others)}
    assert len(made) == 1 + len(PLANS)


def test_every_field_of_an_image_and_of_its_degradation_counts() -> None:
    assert ENTRIES.keys() == {field.name for field in fields(Entry)}
    assert DRAWN.keys() == {field.name for field in fields(Parameters)}
    drawn = [replace(PARAMETERS, **{name: value}) for name, value in DRAWN.items()]
    others = [
        *(replace(ENTRY, **{name: value}) for name, value in ENTRIES.items()),
        *(replace(ENTRY, parameters=parameters) for parameters in drawn),
    ]
    made = {replace(MANIFEST, images=(entry, OTHER)).sha256 for entry in (ENTRY, *others)}
    assert len(made) == 1 + len(others)


def test_the_order_and_the_number_of_images_count() -> None:
    orders = [(ENTRY, OTHER), (OTHER, ENTRY), (ENTRY,), (ENTRY, OTHER, OTHER)]
    assert len({replace(MANIFEST, images=images).sha256 for images in orders}) == len(orders)


def test_what_no_pixel_depends_on_does_not_count() -> None:
    assert replace(MANIFEST, licence="MIT", without_face=("x",)).sha256 == MANIFEST.sha256
