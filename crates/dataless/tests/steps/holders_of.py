"""Finds what holds a text: all files below a folder, and all versions of all objects of a bucket, gzip and ORC read as content.

    python holders_of.py TEXT FOLDER [BUCKET ENDPOINT]

Prints one JSON object: `files` and `versions` (how many were read), `orc` (how many of both are ORC), `markers` (delete markers
in the bucket), and `holders`, the names of what holds the text in any letter case.
"""

import gzip
import json
import os
import sys
import tempfile
from pathlib import Path

import boto3
from botocore.config import Config
from pyspark.sql import SparkSession
from pyspark.sql import functions as F


def files(folder):
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            if path.is_file() and not path.is_symlink():
                yield str(path.relative_to(folder)), path.read_bytes()


def versions(s3, bucket, markers):
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        markers += page.get("DeleteMarkers", [])
        for found in page.get("Versions", []):
            content = s3.get_object(Bucket=bucket, Key=found["Key"], VersionId=found["VersionId"])["Body"].read()
            yield f"s3://{bucket}/{found['Key']}?versionId={found['VersionId']}", content


def orc_holders(folder, names, text):
    """Which of the ORC files, which are named by numbers, have the text in a row."""
    if not names:
        return []
    settings = {"spark.ui.enabled": "false", "spark.sql.orc.mergeSchema": "true", "spark.log.level": "ERROR"}
    builder = SparkSession.builder.master("local[2]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    rows = spark.read.option("mergeSchema", "true").option("pathGlobFilter", "*.orc").orc(str(folder))
    source = F.element_at(F.split("_metadata.file_path", "/"), -1)
    all_of = F.lower(F.to_json(F.struct(*(F.col(f"`{column}`") for column in rows.columns))))
    found = rows.where(all_of.contains(text)).select(source.alias("name")).distinct().collect()
    spark.stop()
    return [names[int(row["name"].removesuffix(".orc"))] for row in found]


def main(text, folder, bucket=None, endpoint=None):
    text, markers, holders, orc = text.lower(), [], [], []
    counts = {"files": 0, "versions": 0}
    s3 = bucket and boto3.client(
        "s3", endpoint_url=endpoint, aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as copies:
        for kind, contents in (("files", files(folder)), ("versions", versions(s3, bucket, markers) if s3 else ())):
            for name, content in contents:
                counts[kind] += 1
                if content.startswith(b"ORC"):
                    Path(copies, f"{len(orc)}.orc").write_bytes(content)
                    orc.append(name)
                if content.startswith(b"\x1f\x8b"):
                    content = gzip.decompress(content)
                if text.encode() in content.lower():
                    holders.append(name)
        holders += orc_holders(copies, orc, text)
    print(json.dumps(counts | {"orc": len(orc), "markers": len(markers), "holders": sorted(set(holders))}))


if __name__ == "__main__":
    main(*sys.argv[1:])
