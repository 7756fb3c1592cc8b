"""StyleGAN2 for a course: networks, data, training and editing, small enough to read in an evening.

Nothing heavy is imported here: `import stylegan2` costs little more than `import torch`, and often less. Import the
module that you need, e.g. `from stylegan2 import checkpoints` or `from stylegan2.networks import Generator`.
"""

import os

__version__ = "0.1.0"
__repository__ = "https://github.com/cartoonize-yourself/cartoonize-yourself"  # `docs/stamp.py` puts it everywhere else

# OpenMP's threads wait for each other by spinning, 300,000 times by default: beside another busy program, which has
# their core meanwhile, that is lost time; fewer turns lose less (benchmarks/README.md, "Beside another program"). Read
# when PyTorch loads, so it must be set before.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
