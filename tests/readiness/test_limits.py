"""With the longest stack name that the documentation allows, sizes and names are within the quotas of the services."""

import json
import re

import pytest

import deployment
import event_types
from support import physical
from support.combinations import ROOT
from support.options import OPTIONS
from support.processed import STACK_NAME, all_stacks, listed, names_of, warehouse
from support.resolver import read_template

# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
BODY_IN_S3 = 1_048_576
RESOURCES, PARAMETERS, OUTPUTS, MAPPINGS = 500, 200, 200, 200
PARAMETER_VALUE, DESCRIPTION, LOGICAL_ID, RULES_OF_A_TEMPLATE = 4_096, 1_024, 255, 200

# IAM does not count whitespace. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
MANAGED_POLICY, INLINE_POLICIES, TRUST_POLICY, POLICIES_OF_A_ROLE, IAM_DESCRIPTION = 6_144, 10_240, 2_048, 10, 1_000

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
VARIABLES_OF_A_FUNCTION = 4_096
# https://docs.aws.amazon.com/lambda/latest/api/API_PublishVersion.html
VERSION_DESCRIPTION = 256
# The size before Base64 encoding. https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/user-data.html
USER_DATA = 16_384
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
STATE_MACHINE = 1_048_576
# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
ALARM_DESCRIPTION = 1_024

TEMPLATES = [ROOT / "template.yaml", *sorted(ROOT.glob("build*.yaml")), *sorted((ROOT / "stacks").glob("*.yaml"))]


def test_the_longest_name_is_the_documented_one():
    (allowed,) = re.findall(
        r"warehouse, of (\d+) characters at most",
        re.sub(r"\s+", " ", (ROOT / "docs" / "delivery.md").read_text("utf-8")),
    )
    assert len(STACK_NAME) == int(allowed) == len(f"{deployment.PIPELINE}-{deployment.BRANCH}")


def count(template):
    return {
        section: len(template.get(section, {}))
        for section in ("Resources", "Parameters", "Outputs", "Mappings", "Rules")
    }


MOST = {
    "Resources": RESOURCES,
    "Parameters": PARAMETERS,
    "Outputs": OUTPUTS,
    "Mappings": MAPPINGS,
    "Rules": RULES_OF_A_TEMPLATE,
}


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_written_templates_are_within_quotas(path):
    assert path.stat().st_size <= BODY_IN_S3
    template = read_template(path)
    assert len(template.get("Description", "").encode()) <= DESCRIPTION
    assert {section: number for section, number in count(template).items() if number > MOST[section]} == {}
    for section in ("Parameters", "Outputs"):
        for name, one in template.get(section, {}).items():
            assert len(name) <= LOGICAL_ID and len(one.get("Description", "")) <= 4_000, name


@pytest.mark.parametrize("option", OPTIONS)
def test_processed_templates_are_within_quotas(option):
    for place, stack in all_stacks(warehouse(option)):
        body = stack.template.body
        # CloudFormation stores the transformed template. The size limit for templates in S3 applies to it.
        assert len(json.dumps(body, ensure_ascii=False, indent=2).encode()) <= BODY_IN_S3, place
        assert {section: number for section, number in count(body).items() if number > MOST[section]} == {}, place
        assert all(re.fullmatch(rf"[A-Za-z0-9]{{1,{LOGICAL_ID}}}", name) for name in body["Resources"]), place
        too_long = {name for name, value in stack.template.parameters.items() if len(value.encode()) > PARAMETER_VALUE}
        assert too_long == set(), place


def compact(document):
    return len(re.sub(r"\s", "", json.dumps(document, separators=(",", ":"))))


def stacks():
    for option in OPTIONS:
        for place, stack in all_stacks(warehouse(option)):
            yield f"{option}: {place}", stack
    for path in sorted(ROOT.glob("build*.yaml")):
        yield path.name, deployment.stack(path.name)


def test_policies_are_short_enough():
    problems, seen = set(), 0
    attaching = [
        one["Properties"]
        for one in warehouse("everything").all_resources().values()
        if one["Type"] == "AWS::IAM::Policy"
    ]
    # There are two policies for each event type.
    assert len(attaching) == 2 * len(event_types.names())
    for place, stack in stacks():
        for name, resource in stack.resources.items():
            properties = resource["Properties"]
            if resource["Type"] == "AWS::IAM::ManagedPolicy":
                sizes = [(compact(properties["PolicyDocument"]), MANAGED_POLICY)]
            elif resource["Type"] == "AWS::IAM::Role":
                inline = [one["PolicyDocument"] for one in properties.get("Policies", [])]
                # The stacks of event types attach policies to the role. The option "everything" has the most of them.
                inline += [one["PolicyDocument"] for one in attaching if set(names_of(stack, name)) & set(one["Roles"])]
                sizes = [
                    (sum(map(compact, inline)), INLINE_POLICIES),
                    (compact(properties["AssumeRolePolicyDocument"]), TRUST_POLICY),
                    (len(properties.get("ManagedPolicyArns", [])), POLICIES_OF_A_ROLE),
                ]
            else:
                continue
            seen += 1
            sizes.append((len(properties.get("Description", "")), IAM_DESCRIPTION))
            problems |= {f"{place} {name}: {size} of {most}" for size, most in sizes if size > most}
    assert not problems, listed(problems)
    assert seen > 100


def test_other_sizes_are_within_their_limits():
    problems = set()
    for place, stack in stacks():
        for name, resource in stack.resources.items():
            kind, properties = resource["Type"], resource["Properties"]
            if kind == "AWS::Lambda::Function":
                variables = json.dumps(properties["Environment"]["Variables"], separators=(",", ":"))
                problems |= {f"{place} {name}"} if len(variables) > VARIABLES_OF_A_FUNCTION else set()
            if kind == "AWS::CloudWatch::Alarm" and len(properties["AlarmDescription"]) > ALARM_DESCRIPTION:
                problems.add(f"{place} {name}")
            if kind == "AWS::EC2::Instance" and len(str(properties.get("UserData", "")).encode()) > USER_DATA:
                problems.add(f"{place} {name}")
    assert not problems, listed(problems)
    assert (ROOT / "pipeline" / "daily.asl.json").stat().st_size <= STATE_MACHINE


def longest(parameter):
    """Returns the maximum length of a value of the parameter."""
    if "AllowedValues" in parameter:
        return max(len(value) for value in parameter["AllowedValues"])
    return len(str(parameter["MaxValue"])) if parameter["Type"] == "Number" else int(parameter["MaxLength"])


def test_version_descriptions_are_short_enough_with_any_parameters():
    template = read_template(ROOT / "template.yaml")
    seen = 0
    for name, resource in template["Resources"].items():
        if written := resource.get("Properties", {}).get("VersionDescription"):
            text = written["Fn::Sub"]
            used = re.findall(r"\$\{(\w+)\}", text)
            length = len(re.sub(r"\$\{\w+\}", "", text)) + sum(longest(template["Parameters"][one]) for one in used)
            assert length <= VERSION_DESCRIPTION, f"{name}: {length}"
            seen += len(used)
    assert seen > 5


def test_every_name_fits_its_service():
    problems, seen = set(), set()
    for place, stack in stacks():
        for logical, resource in stack.resources.items():
            kind = resource["Type"]
            assert kind in physical.KINDS or physical.is_nameless(kind), (
                f"{place} {logical}: names of {kind} are not known here"
            )
            if kind not in physical.KINDS or not physical.KINDS[kind].limit:
                continue
            seen.add(kind)
            for name in names_of(stack, logical):
                allowed = physical.KINDS[kind]
                if "<" not in name and (len(name) > allowed.limit or not re.fullmatch(allowed.characters, name)):
                    problems.add(
                        f"{place.rsplit(': ', 1)[-1]} {logical} ({kind}): {name} ({len(name)} characters of {allowed.limit})"
                    )
    assert not problems, listed(problems)
    assert len(seen) > 25


def test_generated_names_keep_the_name_of_the_stack():
    """Policies name roles by `<pipeline>-<branch>-*`. CloudFormation must not truncate this part of a name."""
    for option in OPTIONS:
        for _, stack in all_stacks(warehouse(option)):
            for logical, resource in stack.resources.items():
                if resource["Type"].startswith("AWS::IAM::") and resource["Type"] in physical.KINDS:
                    assert all(name.startswith(f"{STACK_NAME}-") for name in names_of(stack, logical)), logical
    assert physical.generated("x" * 24 + "-Stack-1ABC", "y" * 40, 64)[:25] == "x" * 24 + "-"


def test_names_are_truncated_like_cloudformation_does():
    """Uses examples from real stacks. https://gist.github.com/christianklotz/468a240a75f4ae3e73bd52722f926acb"""
    cut = physical.generated("MyStackDev-MyNestedApplicationStack", "MyLambdaFunctionName", 64)
    assert cut.removesuffix(physical.RANDOM) == "MyStackDev-MyNestedApplicatio-MyLambdaFunctionName-"
    assert physical.generated("short", "Name", 64) == f"short-Name-{physical.RANDOM}"
