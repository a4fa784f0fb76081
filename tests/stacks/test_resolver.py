"""Tests on small templates that the resolver finds the errors that it is meant to find."""

import pytest

from support.resolver import DanglingReference, Refused, read_template, resolve

CHILD = """
Parameters:
  Wanted: { Type: String }
  Kind: { Type: String, Default: plain, AllowedValues: [plain, fancy] }
Conditions:
  IsFancy: !Equals [!Ref Kind, fancy]
Resources:
  Topic: { Type: AWS::SNS::Topic }
Outputs:
  Always: { Value: !Ref Topic }
  Fancy: { Condition: IsFancy, Value: !Ref Topic }
"""


@pytest.fixture
def template(tmp_path):
    (tmp_path / "child.yaml").write_text(CHILD)

    def write(resources, head=""):
        path = tmp_path / "parent.yaml"
        path.write_text(
            f"{head}\nConditions:\n  IsOn: !Equals [!Ref Switch, 'yes']\n"
            "Parameters:\n  Switch: { Type: String, Default: '' }\n" + f"Resources:\n{resources}"
        )
        read_template.cache_clear()
        return path

    return write


SWITCHED = "  Queue: { Type: AWS::SQS::Queue, Condition: IsOn }\n"


@pytest.mark.parametrize(
    "reference",
    [
        "{ Name: !Ref Queue }",
        "{ Name: !GetAtt Queue.Arn }",
        "{ Name: !Sub 'the ${Queue.Arn}' }",
        "{ Name: !Join ['', [a, !If [IsOn, b, !Ref Queue]]] }",
    ],
)
def test_a_reference_to_a_disabled_resource_is_an_error(template, reference):
    path = template(SWITCHED + f"  Topic: {{ Type: AWS::SNS::Topic, Properties: {reference} }}")
    with pytest.raises(DanglingReference, match="Topic refers to Queue, whose condition is false"):
        resolve(path, {})
    assert set(resolve(path, {"Switch": "yes"}).resources) == {"Queue", "Topic"}


def test_depends_on_counts_as_a_reference(template):
    with pytest.raises(DanglingReference, match="Queue"):
        resolve(template(SWITCHED + "  Topic: { Type: AWS::SNS::Topic, DependsOn: Queue }"), {})


def test_a_branch_that_is_not_taken_is_ignored(template):
    path = template(
        SWITCHED + "  Topic: { Type: AWS::SNS::Topic, Properties: { A: !If [IsOn, !Ref Queue, !Ref AWS::NoValue] } }"
    )
    assert resolve(path, {}).resources["Topic"]["Properties"] == {}
    assert resolve(path, {"Switch": "yes"}).resources["Topic"]["Properties"] == {"A": "<Queue>"}


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ("{}", "needs Wanted"),
        ("{ Wanted: a, Other: b }", "no parameter Other"),
        ("{ Wanted: !Ref Nowhere }", "Nowhere"),
    ],
)
def test_parameters_of_a_child_are_checked(template, parameters, problem):
    properties = f"{{ TemplateURL: child.yaml, Parameters: {parameters} }}"
    child = f"  Child: {{ Type: AWS::CloudFormation::Stack, Properties: {properties} }}"
    with pytest.raises(DanglingReference, match=problem):
        resolve(template(child), {})


def test_a_missing_output_of_a_child_is_an_error(template):
    path = template(
        "  Child: { Type: AWS::CloudFormation::Stack, Properties: { TemplateURL: child.yaml, Parameters: { Wanted: a, "
        "Kind: !If [IsOn, fancy, plain] } } }\n"
        "  Topic: { Type: AWS::SNS::Topic, Properties: { A: !GetAtt Child.Outputs.Fancy } }"
    )
    with pytest.raises(DanglingReference, match="output Fancy of Child"):
        resolve(path, {})
    assert set(resolve(path, {"Switch": "yes"}).all_resources()) == {"Child", "Child/Topic", "Topic"}


def test_a_violated_rule_is_reported_with_its_description(template):
    rule = (
        "Rules:\n  R:\n    Assertions:\n"
        "      - { Assert: !Not [!Equals [!Ref Switch, 'yes']], AssertDescription: not so }"
    )
    path = template("  Topic: { Type: AWS::SNS::Topic }", rule)
    assert resolve(path, {}).resources
    with pytest.raises(Refused, match="not so"):
        resolve(path, {"Switch": "yes"})
