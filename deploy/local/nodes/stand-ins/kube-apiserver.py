#!/usr/bin/python3
"""Owns a stand-in for kube-apiserver: TLS, `/readyz` that tells the truth about etcd, and reads that go through to etcd.

Python, since it is the one small thing in Debian that serves TLS to many at once and speaks it to etcd as well, with
nothing but its standard library (openssl's s_server serves one at a time, and perl's TLS takes the whole of perl).

    /livez /readyz /healthz         200 "ok" while a linearizable read of etcd works, else 500; anybody may ask
    /registry/<key>                 the value of that key, or 404; anybody may ask, so that a test can measure downtime
    /version                        anybody may ask
    /api/v1/nodes, /api/v1/pods, /api/v1/namespaces/<namespace>/pods
                                    lists of the JSON objects in etcd, for whoever has a certificate of the cluster's CA
"""

import base64
import http.client
import json
import re
import ssl
import sys
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ETCD_SECONDS = 2
CLIENT_SECONDS = 60
HEALTH = ("/livez", "/readyz", "/healthz")
LISTS = {
    r"/api/v1/nodes": ("NodeList", "/registry/minions/"),
    r"/api/v1/pods": ("PodList", "/registry/pods/"),
    r"/api/v1/namespaces/([a-z0-9-]+)/pods": ("PodList", "/registry/pods/{}/"),
}


class Etcd:
    """Its JSON gateway; each read is a linearizable one and goes to the first server that answers."""

    def __init__(self, flags):
        self.servers = flags["etcd-servers"].split(",")
        self.context = ssl.create_default_context(cafile=flags["etcd-cafile"])
        self.context.load_cert_chain(flags["etcd-certfile"], flags["etcd-keyfile"])

    def get(self, key):
        """The value, or None. Raises OSError or HTTPException when etcd does not answer."""
        return next((value for value in self._range({"key": coded(key)})), None)

    def under(self, prefix):
        end = prefix[:-1].encode() + bytes([ord(prefix[-1]) + 1])
        return self._range({"key": coded(prefix), "range_end": base64.b64encode(end).decode()})

    def _range(self, question):
        problem = OSError("no server of etcd is named")
        for server in self.servers:
            try:
                return self._ask(server, question)
            except (OSError, http.client.HTTPException, ValueError) as error:
                problem = error
        raise problem

    def _ask(self, server, question):
        url = urllib.parse.urlsplit(server)
        connection = http.client.HTTPSConnection(url.hostname, url.port, timeout=ETCD_SECONDS, context=self.context)
        try:
            connection.request("POST", "/v3/kv/range", json.dumps(question))
            response = connection.getresponse()
            body = response.read()
            if response.status != 200:
                raise OSError(f"etcd answered {response.status}: {body[:200]!r}")
            return [base64.b64decode(kv.get("value", "")) for kv in json.loads(body).get("kvs", [])]
        finally:
            connection.close()


def coded(text):
    return base64.b64encode(text.encode()).decode()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body leave in two writes; nobody shall wait for the second.
    disable_nagle_algorithm = True
    timeout = CLIENT_SECONDS
    etcd: Etcd

    def setup(self):
        # Here, not where connections are accepted: who does not say hello must not keep others waiting.
        self.request.settimeout(ETCD_SECONDS)
        self.request.do_handshake()
        super().setup()

    def do_GET(self):
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        try:
            status, body = self._answer(path)
        except (OSError, http.client.HTTPException) as error:
            status, body = 500, f"[-]etcd failed: {error}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if path.startswith("/api") else "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _answer(self, path):
        if path in HEALTH:
            self.etcd.get("/registry/health")
            return 200, b"ok"
        if path == "/version":
            return 200, json.dumps({"major": "1", "minor": "32", "gitVersion": "v1.32.0"}).encode()
        if path.startswith("/registry/"):
            value = self.etcd.get(path)
            return (404, b"") if value is None else (200, value)
        for pattern, (kind, prefix) in LISTS.items():
            found = re.fullmatch(pattern, path)
            if found:
                return self._list(kind, prefix.format(*found.groups()))
        return failure(404, "NotFound", "the server could not find the requested resource")

    def _list(self, kind, prefix):
        if not self.request.getpeercert():
            return failure(403, "Forbidden", f'User "system:anonymous" cannot list {kind} at the cluster scope')
        items = [json.loads(value) for value in self.etcd.under(prefix) if value.startswith(b"{")]
        return 200, json.dumps({"kind": kind, "apiVersion": "v1", "metadata": {}, "items": items}).encode()

    def log_message(self, *_):
        """A test asks many times a second."""


def failure(code, reason, message):
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason, "code": code}
    return code, json.dumps(status).encode()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        """Those who hang up, or speak no TLS."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def main():
    flags = dict(arg.removeprefix("--").split("=", 1) for arg in sys.argv[1:] if "=" in arg)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(flags["tls-cert-file"], flags["tls-private-key-file"])
    context.load_verify_locations(flags["client-ca-file"])
    context.verify_mode = ssl.CERT_OPTIONAL
    Handler.etcd = Etcd(flags)
    server = Server((flags.get("bind-address", "0.0.0.0"), int(flags.get("secure-port", "6443"))), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


if __name__ == "__main__":
    main()
