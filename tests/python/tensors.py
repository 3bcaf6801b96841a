# SPDX-License-Identifier: MIT
"""Safetensors files for tests, of any element type, with the standard library alone."""
import json
import pathlib

# What a file of made-up tensors is said to be, so that a built-in loader takes it.
LORA = {"type": "lora", "format": "lycoris", "base": "sd-1"}

BITS = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64
}


def size_of(dtype, shape):
    bits = BITS[dtype]
    for number in shape:
        bits *= number
    return bits // 8


def write(path, tensors, metadata=None):
    """tensors: {name: (dtype, shape)}; the data count upwards. Returns {name: bytes}."""
    header, data, offset = {}, {}, 0
    if metadata:
        header["__metadata__"] = metadata
    for name, (dtype, shape) in tensors.items():
        size = size_of(dtype, shape)
        fill = bytes((offset + step) % (2 if dtype == "BOOL" else 251) for step in range(size))
        header[name] = {
            "dtype": dtype,
            "shape": list(shape),
            "data_offsets": [offset, offset + size]
        }
        data[name] = fill
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    pathlib.Path(path).write_bytes(len(text).to_bytes(8, "little") + text + b"".join(data.values()))
    return data


def install(manager, path):
    """Record a file of made-up tensors where it is; the record."""
    return manager.install_and_wait(str(path), overrides=LORA, allow_unknown=True, inplace=True,
                                    timeout=60)
