"""The ETL in both languages."""

import itertools
import json

import nasty
import scala
from etl_runs import flags, ledger, partitions, run_etl
from support.spark import ROOT


class Engines:
    """Both jobs on one warehouse; each run returns the lines that the job printed."""

    def __init__(self, warehouse, classes, capsys):
        self.warehouse, self.classes, self.capsys = warehouse, classes, capsys

    def python(self, *days: str, table: str = "impressions") -> list[dict]:
        run_etl(self.warehouse, *days, table=table)
        return self.printed()

    def scala(self, *days: str, table: str = "impressions") -> list[dict]:
        for day in days:
            self.run_scala(
                table=table,
                day=day,
                database=self.warehouse.database,
                data_path=self.warehouse.data_path + "/",
                lookback_days=str(nasty.LOOKBACK_DAYS),
                sql=f"file://{ROOT}/glue/sql/",
            )
        return self.printed()

    def in_turn(self, *days: str, table: str = "impressions") -> list[dict]:
        turns = zip(days, itertools.cycle([self.python, self.scala]))
        return [line for day, run in turns for line in run(day, table=table)]

    def run_scala(self, **arguments: str) -> None:
        of_glue = ["--job-language", "scala", "--enable-metrics", "--TempDir", "s3://b/temporary/"]
        scala.run(self.warehouse.spark, self.classes, "GlueApp", [*of_glue, *flags(arguments)[1:]])

    def printed(self) -> list[dict]:
        return [json.loads(line) for line in self.capsys.readouterr().out.splitlines()]

    def check(self, *days: str, table: str = "impressions") -> tuple[list[dict], list[tuple]]:
        """Runs the days in order by Python, then again by both in turn, then from scratch by Scala. All must print and
        write the same."""
        books = self.python(*days, table=table)
        rows = self.written(table)
        assert self.in_turn(*days, table=table) == books
        assert self.written(table) == rows
        # Deletes the lake's partitions and keeps raw.
        for name in (table, "rejected", "ledger"):
            for partition in partitions(self.warehouse, name):
                keys = ", ".join("{}='{}'".format(*key.split("=")) for key in partition.split("/"))
                self.warehouse.spark.sql(f"ALTER TABLE {self.warehouse.database}.{name} DROP PARTITION ({keys})")
        assert self.written(table)[table] == []
        assert self.scala(*days, table=table) == books
        assert self.written(table) == rows
        return books, rows[table]

    def written(self, table: str) -> dict:
        names = {name: self.warehouse.rows(name) for name in (table, "rejected")}
        return names | {"ledger": ledger(self.warehouse, table), "partitions": partitions(self.warehouse, table)}
