"""What tests of panels share: tiny models of several worlds, and what every panel must do."""

from __future__ import annotations

import json

from tiny_training import tiny_networks

from stylegan2.networks import Generator
from stylegan2.panels.panel import Panel


def generator(seed: int) -> Generator:
    """A tiny generator (32 px, w_dim 8) whose noise counts."""
    g = tiny_networks(32, 6, seed)[0].eval().requires_grad_(False)
    for conv in g.synthesis.convs:
        conv.noise_strength.fill_(0.1)
    return g


def targets() -> dict[str, Generator]:
    """Models of two worlds; `generator(1)` is their source."""
    return {"webtoon": generator(2), "portrait": generator(3)}


def stop_after(panel: Panel, count: int, monkeypatch) -> None:
    """The kernel interrupts what the panel watches after `count` steps."""
    steps = []

    def watch(items, unit, total=None):
        for item in items:
            if len(steps) == count:
                raise KeyboardInterrupt
            steps.append(item)
            yield item

    monkeypatch.setattr(panel, "watch", watch)


def check_controls(panel: Panel, changes: dict) -> None:
    """Every control moves the picture, which its settings rebuild and film; Reset brings the first one back."""
    panel.update()
    first = panel.image.value
    assert list(changes) == list(panel.controls)
    for name, value in changes.items():
        before = panel.image.value
        panel.controls[name].value = value
        assert panel.image.value != before and panel.message.value == "", name
    assert panel.render(**changes).tobytes() == panel.picture.tobytes()
    assert not panel.video or panel.frames()[0].size == panel.picture.size
    text, there = panel.show_settings(), panel.image.value
    assert json.loads(text) == json.loads(json.dumps({**panel.record, **changes}))
    panel.reset()
    assert panel.image.value == first
    panel.apply(text)
    assert panel.image.value == there
