"""What every test shares: pocket scale, small budgets, no window, and markers that skip with a reason."""

import os
import shutil

# Before anything of ours is imported: tests never look at the machine to choose their scale.
os.environ["COURSE_SCALE"] = "pocket"
os.environ["COURSE_BUDGET"] = "test"

import matplotlib
import pytest

matplotlib.use("agg")

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"


def find_chromium() -> str | None:
    """Path of the system's Chromium or Chrome, None without one. `CHROMIUM` in the environment names another."""
    named = os.environ.get("CHROMIUM")
    return named or next((p for p in map(shutil.which, (*CHROMIUM_NAMES, CHROMIUM_MAC)) if p), None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow too")
    parser.addoption("--network", action="store_true", help="run the tests marked network too")


def _reasons_to_skip(config: pytest.Config) -> dict[str, str]:
    """{marker: why tests with it cannot run here}; a marker that is missing here runs."""
    reasons = {}
    if not config.getoption("--slow"):
        reasons["slow"] = "slow: run with --slow"
    if not config.getoption("--network"):
        reasons["network"] = "needs the internet: run with --network"
    # In CI the browser test has to run: there a missing browser fails the test itself.
    if find_chromium() is None and not os.environ.get("CI"):
        reasons["browser"] = "no Chromium or Chrome found: install one, or name it in the variable CHROMIUM"
    return reasons


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    reasons = _reasons_to_skip(config)
    if any("gpu" in item.keywords for item in items):
        import torch

        if not torch.cuda.is_available():
            reasons["gpu"] = "needs a CUDA device"
    for item in items:
        for marker, reason in reasons.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session", autouse=True)
def the_same_on_every_machine():
    """Tests compute on the CPU, also where there is a GPU (those marked gpu name it), and on one thread: tiny networks
    gain nothing from more, and lose much on a busy machine."""
    import torch

    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch.cuda.is_available", lambda: False)
        patch.setattr("stylegan2.bars.WAIT", 1e6)  # a slow machine shows bars, which no test of other things expects
        yield


@pytest.fixture(scope="module")
def chromium():
    """The browser, through playwright."""
    import browser

    path = find_chromium()
    assert path, "CI must have Chromium: .ci/run installs it"
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        program = playwright.chromium.launch(executable_path=path, args=browser.CHROMIUM_FLAGS)
        yield program
        program.close()


@pytest.fixture(params=["7.5"])
def card(request):
    """A CUDA card that is not there, see `fake_cuda`: Turing (7.5), which computes in float16. Where number types
    matter, a test asks for Ampere (8.0, bfloat16) too: parametrize("card", ["7.5", "8.0"], indirect=True)."""
    import fake_cuda

    fake_cuda.install(capability=tuple(map(int, request.param.split("."))))
    fake_cuda.teach()
    yield request.param
    fake_cuda.uninstall()
