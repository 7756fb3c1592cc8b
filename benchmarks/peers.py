"""Other implementations of StyleGAN2 by name, and whether a folder is a checkout of one."""

from __future__ import annotations

from pathlib import Path

from benchmarks.peer_nvidia import Nvidia
from benchmarks.peer_rosinality import Cartoon, Rosinality

PEERS = {"nvidia": Nvidia, "rosinality": Rosinality, "cartoon": Cartoon}

# A file of each that no other peer has under this name: a wrong folder is found out before anything is measured.
LANDMARKS = {
    "rosinality": ("model.py", "non_leaking.py", "swagan.py"),
    "cartoon": ("model.py", "non_leaking.py", "run_optimization.py"),
    "nvidia": ("training/networks.py", "torch_utils/persistence.py"),
}


def check_folder(name: str, folder: str) -> Path:
    """The checkout of a peer. Raises ValueError for an unknown peer, or a folder that is not its checkout."""
    if name not in LANDMARKS:
        raise ValueError(f"unknown peer {name!r}; there are {', '.join(LANDMARKS)}")
    path = Path(folder).expanduser().resolve()
    if not path.is_dir():
        raise ValueError(f"--peer {name}={folder}: there is no such folder")
    missing = [file for file in LANDMARKS[name] if not (path / file).is_file()]
    if missing:
        raise ValueError(f"--peer {name}={folder}: not a checkout of {name}, it lacks {', '.join(missing)}")
    return path
