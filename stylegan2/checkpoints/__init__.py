"""Checkpoint files: `load` reads ours, rosinality's and NVIDIA's, and executes nothing; `save` and `export` write.

checkpoint = checkpoints.load("checkpoints/pocket/photo.pt")
images = checkpoint.g_ema(z, truncation=0.7)
"""

from stylegan2.checkpoints.checkpoint import Checkpoint, export, load, save
from stylegan2.checkpoints.ours import fingerprint
from stylegan2.files import CheckpointError, sha256
