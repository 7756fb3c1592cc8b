import sys, torch
from pathlib import Path
from stylegan2.pocket.nets.teaching import Taught
from stylegan2.pocket.nets.mapping_training import *
w=Path("build/pocket"); t=Taught.load("build/taught3/taught.pt")
train_mapping(w/"mapping.pt", t, MappingConfig(), torch.device("cpu"), w)
