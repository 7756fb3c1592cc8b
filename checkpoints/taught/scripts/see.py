import torch
from stylegan2 import display
from stylegan2.pocket.nets.teaching import *
L=Lessons.render(48,99,128)
m=Taught.load("build/taught3/taught.pt")
with torch.no_grad(): d=torch.cat([m(x,"const") for x in L.described.split(16)])
d=display.to_uint8(d)
display.save(display.stack([p for k in (0,1,2,3) for p in (display.grid(L.images[12*k:12*k+12],12),display.grid(d[12*k:12*k+12],12))]),"build/see.png")
