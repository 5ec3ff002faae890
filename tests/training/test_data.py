"""Training images: what is read, in which order, and what is refused."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.core.errors import BenchError
from bench.core.files import write_bytes
from bench.images import encode_png, resize_bicubic
from bench.training.data import load_training_images
from tests.small import photos, picture

NAMES = ("b.png", "a/c.png", "a/b.PNG", "B.png")


def folder(root: Path) -> Path:
    for seed, name in enumerate(NAMES):
        write_bytes(root / name, encode_png(picture(seed)))
    return root


def packed(root: Path, into: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(into, "w") as archive:
        # In the opposite order, and with an entry for each folder, as some programs write them.
        for path in sorted(root.rglob("*"), reverse=True):
            archive.write(path, prefix + str(path.relative_to(root)))
    return into


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    images = load_training_images(folder(tmp_path), 16)
    assert images.pixels.dtype == torch.uint8
    order = [NAMES.index(name) for name in sorted(NAMES)]
    for pixels, seed in zip(images.pixels, order, strict=True):
        np.testing.assert_array_equal(pixels.permute(1, 2, 0).numpy(), picture(seed))


def test_a_zip_gives_the_same_as_its_folder(tmp_path: Path) -> None:
    one = load_training_images(folder(tmp_path / "faces"), 16)
    other = load_training_images(packed(tmp_path / "faces", tmp_path / "faces.zip"), 16)
    assert torch.equal(one.pixels, other.pixels)
    assert one.sha256 == other.sha256


def test_the_hash_follows_names_and_files(tmp_path: Path) -> None:
    hashes = [load_training_images(folder(tmp_path / "a"), 16).sha256]
    assert load_training_images(folder(tmp_path / "same"), 16).sha256 == hashes[0]
    (folder(tmp_path / "b") / "b.png").rename(tmp_path / "b" / "c.png")
    (folder(tmp_path / "c") / "b.png").write_bytes(encode_png(picture(9)))
    (folder(tmp_path / "d") / "b.png").unlink()
    hashes += [load_training_images(tmp_path / name, 16).sha256 for name in "bcd"]
    assert len(set(hashes)) == 4


def test_what_is_no_image_or_hidden_is_left_out(tmp_path: Path) -> None:
    one = load_training_images(folder(tmp_path / "faces"), 16)
    for name in ("notes.txt", ".cache/x.png", "__MACOSX/._b.png"):
        write_bytes(tmp_path / "faces" / name, b"no image")
    for source in (tmp_path / "faces", packed(tmp_path / "faces", tmp_path / "faces.zip")):
        assert load_training_images(source, 16).sha256 == one.sha256


@pytest.mark.parametrize(("height", "width"), [(16, 31), (30, 16)])
def test_images_are_cropped_to_the_middle(tmp_path: Path, height: int, width: int) -> None:
    image = picture(0, height, width)
    write_bytes(tmp_path / "x.png", encode_png(image))
    (found,) = load_training_images(tmp_path, 16).pixels.permute(0, 2, 3, 1).numpy()
    top, left = (height - 16) // 2, (width - 16) // 2
    np.testing.assert_array_equal(found, image[top : top + 16, left : left + 16])


def test_larger_images_are_reduced_by_pillows_bicubic(tmp_path: Path) -> None:
    (found, _) = load_training_images(photos(tmp_path, 2, size=24), 16).pixels
    expected = resize_bicubic(picture(0, 24), 16)
    np.testing.assert_array_equal(found.permute(1, 2, 0).numpy(), expected)


def test_a_batch_is_in_the_models_range(tmp_path: Path) -> None:
    images = load_training_images(photos(tmp_path, 3), 16)
    batch = images.batch(torch.tensor([2, 0]))
    assert batch.dtype == torch.float32
    expected = np.stack([picture(2), picture(0)]).transpose(0, 3, 1, 2) / np.float32(127.5) - 1
    np.testing.assert_array_equal(batch.numpy(), expected.astype(np.float32))


def damaged_zip(root: Path) -> Path:
    path = packed(photos(root / "faces", 2), root / "faces.zip")
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 20] ^= 1
    path.write_bytes(data)
    return path


def encrypted_zip(root: Path) -> Path:
    path = packed(photos(root / "faces", 1), root / "faces.zip")
    data = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.rindex(signature) + flags] |= 1
    path.write_bytes(data)
    return path


def broken_image(root: Path) -> Path:
    write_bytes(root / "x.jpg", b"no image")
    return root


def empty_folder(root: Path) -> Path:
    write_bytes(root / "notes.txt", b"")
    return root


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (lambda root: root / "nothing", "nothing is neither a folder nor a zip: give the images"),
        (lambda root: photos(root, 1) / "face-0.png", r"face-0\.png is neither a folder nor a zip"),
        (empty_folder, r"holds no images \(\.bmp, "),
        (lambda root: packed(empty_folder(root / "a"), root / "a.zip"), "a.zip holds no images"),
        (
            lambda root: photos(root, 2, size=15),
            r"/face-0\.png is 15 x 15, smaller than the 16 px to train at",
        ),
        (broken_image, r"/x\.jpg can't be read as an image"),
        (damaged_zip, r"faces\.zip is damaged at face-1\.png \(Bad CRC"),
        (encrypted_zip, r"faces\.zip is damaged at face-0\.png \(.*encrypted"),
    ],
)
def test_unusable_data_are_refused(
    tmp_path: Path, source: Callable[[Path], Path], message: str
) -> None:
    given = source(tmp_path)
    with pytest.raises(BenchError, match=message):
        load_training_images(given, 16)
