"""Measurements that are made again and again: see README.md."""

import sys
from pathlib import Path

import stylegan2  # noqa: F401  - before PyTorch, which reads environment variables that it sets

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))  # small models, pictures and servers that the tests use, too
