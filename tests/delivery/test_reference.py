"""docs/reference.md is the output of its program, and it is complete."""

import re

import pytest

import reference
from templates import ROOT, read

PAGE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


def test_the_page_is_what_the_program_prints():
    assert reference.page() == PAGE, "run python3 tools/delivery/reference.py --write"


def test_every_parameter_and_every_output_is_in_a_table_once():
    for path, title in reference.TITLES.items():
        section = PAGE.split(f"## {title}\n")[1].split("\n## ")[0]
        rows = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
        template = read(ROOT / path)
        assert sorted(rows) == sorted([*template["Parameters"], *template["Outputs"]])


SMALL = {
    "Metadata": {
        "AWS::CloudFormation::Interface": {
            "ParameterGroups": [
                {"Label": {"default": "The lake"}, "Parameters": ["Days", "Least", "Prefix"]},
                {"Label": {"default": "Access"}, "Parameters": ["IsOpen", "Password"]},
            ]
        }
    },
    "Parameters": {
        "Days": {"Type": "Number", "Default": 3, "MinValue": 1, "MaxValue": 30, "Description": "Days | nights."},
        "Least": {"Type": "Number", "MinValue": 0, "Description": "No\nmost."},
        "Prefix": {
            "Type": "String",
            "Default": "",
            "ConstraintDescription": "A name or nothing.",
            "Description": "Of keys.",
        },
        "IsOpen": {"Type": "String", "Default": False, "AllowedValues": [True, False], "Description": "To all."},
        "Password": {"Type": "String", "NoEcho": True, "Default": "", "Description": "Of the administrator."},
    },
    "Outputs": {
        "Bucket": {"Description": "The lake.", "Export": {"Name": {"Fn::Sub": "${AWS::StackName}-Bucket"}}},
        "Zone": {"Description": "The zone.", "Condition": "HasZone"},
    },
}


def test_parameters_are_listed_by_group_with_allowed_values():
    assert (
        reference.parameters(SMALL)
        == r"""### The lake

| parameter | type | default | allowed | effect |
| --- | --- | --- | --- | --- |
| `Days` | Number | `3` | 1 to 30 | Days \| nights. |
| `Least` | Number | must be given | from 0 | No most. |
| `Prefix` | String | blank | A name or nothing. | Of keys. |

### Access

| parameter | type | default | allowed | effect |
| --- | --- | --- | --- | --- |
| `IsOpen` | String | `false` | `true`, `false` | To all. |
| `Password` | String, not shown | blank |  | Of the administrator. |"""
    )


def test_outputs_are_listed_with_their_condition_and_export():
    assert (
        reference.outputs(SMALL)
        == """| output | when | export | meaning |
| --- | --- | --- | --- |
| `Bucket` | always | `<stack>-Bucket` | The lake. |
| `Zone` | `HasZone` |  | The zone. |"""
    )


@pytest.mark.parametrize(
    ("section", "row"),
    [
        ("The warehouse, `template.yaml`", "| `LookbackDays` | Number | `3` | 1 to 30 | "),
        ("The warehouse, `template.yaml`", "| `DataLakeBucket` | always | `<stack>-DataLakeBucket` | "),
        ("The pipeline, `build.yaml`", "| `RequireApproval` | String | `false` | `true`, `false` | "),
        ("What stays when a stack is deleted", "| `template.yaml` | `DataLakeBucket` | AWS::S3::Bucket | itself |"),
        (
            "What stays when a stack is deleted",
            "| `stacks/redshift.yaml` | `Cluster` | AWS::Redshift::Cluster | a last snapshot |",
        ),
        ("What costs money", "| `stacks/dashboards.yaml` | AWS::CloudWatch::Dashboard | 2 | always | month |"),
        (
            "What costs money",
            "| `stacks/network.yaml` | AWS::EC2::NatGateway | 1 | `HasInternetAccess` | hour and GB |",
        ),
    ],
)
def test_the_page_has_entries_of_the_templates(section, row):
    assert f"\n{row}" in PAGE.split(f"## {section}\n")[1].split("\n## ")[0]


def test_every_type_is_free_or_billed():
    """A new type must be added to one of the two sets."""
    free = {
        "AWS::ApiGateway::Account", "AWS::ApiGateway::ApiKey", "AWS::ApiGateway::BasePathMapping", "AWS::ApiGateway::UsagePlan",
        "AWS::ApiGateway::UsagePlanKey", "AWS::CertificateManager::Certificate", "AWS::CloudFormation::Stack",
        "AWS::CloudFormation::WaitConditionHandle", "AWS::EC2::InternetGateway", "AWS::EC2::Route", "AWS::EC2::RouteTable",
        "AWS::EC2::SecurityGroup", "AWS::EC2::SecurityGroupEgress", "AWS::EC2::SecurityGroupIngress", "AWS::EC2::Subnet",
        "AWS::EC2::SubnetRouteTableAssociation", "AWS::EC2::VPC", "AWS::EC2::VPCGatewayAttachment", "AWS::EMR::SecurityConfiguration",
        "AWS::Events::Rule", "AWS::Glue::Database", "AWS::Glue::SecurityConfiguration", "AWS::Glue::Table", "AWS::IAM::InstanceProfile",
        "AWS::IAM::ManagedPolicy", "AWS::IAM::Policy", "AWS::IAM::Role", "AWS::Lambda::Permission", "AWS::Logs::LogStream",
        "AWS::Redshift::ClusterParameterGroup", "AWS::Redshift::ClusterSubnetGroup", "AWS::Redshift::ScheduledAction",
        "AWS::Route53::RecordSetGroup", "AWS::S3::BucketPolicy", "AWS::SNS::Subscription", "AWS::SNS::TopicPolicy", "AWS::SQS::QueuePolicy",
    }  # fmt: skip
    seen = {one["Type"] for template in reference.every_template().values() for one in template["Resources"].values()}
    assert seen - free - set(reference.BILLED) == set()
    assert not free & set(reference.BILLED)
