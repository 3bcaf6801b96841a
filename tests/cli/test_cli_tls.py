# SPDX-License-Identifier: MIT
"""Downloads over TLS: who is trusted, who is not, and that https never becomes http."""

import http.server
import ssl
import threading

import pytest
from cli_tools import HERE, Cli

BODY = bytes(range(256)) * 4096
CERTIFICATE = HERE / "tls/certificate.pem"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/downgrade":
            self.send_response(302)
            self.send_header("Location", "http://localhost:1/model.bin")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        first, last = 0, len(BODY) - 1
        asked = self.headers.get("Range")
        if asked:
            start, _, end = asked.removeprefix("bytes=").partition("-")
            first, last = int(start), min(int(end or last), last)
        part = BODY[first:last + 1]
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(BODY)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def port():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, HERE / "tls/key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def download(tmp_path, url, **environment):
    target = tmp_path / "model.bin"
    result = Cli(tmp_path, **environment).run("--json", "download", url, target)
    return result, target


@pytest.mark.parametrize("name", ["CURL_CA_BUNDLE", "SSL_CERT_FILE", "MODELMGR_CA_FILE"])
def test_a_trusted_server(tmp_path, port, name):
    result, target = download(tmp_path, f"https://localhost:{port}/model.bin",
                              **{name: str(CERTIFICATE)})
    assert result.status == 0, result.err
    assert target.read_bytes() == BODY


def test_an_unknown_authority(tmp_path, port):
    result, target = download(tmp_path, f"https://localhost:{port}/model.bin")
    assert result.status == 1
    assert result.doc["error"]["code"] == "protocol"
    assert "certificate" in result.doc["error"]["message"]
    assert not target.exists()


def test_a_certificate_for_another_name(tmp_path, port):
    result, target = download(tmp_path, f"https://127.0.0.1:{port}/model.bin",
                              CURL_CA_BUNDLE=str(CERTIFICATE))
    assert result.status == 1
    assert result.doc["error"]["code"] == "protocol"
    assert not target.exists()


def test_https_never_becomes_http(tmp_path, port):
    result, target = download(tmp_path, f"https://localhost:{port}/downgrade",
                              CURL_CA_BUNDLE=str(CERTIFICATE))
    assert result.status == 5
    assert result.doc["error"]["code"] == "refused_address"
    assert not target.exists()
