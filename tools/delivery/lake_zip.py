"""Packs glue/lake, the package that the Glue jobs share, for their `--extra-py-files`.

    python3 tools/delivery/lake_zip.py glue/lake.zip

The same modules give the same bytes: no times, no compression, names in order.
"""

import sys
import zipfile
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "glue" / "lake"

# The earliest time in a zip.
NO_TIME = (1980, 1, 1, 0, 0, 0)


def pack(target: Path, package: Path = PACKAGE) -> None:
    # A concurrent reader of the target gets the old or the new file, never a part.
    partial = target.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w") as archive:
        for path in sorted(package.glob("*.py")):
            entry = zipfile.ZipInfo(f"{package.name}/{path.name}", NO_TIME)
            entry.create_system = 3  # Always Unix, whatever the system.
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes())
    partial.replace(target)


if __name__ == "__main__":
    pack(Path(sys.argv[1]))
