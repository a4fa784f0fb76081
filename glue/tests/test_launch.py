"""The environment in which the runner of jobs starts. No Spark."""

import itertools
import shlex

import pytest

import launch

SETTINGS_OF_A_USER = {
    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
    "AWS_PROFILE": "production",
    "AWS_SESSION_TOKEN": "x",
    "HADOOP_CONF_DIR": "/etc/hadoop",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "JAVA_TOOL_OPTIONS": "-Xmx64m",
    "_JAVA_OPTIONS": "-Xmx64m",
    "PYTHONPATH": "/elsewhere",
    "PYTHONOPTIMIZE": "2",
    "SPARK_HOME": "/opt/spark",
}


def environment(folder):
    folder.mkdir(parents=True)
    config = {
        "root": "/root of/it",
        "instance": str(folder.parent),
        "endpoint": "http://127.0.0.1:1",
        "region": "us-east-1",
    }
    return launch.environment(config | {"expected_raw_bytes": 0}, folder)


def settings(environment):
    words = shlex.split(environment["PYSPARK_SUBMIT_ARGS"])
    return dict(word.split("=", 1) for flag, word in itertools.pairwise(words) if flag == "--conf")


@pytest.mark.parametrize(
    "name", ["plain", "two words", "feature%2Fx", "c#", "für Ödön", 'a "quote"', "back\\slash", "it's"]
)
def test_the_jvm_gets_the_paths_of_any_folder_whole(tmp_path, name):
    folder = tmp_path / name / "spark"
    options = shlex.split(settings(environment(folder))["spark.driver.extraJavaOptions"])
    assert options[-2:] == [f"-Dderby.stream.error.file={folder}/derby.log", f"-Djava.io.tmpdir={folder}/tmp"]
    assert options[0] == "-XX:TieredStopAtLevel=1"


def test_names_of_files_are_utf_8_whatever_the_locale(tmp_path, monkeypatch):
    monkeypatch.setenv("LC_ALL", "C")
    assert environment(tmp_path / "spark")["LC_ALL"] == "C.UTF-8"


def test_settings_of_the_user_stay_outside(tmp_path, monkeypatch):
    for name, value in SETTINGS_OF_A_USER.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("JAVA_HOME", "/opt/java")
    made = environment(tmp_path / "spark")
    assert SETTINGS_OF_A_USER.keys() & made.keys() == set()
    assert (made["JAVA_HOME"], made["AWS_ENDPOINT_URL"]) == ("/opt/java", "http://127.0.0.1:1")
