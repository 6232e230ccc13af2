"""A website that embeds forms: another site than the one that serves them."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

TYPES = {"js": "text/javascript", "css": "text/css"}


class Host:
    """`pages` by path, each with its Content-Security-Policy; `headers` by path, for those that need more.

    `held` by path: those that are sent once the event is set.
    """

    def __init__(self) -> None:
        self.pages: dict[str, tuple[str, str]] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.held: dict[str, Event] = {}
        pages, headers, held = self.pages, self.headers, self.held

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                body, policy = pages.get(path, ("", ""))
                if path in held:
                    held[path].wait()
                self.send_response(200 if path in pages else 404)
                self.send_header("Content-Type", TYPES.get(path.rpartition(".")[2], "text/html"))
                if policy:
                    self.send_header("Content-Security-Policy", policy)
                for name, value in headers.get(path, {}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *arguments: object) -> None:
                """Says nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.url = f"http://localhost:{self.port}"  # another site than 127.0.0.1
        Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
