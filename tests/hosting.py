"""A host of static files on loopback, as a test wants it: it can be cut off, and hand out a newer version."""

import functools
import http.server
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Host(http.server.ThreadingHTTPServer):
    """Serves a folder, as `python -m http.server` does.

    Attributes:
        address: of the folder, with a slash at its end.
        cut: whether it answers nothing any more.
        newer: contents that take the place of files, by path ("/index.html").
        headers: sent with every answer, by name.
        sent: bytes of all answers so far.
    """

    def __init__(self, folder: Path):
        super().__init__(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
        self.address = f"http://127.0.0.1:{self.server_port}/"
        self.cut = False
        self.newer: dict[str, bytes] = {}
        self.headers: dict[str, str] = {}
        self.sent = 0

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Be silent about a browser that has gone, and tell all else."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Answers a request."""

    server: Host

    def guess_type(self, path: str) -> str:
        """The kind of a file. Python 3.11 asks the system for that of .mjs, and not every system knows."""
        return "text/javascript" if str(path).endswith(".mjs") else super().guess_type(path)

    def do_GET(self) -> None:
        """A file, something newer, or nothing at all."""
        if self.server.cut:
            self.close_connection = True
            return
        content = self.server.newer.get(self.path.partition("?")[0])
        if content is None:
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(self.path.partition("?")[0]))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def end_headers(self) -> None:
        """The last of the headers."""
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        super().end_headers()

    def copyfile(self, source: Any, outputfile: Any) -> None:
        """Send a file, and count it."""
        content = source.read()
        self.server.sent += len(content)
        outputfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Tell nothing."""


@contextmanager
def hosted(folder: Path) -> Iterator[Host]:
    """A folder, served until the block ends."""
    with Host(folder) as host:
        thread = threading.Thread(target=host.serve_forever)
        thread.start()
        try:
            yield host
        finally:
            host.shutdown()
            thread.join()
