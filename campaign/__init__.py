"""The campaign: what a hostile world does to gtr, on a scale that a test suite has no time for.

    make campaign                                      # all of it, as docs/RELIABILITY.md has it
    python -m campaign --seed 7 --scale 0.1            # a tenth of it, with other accidents
    python -m campaign --only fuzz damage --seed 7     # some rows of it

Each row of `campaign.table.ATTACKS` is an attack: how often, and what it does with a seed. Whatever is not the promised
answer is a finding, which names the seed that repeats it. The servers, damages and disks are those of the tests.
"""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
KEY = "sk-campaign-0123456789"
os.environ |= {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "HF_HUB_OFFLINE": "1", "OPENAI_API_KEY": KEY}
sys.path.insert(0, str(ROOT / "tests"))
