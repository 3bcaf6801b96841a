#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Makes test models with the true structure of real families. Needs only NumPy beside Python.

  make_model.py list
  make_model.py expected [--kind KIND]
  make_model.py pipeline --family sd-1 --out DIR [--variants fp16,default] [--shards N]
                         [--shard-parts unet,transformer] [--seed S] [--sparse]
  make_model.py folder --family controlnet-sdxl --out DIR [--variants ...] [--shards N] [--sparse]
  make_model.py checkpoint --family sdxl --out FILE [--dtype F16] [--sparse]
  make_model.py state-dict --json KEYS.json --out FILE [--dtype F16] [--sparse]
  make_model.py hostile --out DIR
  make_model.py all --out DIR

A pipeline is tiny and has data, unless --sparse asks for the family's full size. Folders and
checkpoints have their full size; with --sparse the data are a hole, so that gigabytes take
milliseconds and no disk. Data come from --seed.
"""

import argparse
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import families  # noqa: E402
import hostile  # noqa: E402
import pipelines  # noqa: E402
import stfile  # noqa: E402

FIXTURES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "fixtures")


def make_pipeline(out,
                  family,
                  variants=("default", ),
                  shards=1,
                  seed=0,
                  sparse=False,
                  shard_parts=("unet", "transformer")):
    return pipelines.write_pipeline(out,
                                    family,
                                    variants,
                                    shards,
                                    seed,
                                    full=sparse,
                                    shard_parts=shard_parts)


def make_folder(out, family, variants=("default", ), shards=1, seed=0, sparse=True):
    if family in families.FOLDERS:
        structure = pipelines.load_structure(families.FOLDERS[family][0])
        return pipelines.write_model_folder(out, structure, variants, shards, seed, sparse)
    name, place, _ = families.LAYOUT_FOLDERS[family]
    structure = pipelines.load_structure(name)
    folder, stem = os.path.split(os.path.join(out, place))
    if family == "t5-encoder":
        pipelines.write_t5_tokenizer(os.path.join(out, "tokenizer_2"))
        # The hub keeps this encoder in two shards, and identification may look for their index.
        return pipelines.write_model_folder(folder, structure, variants, max(shards, 2), seed,
                                            sparse)
    return sum(
        pipelines.write_weights(folder, stem, structure["tensors"], v, shards, seed, sparse)
        for v in variants)


def make_checkpoint(out, family, dtype="F16", seed=0, sparse=True):
    structure = pipelines.load_structure(families.checkpoint_structure(family))
    tensors = pipelines.as_dtype(structure["tensors"], dtype)
    return stfile.write(out, tensors, structure.get("metadata"), seed=seed, sparse=sparse)


def unrecorded_shape(name):
    """For a key whose shape was not captured: a scalar for alpha, [4] for vectors, else [4, 4]."""
    if name.endswith(".alpha"):
        return []
    return [4] if name.endswith((".bias", ".scale")) else [4, 4]


def make_state_dict(out, keys_json, dtype="F16", seed=0, sparse=True):
    with open(keys_json, encoding="utf-8") as file:
        keys = json.load(file)["keys"]
    tensors = {k: (dtype, unrecorded_shape(k) if v is None else v) for k, v in keys.items()}
    return stfile.write(out, tensors, None, seed=seed, sparse=sparse)


def make_specimen(out, row, seed=0):
    """Makes one row of families.specimens(): tiny pipelines with data, all else sparse."""
    if row["kind"] == "pipeline":
        return make_pipeline(out, row["family"], seed=seed)
    if row["kind"] == "folder":
        return make_folder(out, row["family"], seed=seed)
    if row["kind"] == "checkpoint":
        return make_checkpoint(out, row["family"], seed=seed)
    return make_state_dict(out,
                           os.path.join(FIXTURES, "state_dicts", row["family"] + ".json"),
                           seed=seed)


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = parser.add_subparsers(dest="command", required=True)
    sub.add_parser("list", help="what can be made")
    cmd = sub.add_parser("expected", help="how each specimen must be identified, as JSON")
    cmd.add_argument("--kind", choices=["pipeline", "checkpoint", "folder", "state-dict"])
    for name in ("pipeline", "folder"):
        cmd = sub.add_parser(name)
        cmd.add_argument("--family", required=True)
        cmd.add_argument("--out", required=True)
        cmd.add_argument("--variants",
                         default="default",
                         help="comma list of default, fp32, fp16, bf16")
        cmd.add_argument("--shards", type=int, default=1)
        cmd.add_argument("--seed", type=int, default=0)
        cmd.add_argument("--sparse", action="store_true")
        if name == "pipeline":
            cmd.add_argument("--shard-parts", default="unet,transformer")
    for name in ("checkpoint", "state-dict"):
        cmd = sub.add_parser(name)
        cmd.add_argument("--family" if name == "checkpoint" else "--json", required=True)
        cmd.add_argument("--out", required=True)
        cmd.add_argument("--dtype", default="F16", choices=["F32", "F16", "BF16", "F8_E4M3"])
        cmd.add_argument("--seed", type=int, default=0)
        cmd.add_argument("--sparse", action="store_true")
    for name in ("hostile", "all"):
        cmd = sub.add_parser(name)
        cmd.add_argument("--out", required=True)
    return parser.parse_args(argv)


def check_family(args, known):
    if args.family not in known:
        sys.exit(
            f"make_model.py: no {args.command} family {args.family!r}; "
            f"there are: {', '.join(sorted(known))}"
        )


def main(argv=None):
    args = parse(argv)
    rows = families.specimens()
    known = {r["family"] for r in rows if r["kind"] == args.command}
    if args.command == "list":
        for row in rows:
            print(f"{row['kind']:11} {row['family']}")
    elif args.command == "expected":
        print(json.dumps([r for r in rows if args.kind in (None, r["kind"])], indent=1))
    elif args.command in ("pipeline", "folder"):
        check_family(args, known)
        variants = tuple(args.variants.split(","))
        more = {"shard_parts": tuple(args.shard_parts.split(","))
                } if args.command == "pipeline" else {}
        make = make_pipeline if args.command == "pipeline" else make_folder
        print(make(args.out, args.family, variants, args.shards, args.seed, args.sparse, **more))
    elif args.command == "checkpoint":
        check_family(args, known)
        print(make_checkpoint(args.out, args.family, args.dtype, args.seed, args.sparse))
    elif args.command == "state-dict":
        print(make_state_dict(args.out, args.json, args.dtype, args.seed, args.sparse))
    elif args.command == "hostile":
        print(len(hostile.write_corpus(args.out)))
    elif args.command == "all":
        for row in rows:
            make_specimen(os.path.join(args.out, row["path"]), row)
        with open(os.path.join(args.out, "expected.json"), "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)
        print(len(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
