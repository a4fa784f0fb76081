"""Files and folders wherever Hadoop finds them: S3 on AWS, a folder on a laptop."""

from __future__ import annotations

from typing import Any

from py4j.java_gateway import JavaClass
from pyspark.sql import SparkSession

# Suffixes that make Hadoop decompress a file, besides gzip's.
UNPACKED = (".bz2", ".deflate", ".lz4", ".snappy", ".zst")


def java_class(spark: SparkSession, name: str) -> JavaClass:
    """A Java class. `spark._jvm.a.b.C` would search all archives of the class path for `a`, for `a.b` and so on."""
    gateway: Any = spark.sparkContext._gateway
    return JavaClass(name, gateway._gateway_client)


def hadoop_path(spark: SparkSession, path: str) -> tuple:
    """The path and its file system, as Hadoop's Java objects."""
    hadoop = java_class(spark, "org.apache.hadoop.fs.Path")(path)
    return hadoop.getFileSystem(spark._jsc.hadoopConfiguration()), hadoop


def list_files(spark: SparkSession, folder: str) -> dict[str, int]:
    """The names of the folder's files and folders, with their bytes; none when it does not exist."""
    file_system, path = hadoop_path(spark, folder)
    if not file_system.exists(path):
        return {}
    return {status.getPath().getName(): status.getLen() for status in file_system.listStatus(path)}


def raw_bytes(spark: SparkSession, hour: str) -> int:
    """The bytes of the raw objects in the folder of an hour. Raises `RuntimeError` for a folder or a suffix that Spark
    handles differently from other readers: Spark silently reads no line of a file whose content does not match its
    suffix."""
    file_system, path = hadoop_path(spark, hour)
    size = 0
    for status in file_system.listStatus(path):
        name = status.getPath().getName()
        if name.startswith((".", "_")) or name.endswith("._COPYING_"):
            continue
        if status.isDirectory() or name.endswith(UNPACKED):
            raise RuntimeError(
                f"{hour}/{name} is not a raw object: raw objects are in the folder of their hour, gzip or not packed: move it, or rename it"
            )
        size += status.getLen()
    return size


def list_names(spark: SparkSession, folder: str) -> list[str]:
    """The names of the folder's files and folders; none when it does not exist."""
    return list(list_files(spark, folder))


def read_text(spark: SparkSession, path: str) -> str:
    """The text of a small file."""
    file_system, found = hadoop_path(spark, path)
    stream = file_system.open(found)
    try:
        return java_class(spark, "org.apache.hadoop.shaded.org.apache.commons.io.IOUtils").toString(stream, "UTF-8")
    finally:
        stream.close()


def delete(spark: SparkSession, path: str) -> None:
    """Deletes the file, or the folder with all that it holds, if there is one."""
    file_system, found = hadoop_path(spark, path)
    file_system.delete(found, True)


def touch(spark: SparkSession, path: str) -> None:
    """Makes an empty file."""
    file_system, found = hadoop_path(spark, path)
    file_system.create(found, True).close()
