"""StyleGAN2 for a course: networks, data, training and editing, small enough to read in an evening.

Nothing heavy is imported here: `import stylegan2` costs little more than `import torch`, and often less. Import the
module that you need, e.g. `from stylegan2 import checkpoints` or `from stylegan2.networks import Generator`.
"""

__version__ = "0.1.0"
__repository__ = "https://github.com/cartoonize-yourself/cartoonize-yourself"  # `docs/stamp.py` puts it everywhere else
