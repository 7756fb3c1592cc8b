"""Google Drive as the place of downloads and results, on Colab, whose machines forget everything."""

from __future__ import annotations

from pathlib import Path

import torch

MOUNT = Path("/content/drive")
OURS = "MyDrive/cartoonize"


def drive_folder() -> tuple[Path | None, str]:
    """The course's folder on the user's Drive (mounted if need be) or None, and what to say.

    What PyTorch fetches goes there, too.
    """
    try:
        from google.colab import drive
    except ImportError:
        return None, "this is not Colab: no Drive is mounted, downloads and results stay in the course's folder"
    try:
        if not (MOUNT / "MyDrive").is_dir():
            drive.mount(str(MOUNT))
        folder = MOUNT / OURS
        folder.mkdir(parents=True, exist_ok=True)
    except Exception as error:  # not allowed by the user, or no answer: Colab raises several kinds
        why = " ".join(str(error).split()) or type(error).__name__
        return None, f"Drive is not used ({why}): downloads and results are lost with this machine"
    torch.hub.set_dir(str(folder / "torch"))  # VGG of LPIPS
    return folder, f"downloads and results are kept on Drive, in {OURS}"
