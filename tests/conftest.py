"""Two threads at most, as on the machines that the figures are quoted for; GPU kernels interpreted without a GPU."""

import os

import torch

torch.set_num_threads(min(2, torch.get_num_threads()))
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported for the first time
