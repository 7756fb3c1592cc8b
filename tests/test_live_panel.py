"""A panel in a real kernel: slider positions sent as a browser sends them, faster than pictures can be drawn."""

import json
import time

import pytest

pytestmark = pytest.mark.slow  # a kernel that imports PyTorch

manager = pytest.importorskip("jupyter_client.manager", reason="jupyter_client is not installed")
RENDER_SECONDS = 0.1
SET_UP = f"""
import time
from PIL import Image
from stylegan2.panels.controls import int_slider
from stylegan2.panels.panel import Panel
drawn = []
def render(x):
    time.sleep({RENDER_SECONDS})
    drawn.append((x, time.monotonic()))
    return Image.new("RGB", (4, 4), (x, 0, 0))
panel = Panel(render, {{"x": int_slider("x", 0, 0, 255)}}, folder="nowhere")
print(panel.controls["x"].model_id)
"""


@pytest.fixture(scope="module")
def kernel():
    started, client = manager.start_new_kernel(kernel_name="python3")
    yield client
    client.stop_channels()
    started.shutdown_kernel(now=True)


def says(client, code: str) -> str:
    """What the code prints."""
    printed = []

    def keep(message):
        if message["header"]["msg_type"] == "stream":
            printed.append(message["content"]["text"])

    reply = client.execute_interactive(code, output_hook=keep, timeout=120)
    assert reply["content"]["status"] == "ok", reply["content"]
    return "".join(printed).strip()


def move(client, model: str, value: int) -> None:
    content = {"comm_id": model, "data": {"method": "update", "state": {"value": value}}}
    client.shell_channel.send(client.session.msg("comm_msg", content))


def drawn(client) -> list[int]:
    return json.loads(says(client, "import json; print(json.dumps([x for x, _ in drawn])); drawn.clear()"))


def test_positions_that_pile_up_during_a_slow_picture_are_skipped(kernel):
    model = says(kernel, SET_UP)
    move(kernel, model, 1)
    time.sleep(RENDER_SECONDS / 2)  # the first is being drawn now
    for value in range(2, 60):
        move(kernel, model, value)
    time.sleep(8 * RENDER_SECONDS)
    values = drawn(kernel)
    assert values[-1] == 59 and len(values) <= 4, values


def test_the_picture_follows_a_steady_drag(kernel):
    model = says(kernel, SET_UP)
    for value in range(1, 61):  # one second at 60 positions a second
        move(kernel, model, value)
        time.sleep(1 / 60)
    time.sleep(5 * RENDER_SECONDS)
    values = drawn(kernel)
    assert values == sorted(set(values)) and values[-1] == 60, values
    assert 4 <= len(values) <= 1.3 / RENDER_SECONDS, values
