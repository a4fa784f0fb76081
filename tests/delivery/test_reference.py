"""docs/reference.md is what its program prints, and leaves nothing out."""

import re

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


def test_every_type_is_free_or_has_what_it_is_billed_by():
    """A type that is neither is new, and must be looked at."""
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
