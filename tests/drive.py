"""A server that behaves like Google Drive, on this machine, and gdown sent there."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import requests
from requests.adapters import HTTPAdapter

HOSTS = ("https://drive.google.com", "https://docs.google.com", "https://drive.usercontent.google.com")
CONFIRM = (  # all in one line, as theirs
    '<html><title>Google Drive - Virus scan warning</title><body><p class="uc-warning-caption">cannot scan</p>'
    '<form id="download-form" action="https://drive.usercontent.google.com/download" method="get">'
    '<input type="submit" value="Download anyway"/><input type="hidden" name="id" value="{id}">'
    '<input type="hidden" name="export" value="download"><input type="hidden" name="confirm" value="t"></form></body>'
)
QUOTA = (
    '<html><title>Google Drive - Quota exceeded</title><body><p class="uc-error-caption">Sorry</p>\n'
    '<p class="uc-error-subcaption">Too many users have viewed or downloaded this file recently.</p>\n</html>'
)
SIGN_IN = "<html><title>Google Drive: Sign-in</title><body>Sign in to continue</body></html>"


@dataclass
class Drive:
    """`files` by id; `folders`: id -> {id: name}. `sabotage`: id -> "quota", "sign in", "cut" (once), or a status.

    `pause`: seconds before every 128 KiB of a file.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    folders: dict[str, dict[str, str]] = field(default_factory=dict)
    sabotage: dict[str, str | int] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # path, Range
    pause: float = 0.0

    def __enter__(self) -> Drive:
        drive = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                drive.answer(self)

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def counts(self) -> Counter:
        return Counter(path for path, _ in self.asked)

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(to.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self.asked.append((parts.path, to.headers.get("Range")))
        file = query.get("id") or parts.path.strip("/")
        fault = self.sabotage.get(file)
        if isinstance(fault, int):
            self._page(to, "<html>no</html>", fault)
        elif fault == "quota":
            self._page(to, QUOTA)
        elif fault == "sign in":
            self._page(to, SIGN_IN)
        elif parts.path == "/embeddedfolderview" and file in self.folders:
            links = "".join(
                f'<a href="https://drive.google.com/file/d/{id}/view?usp=drive_web">{name}</a>'
                for id, name in self.folders[file].items()
            )
            self._page(to, f"<html><title>images</title><body>{links}</body></html>")
        elif file not in self.files:
            self._page(to, "<html>not found</html>", 404)
        elif parts.path == "/uc":
            self._page(to, CONFIRM.format(id=file))
        else:
            self._send(to, file, fault == "cut")

    def _page(self, to: BaseHTTPRequestHandler, text: str, status: int = 200) -> None:
        to.send_response(status)
        to.send_header("Content-Type", "text/html; charset=utf-8")
        to.send_header("Content-Length", str(len(text.encode())))
        to.end_headers()
        to.wfile.write(text.encode())

    def _send(self, to: BaseHTTPRequestHandler, file: str, cut: bool) -> None:
        data = self.files[file]
        wanted = re.fullmatch(r"bytes=(\d+)-", to.headers.get("Range", ""))
        first = int(wanted[1]) if wanted else 0
        to.send_response(206 if wanted else 200)
        if wanted:
            to.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        to.send_header("Content-Type", "application/octet-stream")
        to.send_header("Content-Disposition", f'attachment; filename="{file}"')
        to.send_header("Content-Length", str(len(data) - first))
        to.end_headers()
        body = data[first:]
        if cut:
            del self.sabotage[file]
            body = body[: len(body) // 2]
        with contextlib.suppress(OSError):  # the other end may be gone
            for i in range(0, len(body), 1 << 17):
                time.sleep(self.pause)
                to.wfile.write(body[i : i + (1 << 17)])
        to.close_connection = True

    def redirect(self, monkeypatch) -> None:
        """What gdown asks of Google goes to this server."""
        import gdown  # noqa: F401

        module = sys.modules["gdown.download"]
        session = module._get_session

        class Here(HTTPAdapter):
            def send(adapter, request, **settings):  # noqa: N805
                for host in HOSTS:
                    if request.url.startswith(host + "/"):
                        request.url = self.base + request.url.removeprefix(host)
                return super().send(request, **settings)

        def local(**settings) -> tuple[requests.Session, str]:
            made, cookies = session(**settings)
            for host in HOSTS:
                made.mount(host, Here())
            return made, cookies

        for name in ("download", "download_folder"):
            monkeypatch.setattr(sys.modules[f"gdown.{name}"], "_get_session", local)
