"""The session and the tables are those of the jobs."""

from support.spark import shared_warehouse, spark, warehouse
