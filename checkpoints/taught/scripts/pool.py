import sys,torch,time
torch.set_num_threads(1)
from stylegan2.pocket import world
from stylegan2.pocket.nets import teaching
k=int(sys.argv[1]); n=int(sys.argv[2])
# same as Lessons.render, in two processes
z=torch.randn(n,128,generator=torch.Generator().manual_seed(0)); faces=world.from_z(z); own=torch.arange(n)
whole=own<n-round(n*.5); parts=[faces[torch.where(whole,own,own.roll(-j))] for j in range(3)]
mixed=teaching.compose(*parts); h=n//2; t=time.time()
torch.save(world.render(mixed[k*h:(k+1)*h],"photo"),f"build/pool{k}.pt")
torch.save((torch.stack([teaching.describe(p) for p in parts],1),mixed.glasses>0),"build/poold.pt"); print(k,time.time()-t)
