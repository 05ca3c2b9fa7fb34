"""Serve the project over TLS: ``python -m tests.browser.tls PORT PEM``."""

from __future__ import annotations

import ssl
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.wsgi import get_wsgi_application

from django_multisession.testing.servers.base import LOOPBACK


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True  # a browser keeps connections open that it does not use


class Handler(WSGIRequestHandler):
    def get_environ(self) -> dict[str, str]:
        return {**super().get_environ(), "HTTPS": "on"}


def main(port: str, pem: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with Server((LOOPBACK, int(port)), Handler) as server:
        server.set_app(StaticFilesHandler(get_wsgi_application()))
        # The handshake belongs to the connection's thread, not to the one that accepts.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
