import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# What reads templates; the resolver that the tests of the optional stacks have; the list of documented metrics.
sys.path[:0] = [str(ROOT / "tools" / "delivery"), str(ROOT / "tests" / "stacks"), str(ROOT / "tests" / "dashboard")]
