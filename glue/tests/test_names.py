"""What an object is called is no matter: Spark on a laptop reads it, and leaves nothing beside it."""

import nasty

NAMES = sorted({name for _, name, *_ in nasty.ODD_NAMES})


def test_objects_are_read_whatever_their_names(warehouse):
    warehouse.put_lines("impressions", [("2026-11-20 12", name, name) for name in NAMES])
    folder = f"{warehouse.data_path}/raw/ad/impressions/year=2026/month=11/day=20/hour=12"
    assert sorted(row.value for row in warehouse.spark.read.text(folder).collect()) == NAMES


def test_files_are_written_without_checksums_beside_them(warehouse):
    warehouse.insert("ad_traffic", [{"ad_id": nasty.AD, "impressions": 1, "clicks": 0, "year": "2026", "month": "11", "day": "20"}])
    written = [path.name for path in warehouse.folder.glob("data/lake/**/*") if path.is_file()]
    assert written and not [name for name in written if name.endswith(".crc")]
