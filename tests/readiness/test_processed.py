"""After the transforms, templates have no dangling references, no Fn::Select past the end, and all dependencies."""

import functools
import json
import subprocess
import sys

import pytest

from support.combinations import ROOT
from support.options import OPTIONS
from support.processed import PSEUDO, NotProcessed, all_stacks, answered, listed, names_of, warehouse
from support.resolver import DanglingReference, Resolver, read_template

LANGUAGE_EXTENSIONS = "AWS::LanguageExtensions"


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_is_processed_without_dangling_references(option):
    """The resolver raises an error for a Ref or DependsOn to a missing resource in the transformed template."""
    stack = warehouse(option)
    types = {one["Type"] for one in stack.all_resources().values()}
    assert not any(one.startswith("AWS::Serverless::") for one in types)
    assert {
        "AWS::Lambda::Alias",
        "AWS::CodeDeploy::DeploymentGroup",
        "AWS::ApiGateway::Stage",
        "AWS::CloudWatch::Dashboard",
    } <= types
    for place, one in all_stacks(stack):
        leftover = {"Transform", "Globals"} & set(one.template.body)
        assert not leftover, f"{place}: {leftover}"


def test_transforms_that_end_early_are_an_error():
    ended = subprocess.Popen(
        [sys.executable, "-c", "raise SystemExit(3)"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    for _ in range(2):
        with pytest.raises(NotProcessed, match="exit status 3"):
            answered(ended, "{}")


def test_the_root_does_not_use_language_extensions():
    """Language extensions store parameter values in the template, remove dependencies, and evaluate excluded parts."""
    assert LANGUAGE_EXTENSIONS not in read_template(ROOT / "template.yaml").get("Transform", [])


# --- Fn::Select -----------------------------------------------------------------------------------------------------


def selections(part):
    if isinstance(part, list):
        for one in part:
            yield from selections(one)
    elif isinstance(part, dict):
        for key, one in part.items():
            if key == "Fn::Select":
                yield one
            yield from selections(one)


def short_selections(template, path, parameters, pseudo):
    """Yields a problem for each Fn::Select past the end of its list.

    The language extensions evaluate Fn::Select before a condition removes its resource, and fail.

    https://github.com/aws-cloudformation/cloudformation-language-discussion/issues/159
    """
    resolver = Resolver(path, parameters, pseudo, {})
    resolver.active = set(template["Resources"])
    for section in ("Resources", "Outputs"):
        for name, part in template.get(section, {}).items():
            resolver.where = f"{path.name}: {name}"
            for index, items in selections(part):
                try:
                    resolver.select(index, items)
                except DanglingReference as problem:
                    yield str(problem)


@pytest.mark.parametrize("option", OPTIONS)
def test_no_selection_is_past_the_end(option):
    # In templates without language extensions, the resolver checks each Fn::Select that CloudFormation evaluates.
    problems = [
        problem
        for _, stack in all_stacks(warehouse(option))
        if LANGUAGE_EXTENSIONS in stack.template.source.get("Transform", [])
        for problem in short_selections(
            stack.template.source, stack.template.path, stack.template.parameters, stack.pseudo
        )
    ]
    assert not problems, listed(problems)


def test_a_selection_past_the_end_is_detected(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(
        "Transform: AWS::LanguageExtensions\nParameters: { Key: { Type: String, Default: '' } }\n"
        "Resources: { A: { Type: 'AWS::SNS::Topic', Properties: { TopicName: !Select [1, !Split ['/', !Ref Key]] } } }\n"
    )
    assert len(list(short_selections(read_template(path), path, {}, PSEUDO))) == 1
    assert list(short_selections(read_template(path), path, {"Key": "a/b"}, PSEUDO)) == []


# --- dependencies ---------------------------------------------------------------------------------------------------

# (resource type, type that each of its resources depends on directly or indirectly, reason).
WAITS = [
    ("AWS::ApiGateway::Account", "AWS::ApiGateway::RestApi", "an account that never had an API refuses the setting"),
    ("AWS::ApiGateway::Stage", "AWS::ApiGateway::Deployment", "a stage shows a deployment"),
    ("AWS::ApiGateway::UsagePlan", "AWS::ApiGateway::Stage", "a plan names its stage, which must exist"),
    ("AWS::WAFv2::WebACLAssociation", "AWS::ApiGateway::Stage", "a web ACL needs an existing stage"),
    ("AWS::KinesisFirehose::DeliveryStream", "AWS::Lambda::Alias", "Firehose calls the alias of the sink"),
    ("AWS::KinesisFirehose::DeliveryStream", "AWS::IAM::Role", "Firehose assumes its role when the stream is created"),
    ("AWS::KinesisFirehose::DeliveryStream", "AWS::Logs::LogStream", "without its log stream Firehose logs nothing"),
    ("AWS::Lambda::Function", "AWS::Logs::LogGroup", "Lambda would create the group without an expiry"),
    ("AWS::StepFunctions::StateMachine", "AWS::Logs::LogGroup", "Step Functions checks its permission to log"),
    ("AWS::Scheduler::Schedule", "AWS::StepFunctions::StateMachine", "the schedule starts it"),
    ("AWS::Glue::Table", "AWS::Glue::Database", "a table is in a database"),
    ("AWS::Redshift::Cluster", "AWS::Logs::LogGroup", "Redshift would create the group without an expiry"),
    ("AWS::EC2::NatGateway", "AWS::EC2::VPCGatewayAttachment", "a NAT gateway needs an internet gateway"),
    ("AWS::EC2::EIP", "AWS::EC2::VPCGatewayAttachment", "an elastic IP needs a VPC with a gateway"),
    ("AWS::ApiGateway::BasePathMapping", "AWS::ApiGateway::DomainName", "a base path belongs to a domain name"),
]

# Dependencies of the child stacks on each other and on the root.
CHILDREN_WAIT = [
    ("DnsStack", "AWS::ApiGateway::Stage"),
    ("DataPipelineStack", "DataPipelineLockStack"),
    ("DataPipelineStack", "EmrStack"),
    ("ScriptInstanceStack", "NetworkStack"),
    ("EmrStack", "NetworkStack"),
    ("RedshiftStack", "NetworkStack"),
]


class Order:
    """The dependencies in a stack and its nested stacks, by resource path, such as `TablesStack/GlueDatabase`.

    All resources of a nested stack wait for the resources that its parameters refer to. A resource that uses an output
    of a nested stack waits for all resources of that stack.
    """

    def __init__(self, stack):
        self.types, self.edges = {}, {}
        for place, one in all_stacks(stack):
            prefix = f"{place}/" if place else ""
            for name, resource in one.resources.items():
                path = prefix + name
                self.types[path] = resource["Type"]
                self.edges.setdefault(path, set()).update(
                    prefix + other for other in one.edges.get(name, ()) if other in one.resources
                )
                if place:
                    self.edges[path].add(f"{place}:begin")
                    self.edges.setdefault(place, set()).add(path)
        for place, _ in all_stacks(stack):
            if place:
                # A nested stack is complete when its resources are. They begin after the stack's own dependencies.
                inside = {path for path in self.edges.get(place, ()) if path.startswith(f"{place}/")}
                self.edges[f"{place}:begin"] = {f"{parent}:begin" for parent in [place.rpartition("/")[0]] if parent}
                self.edges[f"{place}:begin"] |= self.edges[place] - inside

    def reached(self, path):
        """Returns all direct and indirect dependencies of a resource."""
        found, left = set(), [path]
        while left:
            for one in self.edges.get(left.pop(), ()):
                if one not in found:
                    found.add(one)
                    left.append(one)
        return found

    def of_type(self, kind):
        return {path for path, one in self.types.items() if one == kind}


@functools.cache
def order(option):
    return Order(warehouse(option))


def of_type(stack, kind):
    return {name for name, one in stack.resources.items() if one["Type"] == kind}


@pytest.mark.parametrize("option", OPTIONS)
def test_there_are_no_circular_dependencies(option):
    """CloudFormation could not create two child stacks that depend on each other."""
    assert [path for path in order(option).types if path in order(option).reached(path)] == []


@pytest.mark.parametrize("option", OPTIONS)
def test_resources_wait_for_their_dependencies(option):
    waits, missing, seen = order(option), [], set()
    for waiting, awaited, why in WAITS:
        # If the warehouse does not create a resource of the awaited type, it already exists.
        for path in waits.of_type(waiting) if waits.of_type(awaited) else ():
            seen.add((waiting, awaited))
            if not waits.reached(path) & waits.of_type(awaited):
                missing.append(f"{path} does not wait for {awaited}: {why}")
    assert not missing, listed(missing)
    assert seen >= {
        (waiting, awaited)
        for waiting, awaited, _ in WAITS
        if waiting.startswith(("AWS::Kinesis", "AWS::Lambda", "AWS::Glue"))
    }


@pytest.mark.parametrize("option", OPTIONS)
def test_the_stage_waits_for_the_logging_role(option):
    """Without a logging role in the account settings, API Gateway refuses a stage with access logs."""
    waits = order(option)
    (stage,) = waits.of_type("AWS::ApiGateway::Stage")
    account = waits.of_type("AWS::ApiGateway::Account")
    assert bool(account) == (OPTIONS[option].get("ManageApiGatewayLogging") != "false")
    assert account <= waits.reached(stage)


@pytest.mark.parametrize("option", OPTIONS)
def test_child_stacks_wait_for_each_other(option):
    waits = order(option)
    leaf = {path.rsplit("/", 1)[-1]: path for path, kind in waits.types.items() if kind == "AWS::CloudFormation::Stack"}
    for child, awaited in CHILDREN_WAIT:
        wanted = waits.of_type(awaited) if "::" in awaited else {leaf[awaited]} if awaited in leaf else set()
        if child in leaf and wanted:
            assert wanted & waits.reached(leaf[child]), f"{child} does not wait for {awaited}"


@pytest.mark.parametrize("option", OPTIONS)
def test_users_of_a_role_wait_for_its_policies(option):
    """If a separate policy is attached after the first use of its role, this use sometimes fails.

    The test ignores functions and their traffic shifting. The policies refer to the functions, and only later
    deployments use the policies.
    """
    later = {
        "AWS::Lambda::Function",
        "AWS::Lambda::Version",
        "AWS::Lambda::Alias",
        "AWS::CodeDeploy::DeploymentGroup",
        "AWS::CloudFormation::Stack",
    }
    waits, problems, attached, roles = order(option), [], {}, {}
    for place, stack in all_stacks(warehouse(option)):
        for name, one in stack.resources.items():
            path = f"{place}/{name}".lstrip("/")
            if one["Type"] == "AWS::IAM::Role":
                roles |= dict.fromkeys(names_of(stack, name), path)
            if one["Type"] == "AWS::IAM::Policy":
                for role in one["Properties"]["Roles"]:
                    attached.setdefault(role, set()).add(path)
    assert attached and set(attached) <= set(roles)
    for place, stack in all_stacks(warehouse(option)):
        for name, one in stack.resources.items():
            path = f"{place}/{name}".lstrip("/")
            text = json.dumps(one["Properties"])
            for role, policies in attached.items():
                uses = f":role/{role}" in text and one["Type"] not in later
                if uses and not policies <= waits.reached(path):
                    problems.append(f"{path} uses {role} and does not wait for {policies}")
    assert not problems, listed(problems)


# --- deployments of the API -----------------------------------------------------------------------------------------


def deployment_of(option):
    (name,) = of_type(warehouse(option), "AWS::ApiGateway::Deployment")
    return name


def test_a_change_of_the_api_creates_a_new_deployment():
    """A stage serves a deployment, not the API. Without a new deployment, the stage would not require the API key."""
    assert deployment_of("an API key") != deployment_of("defaults")


def test_the_api_is_always_deployed():
    """SAM derives a deployment's logical id from a digest of the definition. Condition values do not change it."""
    api = read_template(ROOT / "template.yaml")["Resources"]["AdvertisingApi"]["Properties"]
    assert api.get("AlwaysDeploy") is True
