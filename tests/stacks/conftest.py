import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# What is tested here with a stand-in for AWS (`load.py` is a Glue job, a script of its own), and what reads templates.
sys.path[:0] = [str(ROOT / "pipeline" / "redshift"), str(ROOT / "tools" / "delivery")]
