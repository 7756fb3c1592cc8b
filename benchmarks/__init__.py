"""Measurements that are made again and again: see README.md."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
