import sys, torch, os
from pathlib import Path
from stylegan2 import runtime
from stylegan2.pocket import world
from stylegan2.pocket.nets import teaching
from stylegan2.pocket.nets.teaching import *
from stylegan2.pocket.nets.teaching import _Teaching
runtime.keep_memory_warm()
images=torch.cat([torch.load("build/pool0.pt"),torch.load("build/pool1.pt")]); n=len(images)
z=torch.randn(n,128,generator=torch.Generator().manual_seed(0)); faces=world.from_z(z); own=torch.arange(n)
whole=own<n-round(n*.5); parts=[faces[torch.where(whole,own,own.roll(-j))] for j in range(3)]
mixed=compose(*parts); places=world.landmarks(mixed,"photo")[:,[world.LANDMARKS.index(f) for f in FEATURES]]
lessons=Lessons(images,torch.stack([describe(p) for p in parts],1),places,mixed.glasses>0)
total, start, lr = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
out=Path(sys.argv[4]); out.mkdir(parents=True,exist_ok=True)
c=TeachingConfig(images=total,faces=n,batch=16,lr=lr,head_lr=lr/2,flat=float(os.environ.get("FLAT",".65")),save_every=4000,held_out=200)
t=_Teaching(c,lessons,torch.device("cpu"))
if not (out/"taught_training.pt").exists():
    s=torch.load(start,weights_only=False); t.model.load_state_dict(s["model"]); t.optimiser.load_state_dict(s["optimiser"])
    for g,r in zip(t.optimiser.param_groups,(lr/2,lr)): g["initial_lr"]=r; g["lr"]=r
    t.step=s["step"]; t.schedule=torch.optim.lr_scheduler.LambdaLR(t.optimiser,t._rate,last_epoch=t.step)
    t.extra["curve"]=s["extra"]["curve"]
    print("from",t.step*16,flush=True)
t.train(out/"taught.pt",lessons,out)
