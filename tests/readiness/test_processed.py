"""The templates after the transforms: no dangling references, no selection past the end, and all dependencies."""

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
def test_every_option_is_processed_and_nothing_dangles(option):
    """The resolver raises for a reference or DependsOn to what is not made, in the template that the transforms leave."""
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


def test_the_root_names_no_language_extensions():
    """They would bake parameters into the stored template, fold dependencies away and evaluate what conditions drop."""
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
    """The language extensions evaluate a Fn::Select before conditions drop its resource, and fail past the end of its list.

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
    # Where a template has no language extensions, the resolver looks at those that CloudFormation evaluates.
    problems = [
        problem
        for _, stack in all_stacks(warehouse(option))
        if LANGUAGE_EXTENSIONS in stack.template.source.get("Transform", [])
        for problem in short_selections(
            stack.template.source, stack.template.path, stack.template.parameters, stack.pseudo
        )
    ]
    assert not problems, listed(problems)


def test_a_selection_past_the_end_is_noticed(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(
        "Transform: AWS::LanguageExtensions\nParameters: { Key: { Type: String, Default: '' } }\n"
        "Resources: { A: { Type: 'AWS::SNS::Topic', Properties: { TopicName: !Select [1, !Split ['/', !Ref Key]] } } }\n"
    )
    assert len(list(short_selections(read_template(path), path, {}, PSEUDO))) == 1
    assert list(short_selections(read_template(path), path, {"Key": "a/b"}, PSEUDO)) == []


# --- what waits for what --------------------------------------------------------------------------------------------

# Type, what each of it waits for at some remove, and why.
WAITS = [
    ("AWS::ApiGateway::Account", "AWS::ApiGateway::RestApi", "an account that never had an API refuses the setting"),
    ("AWS::ApiGateway::Stage", "AWS::ApiGateway::Deployment", "a stage shows a deployment"),
    ("AWS::ApiGateway::UsagePlan", "AWS::ApiGateway::Stage", "a plan names its stage, which must be there"),
    ("AWS::WAFv2::WebACLAssociation", "AWS::ApiGateway::Stage", "a firewall is for a stage that is there"),
    ("AWS::KinesisFirehose::DeliveryStream", "AWS::Lambda::Alias", "Firehose calls the alias of the sink"),
    ("AWS::KinesisFirehose::DeliveryStream", "AWS::IAM::Role", "Firehose takes on its role when it is made"),
    ("AWS::KinesisFirehose::DeliveryStream", "AWS::Logs::LogStream", "without its log stream Firehose logs nothing"),
    ("AWS::Lambda::Function", "AWS::Logs::LogGroup", "Lambda would make the group, and keep it for ever"),
    ("AWS::StepFunctions::StateMachine", "AWS::Logs::LogGroup", "Step Functions checks that it may write there"),
    ("AWS::Scheduler::Schedule", "AWS::StepFunctions::StateMachine", "the schedule starts it"),
    ("AWS::Glue::Table", "AWS::Glue::Database", "a table is in a database"),
    ("AWS::Redshift::Cluster", "AWS::Logs::LogGroup", "Redshift would make the group, and keep it for ever"),
    ("AWS::EC2::NatGateway", "AWS::EC2::VPCGatewayAttachment", "it needs a way out"),
    ("AWS::EC2::EIP", "AWS::EC2::VPCGatewayAttachment", "an address is for a network with a gateway"),
    ("AWS::ApiGateway::BasePathMapping", "AWS::ApiGateway::DomainName", "a path is below a name"),
]

# Children by what they need of each other and of the root.
CHILDREN_WAIT = [
    ("DnsStack", "AWS::ApiGateway::Stage"),
    ("DataPipelineStack", "DataPipelineLockStack"),
    ("DataPipelineStack", "EmrStack"),
    ("ScriptInstanceStack", "NetworkStack"),
    ("EmrStack", "NetworkStack"),
    ("RedshiftStack", "NetworkStack"),
]


class Order:
    """What waits for what in a stack and those below it, by the paths of resources, such as `TablesStack/GlueDatabase`.

    All of a nested stack waits for what its parameters name; who names an output of it waits for all of it.
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
                # A nested stack is there when all in it is; nothing in it begins before what it waits for.
                inside = {path for path in self.edges.get(place, ()) if path.startswith(f"{place}/")}
                self.edges[f"{place}:begin"] = {f"{parent}:begin" for parent in [place.rpartition("/")[0]] if parent}
                self.edges[f"{place}:begin"] |= self.edges[place] - inside

    def reached(self, path):
        """All that a resource waits for, at any remove."""
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
def test_nothing_waits_for_itself(option):
    """Across the stacks: a child that needs what another one has, and has what that one needs, is never made."""
    assert [path for path in order(option).types if path in order(option).reached(path)] == []


@pytest.mark.parametrize("option", OPTIONS)
def test_each_waits_for_what_it_needs(option):
    waits, missing, seen = order(option), [], set()
    for waiting, awaited, why in WAITS:
        # Where none of it is made, it is somebody else's, and there already.
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
def test_the_stage_waits_for_the_right_to_log(option):
    """Without a logging role in the account, API Gateway refuses a stage with access logs."""
    waits = order(option)
    (stage,) = waits.of_type("AWS::ApiGateway::Stage")
    account = waits.of_type("AWS::ApiGateway::Account")
    assert bool(account) == (OPTIONS[option].get("ManageApiGatewayLogging") != "false")
    assert account <= waits.reached(stage)


@pytest.mark.parametrize("option", OPTIONS)
def test_children_wait_for_each_other(option):
    waits = order(option)
    leaf = {path.rsplit("/", 1)[-1]: path for path, kind in waits.types.items() if kind == "AWS::CloudFormation::Stack"}
    for child, awaited in CHILDREN_WAIT:
        wanted = waits.of_type(awaited) if "::" in awaited else {leaf[awaited]} if awaited in leaf else set()
        if child in leaf and wanted:
            assert wanted & waits.reached(leaf[child]), f"{child} does not wait for {awaited}"


@pytest.mark.parametrize("option", OPTIONS)
def test_who_uses_a_role_waits_for_its_policies(option):
    """A policy of its own, attached later than the role's first use, is an error now and then.

    Left out are functions and what shifts their traffic: the policies name the functions, and are used only by later deployments.
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


def test_what_changes_the_api_makes_a_new_deployment():
    """A stage shows a deployment, not the API: without a new one the key would not be asked for."""
    assert deployment_of("an API key") != deployment_of("defaults")


def test_the_api_is_always_deployed():
    """SAM's id of a deployment is a digest of the definition, in which a condition is the same text with either value."""
    api = read_template(ROOT / "template.yaml")["Resources"]["AdvertisingApi"]["Properties"]
    assert api.get("AlwaysDeploy") is True
