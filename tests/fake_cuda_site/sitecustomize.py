"""Python imports this at its start, in every process that has this folder on its path: there the card is, too.

The variable FAKE_CUDA holds the card's capability, such as 7.5 (Turing, float16) or 8.0 (Ampere, bfloat16).
"""

import os
import sys

if os.environ.get("FAKE_CUDA"):
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    import fake_cuda

    fake_cuda.install(capability=tuple(map(int, os.environ["FAKE_CUDA"].split("."))))
    fake_cuda.teach()
