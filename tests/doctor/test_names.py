"""Names that are already taken are found before a deployment."""

import dataclasses
import json

import event_types
from account import stacks

ROLE = "arn:aws:iam::123456789012:role/any"

BUCKET = {"type": "S3", "location": "builds"}


def make_pipeline(account, name):
    account.client("iam").create_role(RoleName="any", AssumeRolePolicyDocument=json.dumps(
        {"Statement": [{"Effect": "Allow", "Principal": {"Service": "codepipeline.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    ))  # fmt: skip
    source = {"category": "Source", "owner": "AWS", "provider": "S3", "version": "1"}
    build = {"category": "Build", "owner": "AWS", "provider": "CodeBuild", "version": "1"}
    stages = [
        {"name": "Source", "actions": [{"name": "Source", "actionTypeId": source}]},
        {"name": "Build", "actions": [{"name": "Build", "actionTypeId": build}]},
    ]
    pipeline = {"name": name, "roleArn": ROLE, "artifactStore": BUCKET, "stages": stages, "version": 1}
    account.client("codepipeline").create_pipeline(pipeline=pipeline)


def make_project(account, name):
    account.client("codebuild").create_project(
        name=name, source={"type": "S3", "location": "bucket/path"}, artifacts={"type": "NO_ARTIFACTS"}, serviceRole=ROLE,
        environment={"type": "ARM_CONTAINER", "image": "image", "computeType": "BUILD_GENERAL1_SMALL"},
    )  # fmt: skip


def make_stream(account, name):
    destination = {"RoleARN": ROLE, "BucketARN": "arn:aws:s3:::bucket"}
    account.client("firehose").create_delivery_stream(
        DeliveryStreamName=name, ExtendedS3DestinationConfiguration=destination
    )


def make_schedule(account, name):
    account.client("scheduler").create_schedule(
        Name=name,
        ScheduleExpression="rate(1 day)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": ROLE, "RoleArn": ROLE},
    )


def make_function(account, name):
    role = account.client("iam").create_role(RoleName="runs", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    account.client("lambda").create_function(
        FunctionName=name, Role=role, PackageType="Image", Code={"ImageUri": "1.dkr.ecr/image:1"}
    )


DEFINITION = '{"StartAt": "End", "States": {"End": {"Type": "Succeed"}}}'

MADE = {
    "AWS::Athena::WorkGroup": ("shop-main", lambda account, name: account.client("athena").create_work_group(Name=name)),
    "AWS::CloudWatch::Dashboard": (
        "shop-main-Ops-us-east-1",
        lambda account, name: account.client("cloudwatch").put_dashboard(DashboardName=name, DashboardBody='{"widgets": []}'),
    ),
    "AWS::CodeBuild::Project": ("shop", make_project),
    "AWS::CodeCommit::Repository": ("shop", lambda account, name: account.client("codecommit").create_repository(repositoryName=name)),
    "AWS::CodePipeline::Pipeline": ("delivery-shop", make_pipeline),
    "AWS::Glue::Crawler": (
        "shop-main-raw",
        lambda account, name: account.client("glue").create_crawler(Name=name, Role=ROLE, Targets={"S3Targets": [{"Path": "s3://b"}]}),
    ),
    "AWS::Glue::Database": (
        "shop_main",
        lambda account, name: account.client("glue").create_database(DatabaseInput={"Name": name}),
    ),
    "AWS::Glue::Job": (
        "shop-main-ledger",
        lambda account, name: account.client("glue").create_job(Name=name, Role=ROLE, Command={"Name": "glueetl"}),
    ),
    "AWS::KinesisFirehose::DeliveryStream": ("shop-main-impressions", make_stream),
    "AWS::Logs::LogGroup": (
        "/aws/kinesisfirehose/shop-main",
        lambda account, name: account.client("logs").create_log_group(logGroupName=name),
    ),
    "AWS::Scheduler::Schedule": ("shop-main-daily", make_schedule),
    "AWS::Serverless::Function": ("shop-main-capture-clicks", make_function),
    "AWS::StepFunctions::StateMachine": (
        "shop-main-daily",
        lambda account, name: account.client("stepfunctions").create_state_machine(name=name, definition=DEFINITION, roleArn=ROLE),
    ),
}  # fmt: skip


def test_each_kind_of_name_has_a_test():
    assert set(MADE) == set(stacks.NAMED)


def test_a_taken_name_stops_and_the_command_frees_it(account, pipeline, warehouse):
    before = [one for deployment in (pipeline, warehouse) for one in stacks.check_names(account, deployment)]
    assert all(one.good for one in before), before
    for name, make in MADE.values():
        make(account, name)
    after = [one for deployment in (pipeline, warehouse) for one in stacks.check_names(account, deployment)]
    taken = [one for one in after if not one.good]
    assert len(taken) == len(MADE)
    for kind, (name, _) in MADE.items():
        noun = kind.rsplit("::", 1)[1]
        (one,) = [one for one in taken if one.detail.startswith(f"the {noun} {name} exists already")]
        assert one.stops and name in one.command, kind


def test_an_existing_repository_is_reused(account, pipeline):
    account.client("codecommit").create_repository(repositoryName="shop")
    (found,) = [one for one in stacks.check_names(account, pipeline) if one.stops]
    assert found.command == (
        "aws cloudformation deploy --template-file build.yaml --stack-name shop --capabilities CAPABILITY_IAM "
        "--parameter-overrides Branch=main RepositoryName=shop"
    )


def test_an_existing_state_machine_is_deleted_by_its_arn(account, warehouse):
    MADE["AWS::StepFunctions::StateMachine"][1](account, "shop-main-daily")
    (found,) = [one for one in stacks.check_names(account, warehouse) if one.stops]
    arn = "arn:aws:states:us-east-1:123456789012:stateMachine:shop-main-daily"
    assert found.command == f"aws stepfunctions delete-state-machine --state-machine-arn {arn}"


def test_names_match_the_templates(account, pipeline, warehouse):
    made = {kind: {name for other, name in stacks.names(account, warehouse) if other == kind} for kind in stacks.NAMED}
    assert made["AWS::KinesisFirehose::DeliveryStream"] == {
        f"shop-main-{event_types.kebab(one)}" for one in event_types.names()
    }
    assert made["AWS::Glue::Database"] == {"shop_main"}
    assert {"/aws/lambda/shop-main-metrics-sink", "/aws/apigateway/shop-main"} <= made["AWS::Logs::LogGroup"]
    assert len(made["AWS::Logs::LogGroup"]) >= 7 + len(event_types.names())
    assert ("AWS::CodeCommit::Repository", "shop") in stacks.names(account, pipeline)
    # A given repository is not created.
    given = dataclasses.replace(pipeline, parameters={"RepositoryName": "mine"})
    assert "AWS::CodeCommit::Repository" not in dict(stacks.names(account, given))


def test_a_name_that_is_only_a_prefix_of_another_is_free(account, warehouse):
    account.client("logs").create_log_group(logGroupName="/aws/kinesisfirehose/shop-main-2")
    assert all(one.good for one in stacks.check_names(account, warehouse))


def test_a_failed_check_of_one_kind_does_not_hide_others(account, stub, warehouse):
    account.client("logs").create_log_group(logGroupName="/aws/apigateway/shop-main")
    stub("athena", "get_work_group", error="InternalServerException", message="try later")
    found = list(stacks.check_names(account, warehouse))
    assert any(one.stops and "/aws/apigateway/shop-main" in one.detail for one in found)
    assert any("try later" in one.detail and not one.stops for one in found)


def test_the_name_of_a_missing_workgroup_is_free(account, stub, warehouse):
    stub("athena", "get_work_group", error="InvalidRequestException", message="WorkGroup shop-main is not found.")
    assert all(one.good for one in stacks.check_names(account, warehouse))


def test_a_denied_check_is_reported_with_its_action(account, stub, warehouse):
    for _ in event_types.names():
        stub("firehose", "describe_delivery_stream", error="AccessDeniedException")
    unseen, free = stacks.check_names(account, warehouse)
    assert not unseen.good and not unseen.stops
    assert unseen.detail == "could not check all names: needs firehose:DescribeDeliveryStream"
    assert free.good
