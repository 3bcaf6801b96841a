# SPDX-License-Identifier: MIT
"""Requests, replies and byte-range serving: the HTTP vocabulary that all parts of the hub share."""

import email.utils
import json
import re
from urllib.parse import parse_qsl, unquote, urlsplit

REASONS = {
    200: "OK", 204: "No Content", 206: "Partial Content", 301: "Moved Permanently", 302: "Found",
    303: "See Other", 304: "Not Modified", 307: "Temporary Redirect", 308: "Permanent Redirect",
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 408: "Request Timeout", 410: "Gone", 412: "Precondition Failed",
    416: "Range Not Satisfiable", 429: "Too Many Requests", 451: "Unavailable For Legal Reasons",
    500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable",
    504: "Gateway Timeout",
}
_RANGE = re.compile(r"bytes=(\d*)-(\d*)\Z")
BLOCK = 256 * 1024


class Request:
    """One parsed request.  `headers` is a plain dict with lower-case names."""

    def __init__(self, host, method, target, headers, body):
        self.host = host
        self.method = method
        self.target = target
        split = urlsplit(target)
        self.path = split.path
        self.query_text = split.query
        self.query = dict(parse_qsl(split.query, keep_blank_values=True))
        self.query_list = parse_qsl(split.query, keep_blank_values=True)
        self.segments = [unquote(s) for s in split.path.split("/")[1:]]
        self.headers = headers
        self.body = body
        self.swap = None  # set by the "swap" fault: serve another version of the content

    @property
    def token(self):
        value = self.headers.get("authorization", "")
        return value[7:].strip() if value[:7].lower() == "bearer " else None

    def accepts_gzip(self):
        return "gzip" in self.headers.get("accept-encoding", "").lower()

    def flag(self, name):
        return self.query.get(name, "").lower() in ("1", "true", "yes", "on")


class Content:
    """Bytes with validators, from memory or a file; `mask` XORs every byte (another version)."""

    def __init__(self, etag, mtime, data=None, path=None, size=None, mask=0):
        self.etag = etag
        self.mtime = mtime
        self.data = data
        self.path = path
        self.size = len(data) if data is not None else size
        self.mask = mask

    def swapped(self, fault):
        etag = fault.get("etag", f'"{(self.etag or "").strip(chr(34))}-v2"')
        return Content(etag, self.mtime + 60, self.data, self.path, self.size,
                       fault.get("mask", 0x5A))

    def blocks(self, start, length):
        if self.data is not None:
            yield self._masked(self.data[start:start + length])
            return
        with open(self.path, "rb") as stream:
            stream.seek(start)
            while length > 0 and (block := stream.read(min(BLOCK, length))):
                length -= len(block)
                yield self._masked(block)

    def _masked(self, block):
        if not self.mask:
            return block
        return block.translate(bytes(i ^ self.mask for i in range(256)))


class Reply:
    """What will be sent: status, headers (Content-Length is added later) and a slice of content."""

    def __init__(self, status, headers=(), body=b"", document=None):
        self.status = status
        self.headers = list(headers)
        self.content = Content(None, 0, data=body)
        self.start = 0
        self.length = len(body)
        self.document = document  # JSON value, serialised after the faults had their say

    def slice_of(self, content, start, length):
        self.content, self.start, self.length = content, start, length
        return self

    def set(self, name, value):
        self.drop(name)
        if value is not None:
            self.headers.append((name, str(value)))

    def drop(self, name):
        self.headers = [h for h in self.headers if h[0].lower() != name.lower()]

    def get(self, name):
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)

    def set_body(self, body):
        self.document = None
        self.slice_of(Content(None, 0, data=body), 0, len(body))

    def finish_document(self):
        if self.document is not None:
            text = json.dumps(self.document, separators=(",", ":"))
            self.set_body(text.encode("utf-8", "surrogatepass"))

    def blocks(self):
        return self.content.blocks(self.start, self.length)


def json_reply(document, status=200, headers=()):
    return Reply(status, [("Content-Type", "application/json; charset=utf-8"), *headers],
                 document=document)


def text_reply(status, text, headers=(), kind="text/plain; charset=utf-8"):
    return Reply(status, [("Content-Type", kind), *headers], text.encode())


def error_reply(status, message, code=None, headers=()):
    extra = [("X-Error-Message", message)]
    if code:
        extra.insert(0, ("X-Error-Code", code))
    return json_reply({"error": message}, status, [*extra, *headers])


def redirect_reply(status, location, headers=()):
    # The body is what makes a redirect's Content-Length differ from the file's size.
    text = f"{REASONS.get(status, 'Redirect')}. Redirecting to {location}"
    return text_reply(status, text, [("Location", location), ("Vary", "Accept"), *headers])


def http_date(timestamp):
    return email.utils.formatdate(int(timestamp), usegmt=True)


def _opaque(tag):
    tag = tag.strip()
    return (tag[2:] if tag.startswith("W/") else tag).strip('"')


def _listed(header, etag):
    return header.strip() == "*" or _opaque(etag) in [_opaque(t) for t in header.split(",")]


def _range_still_valid(request, content):
    """If-Range: a strong entity tag or the exact date; anything else means the whole file."""
    validator = request.headers.get("if-range")
    if validator is None:
        return True
    validator = validator.strip()
    if validator.startswith(('"', "W/")):
        return validator == content.etag and not validator.startswith("W/")
    return validator == http_date(content.mtime)


def not_modified(request, content):
    header = request.headers.get("if-none-match")
    if header is not None:
        return content.etag is not None and _listed(header, content.etag)
    since = request.headers.get("if-modified-since")
    if since is None:
        return False
    parsed = email.utils.parsedate_tz(since)
    return parsed is not None and int(content.mtime) <= email.utils.mktime_tz(parsed)


def parse_range(header, size):
    """(first, last), "unsatisfiable", or None for a header that is to be ignored."""
    match = _RANGE.match(header.strip().replace(" ", ""))
    if not match or match.group(0) == "bytes=-":
        return None  # several ranges and nonsense are answered with the whole file, as S3 does
    first, last = match.groups()
    if not first:
        count = min(int(last), size)
        return (size - count, size - 1) if count else "unsatisfiable"
    first, last = int(first), min(int(last) if last else size - 1, size - 1)
    if first >= size:
        return "unsatisfiable"
    return (first, last) if first <= last else None


def serve(request, content, headers, ranges=True):
    """Answer GET or HEAD for content with conditional requests and single byte ranges."""
    if request.swap is not None:
        content = content.swapped(request.swap)
    base = list(headers)
    if content.etag is not None:
        base.append(("ETag", content.etag))
    base.append(("Last-Modified", http_date(content.mtime)))
    if ranges:
        base.append(("Accept-Ranges", "bytes"))
    if_match = request.headers.get("if-match")
    if if_match is not None and not (content.etag and _listed(if_match, content.etag)):
        return Reply(412, base)
    if not_modified(request, content):
        return Reply(304, base)
    header = request.headers.get("range")
    if header and ranges and request.method == "GET" and _range_still_valid(request, content):
        found = parse_range(header, content.size)
        if found == "unsatisfiable":
            return Reply(416, [*base, ("Content-Range", f"bytes */{content.size}")])
        if found:
            first, last = found
            base.append(("Content-Range", f"bytes {first}-{last}/{content.size}"))
            return Reply(206, base).slice_of(content, first, last - first + 1)
    return Reply(200, base).slice_of(content, 0, content.size)
