"""Run by an interpreter that finds torchvision: makes it importable beside a torch built for CPUs.

PyPI's torchvision is built for CUDA, and its operators are then missing. They are only declared, not needed.
"""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

DECLARED = """import torch as _torch
_operators = _torch.library.Library("torchvision", "DEF")
_operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
_operators.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


def works() -> bool:
    return subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True).returncode == 0


if not works():
    found = find_spec("torchvision")
    if found is None or found.origin is None:
        sys.exit("torchvision is not installed")
    file = Path(found.origin)
    file.write_text(DECLARED + file.read_text())
    sys.exit(0 if works() else "torchvision cannot be imported")
