#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A Hugging Face hub on 127.0.0.1: two origins, scripted faults, a request log.

Run it (see README.md):   python3 loopback_hub.py --repos DIR [--port-file FILE] ...
Import it:                with LoopbackHub("DIR") as hub: ... hub.endpoint, hub.cdn ...
"""

import argparse
import hashlib
import json
import os
import signal
import socket
import struct
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import hub_faults  # noqa: E402
from hub_api import ACCOUNT_TOKEN, Hub  # noqa: E402
from hub_http import BLOCK, REASONS, Reply, Request, error_reply, json_reply  # noqa: E402
from hub_repos import RepoTree  # noqa: E402

__all__ = ["ACCOUNT_TOKEN", "LoopbackHub"]

DEFAULTS = {
    "page_size": 1000,          # rows of a tree page; 50 at most with expand, as on the Hub
    "url_ttl": 3600,            # life of a signed URL in seconds
    "cdn_whole_limit": 400 * 10**9,  # a GET without Range of a larger object is refused
    "gzip_drops_range": False,  # the CDN ignores Range when gzip is acceptable, as it once did
    "plain": "redirect",        # git files: 307 to resolve-cache, or "direct" 200
    "xet": False,               # send the Xet headers and hashes (no Xet storage behind them)
    "bare_401": False,          # leave X-Error-Code off the 401 for missing repositories
    "quota": None,              # {"api": n, "resolvers": n, "pages": n}: enforce with 429
    "window": 300,              # seconds of the rate limit's window
    "plain_tokens": False,      # log Authorization as sent instead of hashed
    "files": None,              # folder behind /files/
}
_QUOTA = {"api": 500, "resolvers": 3000, "pages": 100}


class RateLimits:
    """The fixed windows of the Hub; counted always, enforced only when quotas are given."""

    def __init__(self, options):
        self._options = options
        self._lock = threading.Lock()
        self._used = {}
        self._window = -1

    def count(self, bucket):
        """(headers, exceeded) for one more request of this bucket."""
        width = self._options["window"]
        quotas = self._options["quota"] or {}
        quota = quotas.get(bucket, _QUOTA[bucket])
        now = time.time()
        with self._lock:
            if int(now // width) != self._window:
                self._window, self._used = int(now // width), {}
            used = self._used[bucket] = self._used.get(bucket, 0) + 1
        exceeded = bucket in quotas and used > quota
        left = max(quota - used, 0 if bucket in quotas else 1)
        wait = width - int(now % width)
        return [("RateLimit", f'"{bucket}";r={left};t={wait}'),
                ("RateLimit-Policy", f'"fixed window";"{bucket}";q={quota};w={width}')], exceeded


class RequestLog:
    """What was asked and answered, in memory and optionally as JSON lines in a file."""

    def __init__(self, path=None):
        self._changed = threading.Condition()
        self._entries = []
        self._next = 1
        self._file = open(path, "a", encoding="utf-8") if path else None

    def start(self, entry):
        with self._changed:
            entry["n"] = self._next
            self._next += 1
            self._entries.append(entry)

    def finish(self, entry):
        with self._changed:
            entry["done"] = True
            if self._file:
                self._file.write(json.dumps(entry) + "\n")
                self._file.flush()
            self._changed.notify_all()

    def entries(self):
        """Copies of all entries; waits a moment for answers that are just being finished."""
        with self._changed:
            self._changed.wait_for(lambda: all(e["done"] for e in self._entries), timeout=0.5)
            return [dict(e) for e in self._entries]

    def clear(self):
        with self._changed:
            self._entries = []

    def close(self):
        with self._changed:
            if self._file:
                self._file.close()
            self._file = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, host_name, port, owner):
        self.host_name = host_name
        self.owner = owner
        self.open_sockets = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def get_request(self):
        connection, address = super().get_request()
        self.open_sockets.add(connection)
        return connection, address

    def shutdown_request(self, request):
        self.open_sockets.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):  # a client that left is not an error
            super().handle_error(request, client_address)

    def drop_connections(self):
        for connection in list(self.open_sockets):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # already gone


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format, *args):  # noqa: A002 - the name is the base class's
        pass

    def _handle(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        headers = {k.lower(): v for k, v in self.headers.items()}
        request = Request(self.server.host_name, self.command, self.path, headers, body)
        owner = self.server.owner
        if request.path.startswith("/_"):
            _Sender(self, owner).send(owner.control(request), hub_faults.Wire())
        else:
            owner.answer(self, request)

    do_GET = do_HEAD = do_POST = _handle


class _Sender:
    """Writes one reply to the connection, honestly or as the wire faults say."""

    def __init__(self, handler, owner, entry=None):
        self._handler = handler
        self._owner = owner
        self._entry = entry if entry is not None else {}
        self._out = handler.wfile
        self._sent = 0

    def send(self, reply, wire):
        handler = self._handler
        if wire.raw is not None or wire.disconnect:
            self._out.write(wire.raw or b"")
            handler.close_connection = True
            return
        reply.finish_document()
        if reply.get("Transfer-Encoding") == "chunked":
            reply.drop("Transfer-Encoding")
            if wire.framing == "length":
                wire.framing = "chunked"
        no_body = handler.command == "HEAD" or reply.status in (204, 304)
        self._entry["status"] = reply.status
        head = self._head(reply, wire)
        if no_body:
            self._out.write(head)
            return
        self._out.write(head)
        self._body(reply, wire)

    def _head(self, reply, wire):
        handler = self._handler
        lines = [f"HTTP/1.1 {reply.status} {REASONS.get(reply.status, 'Scripted')}"]
        lines += [f"{name}: {value}" for name, value in reply.headers]
        if reply.status not in (204, 304):
            if wire.lengths is not None:
                lines += [f"Content-Length: {value}" for value in wire.lengths]
            elif wire.framing == "length":
                lines.append(f"Content-Length: {reply.length}")
        if wire.framing == "chunked":
            lines.append("Transfer-Encoding: chunked")
        if wire.framing == "close" or wire.lengths is not None:
            handler.close_connection = True
        lines.append(f"Date: {handler.date_time_string()}")
        if handler.close_connection:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")

    def _blocks(self, reply, wire):
        """The body's bytes with flipped bits, or without end."""
        if wire.endless is not None:
            left = wire.endless
            while left > 0 and not self._owner.stopping.is_set():
                yield b"endless\n" * 4096
                left -= 8 * 4096
            return
        offset = reply.start
        for block in reply.blocks():
            for where, bit in wire.flips:
                if offset <= where < offset + len(block):
                    block = bytearray(block)
                    block[where - offset] ^= 1 << bit
                    block = bytes(block)
            offset += len(block)
            yield block

    def _body(self, reply, wire):
        marks = [m for m in (wire.cut, wire.reset, wire.stall and wire.stall[0]) if m is not None]
        if self._at_mark(wire):
            return
        for block in self._blocks(reply, wire):
            while block:
                step = min([BLOCK, *(m - self._sent for m in marks if m > self._sent)])
                if wire.rate:
                    step = min(step, max(1, wire.rate // 10))
                self._write(block[:step], wire)
                block = block[step:]
                if wire.rate:
                    self._owner.stopping.wait(step / wire.rate)
                if self._at_mark(wire) or self._owner.stopping.is_set():
                    self._handler.close_connection = True
                    return
        if wire.framing == "chunked":
            self._out.write(b"zz\r\n" if wire.bad_chunk else b"0\r\n\r\n")

    def _write(self, data, wire):
        if wire.framing == "chunked":
            self._out.write(b"%x\r\n%s\r\n" % (len(data), data))
        else:
            self._out.write(data)
        self._sent += len(data)
        self._entry["sent"] = self._sent

    def _at_mark(self, wire):
        """Act on the byte count just reached; true when the body ends here."""
        if wire.stall is not None and self._sent >= wire.stall[0]:
            seconds, wire.stall = wire.stall[1], None
            self._owner.stopping.wait(seconds)
        if wire.reset is not None and self._sent >= wire.reset:
            # Linger 0 makes close() send RST; rfile holds the other reference to the socket.
            self._handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                                struct.pack("ii", 1, 0))
            self._handler.connection.close()
            self._handler.rfile.close()
            self._handler.close_connection = True
            return True
        if wire.cut is not None and self._sent >= wire.cut:
            self._handler.close_connection = True
            return True
        return False


class LoopbackHub:
    """The running hub: start(), stop(), or a with block."""

    def __init__(self, repos, port=0, cdn_port=0, log_file=None, faults=None, **options):
        unknown = set(options) - set(DEFAULTS)
        if unknown:
            raise TypeError(f"unknown options: {sorted(unknown)}")
        self.options = {**DEFAULTS, **options}
        if self.options["files"] is not None:
            self.options["files"] = str(self.options["files"])
        self.hub = Hub(RepoTree(repos), self.options)
        self.faults = hub_faults.FaultTable()
        if faults:
            self.faults.install(faults)
        self.log = RequestLog(log_file)
        self.limits = RateLimits(self.options)
        self.stopping = threading.Event()
        self._servers = [_Server("hub", port, self), _Server("cdn", cdn_port, self)]
        for server in self._servers:
            self.hub.base[server.host_name] = f"http://127.0.0.1:{server.server_address[1]}"
        self.endpoint = self.hub.base["hub"]
        self.cdn = self.hub.base["cdn"]

    def start(self):
        for server in self._servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1},
                             daemon=True).start()
        return self

    def stop(self):
        self.stopping.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()
            server.drop_connections()
        self.log.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    # ---- one request ---------------------------------------------------------------------------

    def answer(self, handler, request):
        entry = self._log_entry(handler, request)
        self.log.start(entry)
        wire = hub_faults.Wire()
        try:
            faults = self.faults.take(request)
            entry["faults"] = [f["id"] for f in faults]
            reply = self._reply(request, faults, wire)
            _Sender(handler, self, entry).send(reply, wire)
        except OSError:
            entry["client_left"] = True
            handler.close_connection = True
        finally:
            self.log.finish(entry)

    def _reply(self, request, faults, wire):
        limit_headers, exceeded = [], False
        if request.host == "hub":
            limit_headers, exceeded = self.limits.count(self._bucket(request))
        hub_faults.before(faults, request)
        reply = hub_faults.instead(faults, request, self.hub, wire)
        if reply is None and exceeded:
            wait = limit_headers[0][1].rpartition("=")[2]
            reply = error_reply(429, "We had to rate limit your IP.",
                                headers=[("Retry-After", wait)])
        if reply is None:
            try:
                reply = self.hub.route(request)
            except OSError as error:  # a file of the tree that cannot be read
                reply = error_reply(500, f"Internal Error: {type(error).__name__}")
        if reply.get("RateLimit") is None:
            reply.headers += limit_headers
        request_id = request.headers.get("x-request-id") or f"Root=1-{uuid.uuid4().hex[:24]}"
        reply.headers.append(("X-Request-Id", request_id))
        hub_faults.after(faults, request, reply, wire)
        return reply

    @staticmethod
    def _bucket(request):
        if request.path.startswith("/api/") and not request.path.startswith("/api/resolve-cache/"):
            return "api"
        return "resolvers" if "/resolve" in request.path else "pages"

    def _log_entry(self, handler, request):
        headers = dict(request.headers)
        token = headers.get("authorization")
        if token is not None and not self.options["plain_tokens"]:
            token = "sha256:" + hashlib.sha256(token.encode()).hexdigest()
            headers["authorization"] = token
        return {"time": time.time(), "host": request.host, "port": handler.server.server_port,
                "client_port": handler.client_address[1], "method": request.method,
                "path": request.target, "range": headers.get("range"),
                "has_authorization": token is not None, "authorization": token,
                "headers": headers, "status": None, "sent": 0, "faults": [], "done": False}

    # ---- control -------------------------------------------------------------------------------

    def control(self, request):
        """/_log, /_faults, /_reset and /_options; never logged, never faulty."""
        try:
            if request.path == "/_log":
                since = int(request.query.get("since", 0))
                return json_reply([e for e in self.log.entries() if e["n"] > since])
            if request.path == "/_faults":
                if request.method == "POST":
                    self.faults.install(json.loads(request.body), "replace" in request.query)
                return json_reply(self.faults.state())
            if request.path == "/_reset" and request.method == "POST":
                self.faults.clear()
                self.log.clear()
                return json_reply({})
            if request.path == "/_options":
                if request.method == "POST":
                    wanted = json.loads(request.body)
                    if set(wanted) - set(DEFAULTS):
                        raise ValueError(f"unknown options: {sorted(set(wanted) - set(DEFAULTS))}")
                    self.options.update(wanted)
                return json_reply(self.options)
        except ValueError as error:
            return error_reply(400, str(error).replace("\n", " "))
        return Reply(404)


def _arguments():
    parser = argparse.ArgumentParser(description="A Hugging Face hub on 127.0.0.1, for tests.")
    parser.add_argument("--repos", required=True, help="folder of <org>/<name>/ repositories")
    parser.add_argument("--files", help="folder served under /files/ on both origins")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--cdn-port", type=int, default=0)
    parser.add_argument("--port-file", help="write the two origins there, one a line, when ready")
    parser.add_argument("--log", help="append one JSON line a request to this file")
    parser.add_argument("--log-tokens", action="store_true", help="do not hash tokens in the log")
    parser.add_argument("--faults", help="JSON file with faults to install at start")
    parser.add_argument("--page-size", type=int, default=DEFAULTS["page_size"])
    parser.add_argument("--url-ttl", type=int, default=DEFAULTS["url_ttl"])
    parser.add_argument("--xet", action="store_true", help="send the Xet headers and hashes")
    return parser.parse_args()


def main():
    args = _arguments()
    if not Path(args.repos).is_dir():
        sys.exit(f"loopback_hub: no such folder: {args.repos}")
    # Blocked before any thread starts, so that only sigwait below ever sees them.
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    hub = LoopbackHub(args.repos, args.port, args.cdn_port, args.log,
                      hub_faults.load(args.faults) if args.faults else None, files=args.files,
                      page_size=args.page_size, url_ttl=args.url_ttl, xet=args.xet,
                      plain_tokens=args.log_tokens).start()
    text = f"{hub.endpoint}\n{hub.cdn}\n"
    if args.port_file:
        temporary = f"{args.port_file}.{os.getpid()}"
        Path(temporary).write_text(text)
        os.replace(temporary, args.port_file)  # a reader never sees half a file
    print(text, end="", flush=True)
    signal.sigwait(signals)
    hub.stop()


if __name__ == "__main__":
    main()
