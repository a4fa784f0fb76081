"""An invalid configuration stops a deployment, no matter which of its values other checks read. Printed commands apply
to the deployment that was checked."""

import dataclasses

import pytest

import configuration
import doctor
import runnable
from account import deployments, stop


def options(*arguments):
    return doctor.parser().parse_args(list(arguments))


@pytest.mark.parametrize(
    ("parameters", "detail"),
    [
        ({"PipelineParallelDays": "three"}, "PipelineParallelDays: 'three' is not a number"),
        ({"GlueNumberOfWorkers": "1e2"}, "GlueNumberOfWorkers: '1e2' is not a number"),
        ({"MetricsSinkReservedConcurrency": "many"}, "MetricsSinkReservedConcurrency: 'many' is not a number"),
        ({"GlueWorkerType": "Standard"}, "GlueWorkerType: 'Standard' is not one of"),
        (
            {"PipelineParalelDays": 3},
            "PipelineParalelDays: the template has no such parameter; did you mean PipelineParallelDays?",
        ),
    ],
)
def test_a_value_that_the_template_refuses_stops(account, warehouse, parameters, detail):
    (found,) = doctor.examine(account, [dataclasses.replace(warehouse, parameters=parameters)])
    assert found.stops and found.what == "configuration"
    assert found.detail.startswith(f"config/main.json: {detail}")


def test_the_other_deployments_are_still_checked(account, large, pipeline, warehouse):
    large(warehouse=False)
    found = list(doctor.examine(account, [pipeline, dataclasses.replace(warehouse, parameters={"LakeFileMB": "big"})]))
    assert [one.what for one in found if one.what == "configuration"] == ["configuration"]
    assert "stack shop" in {one.what for one in found} and "stack shop-main" not in {one.what for one in found}
    assert not [one for one in found if one.what == "quota of Glue"]


def test_a_number_with_a_fraction_is_rounded_up(account, stub, warehouse):
    parameters = {"PipelineParallelDays": "2.5", "GlueNumberOfWorkers": "3.0", "MetricsSinkReservedConcurrency": "20.0"}
    deployment = dataclasses.replace(warehouse, parameters=parameters)
    assert deployment.problems() == []
    assert doctor.quotas.at_once(account, deployment) == (3, 9)
    assert doctor.quotas.reserved(account, deployment) == 20


# --- names ------------------------------------------------------------------------------------------------------------


def test_a_samconfig_without_a_stack_name_is_invalid(tmp_path):
    (tmp_path / "samconfig.toml").write_text("[default.deploy.parameters]\nresolve_s3 = true\n")
    with pytest.raises(configuration.Invalid, match=r"samconfig\.toml: it names no stack: give --stack"):
        deployments.by_hand(None, tmp_path)
    assert deployments.by_hand("mine", tmp_path).stack == "mine"


def test_a_samconfig_without_a_stack_name_stops(monkeypatch, tmp_path, account):
    (tmp_path / "samconfig.toml").write_text("[default.deploy.parameters]\nstack_name = 5\n")
    by_hand = deployments.by_hand
    monkeypatch.setattr(deployments, "by_hand", lambda stack: by_hand(stack, tmp_path))
    _, found = doctor.findings(options("--region", "us-east-1"))
    assert found.stops and found.what == "configuration" and "names no stack" in found.detail


def pipeline_of(stack, branch, tmp_path):
    (tmp_path / "config").mkdir(exist_ok=True)
    (tmp_path / "config" / f"{branch}.json").write_text('{"Parameters": {}}')
    return deployments.by_pipeline(stack, branch, tmp_path)


@pytest.mark.parametrize(
    ("stack", "branch", "rename"),
    [
        ("shop", "main", "--stack-name shop-2 --capabilities CAPABILITY_IAM --parameter-overrides Branch=main"),
        # build.yaml refuses another branch without a repository.
        (
            "shop",
            "next",
            "--stack-name shop-2 --capabilities CAPABILITY_IAM --parameter-overrides Branch=next RepositoryName=dataless",
        ),
        # Names that CloudFormation or the maximum length would refuse.
        ("9_My.Shop", "main", "--stack-name my-shop-2 --capabilities CAPABILITY_IAM --parameter-overrides Branch=main"),
        ("a-shop-with-a-long-name", "main", "--stack-name a-shop-with-a-lo-2 --capabilities CAPABILITY_IAM --parameter-overrides Branch=main"),
    ],
)  # fmt: skip
def test_a_renamed_pipeline_delivers_the_same_branch(tmp_path, stack, branch, rename):
    pipeline, warehouse = pipeline_of(stack, branch, tmp_path)
    assert pipeline.rename == warehouse.rename == f"aws cloudformation deploy --template-file build.yaml {rename}"
    runnable.check(pipeline.rename)
    assert pipeline.parameters == {"Branch": branch}


def test_a_renamed_warehouse_gets_a_valid_name(tmp_path):
    (tmp_path / "samconfig.toml").write_text('[default.global.parameters]\nstack_name = "My_Shop"\n')
    assert deployments.by_hand(None, tmp_path).rename == "sam deploy --stack-name my-shop-2"


@pytest.mark.parametrize("length", range(1, 31))
def test_a_new_name_fits_with_the_branch_or_is_none(length):
    name, branch = deployments.another("dataless", "b" * length), "b" * length
    assert (name is None) == (length > 19)
    if name:
        assert configuration.check_stack_name(f"{name}-{branch}") == []


# --- commands ---------------------------------------------------------------------------------------------------------

ALL = ("--profile", "my work", "--region", "eu-west-1", "--pipeline-stack", "shop", "--branch", "next")
ELSEWHERE = "cargo dataless doctor --aws --region us-east-1"
DELETE = "aws cloudformation delete-stack --stack-name shop"


@pytest.mark.parametrize(
    ("given", "command", "shown"),
    [
        ((), ELSEWHERE, ELSEWHERE),
        ((), DELETE, DELETE),
        ((), None, None),
        (("--stack", "mine"), ELSEWHERE, f"{ELSEWHERE} --stack mine"),
        (ALL, ELSEWHERE, f"{ELSEWHERE} --pipeline-stack shop --branch next --profile 'my work'"),
        (ALL, DELETE, f"{DELETE} --region eu-west-1 --profile 'my work'"),
        (ALL, "sam deploy --stack-name b", "sam deploy --stack-name b --region eu-west-1 --profile 'my work'"),
    ],
)
def test_a_command_repeats_the_options_of_the_run(given, command, shown):
    assert doctor.with_options(stop("", "", command), options(*given)).command == shown


def test_each_command_of_a_run_names_its_region(account, large, monkeypatch):
    large()
    monkeypatch.setattr(doctor, "Account", lambda session, region: account)
    account.client("athena").create_work_group(Name="ours-main")
    found = doctor.findings(options("--region", "us-east-1", "--pipeline-stack", "ours"))
    (taken,) = [one for one in found if "the WorkGroup ours-main exists already" in one.detail]
    assert (
        taken.command
        == "aws athena delete-work-group --work-group ours-main --recursive-delete-option --region us-east-1"
    )


@pytest.mark.parametrize(
    "command",
    [
        "set ManageApiGatewayLogging to false in config/main.json",
        "aws cloudformation deploy … --parameter-overrides RepositoryName=shop",
        "sam deploy --stack-name <another name>",
        "aws stepfunctions list-state-machines  # then delete-state-machine",
        "aws athena delete-work-group --recursive-delete-option",
        "aws athena delete-work-group --workgroup shop",
    ],
)
def test_a_command_that_cannot_be_run_is_detected(command):
    with pytest.raises(AssertionError):
        runnable.check(command)
