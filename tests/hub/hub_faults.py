# SPDX-License-Identifier: MIT
"""Scripted misbehaviour: which fault applies to which request, and what each one does to a reply.

A fault is a JSON object: kind, and optionally match (substring of the unquoted target), host
("hub", "cdn" or "any"), method, range ("with" or "without" a Range header), after (skip that many
matching requests), cycle ([1, 1, 0]: two of three), times (then stop; default: for ever), and the
parameters of its kind.
"""

import gzip
import json
import threading
from urllib.parse import unquote

from hub_http import Content, Reply, redirect_reply, text_reply

LOGIN_PAGE = ("<!DOCTYPE html><html><head><title>Sign in</title></head><body><form action='/login'>"
              "<input name='password'></form></body></html>")
# Replace the reply altogether; these also answer HEAD.
REPLY_KINDS = {"status", "redirect", "html", "expired", "empty", "no-content", "lfs-pointer",
               "disconnect", "raw"}
# Edit the JSON document of an API answer.
JSON_KINDS = {"json-drop", "json-siblings", "json-file", "json-set", "json-raw"}
# Change the request before it is answered.
REQUEST_KINDS = {"ignore-range", "swap"}
# Change the reply's head or bytes, or how the bytes travel; HEAD neither sees nor uses these up.
BODY_KINDS = {"truncate", "content-length", "content-range", "partial", "short-range", "multipart",
              "flip", "stall", "slow", "reset", "gzip", "chunked", "close-delimited", "endless"}
KINDS = REPLY_KINDS | JSON_KINDS | REQUEST_KINDS | BODY_KINDS | {"header"}


class FaultTable:
    """The installed faults and how often each has been used."""

    def __init__(self):
        self._lock = threading.Lock()
        self._faults = []
        self._next = 1

    def install(self, faults, replace=False):
        faults = [faults] if isinstance(faults, dict) else faults
        for fault in faults:
            if not isinstance(fault, dict) or fault.get("kind") not in KINDS:
                raise ValueError(f"unknown fault: {fault!r}")
        with self._lock:
            if replace:
                self._faults = []
            for fault in faults:
                item = dict(fault)
                item.setdefault("id", f"f{self._next}")
                item["seen"] = item["used"] = 0
                self._next += 1
                self._faults.append(item)

    def clear(self):
        with self._lock:
            self._faults = []
            self._next = 1

    def state(self):
        with self._lock:
            return [dict(f) for f in self._faults]

    def take(self, request):
        """The faults for this request, in the order of installation, counted as used."""
        with self._lock:
            out = []
            for fault in self._faults:
                if not self._matches(fault, request):
                    continue
                fault["seen"] += 1
                turn = fault["seen"] - fault.get("after", 0) - 1
                cycle = fault.get("cycle", [1])
                if turn < 0 or not cycle[turn % len(cycle)]:
                    continue
                if fault.get("times") is not None and fault["used"] >= fault["times"]:
                    continue
                if fault["kind"] in REPLY_KINDS and any(f["kind"] in REPLY_KINDS for f in out):
                    continue  # only one can answer; the next keeps its turn
                fault["used"] += 1
                out.append(dict(fault))
            return out

    @staticmethod
    def _matches(fault, request):
        if fault.get("host", "any") not in ("any", request.host):
            return False
        method = fault.get("method")
        if method not in (None, request.method):
            return False
        if method is None and request.method == "HEAD" and fault["kind"] in BODY_KINDS:
            return False
        has_range = "range" in request.headers
        if fault.get("range") not in (None, "with" if has_range else "without"):
            return False
        text = fault.get("match", "")
        return text in request.target or text in unquote(request.target)


class Wire:
    """How a reply's body travels; the defaults are the honest way."""

    def __init__(self):
        self.framing = "length"   # or "chunked", "close"
        self.lengths = None       # literal Content-Length values instead of the right one
        self.cut = None           # stop and close after so many body bytes
        self.reset = None         # the same with a TCP reset
        self.stall = None         # (after bytes, seconds)
        self.rate = None          # bytes a second
        self.flips = []           # (offset in the file, bit)
        self.bad_chunk = False
        self.endless = None       # most bytes of an endless body
        self.raw = None           # these bytes instead of any HTTP answer
        self.disconnect = False   # close without an answer


def before(faults, request):
    """Request faults: change what the routes will see."""
    for fault in faults:
        if fault["kind"] == "ignore-range":
            request.headers.pop("range", None)
        elif fault["kind"] == "swap":
            request.swap = fault


def instead(faults, request, hub, wire):
    """The reply of the first reply fault, or None when the routes shall answer."""
    for fault in faults:
        kind = fault["kind"]
        if kind == "status":
            return _status(fault)
        if kind == "redirect":
            return _redirect(fault, request)
        if kind == "html":
            return text_reply(fault.get("status", 200), fault.get("body", LOGIN_PAGE),
                              kind="text/html; charset=utf-8")
        if kind == "expired":
            return hub.expired()
        if kind == "empty":
            return Reply(200, [("Content-Type", "application/octet-stream")])
        if kind == "no-content":
            return Reply(204)
        if kind == "lfs-pointer":
            pointer = (f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\n"
                       f"size {fault.get('size', 123456)}\n")
            return text_reply(200, pointer)
        if kind == "disconnect":
            wire.disconnect = True
            return Reply(0)
        if kind == "raw":
            wire.raw = fault.get("text", "").encode("latin-1") * fault.get("repeat", 1)
            return Reply(0)
    return None


def _status(fault):
    status = fault["status"]
    reply = text_reply(status, fault.get("body", f"scripted {status}"))
    if "retry_after" in fault:
        reply.set("Retry-After", fault["retry_after"])
    if "ratelimit_t" in fault:
        kind = fault.get("bucket", "api")
        reply.set("RateLimit", f'"{kind}";r=0;t={fault["ratelimit_t"]}')
        reply.set("RateLimit-Policy", f'"fixed window";"{kind}";q=500;w=300')
    for name in ("code", "message"):
        if name in fault:
            reply.set(f"X-Error-{name.capitalize()}", fault[name])
    return reply


def _redirect(fault, request):
    status = fault.get("status", 302)
    if fault.get("loop"):
        return redirect_reply(status, request.target)
    if "location" in fault:
        return redirect_reply(status, fault["location"])
    return text_reply(status, "Found, but not where")


def after(faults, request, reply, wire):
    """Everything that edits a finished reply."""
    for fault in faults:
        kind = fault["kind"]
        if kind in JSON_KINDS:
            _edit_json(fault, reply)
        elif kind == "header":
            for name in fault.get("drop", ()):
                reply.drop(name)
            for name, value in fault.get("set", {}).items():
                reply.set(name, value)
        elif kind in _RANGE_EDITS:
            _RANGE_EDITS[kind](fault, request, reply)
        elif kind in BODY_KINDS:
            _edit_wire(fault, reply, wire)


def _edit_json(fault, reply):
    kind = fault["kind"]
    if kind == "json-raw":
        reply.set_body(fault["text"].encode() * fault.get("repeat", 1))
        return
    if kind == "json-set":
        if isinstance(reply.document, dict):
            reply.document.update(fault["set"])
        return
    if isinstance(reply.document, dict):
        rows, key = reply.document.get("siblings"), "rfilename"
    else:
        rows, key = reply.document, "path"
    if not isinstance(rows, list):
        return
    if kind == "json-drop":
        for row in rows:
            for field in fault["fields"]:
                row.pop(field, None)
    elif kind == "json-file":
        for row in rows:
            if row.get(key) == fault["name"]:
                row.update(fault["set"])
    elif kind == "json-siblings":
        if fault.get("replace"):
            rows.clear()
        rows.extend(_invented_row(name, key) for name in fault["names"])


def _invented_row(name, key):
    """A sibling or tree row for a name of the script's choosing, otherwise plausible."""
    oid, size = "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391", 64
    if key == "path":
        return {"type": "file", "oid": oid, "size": size, "path": name,
                "lfs": {"oid": "0" * 64, "size": size, "pointerSize": 127}}
    return {"rfilename": name, "size": size, "blobId": oid,
            "lfs": {"sha256": "0" * 64, "size": size, "pointerSize": 127}}


def _wrong_content_range(fault, _request, reply):
    shown = reply.get("Content-Range")
    if shown is None:
        return
    if "value" in fault:
        reply.set("Content-Range", fault["value"])  # null drops the header
        return
    span, _, total = shown.removeprefix("bytes ").partition("/")
    first, last = (int(x) for x in span.split("-"))
    delta = fault.get("delta", 1)
    total = int(total) + fault.get("total_delta", 0)
    reply.set("Content-Range", f"bytes {first + delta}-{last + delta}/{total}")


def _unasked_partial(fault, _request, reply):
    if reply.status != 200:
        return
    total = reply.length
    reply.status = 206
    reply.length = min(fault.get("bytes", total // 2), total)
    reply.set("Content-Range", f"bytes 0-{reply.length - 1}/{total}")


def _short_range(fault, _request, reply):
    if reply.status != 206:
        return
    reply.length = min(fault.get("bytes", 1), reply.length)
    total = reply.get("Content-Range").rpartition("/")[2]
    reply.set("Content-Range", f"bytes {reply.start}-{reply.start + reply.length - 1}/{total}")


def _multipart(_fault, _request, reply):
    if reply.status != 206:
        return
    head = ("--LOOPBACK\r\nContent-Type: application/octet-stream\r\nContent-Range: "
            f"{reply.get('Content-Range')}\r\n\r\n").encode()
    body = head + b"".join(reply.blocks()) + b"\r\n--LOOPBACK--\r\n"
    reply.drop("Content-Range")
    reply.set("Content-Type", "multipart/byteranges; boundary=LOOPBACK")
    reply.set_body(body)


def _gzip(fault, _request, reply):
    reply.finish_document()
    if "zeros" in fault:  # a small body that unpacks to this many bytes
        data = bytes(fault["zeros"])
    else:
        data = b"".join(reply.blocks())
    packed = gzip.compress(data, mtime=0)
    reply.set_body(packed[:fault["cut"]] if "cut" in fault else packed)
    reply.set("Content-Encoding", "gzip")


_RANGE_EDITS = {"content-range": _wrong_content_range, "partial": _unasked_partial,
                "short-range": _short_range, "multipart": _multipart, "gzip": _gzip}


def _edit_wire(fault, reply, wire):
    kind = fault["kind"]
    if kind == "truncate":
        wire.cut = fault["bytes"]
    elif kind == "content-length":
        reply.finish_document()
        value = fault.get("value", reply.length + fault.get("delta", 0))
        wire.lengths = [str(v) for v in (value if isinstance(value, list) else [value])]
    elif kind == "flip":
        wire.flips.append((fault["offset"], fault.get("bit", 0)))
    elif kind == "stall":
        wire.stall = (fault.get("bytes", 0), fault.get("seconds", 5))
    elif kind == "slow":
        wire.rate = fault["rate"]
    elif kind == "reset":
        wire.reset = fault["bytes"]
    elif kind == "chunked":
        wire.framing = "chunked"
        wire.cut = fault.get("bytes")
        wire.bad_chunk = fault.get("bad", False)
    elif kind == "close-delimited":
        wire.framing = "close"
        wire.cut = fault.get("bytes")
    elif kind == "endless":
        wire.framing = "close"
        wire.endless = fault.get("limit", 1 << 40)
        reply.document = None
        reply.content = Content(None, 0, data=b"")


def load(path):
    """Faults from a JSON file: one object or a list of them."""
    with open(path, encoding="utf-8") as stream:
        return json.load(stream)
