import sys
from pathlib import Path

# Here, what is tested with a stand-in for AWS; `load.py` is a Glue job, a script of its own.
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "pipeline" / "redshift"))
