import sys, shutil, torch
from stylegan2.pocket import recipe
from stylegan2.pocket.recipe import *
torch.set_num_threads(int(sys.argv[1]))
r=Recipe(); e=shipped_entries()
for name in sys.argv[2:]:
    print(name, flush=True)
    scoreboard.train_entry(r.study, e[name]); shutil.copyfile(r.study.model(e[name]), r.path(name)); print("done", name, flush=True)
