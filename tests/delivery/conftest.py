import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# The tools under test, the resolver of templates that the tests of the optional stacks have, and what the transforms make of them.
sys.path[:0] = [str(ROOT / "tools" / "delivery"), str(ROOT / "tests" / "stacks"), str(ROOT / "tests" / "readiness")]
