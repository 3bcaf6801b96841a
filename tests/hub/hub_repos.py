# SPDX-License-Identifier: MIT
"""Repositories on disk as git and LFS would see them.

The one job: turn DIR/<org>/<name>/ (with an optional .hub.json) into revisions, commits, trees and
blobs whose identities are the real ones: a git blob's SHA-1, an LFS pointer's SHA-1, a file's
SHA-256, a tree's SHA-1.  Nothing here speaks HTTP.
"""

import fnmatch
import hashlib
import json
import os
import re
import stat
import threading
from pathlib import Path

# What a fresh repository's .gitattributes sends to LFS on the Hub, and gguf, which authors add.
LFS_PATTERNS = (
    "*.7z", "*.arrow", "*.bin", "*.bz2", "*.ckpt", "*.ftz", "*.gguf", "*.gz", "*.h5", "*.joblib",
    "*.mlmodel", "*.model", "*.msgpack", "*.npy", "*.npz", "*.onnx", "*.onnx_data", "*.ot",
    "*.parquet", "*.pb", "*.pickle", "*.pkl", "*.pt", "*.pth", "*.rar", "*.safetensors", "*.tar",
    "*.tflite", "*.tgz", "*.wasm", "*.xz", "*.zip", "*.zst", "*tfevents*",
)
LFS_THRESHOLD = 10 * 1024 * 1024
COMMIT_DATE = "2024-05-01T12:00:00.000Z"
_PRIVATE_NAMES = {".hub.json", ".revisions", ".git"}
_HEX = re.compile(r"[0-9a-f]{7,40}\Z")


def xet_hash(sha256):
    """A 64-hex name that is NOT the SHA-256, as on the Hub, so that a mix-up is noticed."""
    return hashlib.sha256(b"xet:" + sha256.encode()).hexdigest()


class HashCache:
    """Digests of files, computed once for a given (inode, size, mtime)."""

    def __init__(self):
        self._lock = threading.Lock()
        self._known = {}

    def digest(self, path, st, is_lfs):
        """The SHA-256 of an LFS file, the git blob SHA-1 of any other."""
        key = (str(path), st.st_ino, st.st_size, st.st_mtime_ns, is_lfs)
        with self._lock:  # held while hashing, so that a big file is not hashed by two threads
            if key not in self._known:
                state = hashlib.sha256() if is_lfs else hashlib.sha1(b"blob %d\0" % st.st_size)
                with open(path, "rb") as stream:
                    while block := stream.read(1 << 20):
                        state.update(block)
                self._known[key] = state.hexdigest()
            return self._known[key]


class Entry:
    """One file of a snapshot."""

    def __init__(self, name, path, st, digest, is_lfs):
        self.name = name
        self.path = path
        self.size = st.st_size
        self.mtime = st.st_mtime
        self.is_lfs = is_lfs
        self.sha256 = digest if is_lfs else None
        self.git_sha1 = self.blob_id = None if is_lfs else digest
        self.pointer = None
        if is_lfs:
            self.pointer = ("version https://git-lfs.github.com/spec/v1\n"
                            f"oid sha256:{self.sha256}\nsize {self.size}\n").encode()
            self.blob_id = hashlib.sha1(b"blob %d\0" % len(self.pointer) + self.pointer).hexdigest()

    def unchanged(self):
        try:
            st = os.stat(self.path)
        except OSError:
            return False
        return (st.st_size, st.st_mtime) == (self.size, self.mtime)


class Snapshot:
    """All files of one revision, the git trees over them and the commit id."""

    def __init__(self, entries, commit=None):
        self.files = {entry.name: entry for entry in entries}
        self.trees = {}
        self._children = {"": {}}
        for entry in entries:
            self._add(entry.name, entry)
        root = self._hash_tree("")
        body = (f"tree {root}\nauthor hub <hub@localhost> 1714564800 +0000\n"
                "committer hub <hub@localhost> 1714564800 +0000\n\nUpload files\n").encode()
        self.commit = commit or hashlib.sha1(b"commit %d\0" % len(body) + body).hexdigest()

    def _add(self, name, value):
        parent, _, leaf = name.rpartition("/")
        if parent not in self._children:
            self._children[parent] = {}
            self._add(parent, None)
        self._children[parent][leaf] = value

    def _hash_tree(self, folder):
        rows = []
        for leaf, entry in self._children[folder].items():
            if entry is None:
                oid = self._hash_tree(f"{folder}/{leaf}" if folder else leaf)
                rows.append((leaf.encode() + b"/", b"40000 " + leaf.encode(), oid))
            else:
                rows.append((leaf.encode(), b"100644 " + leaf.encode(), entry.blob_id))
        data = b"".join(row[1] + b"\0" + bytes.fromhex(row[2]) for row in sorted(rows))
        self.trees[folder] = hashlib.sha1(b"tree %d\0" % len(data) + data).hexdigest()
        return self.trees[folder]

    def walk(self, folder="", recursive=False):
        """(name, Entry or None for a folder) in the Hub's order: folders first, then files."""
        children = self._children[folder]
        names = sorted(n for n, e in children.items() if e is None)
        for leaf in names:
            name = f"{folder}/{leaf}" if folder else leaf
            yield name, None
            if recursive:
                yield from self.walk(name, True)
        for leaf in sorted(n for n, e in children.items() if e is not None):
            yield (f"{folder}/{leaf}" if folder else leaf), children[leaf]


class Repo:
    """One repository: its configuration and its revisions."""

    def __init__(self, repo_id, root, cache):
        self.id = repo_id
        self.root = Path(root)
        self._cache = cache
        config = self.root / ".hub.json"
        self.config = json.loads(config.read_text()) if config.is_file() else {}

    @property
    def object_id(self):
        return hashlib.sha1(self.id.encode()).hexdigest()[:24]

    def revisions(self):
        """Revision name -> {folder, commit, kind}; "main" is always there."""
        out = {"main": {"folder": "."}}
        for name, value in self.config.get("revisions", {}).items():
            out[name] = {"folder": value} if isinstance(value, str) else dict(value)
        for name, value in out.items():
            value.setdefault("folder", ".")
            value.setdefault("kind", "pr" if name.startswith("refs/pr/") else
                             "convert" if name.startswith("refs/convert/") else "branch")
        return out

    def _is_lfs(self, name, size):
        if size == 0 or any(fnmatch.fnmatch(name, p) for p in self.config.get("git", ())):
            return False  # git-lfs itself never makes a pointer for an empty file
        leaf = name.rpartition("/")[2]
        patterns = LFS_PATTERNS + tuple(self.config.get("lfs", ()))
        return (size >= self.config.get("lfs_threshold", LFS_THRESHOLD)
                or any(fnmatch.fnmatch(leaf, p) for p in patterns))

    def snapshot(self, revision):
        """The snapshot of a revision name, a commit or its prefix; None when there is none."""
        table = self.revisions()
        if revision in table:
            return self._load(table[revision])
        if _HEX.match(revision):
            for value in table.values():
                snapshot = self._load(value)
                if snapshot.commit.startswith(revision):
                    return snapshot
        return None

    def _load(self, revision):
        folder = revision["folder"]
        root = self.root if folder == "." else self.root / ".revisions" / folder
        entries = []
        for where, folders, files in os.walk(root):
            at_top = Path(where) == self.root
            folders[:] = [f for f in folders if not (at_top and f in _PRIVATE_NAMES)]
            for leaf in files:
                path = Path(where) / leaf
                st = path.stat()
                if (at_top and leaf in _PRIVATE_NAMES) or not stat.S_ISREG(st.st_mode):
                    continue
                name = path.relative_to(root).as_posix()
                is_lfs = self._is_lfs(name, st.st_size)
                entries.append(Entry(name, path, st, self._cache.digest(path, st, is_lfs), is_lfs))
        return Snapshot(entries, revision.get("commit"))


class RepoTree:
    """The folder of all repositories, read afresh for each question so that tests may edit it."""

    def __init__(self, root):
        self.root = Path(root)
        self._cache = HashCache()
        self._stored = {}

    @staticmethod
    def _is_repo(folder):
        return folder.is_dir() and not folder.name.startswith(".")

    def _is_legacy(self, folder):
        """A single-segment id: a top folder that holds files itself, not only repositories."""
        return self._is_repo(folder) and any(child.is_file() for child in folder.iterdir())

    def get(self, repo_id):
        parts = repo_id.split("/")
        if any(p in ("", ".", "..") or p.startswith(".") for p in parts):
            return None
        folder = self.root.joinpath(*parts)
        if len(parts) == 1 and self._is_legacy(folder):
            return Repo(repo_id, folder, self._cache)
        if len(parts) == 2 and self._is_repo(folder) and not self._is_legacy(folder.parent):
            return Repo(repo_id, folder, self._cache)
        return None

    def all(self):
        for top in sorted(self.root.iterdir()):
            if self._is_legacy(top):
                yield Repo(top.name, top, self._cache)
            elif self._is_repo(top):
                for folder in sorted(filter(self._is_repo, top.iterdir())):
                    yield Repo(f"{top.name}/{folder.name}", folder, self._cache)

    def entry_by_xet_hash(self, key):
        """The LFS file that the CDN stores under this name, if it is still the same file."""
        entry = self._stored.get(key)
        if entry is None or not entry.unchanged():
            self._stored = {xet_hash(entry.sha256): entry for repo in self.all()
                            for revision in repo.revisions()
                            for entry in repo.snapshot(revision).files.values() if entry.is_lfs}
            entry = self._stored.get(key)
        return entry

    def store(self, entry):
        """Remember a file that a redirect is about to name; returns its name on the CDN."""
        key = xet_hash(entry.sha256)
        self._stored[key] = entry
        return key

    def tokens(self):
        """Every token that some repository knows: the accounts of this hub."""
        out = set()
        for repo in self.all():
            for key in ("private", "tokens", "pending"):
                value = repo.config.get(key)
                out.update(value if isinstance(value, list) else ())
        return out
