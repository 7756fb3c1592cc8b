import torch
from pathlib import Path
from stylegan2.pocket.nets.judge_training import train_judge
Path("build/pocket").mkdir(exist_ok=True,parents=True)
train_judge(Path("build/pocket/judge2.pt"), images=100_000, seed=0)
