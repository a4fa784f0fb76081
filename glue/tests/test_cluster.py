"""Both jobs on a Spark with separate executor processes, as on Glue."""

import base64
import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import expectation
import nasty

DAY = "2026-11-20"


def test_on_two_workers_both_jobs_write_what_the_definition_says(tmp_path, classes):
    # The executors must not find the modules, so the path is not in the environment.
    command = [sys.executable, __file__, tmp_path, classes, *sys.path]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-4000:]
    result = json.loads(run.stdout.splitlines()[-1])
    assert result["executors"] == 2
    lines = small_input()
    rows = expectation.lake(expectation.IMPRESSIONS, lines, nasty.LOOKBACK_DAYS)
    books = expectation.books(expectation.IMPRESSIONS, lines, nasty.LOOKBACK_DAYS)[DAY]
    for engine in ("python", "scala"):
        assert result[engine]["rows"] == [list(map(str, row)) for row in rows]
        assert result[engine]["rejected"] == books["rejected"] > 0
        assert {name: result[engine]["book"][name] for name in books} == dict(books)
        assert result[engine]["book"]["undelivered"] == 2


def small_input() -> list[tuple]:
    """What arrived on one day."""
    return [line for line in nasty.LINES if line[0].startswith(DAY)]


def main(folder: Path, classes: Path) -> None:
    """Runs both jobs; prints as JSON what they printed and wrote."""
    from pyspark.sql import SparkSession

    from engines import Engines
    from support.spark import Warehouse, spark_defaults

    builder = SparkSession.builder.appName("cluster")
    settings = spark_defaults() | {
        "spark.master": "local-cluster[2,1,1024]",
        "spark.executor.memory": "1g",
        "spark.driver.memory": "1g",
        "spark.sql.shuffle.partitions": "2",
        "spark.executor.extraJavaOptions": "-Duser.timezone=UTC -XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "spark.driver.extraJavaOptions": f"-Dderby.stream.error.file={folder}/derby.log -XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "spark.sql.warehouse.dir": f"file://{folder}/warehouse",
        "spark.hadoop.javax.jdo.option.ConnectionURL": "jdbc:derby:memory:metastore;create=true",
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    spark = builder.enableHiveSupport().getOrCreate()
    warehouse = Warehouse(spark, folder / "bucket")
    warehouse.put_lines("impressions", small_input())
    aside = warehouse.folder / "data/raw-errors/impressions/processing-failed/year=2026/month=11/day=20/hour=10"
    aside.mkdir(parents=True)
    (aside / "object").write_text(json.dumps({"rawData": base64.b64encode(b"a\nb\n").decode()}), encoding="utf-8")
    result = {"executors": spark.sparkContext._jsc.sc().getExecutorMemoryStatus().size() - 1}
    output = Captured()
    engines = Engines(warehouse, classes, output)
    for engine in ("python", "scala"):
        with output:
            (book,) = getattr(engines, engine)(DAY)
        rows = [list(map(str, row)) for row in warehouse.rows("impressions")]
        result[engine] = {"rows": rows, "rejected": len(warehouse.rows("rejected")), "book": book}
        warehouse.spark.sql("ALTER TABLE dataless.ledger DROP PARTITION (table_name='impressions')")
    print(json.dumps(result))
    spark.stop()


class Captured:
    """What the jobs print, as pytest's `capsys` has it."""

    def __enter__(self):
        self.out, self.before = io.StringIO(), sys.stdout
        sys.stdout = self.out

    def __exit__(self, *_):
        sys.stdout = self.before

    def readouterr(self):
        return SimpleNamespace(out=self.out.getvalue())


if __name__ == "__main__":
    sys.path[:] = sys.argv[3:]
    main(Path(sys.argv[1]), Path(sys.argv[2]))
