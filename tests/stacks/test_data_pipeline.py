"""Checks the pipeline definition of every combination for errors that Data Pipeline would reject or run incorrectly."""

from __future__ import annotations

import re
from graphlib import TopologicalSorter

import pytest

import event_types
from support.combinations import ROOT, TEMPLATE, all_combinations, named
from support.resolver import resolve

NIGHT = "#{format(@scheduledStartTime,'yyyy-MM-dd')}"

ACTIVITIES = {"HiveActivity", "ShellCommandActivity", "SqlActivity", "RedshiftCopyActivity"}

# The required fields by type. Exactly one of the fields separated by `|` is required.
# https://docs.aws.amazon.com/datapipeline/latest/DeveloperGuide/dp-pipeline-objects.html
REQUIRED_FIELDS = {
    "EmrCluster": ["releaseLabel", "subnetId", "role", "resourceRole", "terminateAfter"],
    "HiveActivity": ["scriptUri", "runsOn|workerGroup", "stage"],
    "ShellCommandActivity": ["scriptUri", "runsOn|workerGroup"],
    "SqlActivity": ["scriptUri", "runsOn|workerGroup", "database"],
    "RedshiftCopyActivity": ["insertMode", "runsOn|workerGroup", "input", "output"],
    "RedshiftDatabase": ["clusterId", "databaseName", "username", "*password"],
    "RedshiftDataNode": ["database", "tableName"],
    "DynamoDBDataNode": ["tableName", "dataFormat"],
    "SnsAlarm": ["topicArn", "subject", "message", "role"],
    "Schedule": ["period", "startAt|startDateTime"],
}


class Definition:
    """The objects of the pipeline by id. The values of a field are a list, because a field can occur several times."""

    def __init__(self, chosen):
        stack = resolve(TEMPLATE, chosen).all_nested()["DataPipelineStack"]
        self.objects: dict[str, dict[str, list[str]]] = {}
        self.references: list[tuple[str, str, str]] = []
        for one in stack.resources["Pipeline"]["Properties"]["PipelineObjects"]:
            assert one["Id"] not in self.objects
            fields: dict[str, list[str]] = {}
            for each in one["Fields"]:
                if "RefValue" in each:
                    self.references.append((one["Id"], each["Key"], each["RefValue"]))
                value = str(each.get("StringValue", each.get("RefValue")))
                assert value, f"{one['Id']}.{each['Key']} is empty, which Data Pipeline refuses"
                fields.setdefault(each["Key"], []).append(value)
            self.objects[one["Id"]] = fields

    def of_type(self, *types):
        return {name: fields for name, fields in self.objects.items() if fields["type"][0] in types}

    def depends_on(self, name):
        return self.objects[name].get("dependsOn", [])

    def before(self, name):
        """Returns all activities that must finish before the given activity starts."""
        done, open_ = set(), list(self.depends_on(name))
        while open_:
            one = open_.pop()
            if one not in done:
                done.add(one)
                open_ += self.depends_on(one)
        return done


DEFINED = [
    chosen for chosen in all_combinations() if chosen["Orchestrator"] == "DataPipeline" and chosen["EnablePipeline"]
]


@pytest.fixture(scope="module")
def definitions():
    return [(chosen, Definition(chosen)) for chosen in DEFINED]


def test_every_reference_has_its_object(definitions):
    for chosen, definition in definitions:
        for name, key, target in definition.references:
            assert target in definition.objects, f"{named(chosen)}: {name}.{key} refers to {target}"


def test_required_fields_are_set(definitions):
    for chosen, definition in definitions:
        for name, fields in definition.objects.items():
            for required in REQUIRED_FIELDS.get(fields["type"][0], []):
                given = [key for key in required.split("|") if key in fields]
                assert len(given) == 1, f"{named(chosen)}: {name} needs {required}"


def test_activities_have_no_circular_dependencies(definitions):
    for _, definition in definitions:
        TopologicalSorter({name: definition.depends_on(name) for name in definition.objects}).prepare()


def test_each_step_waits_for_its_inputs(definitions):
    for _, definition in definitions:
        assert definition.before("Advertising") >= {"ImpressionsEtl", "ClicksEtl", "Scripts"}
        assert "AdvertisingChecks" in definition.before("AdTraffic")
        assert "AdTrafficChecks" in definition.before("AdTrafficLoad")
        of_types = {f"{event_types.pascal(one)}Etl" for one in event_types.names()}
        assert definition.before("Ledger") >= of_types
        # A failure of another event type does not affect `Advertising`.
        assert definition.before("Advertising") & of_types == {"ImpressionsEtl", "ClicksEtl"}
        if "Warehouse" in definition.objects:
            assert "AdvertisingChecks" in definition.before("WarehouseExport")
            for table in ("Impressions", "Clicks", "Advertising"):
                assert definition.before(f"{table}Copy") >= {"WarehouseExport", "WarehouseTables"}
                assert f"{table}Copy" in definition.before(f"{table}CopyLoad")
                assert definition.before("WarehouseChecks") >= {f"{table}CopyLoad", f"{table}SpectrumLoad"}


@pytest.mark.parametrize("language", ["python", "scala"])
def test_the_lake_is_filled_by_the_job_of_each_type(language):
    chosen = DEFINED[0] | {"ETLLanguage": language}
    definition, made = Definition(chosen), resolve(TEMPLATE, chosen)
    jobs = {one["Properties"]["Name"] for one in made.all_resources().values() if one["Type"] == "AWS::Glue::Job"}
    for event_type in event_types.names():
        job = definition.objects[f"{event_types.pascal(event_type)}Etl"]["scriptArgument"][-1]
        assert job == f"dataless-{event_types.kebab(event_type)}-{language}-etl" and job in jobs


def test_redshift_activities_exist_only_with_redshift(definitions):
    for chosen, definition in definitions:
        found = definition.of_type("RedshiftDatabase", "RedshiftDataNode", "RedshiftCopyActivity", "SqlActivity")
        assert len(found) == (13 if chosen["EnableRedshift"] else 0), named(chosen)


def test_each_activity_runs_on_the_right_machine(definitions):
    for chosen, definition in definitions:
        for name, fields in definition.of_type(*ACTIVITIES).items():
            is_hive = fields["type"] == ["HiveActivity"] or "checks" in fields.get("scriptArgument", [])[:1]
            if chosen["EnableEMRCluster"] and (is_hive or not chosen["EnableEC2Instance"]):
                expected = ("runsOn", ["Cluster"])
            else:
                expected = ("workerGroup", ["dataless-hive" if is_hive else "dataless-worker"])
            assert fields.get(expected[0]) == expected[1], f"{named(chosen)}: {name}"
        worker_group = "dataless-worker" if chosen["EnableEC2Instance"] else None
        script_instance = resolve(TEMPLATE, chosen).all_resources().get("MachinesStack/ScriptInstanceStack")
        assert (script_instance and script_instance["Properties"]["Parameters"]["WorkerGroup"]) == worker_group


def test_every_script_exists_and_is_composed_before_it_runs(definitions):
    composed = f"/temp/data-pipeline/{NIGHT}/"
    for chosen, definition in definitions:
        arguments = definition.objects["Scripts"]["scriptArgument"]
        files = arguments[arguments.index("--") + 1 :]
        assert len(files) == len(set(files))
        for file in files:
            assert (ROOT / file).is_file(), file
        used = set()
        for name, fields in definition.of_type(*ACTIVITIES).items():
            for uri in fields.get("scriptUri", []) + fields.get("scriptArgument", []):
                if composed in uri:
                    used.add(uri.split(composed)[1])
                    assert "Scripts" in definition.before(name), f"{name} runs {uri}"
                elif uri.endswith(".sh"):
                    bucket = "elsewhere" if "ScriptsBucket" in chosen else "<DataLakeBucket>"
                    path = uri.removeprefix(f"s3://{bucket}/scripts/")
                    assert (ROOT / path).is_file(), uri
        assert used == set(files)


def test_every_variable_of_a_composed_script_has_a_value(definitions):
    """Data Pipeline itself sets `output1`."""
    for _, definition in definitions:
        arguments = definition.objects["Scripts"]["scriptArgument"]
        split = arguments.index("--")
        given = {one.split("=")[0] for one in arguments[:split] if re.match(r"\w+=", one)}
        given |= {"day", "year", "month", "day_of_month", "output1"}
        for file in arguments[split + 1 :]:
            assert set(re.findall(r"\$\{(?:hivevar:)?(\w+)\}", (ROOT / file).read_text())) <= given, file


def test_staging_files_are_copied_from_the_export_folder(definitions):
    export = (ROOT / "pipeline/redshift/export.hql").read_text()
    for _, definition in definitions:
        staging = next(one for one in definition.objects["Scripts"]["scriptArgument"] if one.startswith("staging="))
        for fields in definition.of_type("S3DataNode").values():
            table = fields["directoryPath"][0].rsplit("/", 1)[1]
            assert fields["directoryPath"] == [f"{staging.removeprefix('staging=')}/{table}"]
            assert f"'${{hivevar:staging}}/{table}/day=${{hivevar:day}}'" in export


def test_failures_are_reported_and_activities_have_limits(definitions):
    for _, definition in definitions:
        default = definition.objects["Default"]
        assert default["onFail"] == ["FailureAlarm"] and default["onLateAction"] == ["LateAlarm"]
        assert default["attemptTimeout"] and default["maximumRetries"] and default["pipelineLogUri"]


def test_the_items_have_the_attributes_of_the_table():
    definition = Definition(DEFINED[0])
    assert definition.objects["AdTrafficColumns"]["column"] == [
        "ad_id STRING",
        "day STRING",
        "impressions BIGINT",
        "clicks BIGINT",
    ]
    table = resolve(TEMPLATE, {}).one("AdTrafficTable")["Properties"]
    assert {one["AttributeName"] for one in table["KeySchema"]} == {"ad_id", "day"}
