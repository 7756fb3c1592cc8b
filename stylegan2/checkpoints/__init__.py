"""Checkpoint files: `load` reads ours, rosinality's and NVIDIA's, and executes nothing; `save` and `export` write.

checkpoint = checkpoints.load("checkpoints/pocket/photo.pt")
images = checkpoint.g_ema(z, truncation=0.7)
"""

from stylegan2.checkpoints.checkpoint import Checkpoint, describe, export, load, save
from stylegan2.checkpoints.encoders import PUBLISHED_PSI, export_encoder, is_encoder, load_encoder, save_encoder
from stylegan2.checkpoints.ours import fingerprint
from stylegan2.files import CheckpointError, sha256
