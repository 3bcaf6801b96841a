# SPDX-License-Identifier: MIT
"""Tensor sets: values, every element type, memory that is shared and stays."""
import gc
import importlib.util

import numpy as np
import pytest
import tensors

import modelmgr

HAVE_ML_DTYPES = importlib.util.find_spec("ml_dtypes") is not None
NUMPY = {
    "BOOL": "?",
    "U8": "u1",
    "I8": "i1",
    "I16": "<i2",
    "U16": "<u2",
    "F16": "<f2",
    "I32": "<i4",
    "U32": "<u4",
    "F32": "<f4",
    "C64": "<c8",
    "F64": "<f8",
    "I64": "<i8",
    "U64": "<u8"
}
FALLBACK = {
    "BF16": "uint16",
    "F8_E4M3": "uint8",
    "F8_E5M2": "uint8",
    "F8_E8M0": "uint8",
    "F8_E4M3FNUZ": "uint8",
    "F8_E5M2FNUZ": "uint8"
}
PACKED = ("F4", "F6_E2M3", "F6_E3M2")


@pytest.fixture
def every_type(tmp_path):
    path = tmp_path / "all.safetensors"
    data = tensors.write(path, {dtype.lower(): (dtype, [2, 4]) for dtype in tensors.BITS})
    return modelmgr.read_tensors(path), data


def test_every_element_type(every_type):
    loaded, data = every_type
    assert list(loaded) == list(data)
    for name, tensor in loaded.items():
        assert tensor.dtype == name.upper() and tensor.shape == (2, 4) and tensor.strides == (4, 1)
        array = tensor.numpy()
        assert tensor.tobytes() == data[name] == array.tobytes(), name
        if tensor.dtype in NUMPY:
            assert array.dtype == np.dtype(NUMPY[tensor.dtype]) and array.shape == (2, 4)
        elif tensor.dtype in PACKED:
            assert array.dtype == np.uint8 and array.ndim == 1
        elif not HAVE_ML_DTYPES:
            assert array.dtype == FALLBACK[tensor.dtype] and array.shape == (2, 4)
        else:
            assert array.dtype.itemsize == np.dtype(FALLBACK[tensor.dtype]).itemsize


def test_scalars_and_empty_tensors(tmp_path):
    path = tmp_path / "a.safetensors"
    data = tensors.write(path, {
        "scalar": ("F32", []),
        "empty": ("F16", [0, 3]),
        "one": ("I64", [1])
    })
    loaded = modelmgr.read_tensors(path)
    assert loaded["scalar"].numpy().shape == () and loaded["scalar"].tobytes() == data["scalar"]
    assert loaded["empty"].numpy().shape == (0, 3) and loaded["empty"].tobytes() == b""
    assert np.asarray(loaded["empty"]).shape == (0, 3)
    assert loaded["one"].numpy().shape == (1, )


def test_views_share_the_memory_and_cannot_write(every_type):
    loaded, _ = every_type
    first, second = loaded["f32"].numpy(), loaded["f32"].numpy()
    assert np.shares_memory(first, second) and np.shares_memory(first, np.asarray(loaded["f32"]))
    assert first.__array_interface__["data"][0] == second.__array_interface__["data"][0]
    assert not first.flags.writeable and not first.flags.owndata
    with pytest.raises(ValueError):
        first[0, 0] = 1
    with pytest.raises(ValueError):
        first.flags.writeable = True
    view = loaded["f32"].memoryview()
    assert view.readonly
    with pytest.raises(TypeError):
        view[0] = 1


def test_views_outlive_everything_else(tmp_path):
    path = tmp_path / "big.safetensors"
    data = tensors.write(path, {"big": ("F32", [1024, 1024]), "other": ("BF16", [512, 512])})
    loaded = modelmgr.read_tensors(path)
    arrays = [
        loaded["big"].numpy(), loaded["other"].numpy()[3:7],
        memoryview(loaded["big"].memoryview())
    ]
    path.unlink()
    del loaded
    gc.collect()
    churn = [np.ones(1 << 20, dtype=np.uint8) for _ in range(16)]  # would reuse freed memory
    assert arrays[0].tobytes() == data["big"]
    assert arrays[1].tobytes() == data["other"][3 * 1024:7 * 1024]
    assert arrays[2].tobytes() == data["big"]
    del churn


def test_the_mapping(every_type):
    loaded, data = every_type
    assert len(loaded) == len(data) and "f32" in loaded and "nope" not in loaded and 7 not in loaded
    assert loaded.nbytes == sum(map(len, data.values())) and loaded.device == "cpu"
    with pytest.raises(KeyError):
        loaded["nope"]
    with pytest.raises(KeyError):
        loaded["f32\0"]


@pytest.mark.parametrize("content, error", [
    (b"", "InvalidFileError"),
    (b"\xff" * 8, "InvalidFileError"),
    ((2).to_bytes(8, "little") + b"[]", "InvalidFileError"),
    ((62).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}      ' +
     bytes(4), "InvalidFileError"),
])
def test_broken_files_are_errors(tmp_path, content, error):
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    with pytest.raises(getattr(modelmgr, error)):
        modelmgr.read_tensors(path)


def test_without_numpy_the_bytes_are_there(tmp_path, python):
    data = tensors.write(tmp_path / "a.safetensors", {"x": ("U8", [5])})
    done = python(
        "import sys; sys.modules['numpy'] = None\n"
        "import modelmgr\n"
        f"print(modelmgr.read_tensors({str(tmp_path / 'a.safetensors')!r})['x'].tobytes().hex())")
    assert done.stdout.strip() == data["x"].hex(), done.stderr
