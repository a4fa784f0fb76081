"""Compiles a Glue Scala job with Spark's own compiler, and runs it in a Spark session.

    jar = scala.compile(Path("glue/scala/etl.scala"), Path(".dataless/scala"))
    scala.run(spark, jar, "GlueApp", ["--table", "orders", …])

On AWS, Glue compiles the script itself.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyspark
from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

WARNINGS = ("-deprecation", "-feature", "-unchecked", "-Xlint")


class CompileError(Exception):
    """The script does not compile; the message is the compiler's."""


class JobError(Exception):
    """The job failed; the message is Java's, with its causes."""


def compile(script: Path, folder: Path) -> Path:
    """Compiles the script; returns the jar of its classes, in `folder`, named by the script's content.

    A compiled script is not compiled again. Warnings go to standard error. Raises `CompileError`.
    """
    content = script.read_bytes() + repr((WARNINGS, pyspark.__version__)).encode()
    jar = folder / f"{hashlib.sha256(content).hexdigest()[:16]}.jar"
    if jar.is_file():
        return jar
    folder.mkdir(parents=True, exist_ok=True)
    jars = Path(pyspark.__file__).parent / "jars"
    java = Path(os.environ["JAVA_HOME"], "bin", "java") if os.environ.get("JAVA_HOME") else "java"
    with tempfile.TemporaryDirectory(dir=folder, prefix="unfinished-") as unfinished:
        classes = Path(unfinished) / "classes.jar"
        compiler = subprocess.run(
            [java, "-cp", f"{jars}/*", "scala.tools.nsc.Main", "-usejavacp", *WARNINGS, "-d", classes, script],
            capture_output=True,
            text=True,
        )
        if compiler.returncode != 0:
            raise CompileError(f"{script} does not compile:\n{compiler.stdout}{compiler.stderr}")
        sys.stderr.write(compiler.stdout + compiler.stderr)
        classes.replace(jar)
    return jar


def run(spark: SparkSession, jar: Path, class_name: str, argv: list[str]) -> None:
    """Calls the class's `main` in the session's JVM, and prints its output. Raises `JobError` when it fails."""
    jvm: Any = spark._jvm
    gateway: Any = spark.sparkContext._gateway
    urls = gateway.new_array(jvm.java.net.URL, 1)
    urls[0] = jvm.java.io.File(str(jar.resolve())).toURI().toURL()
    arguments = gateway.new_array(jvm.java.lang.String, len(argv))
    for index, argument in enumerate(argv):
        arguments[index] = argument
    parameters = gateway.new_array(jvm.java.lang.Object, 1)
    parameters[0] = arguments
    types = gateway.new_array(jvm.java.lang.Class, 1)
    types[0] = arguments.getClass()

    thread = jvm.java.lang.Thread.currentThread()
    previous_loader, previous_out = thread.getContextClassLoader(), jvm.java.lang.System.out
    # For the driver; executors have their own loader, in local mode too.
    loader = jvm.java.net.URLClassLoader(urls, previous_loader)
    spark.sparkContext._jsc.addJar(str(jar.resolve()))
    printed = jvm.java.io.ByteArrayOutputStream()
    thread.setContextClassLoader(loader)
    jvm.java.lang.System.setOut(jvm.java.io.PrintStream(printed, True, "UTF-8"))
    try:
        loader.loadClass(class_name).getMethod("main", types).invoke(None, parameters)
    except Py4JJavaError as error:
        raise JobError(message_of(error.java_exception)) from None
    finally:
        jvm.java.lang.System.setOut(previous_out)
        thread.setContextClassLoader(previous_loader)
        loader.close()
        print(printed.toString("UTF-8"), end="", flush=True)


def message_of(thrown: Any) -> str:
    """The messages of the exception and its causes, without those that reflection adds."""
    messages = []
    while thrown is not None:
        if thrown.getClass().getName() != "java.lang.reflect.InvocationTargetException":
            messages.append(thrown.toString())
        thrown = thrown.getCause()
    return "\ncaused by ".join(messages)
