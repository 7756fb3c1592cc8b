"""`make lab`: JupyterLab as the Makefile starts it."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def lab_options() -> list[str]:
    """What the Makefile gives to JupyterLab."""
    text = (ROOT / "Makefile").read_text()
    (command,) = re.findall(r"-m jupyter lab (.*)", text)
    variables = dict(re.findall(r"^(\w+) := (.*)$", text, re.M))
    return shlex.split(re.sub(r"\$\((\w+)\)", lambda name: variables[name[1]], command))


def test_a_photo_of_a_phone_fits_into_one_message(tmp_path, monkeypatch):
    """Above its default limit, 10 MiB, the server ends the connection without a word."""
    serverapp = pytest.importorskip("jupyter_server.serverapp", reason="jupyter_server is not installed")
    from tornado.httpserver import HTTPServer
    from tornado.testing import bind_unused_port
    from tornado.websocket import WebSocketHandler, websocket_connect

    class Echo(WebSocketHandler):
        def check_origin(self, origin):
            return True

        def on_message(self, message):
            self.write_message(json.dumps(len(message)))

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    serverapp.ServerApp.clear_instance()
    app = serverapp.ServerApp(root_dir=str(tmp_path), open_browser=False, allow_root=True)
    options = [word for word in lab_options() if word.startswith("--ServerApp")]

    async def length_of(megabytes: int) -> int | None:
        app.web_app.add_handlers(".*", [("/echo", Echo)])
        socket, port = bind_unused_port()
        server = HTTPServer(app.web_app)
        server.add_socket(socket)
        client = await websocket_connect(f"ws://127.0.0.1:{port}/echo", max_message_size=1 << 28)
        await client.write_message(b"x" * (megabytes << 20), binary=True)
        answer = await asyncio.wait_for(client.read_message(), 60)
        client.close()
        server.stop()
        return answer and json.loads(answer)

    async def check():
        app.initialize(argv=[*options, f"--ServerApp.port={bind_unused_port()[1]}"], find_extensions=False)
        return await length_of(40)

    assert asyncio.run(check()) == 40 << 20
