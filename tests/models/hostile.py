# SPDX-License-Identifier: MIT
"""The corpus of broken, hostile and unusual-but-legal safetensors files and sharded folders.

The name of each case begins with the error code that a strict reader must answer, or with "ok":
for instance `invalid_file__header_len_beyond_file.safetensors`. A case without a dot is a folder
with a sharded index.
"""

import io
import json
import os
import struct
import zipfile

import stfile

# File name -> (topic, function that returns bytes, or [(bytes, size of the file with its hole)]).
CASES = {}


def case(topic, name, suffix=".safetensors"):

    def register(function):
        assert name + suffix not in CASES, name
        CASES[name + suffix] = (topic, function)
        return function

    return register


def put(topic, name, content):
    case(topic, name)(lambda: content)


def raw(header, data=b"", length=None):
    """A file from header text as it stands: no padding, and a length field that may lie."""
    if isinstance(header, str):
        header = header.encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def entry(dtype="F32", shape="[2]", offsets="[0,8]", more=""):
    return f'{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}{more}}}'


def one(text, data=bytes(8), name="a"):
    """A file with one tensor whose entry is `text`."""
    return raw(f'{{"{name}":{text}}}', data)


GOOD = one(entry())


def lengths():
    put("S1", "invalid_file__empty", b"")
    put("S1", "invalid_file__seven_bytes", GOOD[:7])
    put("S1", "invalid_file__length_only", GOOD[:8])
    put("S1", "invalid_file__header_len_zero", raw(b"", bytes(8)))
    put("S1", "invalid_file__header_len_beyond_file", raw('{"a":' + entry() + "}", bytes(8),
                                                          1 << 20))
    put("S1", "invalid_file__header_len_one_beyond_file", raw("{}", b"", 3))
    put("S1", "invalid_file__header_len_max_u64", raw("{}", bytes(64), 2**64 - 1))
    put("S1", "invalid_file__header_len_max_i64", raw("{}", bytes(64), 2**63 - 1))
    put("S1", "invalid_file__header_len_wraps_to_small", raw("{}", bytes(64), 2**64 - 8))
    put("S1", "invalid_file__header_len_big_endian", struct.pack(">Q", 2) + b"{}")
    put("S1", "invalid_file__header_cut_off", raw('{"a":' + entry()[:-12], bytes(8)))
    case("S1", "invalid_file__header_len_over_cap")(
        lambda: [(struct.pack("<Q", 100_000_001) + b"{}", 8 + 100_000_001)])
    put("S1", "invalid_file__html_page",
        b"<!DOCTYPE html><html><body>Not found</body></html>\n" * 8)
    put(
        "S1", "invalid_file__lfs_pointer",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d7a" * 16 +
        b"\nsize 6938040682\n")


def sizes():
    put("S2", "invalid_file__nesting_100000",
        one(entry(more=',"x":' + "[" * 100_000 + "]" * 100_000)))
    put("S2", "invalid_file__nesting_200", one(entry(more=',"x":' + "[" * 200 + "]" * 200)))
    put("S2", "invalid_file__number_of_a_million_digits",
        one(entry(shape="[" + "9" * 1_000_000 + "]")))
    put("S2", "invalid_file__name_of_a_megabyte", one(entry(), name="n" * (1 << 20)))
    put("S2", "invalid_file__name_4097_bytes", one(entry(), name="n" * 4097))
    put("S2", "ok__name_4096_bytes", one(entry(), name="n" * 4096))
    case("S2", "ok__20000_tensors")(lambda: raw(
        "{" + ",".join(f'"blocks.{i}.w":' + entry("U8", "[1]", f"[{i},{i + 1}]")
                       for i in range(20_000)) + "}", bytes(20_000)))


def ranges():
    two = '{"a":%s,"b":%s}'
    case("S3", "invalid_file__overlap_bomb")(
        lambda: raw("{" + ",".join(f'"t{i}":' + entry() for i in range(2000)) + "}", bytes(8)))
    put("S3", "invalid_file__overlap_partial",
        raw(two % (entry(offsets="[0,8]"), entry(offsets="[4,12]")), bytes(12)))
    put("S3", "invalid_file__overlap_inside",
        raw(two % (entry(shape="[4]", offsets="[0,16]"), entry(offsets="[4,12]")), bytes(16)))
    put("S4", "invalid_file__hole_between", raw(two % (entry(), entry(offsets="[16,24]")),
                                                bytes(24)))
    put("S4", "invalid_file__hole_at_start", one(entry(offsets="[8,16]"), bytes(16)))
    put("S4", "invalid_file__hole_before_empty_tensor",
        raw(two % (entry(), entry(shape="[0]", offsets="[12,12]")), bytes(12)))
    put("S4", "invalid_file__trailing_byte", GOOD + b"\0")
    put("S4", "invalid_file__data_one_byte_short", GOOD[:-1])
    put("S4", "invalid_file__no_data", GOOD[:-8])
    put("S4", "invalid_file__bytes_after_no_tensors", raw("{}", b"x"))

    @case("S4", "invalid_file__zip_polyglot")
    def zip_polyglot():
        tail = io.BytesIO()
        with zipfile.ZipFile(tail, "w") as packed:
            packed.writestr(zipfile.ZipInfo("archive/data.pkl"), b"\x80\x02N.")
        return GOOD + tail.getvalue()

    put("S4", "invalid_file__pickle_behind",
        GOOD + b"\x80\x02cos\nsystem\nX\x01\x00\x00\x00:\x85R.")


def offsets():
    bad = {
        "begin_beyond_end": "[8,0]",
        "negative": "[-8,0]",
        "both_negative": "[-8,-16]",
        "float": "[0,8.0]",
        "exponent": "[0,8e0]",
        "string": '["0","8"]',
        "i64_max_plus_one": "[0,9223372036854775808]",
        "u64_overflow": "[0,18446744073709551624]",
        "leading_zero": "[0,08]",
        "null": "null",
        "one": "[8]",
        "three": "[0,8,8]",
        "object": '{"begin":0,"end":8}',
        "true": "[false,8]",
        "beyond_file": "[0,800]",
        "plus_sign": "[0,+8]",
        "hexadecimal": "[0,0x8]",
    }
    for name, text in bad.items():
        put("S5", f"invalid_file__offset_{name}", one(entry(offsets=text)))
    put("S5", "invalid_file__offset_missing", one('{"dtype":"F32","shape":[2]}'))


def shapes():
    bad = {
        "product_overflow": "[4294967296,4294967296,2]",
        "bytes_overflow": "[4611686018427387905]",
        "overflow_before_zero": "[9223372036854775808,4,0]",
        "dim_2_to_64": "[0,18446744073709551616]",
        "size_mismatch": "[3]",
        "negative": "[-2]",
        "negative_pair": "[-1,-2]",
        "float": "[2.0]",
        "exponent": "[2e0]",
        "string": '["2"]',
        "nested": "[[2]]",
        "null": "null",
        "number": "2",
        "5000_dims": "[" + "1," * 4999 + "2]",
    }
    for name, text in bad.items():
        put("S6", f"invalid_file__shape_{name}", one(entry(shape=text)))
    put("S6", "invalid_file__shape_missing", one('{"dtype":"F32","data_offsets":[0,8]}'))
    put("S6", "invalid_file__dtype_unknown", one(entry("F31")))
    put("S6", "invalid_file__dtype_lower_case", one(entry("f32")))
    put("S6", "invalid_file__dtype_empty", one(entry("")))
    put("S6", "invalid_file__dtype_number", one('{"dtype":7,"shape":[2],"data_offsets":[0,8]}'))
    put("S6", "invalid_file__dtype_missing", one('{"shape":[2],"data_offsets":[0,8]}'))
    put("S6", "invalid_file__f4_half_a_byte", one(entry("F4", "[3]", "[0,2]"), bytes(2)))
    put("S6", "invalid_file__f6_part_of_a_byte", one(entry("F6_E2M3", "[3]", "[0,3]"), bytes(3)))


def texts():
    pair = '{"%s":%s,"%s":%s}'
    second = entry(offsets="[8,16]")
    put("S7", "invalid_file__duplicate_name_same_range",
        raw(pair % ("a", entry(), "a", entry()), bytes(8)))
    put("S7", "invalid_file__duplicate_name", raw(pair % ("a", entry(), "a", second), bytes(16)))
    put("S7", "invalid_file__duplicate_name_by_escape",
        raw(pair % ("a", entry(), "\\u0061", entry()), bytes(8)))
    put("S7", "invalid_file__duplicate_field", one(entry(more=',"dtype":"F32"')))
    put("S7", "invalid_file__duplicate_metadata",
        raw('{"__metadata__":{"a":"1"},"__metadata__":{"a":"2"},"a":' + entry() + "}", bytes(8)))
    put("S7", "invalid_file__duplicate_metadata_key",
        raw('{"__metadata__":{"a":"1","a":"2"},"a":' + entry() + "}", bytes(8)))
    for name, text in {
            "number": '{"a":1}', "object": '{"a":{}}', "null_value": '{"a":null}', "list": '["a"]',
            "string": '"a"'
    }.items():
        put("S7", f"invalid_file__metadata_{name}",
            raw('{"__metadata__":%s,"a":%s}' % (text, entry()), bytes(8)))
    put("S7", "invalid_file__leading_space", raw(" {" + f'"a":{entry()}' + "}", bytes(8)))
    put("S7", "invalid_file__bom", raw(b"\xef\xbb\xbf{}"))
    put("S7", "invalid_file__not_an_object", raw("[]"))
    put("S7", "invalid_file__entry_not_an_object", one("[]"))
    put("S7", "invalid_file__entry_null", one("null"))
    put("S7", "invalid_file__two_documents", raw("{}{}"))
    put("S7", "invalid_file__text_behind_json", raw('{"a":' + entry() + "}x", bytes(8)))
    put("S7", "invalid_file__nul_padding", raw(b'{"a":' + entry().encode() + b"}\0\0\0", bytes(8)))
    put("S7", "invalid_file__trailing_comma", raw('{"a":' + entry() + ",}", bytes(8)))
    put("S7", "invalid_file__missing_colon", raw('{"a"' + entry() + "}", bytes(8)))
    put("S7", "invalid_file__single_quotes", raw("{'a':" + entry() + "}", bytes(8)))
    put("S7", "invalid_file__comment", raw("{/**/}"))
    put("S7", "invalid_file__nan", one(entry(more=',"x":NaN')))
    put("S7", "invalid_file__spaces_only", raw(" " * 16))
    names = {
        "nul_escape": b"a\\u0000b",
        "raw_nul": b"a\0b",
        "raw_newline": b"a\nb",
        "raw_escape_char": b"\x1b[31m",
        "utf8_overlong": b"a\xc0\xaf",
        "utf8_stray_continuation": b"a\x80",
        "utf8_cut_off": b"a\xe2\x82",
        "utf8_surrogate": b"a\xed\xa0\x80",
        "utf8_beyond_unicode": b"a\xf4\x90\x80\x80",
        "lone_high_surrogate": b"a\\ud800",
        "lone_low_surrogate": b"a\\udc00",
        "surrogates_swapped": b"a\\ude00\\ud83d",
        "bad_escape": b"a\\x41",
        "escape_cut_off": b"a\\u12",
    }
    for name, text in names.items():
        put("S7", f"invalid_file__name_{name}",
            raw(b'{"' + text + b'":' + entry().encode() + b"}", bytes(8)))


def odd_header():
    text = '{"a":' + entry("F64", "[1]") + "}"
    return raw(text if len(text) % 2 else text + " ", bytes(8))


def legal():
    meta = '{"__metadata__":%s,"a":' + entry() + "}"
    put("S8", "ok__name_parent_path", one(entry(), name="../../etc/passwd"))
    put("S8", "ok__name_ansi_escape", one(entry(), name="\\u001b[31mred\\u001b[0m"))
    put("S8", "ok__name_rtl_override", one(entry(), name="\u202etxt.exe"))
    put("S8", "ok__name_surrogate_pair", one(entry(), name="\\ud83d\\ude00"))
    put("S8", "ok__name_unicode", one(entry(), name="\u5c64.0.\u00fc\U0001f600"))
    put("S8", "ok__name_every_escape", one(entry(), name='\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9'))
    put("S8", "ok__name_with_space", one(entry(), name=" a b "))
    put("6.1", "ok__one_tensor", GOOD)
    put("6.1", "ok__no_tensors", raw("{}"))
    put("6.1", "ok__metadata_only", raw('{"__metadata__":{"format":"pt"}}'))
    put("6.1", "ok__metadata_null", raw(meta % "null", bytes(8)))
    put("6.1", "ok__metadata_empty", raw(meta % "{}", bytes(8)))
    put("6.1", "ok__metadata_unicode",
        raw(meta % '{"\u00e4":"\u65e5\u672c \\n \\ud83d\\ude00","":""}', bytes(8)))
    put("6.1", "ok__metadata_last", raw('{"a":' + entry() + ',"__metadata__":{"k":"v"}}', bytes(8)))
    put("6.1", "ok__metadata_key_by_escape",
        raw('{"\\u005f_metadata__":{"k":"v"},"a":' + entry() + "}", bytes(8)))
    put("6.1", "ok__metadata_value_64k", raw(meta % ('{"k":"' + "v" * 65536 + '"}'), bytes(8)))
    put("6.1", "ok__rank_0", one(entry(shape="[]", offsets="[0,4]"), bytes(4)))
    put("6.1", "ok__rank_8", one(entry(shape="[1,2,1,1,1,1,1,1]")))
    put("6.1", "ok__zero_size_tensor", one(entry(shape="[0]", offsets="[0,0]"), b""))
    put(
        "6.1", "ok__zero_size_among_others",
        raw(
            '{"a":%s,"b":%s,"c":%s,"d":%s}' %
            (entry(), entry(shape="[4,0,3]", offsets="[8,8]"), entry(
                "I8", "[0]", "[8,8]"), entry(offsets="[8,16]")), bytes(16)))
    put("6.1", "ok__zero_size_at_end",
        raw('{"a":%s,"b":%s}' % (entry(), entry(shape="[0]", offsets="[8,8]")), bytes(8)))
    put(
        "6.1", "ok__entries_not_in_file_order",
        raw('{"a":%s,"b":%s}' % (entry(offsets="[8,16]"), entry(offsets="[0,8]")),
            bytes(range(16))))
    put("6.1", "ok__fields_in_other_order", one('{"data_offsets":[0,8],"shape":[2],"dtype":"F32"}'))
    put("6.1", "ok__unknown_fields",
        one(entry(more=',"x":{"y":[1,-2.5e3,true,false,null,"z"]},"q":{}')))
    put("6.1", "ok__white_space_inside",
        one('{ "dtype" : "F32",\n\t"shape":\r\n[ 2 ] , "data_offsets":[ 0 , 8 ] }'))
    put("6.1", "ok__padding_spaces", raw('{"a":' + entry() + "}" + " " * 61, bytes(8)))
    put("6.1", "ok__padding_spaces_64k", raw('{"a":' + entry() + "}" + " " * 65536, bytes(8)))
    put("6.1", "ok__data_not_aligned", odd_header())
    put("6.1", "ok__escaped_dtype", one(entry("\\u004632")))
    put("6.1", "ok__names_differ_in_case",
        raw('{"a":%s,"A":%s}' % (entry(), entry(offsets="[8,16]")), bytes(16)))
    for bits, dtype, shape in [(4, "F4", [2]), (6, "F6_E2M3", [4]), (6, "F6_E3M2", [4])]:
        size = shape[0] * bits // 8
        put("6.1", f"ok__dtype_{dtype}",
            one(entry(dtype, json.dumps(shape), f"[0,{size}]"), bytes(size)))

    @case("6.1", "ok__all_dtypes")
    def all_dtypes():
        rows = stfile.layout({f"t.{name}": (name, [4, 4]) for name in stfile.DTYPE_BITS})
        head = stfile.frame(stfile.header_json(rows, {"format": "pt"}))
        return head + bytes(i % 251 for i in range(rows[-1][4]))


def shard(names):
    rows = stfile.layout({name: ("F32", [2]) for name in names})
    return stfile.frame(stfile.header_json(rows, {"format": "pt"})) + bytes(8 * len(names))


def index(weights, total=16):
    metadata = {} if total is None else {"total_size": total}
    return json.dumps({"metadata": metadata, "weight_map": weights}).encode()


S1, S2 = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"
GOOD_MAP = {"a": S1, "b": S2}
OUTSIDE = "../ok__one_tensor.safetensors"

# Folder name -> {file: bytes, or ("link", target)}.
FOLDERS = {
    "ok__index": {INDEX: index(GOOD_MAP), S1: shard("a"), S2: shard("b")},
    "ok__index_total_is_float": {INDEX: index(GOOD_MAP, 16.0), S1: shard("a"), S2: shard("b")},
    "ok__index_without_total": {INDEX: index(GOOD_MAP, None), S1: shard("a"), S2: shard("b")},
    "ok__index_total_wrong": {INDEX: index(GOOD_MAP, 5), S1: shard("a"), S2: shard("b")},
    "invalid_file__index_shard_missing": {INDEX: index(GOOD_MAP), S1: shard("a")},
    "invalid_file__index_tensor_missing": {
        INDEX: index(GOOD_MAP | {"c": S2}), S1: shard("a"), S2: shard("b")
    },
    "invalid_file__index_tensor_in_other_shard": {
        INDEX: index({"a": S2, "b": S1}), S1: shard("a"), S2: shard("b")
    },
    "invalid_file__index_shard_broken": {
        INDEX: index(GOOD_MAP), S1: shard("a"), S2: shard("b")[:-1]
    },
    "invalid_file__index_not_json": {INDEX: b"{", S1: shard("a"), S2: shard("b")},
    "invalid_file__index_without_map": {INDEX: b'{"metadata":{}}', S1: shard("a"), S2: shard("b")},
    "invalid_file__index_file_is_number": {INDEX: index({"a": 1}), S1: shard("a"), S2: shard("b")},
    "unsafe_path__index_parent": {INDEX: index({"a": OUTSIDE}), S1: shard("a"), S2: shard("b")},
    "unsafe_path__index_absolute": {
        INDEX: index({"a": "/etc/passwd"}), S1: shard("a"), S2: shard("b")
    },
    "unsafe_path__index_inner_parent": {
        INDEX: index({"a": "x/../" + OUTSIDE}), S1: shard("a"), S2: shard("b")
    },
    "unsafe_path__index_shard_links_out": {
        INDEX: index(GOOD_MAP), S1: ("link", OUTSIDE), S2: shard("b")
    },
}

for fill in (lengths, sizes, ranges, offsets, shapes, texts, legal):
    fill()


def write_corpus(out):
    """Writes every case below `out`, and manifest.json: [{"path", "expected", "topic"}]."""
    os.makedirs(out, exist_ok=True)
    manifest = []
    for name, (topic, make) in CASES.items():
        made = make()
        with open(os.path.join(out, name), "wb") as file:
            for blob, size in made if isinstance(made, list) else [(made, len(made))]:
                file.write(blob)
                file.truncate(size)
        manifest.append({"path": name, "expected": name.split("__")[0], "topic": topic})
    for name, files in FOLDERS.items():
        os.makedirs(os.path.join(out, name), exist_ok=True)
        for inner, content in files.items():
            path = os.path.join(out, name, inner)
            if isinstance(content, tuple):
                if not os.path.islink(path):
                    os.symlink(content[1], path)
                continue
            with open(path, "wb") as file:
                file.write(content)
        manifest.append({"path": name, "expected": name.split("__")[0], "topic": "6.2"})
    with open(os.path.join(out, "manifest.json"), "w", encoding="utf-8") as file:
        json.dump(manifest, file, indent=1)
    return manifest
