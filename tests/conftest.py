"""Two threads at most, as on the machines that the figures are quoted for."""

import torch

torch.set_num_threads(min(2, torch.get_num_threads()))
