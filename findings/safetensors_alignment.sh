#!/usr/bin/env bash
# Guess, written before the run: a tensor that safetensors loads lies where any torch tensor lies, at a multiple of 64
# bytes, so that a model gives the same bits before it is saved and after it is loaded.
#
# Seen (safetensors 0.8.0, torch 2.13.0, CPU): `load_file` and `safe_open(...).get_tensor` hand out tensors that start
# anywhere in the file's buffer: its header is padded to 8 bytes and the tensors follow one another without padding, so
# that behind three float32 numbers the next tensor starts at a multiple of 4 bytes alone. `clone()` brings it back to 64.
# What follows: a product may take another path through its vector loops and round otherwise. A training that was resumed
# from such tensors parted from the uninterrupted one in the last bits on AMD processors; on Intel ones it did not.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet torch==2.13.0 safetensors==0.8.0 numpy packaging
"$folder/venv/bin/python" - "$folder/x.safetensors" <<'PYTHON'
import sys

import safetensors
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

path = sys.argv[1]
save_file({"bias": torch.zeros(3), "weights": torch.randn(300, 500)}, path)
own = [torch.randn(size).data_ptr() % 64 for size in (1, 7, 300, 5000)]
loaded = load_file(path)["weights"]
with safe_open(path, framework="pt") as file:
    opened = file.get_tensor("weights")
print(f"safetensors {safetensors.__version__}, torch {torch.__version__}")
print(f"torch's own tensors start at a multiple of 64 and {own} bytes")
print(f"load_file at one and {loaded.data_ptr() % 64}, get_tensor at one and {opened.data_ptr() % 64}, "
      f"a clone of it at one and {opened.clone().data_ptr() % 64}")
unaligned = all(x.data_ptr() % 64 for x in (loaded, opened))
sys.exit(0 if unaligned and not any(own) and opened.clone().data_ptr() % 64 == 0 else 1)
PYTHON
echo "as stated: loaded tensors are not aligned as torch's own are"
