# SPDX-License-Identifier: MIT
"""The byte layout of a safetensors file: a writer that can also leave the data as a hole.

A file is a little-endian u64 N, N bytes of JSON, then the tensors' bytes. The writer orders
tensors by the size of their elements (largest first), then by name, and pads the header with
spaces to a multiple of 8.
"""

import json
import os
import struct

import numpy as np

# Bits of one element. Sub-byte types are legal as long as a tensor fills whole bytes.
DTYPE_BITS = {
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
    "U64": 64,
}

DATA_CHUNK = 8 << 20


def elements(shape):
    count = 1
    for dim in shape:
        count *= dim
    return count


def nbytes(dtype, shape):
    bits = elements(shape) * DTYPE_BITS[dtype]
    if bits % 8:
        raise ValueError(f"{dtype} {list(shape)} does not fill whole bytes")
    return bits // 8


def layout(tensors):
    """tensors: {name: (dtype, shape)}. Returns [(name, dtype, shape, begin, end)] in file order."""
    order = sorted(tensors.items(), key=lambda item: (-DTYPE_BITS[item[1][0]], item[0]))
    rows, at = [], 0
    for name, (dtype, shape) in order:
        size = nbytes(dtype, shape)
        rows.append((name, dtype, list(shape), at, at + size))
        at += size
    return rows


def header_json(rows, metadata=None):
    head = {}
    if metadata is not None:
        head["__metadata__"] = metadata
    for name, dtype, shape, begin, end in rows:
        head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    return json.dumps(head, separators=(",", ":"), ensure_ascii=False).encode()


def frame(header, align=8):
    """Length field and header, padded with spaces so that data begin at a multiple of `align`."""
    header += b" " * (-len(header) % align)
    return struct.pack("<Q", len(header)) + header


def seed_of(seed, name):
    """A seed for each tensor, so that its data do not depend on which others are in the file."""
    value = (0xCBF29CE484222325 ^ seed) & (2**64 - 1)
    for byte in name.encode():
        value = ((value ^ byte) * 0x100000001B3) & (2**64 - 1)
    return value


def random_data(dtype, shape, seed, name):
    """Deterministic bytes. Floats are in (-0.05, 0.05), as weights are; others are raw bits."""
    rng = np.random.Generator(np.random.PCG64(seed_of(seed, name)))
    count = elements(shape)
    if dtype in ("F32", "F16", "BF16", "F64"):
        values = rng.random(count, dtype=np.float32)
        values -= np.float32(0.5)
        values *= np.float32(0.1)
        if dtype == "BF16":
            return (values.view("<u4") >> 16).astype("<u2").tobytes()
        return values.astype({"F32": "<f4", "F16": "<f2", "F64": "<f8"}[dtype]).tobytes()
    if dtype == "BOOL":
        return rng.integers(0, 2, count, dtype=np.uint8).tobytes()
    if dtype == "I64" and name.endswith("position_ids"):
        return np.arange(count, dtype="<i8").tobytes()
    return rng.bytes(nbytes(dtype, shape))


def write(path, tensors, metadata=None, seed=0, sparse=False, data=None):
    """Writes {name: (dtype, shape)} to path and returns the bytes of tensor data.

    The data come from `data` ({name: bytes}) or else from `random_data`; with `sparse` they are a
    hole, which reads as zeros and takes neither time nor disk.
    """
    rows = layout(tensors)
    total = rows[-1][4] if rows else 0
    head = frame(header_json(rows, metadata))
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "wb") as out:
        out.write(head)
        if sparse:
            out.truncate(len(head) + total)
            return total
        for name, dtype, shape, begin, end in rows:
            blob = data[name] if data is not None else random_data(dtype, shape, seed, name)
            if len(blob) != end - begin:
                raise ValueError(f"{name}: {len(blob)} bytes of data, {end - begin} expected")
            for start in range(0, len(blob), DATA_CHUNK):
                out.write(blob[start:start + DATA_CHUNK])
    return total


def read_header(path):
    """A file of this module: (metadata, {name: (dtype, shape, begin, end)}, start of the data)."""
    with open(path, "rb") as file:
        size = struct.unpack("<Q", file.read(8))[0]
        head = json.loads(file.read(size))
    metadata = head.pop("__metadata__", None)
    rows = {k: (v["dtype"], v["shape"], *v["data_offsets"]) for k, v in head.items()}
    return metadata, rows, 8 + size
