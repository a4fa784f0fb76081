"""The local runner gives a job its libraries as Glue does."""

import zipfile

import pytest

import runner

SCRIPT = """
import sys
from pyspark.sql import SparkSession
from shared import middle

numbers = SparkSession.getActiveSession().sparkContext.parallelize([1], 1)
with open(sys.argv[1], "a") as out:
    out.write(numbers.map(middle.label).collect()[0] + "\\n")
"""


def write_zip(path, version: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("shared/__init__.py", "")
        archive.writestr(
            "shared/middle.py", "from shared import parts\n\ndef label(number):\n    return parts.label(number)\n"
        )
        archive.writestr("shared/parts.py", f"def label(number):\n    return '{version}'\n")


def test_executors_run_what_is_in_the_zip_and_then_its_next_version(spark, tmp_path):
    script, out, library = tmp_path / "job.py", tmp_path / "out", tmp_path / "libraries" / "shared.zip"
    script.write_text(SCRIPT)
    # The job's folder has the package too, like the bucket.
    (tmp_path / "shared").mkdir()
    for name in ("__init__.py", "middle.py"):
        (tmp_path / "shared" / name).write_text("")
    library.parent.mkdir()
    for version in ("first", "the second"):
        write_zip(library, version)
        runner.run_script(script, [str(out)], [library])
    assert out.read_text().splitlines() == ["first", "the second"]


def test_a_library_may_be_a_module(spark, tmp_path):
    script, out, library = tmp_path / "job.py", tmp_path / "out", tmp_path / "libraries" / "shared_module.py"
    script.write_text(SCRIPT.replace("from shared import middle", "import shared_module as middle"))
    library.parent.mkdir()
    for version in ("first", "the second"):
        library.write_text(f"def label(number):\n    return '{version}'\n")
        runner.run_script(script, [str(out)], [library])
    assert out.read_text().splitlines() == ["first", "the second"]


def test_a_job_that_fails_leaves_nothing_behind(tmp_path):
    script, library = tmp_path / "job.py", tmp_path / "shared.zip"
    script.write_text("import shared.parts\nraise SystemExit(1)\n")
    write_zip(library, "any")
    before, modules = list(runner.sys.path), set(runner.sys.modules)
    with pytest.raises(SystemExit):
        runner.run_script(script, [], [library])
    assert runner.sys.path == before
    assert not {name for name in set(runner.sys.modules) - modules if name.startswith("shared")}


def test_a_view_of_an_earlier_job_hides_no_table(spark, tmp_path):
    spark.sql("CREATE DATABASE IF NOT EXISTS shown")
    spark.sql(f"CREATE EXTERNAL TABLE shown.lines (n int) STORED AS ORC LOCATION 'file://{tmp_path}/lines'")
    try:
        spark.range(3).createOrReplaceTempView("lines")
        spark.catalog.setCurrentDatabase("shown")
        assert spark.table("lines").columns == ["id"]
        runner.drop_views(spark)
        assert spark.table("lines").columns == ["n"]
    finally:
        spark.catalog.setCurrentDatabase("default")
        spark.sql("DROP DATABASE shown CASCADE")
