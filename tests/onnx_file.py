"""Write a small ONNX file without the package onnx, which no part of bench needs.

Field numbers are those of onnx.proto3 (onnx/onnx, IR version 8).
"""

import numpy as np

FLOAT, INTS = 1, 7  # TensorProto.DataType, AttributeProto.AttributeType


def embedder(side: int, width: int, seed: int = 0) -> bytes:
    """Return a network from images [N, side, side, 3] to embeddings [N, width].

    It averages squares of a seventh of the side and multiplies them by a random matrix.
    """
    square = side // 7
    weights = np.random.default_rng(seed).normal(size=(7 * 7 * 3, width)).astype("<f4")
    nodes = [
        _node("Transpose", ["x"], "planes", perm=[0, 3, 1, 2]),
        _node("AveragePool", ["planes"], "means", kernel_shape=[square] * 2, strides=[square] * 2),
        _node("Flatten", ["means"], "flat"),
        _node("MatMul", ["flat", "weights"], "y"),
    ]
    tensor = [
        *(_number(1, size) for size in weights.shape),
        _number(2, FLOAT),
        _text(8, "weights"),
        _field(9, weights.tobytes()),
    ]
    graph = [
        *(_field(1, node) for node in nodes),
        _text(2, "embedder"),
        _field(5, b"".join(tensor)),
        _field(11, _value("x", ["N", side, side, 3])),
        _field(12, _value("y", ["N", width])),
    ]
    opset = _text(1, "") + _number(2, 13)
    return _number(1, 8) + _field(7, b"".join(graph)) + _field(8, opset)


def _node(kind: str, inputs: list[str], output: str, **attributes: list[int]) -> bytes:
    parts = [*(_text(1, name) for name in inputs), _text(2, output), _text(4, kind)]
    for name, values in attributes.items():
        numbers = b"".join(_number(8, value) for value in values)
        parts.append(_field(5, _text(1, name) + numbers + _number(20, INTS)))
    return b"".join(parts)


def _value(name: str, shape: list[int | str]) -> bytes:
    """Return a tensor's name, type and shape; a text is a dimension of any size."""
    sizes = (_text(2, size) if isinstance(size, str) else _number(1, size) for size in shape)
    dimensions = b"".join(_field(1, size) for size in sizes)
    tensor = _number(1, FLOAT) + _field(2, dimensions)
    return _text(1, name) + _field(2, _field(1, tensor))


def _text(field: int, value: str) -> bytes:
    return _field(field, value.encode())


def _field(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    groups = []
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])
