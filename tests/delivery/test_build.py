"""Tests build.yaml: all combinations of its parameters, a deployment of the types that moto supports, and the
permissions of its roles."""

import fnmatch
import importlib
import json
import re
from itertools import product

import boto3
import pytest
import yaml
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER
from moto import mock_aws
from moto.core.common_models import CloudFormationModel

from support.resolver import PSEUDO_PARAMETERS, Refused, Resolver, resolve
from templates import ROOT, read

BUILD = ROOT / "build.yaml"
RESOURCES = read(ROOT / "build-machines.yaml")["Resources"] | read(BUILD)["Resources"]

KEY = {"KmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/0123abcd-0123-0123-0123-0123456789ab"}
CONNECTION = "arn:aws:codeconnections:us-east-1:123456789012:connection/0123abcd-0123-0123-0123-0123456789ab"
SOURCES = {
    "own CodeCommit": {},
    "existing CodeCommit": {"RepositoryName": "warehouse"},
    "GitHub": {"ConnectionArn": CONNECTION, "Owner": "example", "Repo": "warehouse"},
    "another branch": {"Branch": "dev", "RepositoryName": "warehouse"},
    "GitHub by token": {"AccessToken": "not-a-token", "Owner": "example", "Repo": "warehouse"},
}
OPTIONS = ({"RequireApproval": "true"}, {"AlarmEmail": "a@example.com"}, KEY, {"AccessLogsBucket": "logs-of-all"})


def combinations():
    for source, chosen in product(SOURCES.values(), product((True, False), repeat=len(OPTIONS))):
        yield source | {
            name: value for on, option in zip(chosen, OPTIONS, strict=True) if on for name, value in option.items()
        }


def actions_of(stack):
    stages = stack.resources["Pipeline"]["Properties"]["Stages"]
    return [action["ActionTypeId"]["Provider"] for stage in stages for action in stage["Actions"]]


PROVIDERS = {
    "own CodeCommit": "CodeCommit",
    "existing CodeCommit": "CodeCommit",
    "GitHub": "CodeStarSourceConnection",
    "another branch": "CodeCommit",
    "GitHub by token": "GitHub",
}
URLS = {
    "own CodeCommit": "<Repository.CloneUrlHttp>",
    "existing CodeCommit": "https://git-codecommit.us-east-1.amazonaws.com/v1/repos/warehouse",
    "GitHub": "https://github.com/example/warehouse",
    "another branch": "https://git-codecommit.us-east-1.amazonaws.com/v1/repos/warehouse",
    "GitHub by token": "https://github.com/example/warehouse",
}


def test_every_combination_resolves():
    found = list(combinations())
    assert len(found) == 5 * 16
    for parameters in found:
        assert resolve(BUILD, parameters).outputs["WarehouseStack"]


@pytest.mark.parametrize("source", SOURCES)
def test_a_commit_comes_from_the_source_and_is_built_by_codebuild(source):
    assert actions_of(resolve(BUILD, SOURCES[source]))[:2] == [PROVIDERS[source], "CodeBuild"]


@pytest.mark.parametrize("source", SOURCES)
def test_a_build_is_published_then_a_change_set_is_made_and_executed(source):
    assert actions_of(resolve(BUILD, SOURCES[source]))[2:] == ["S3", "CloudFormation", "CloudFormation"]


@pytest.mark.parametrize("source", SOURCES)
def test_a_person_approves_between_the_change_set_and_its_execution(source):
    stack = resolve(BUILD, SOURCES[source] | {"RequireApproval": "true"})
    assert actions_of(stack)[2:] == ["S3", "CloudFormation", "Manual", "CloudFormation"]


def test_only_the_approval_option_changes_the_actions():
    for parameters in combinations():
        source = {name: value for name, value in parameters.items() if name not in {one for o in OPTIONS for one in o}}
        approval = {name: value for name, value in parameters.items() if name == "RequireApproval"}
        assert actions_of(resolve(BUILD, parameters)) == actions_of(resolve(BUILD, source | approval))


def test_a_repository_is_created_only_if_none_is_given():
    assert {name for name, source in SOURCES.items() if "Repository" in resolve(BUILD, source).resources} == {
        "own CodeCommit"
    }


def test_only_codecommit_needs_a_rule_for_pushes():
    for parameters in combinations():
        stack = resolve(BUILD, parameters)
        assert ("PushRule" in stack.resources) == ("CodeCommit" in actions_of(stack))


@pytest.mark.parametrize("source", SOURCES)
def test_the_output_is_the_url_of_the_source(source):
    assert resolve(BUILD, SOURCES[source]).outputs["RepoURL"] == URLS[source]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"ConnectionArn": CONNECTION}, "needs Owner and Repo too"),
        ({"AccessToken": "x", "Owner": "example"}, "needs Owner and Repo too"),
        ({"Owner": "example", "Repo": "warehouse"}, "which needs ConnectionArn"),
        ({"ConnectionArn": CONNECTION, "AccessToken": "x", "Owner": "example", "Repo": "warehouse"}, "not both"),
        ({"Branch": "dev"}, "Give its name as RepositoryName"),
        ({"Branch": "Feature/x"}, "1 to 30 lower case letters"),
        ({"ConnectionArn": "my-connection"}, "The ARN of a connection"),
        ({"KmsKeyArn": "arn:aws:kms:us-east-1:123456789012:alias/mine"}, "not of an alias"),
    ],
)
def test_invalid_parameters_are_refused_with_advice(parameters, message):
    with pytest.raises(Refused, match=message):
        resolve(BUILD, parameters)


def test_buildspec_and_build_agree():
    spec = yaml.safe_load((ROOT / "buildspec.yml").read_text(encoding="utf-8"))
    text = json.dumps(spec["phases"])
    for variable in RESOURCES["BuildProject"]["Properties"]["Environment"]["EnvironmentVariables"]:
        assert f"${variable['Name']}" in text
    deploy = RESOURCES["Pipeline"]["Properties"]["Stages"][2]["Actions"][1]["Configuration"]
    for path in (deploy["TemplatePath"], deploy["TemplateConfiguration"]):
        artifact, _, name = path.partition("::")
        assert artifact == "Build" and name in spec["artifacts"]["files"]
    assert spec["env"]["variables"]["TESTS"] == "cargo dataless test --no-e2e"


def test_the_build_runs_the_jobs_on_the_java_of_spark():
    spec = yaml.safe_load((ROOT / "buildspec.yml").read_text(encoding="utf-8"))
    assert spec["phases"]["install"]["runtime-versions"]["java"] == "corretto17"
    parts = (ROOT / "crates" / "dataless" / "src" / "commands" / "test" / "parts.rs").read_text(encoding="utf-8")
    (delivered,) = re.findall(r"const DELIVERY: \[Self; \d+\] =\s*\[([^\]]*)\]", parts)
    assert {"Self::Unit", "Self::Templates", "Self::Jobs"} <= {one.strip() for one in delivered.split(",")}


# The limit of a template in a request to CloudFormation. A bigger one must be in a bucket, and a new account has none.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
MAX_TEMPLATE_BODY_BYTES = 51_200


@pytest.mark.parametrize("name", ["build.yaml", "build-machines.yaml"])
def test_the_pipeline_is_deployed_without_a_bucket(name):
    # A margin, so that the next line in the template does not break the first command of the README.
    assert (ROOT / name).stat().st_size <= MAX_TEMPLATE_BODY_BYTES - 500


def test_no_other_template_is_deployed_without_a_bucket():
    """Checks the commands in the documentation."""
    found = set()
    for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        text = path.read_text(encoding="utf-8").replace("\\\n", " ")
        for command in re.findall(r"aws cloudformation (?:deploy|create-stack|update-stack) [^\n`]*", text):
            if "--s3-bucket" not in command:
                found |= set(re.findall(r"--template-(?:file|body) (?:file://)?(\S+)", command))
    assert found == {"build.yaml", "build-machines.yaml"}


def test_machines_are_deployed_only_with_their_own_stack():
    (attached_to,) = read(ROOT / "build-machines.yaml")["Resources"]["DeployMachinesPolicy"]["Properties"]["Roles"]
    export = read(BUILD)["Outputs"]["DeploymentRole"]["Export"]["Name"]["Fn::Sub"]
    assert attached_to["Fn::ImportValue"]["Fn::Sub"].replace("${PipelineStack}", "${AWS::StackName}") == export
    machines = {"ec2", "elasticmapreduce", "redshift", "datapipeline"}
    assert machines & {action.split(":")[0] for action in granted(*BASE)} == set()


def test_deployed_builds_do_not_expire_and_the_bucket_is_retained():
    bucket = RESOURCES["ArtifactBucket"]
    rules = bucket["Properties"]["LifecycleConfiguration"]["Rules"]
    # Objects in packages/ and scripts/ do not expire, because the deployed stack uses them.
    assert {rule["Prefix"] for rule in rules if "ExpirationInDays" in rule} == {"delivery-", "cache/"}
    assert bucket["Properties"]["VersioningConfiguration"]["Status"] == "Enabled"
    for name in ("ArtifactBucket", "Repository"):
        assert RESOURCES[name]["UpdateReplacePolicy"] == "Retain"
        assert RESOURCES[name]["DeletionPolicy"] == "RetainExceptOnCreate"


# --- the types that moto supports -----------------------------------------------------------------------------------


@pytest.fixture
def aws(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.delenv(name, raising=False)
    with mock_aws():
        yield


def deploy(path, stack_name, parameters):
    """Deploys the resources that moto has models for. Replaces references to the others by texts such as Domain.Arn."""
    conditions = Resolver(path, parameters, PSEUDO_PARAMETERS, {})
    conditions.stack()
    # moto registers a model class when its module is imported.
    for service in ("events", "iam", "logs", "route53", "s3", "sns"):
        importlib.import_module(f"moto.{service}.models")
    known = {model.cloudformation_type() for model in CloudFormationModel.__subclasses__()}
    resources = read(path)["Resources"]
    foreign = {name for name, one in resources.items() if one["Type"] not in known}

    def clean(part):
        if isinstance(part, list):
            return [clean(item) for item in part if not is_absent(item)]
        if not isinstance(part, dict):
            return part
        if len(part) == 1:
            ((function, argument),) = part.items()
            if function == "Ref" and argument in foreign:
                return argument
            if function == "Fn::GetAtt" and argument[0] in foreign:
                return ".".join(argument)
            if function == "Fn::Sub" and isinstance(argument, str):
                return {
                    function: re.sub(
                        r"\$\{(\w+)((?:\.\w+)?)\}", lambda m: m[1] + m[2] if m[1] in foreign else m[0], argument
                    )
                }
        return {key: clean(value) for key, value in part.items() if key != "DependsOn"}

    def is_absent(item):
        if not isinstance(item, dict) or list(item) != ["Fn::If"]:
            return False
        condition, then, otherwise = item["Fn::If"]
        return (then if conditions.condition({"Condition": condition}) else otherwise) == {"Ref": "AWS::NoValue"}

    template = {section: content for section, content in read(path).items() if section != "Rules"}
    template["Resources"] = {name: one for name, one in resources.items() if name not in foreign}
    cloudformation = boto3.client("cloudformation")
    cloudformation.create_stack(
        StackName=stack_name,
        TemplateBody=json.dumps(clean(template)),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    (deployed,) = cloudformation.describe_stacks(StackName=stack_name)["Stacks"]
    assert deployed["StackStatus"] == "CREATE_COMPLETE"
    return {one["OutputKey"]: one["OutputValue"] for one in deployed.get("Outputs", [])}


passed_over = pytest.mark.filterwarnings("ignore:Tried to parse:UserWarning", "ignore:datetime:DeprecationWarning")


@passed_over
@pytest.mark.parametrize("source", ["existing CodeCommit", "GitHub", "GitHub by token"])
def test_build_yaml_deploys_for_every_source(aws, source):
    outputs = deploy(BUILD, "delivery", SOURCES[source] | {"AlarmEmail": "a@example.com"})
    assert outputs["WarehouseStack"] == "delivery-main"
    (bucket,) = boto3.client("s3").list_buckets()["Buckets"]
    assert bucket["Name"] == outputs["ArtifactBucket"]
    roles = {role["RoleName"] for role in boto3.client("iam").list_roles()["Roles"]}
    wanted = ["BuildRole", "DeploymentRole", "PipelineRole"] + (
        ["PushRole"] if "CodeCommit" in source and "GitHub" not in source else []
    )
    assert sorted(name for wanted_name in wanted for name in roles if wanted_name in name) == sorted(roles)
    (topic,) = boto3.client("sns").list_topics()["Topics"]
    rules = boto3.client("events").list_rules()["Rules"]
    assert any("aws.codepipeline" in rule["EventPattern"] for rule in rules)
    assert topic["TopicArn"] == outputs["FailureTopic"]


@passed_over
@pytest.mark.parametrize("endpoint", ["REGIONAL", "EDGE"])
@pytest.mark.parametrize("zone", ["given", "made"])
def test_dns_deploys_with_and_without_a_zone(aws, zone, endpoint):
    route53 = boto3.client("route53")
    parameters = {"DomainName": "api.example.com", "EndpointType": endpoint, "ApiId": "abc", "StageName": "Prod"}
    if zone == "given":
        made = route53.create_hosted_zone(Name="example.com", CallerReference="test")["HostedZone"]["Id"]
        parameters["HostedZoneID"] = made.removeprefix("/hostedzone/")
    else:
        parameters["BaseDNSName"] = "example.com"
    outputs = deploy(ROOT / "stacks" / "dns.yaml", "dns", parameters)
    (found,) = route53.list_hosted_zones()["HostedZones"]
    assert found["Name"].removesuffix(".") == "example.com"
    # moto drops all outputs if it does not support one of them. For a new zone, this is the list of name servers.
    if zone == "given":
        assert outputs["URL"] == "https://api.example.com/advertising" and outputs["HostedZoneID"] in found["Id"]
    records = route53.list_resource_record_sets(HostedZoneId=found["Id"])["ResourceRecordSets"]
    assert {record["Type"] for record in records if record["Name"].startswith("api.")} == {"A", "AAAA"}


# --- what the deployment role may do --------------------------------------------------------------------------------

# The types that SAM generates from its own.
# https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification-generated-resources.html
SAM = {
    "AWS::Serverless::Function": [
        "AWS::Lambda::Function",
        "AWS::Lambda::Version",
        "AWS::Lambda::Alias",
        "AWS::CodeDeploy::Application",
        "AWS::CodeDeploy::DeploymentGroup",
    ],
    "AWS::Serverless::Api": ["AWS::ApiGateway::RestApi", "AWS::ApiGateway::Deployment", "AWS::ApiGateway::Stage"],
}

# The schemas of these types do not list the permissions that they need.
SILENT = {"AWS::CloudFormation::WaitConditionHandle", "AWS::EMR::Cluster", "AWS::Route53::RecordSetGroup"}

# Permissions that a type needs only for features that the templates do not use.
UNUSED = {
    "Queries are billed to the one who asks; results are written with the caller's rights": [
        "s3:AbortMultipartUpload", "s3:ListBucket", "s3:ListBucketMultipartUploads", "s3:ListMultipartUploadParts", "s3:PutObject",
    ],
    "A certificate of a private authority": ["acm-pca:*"],
    "Policies and protection of nested stacks": [
        "cloudformation:GetStackPolicy", "cloudformation:GetTemplate", "cloudformation:SetStackPolicy",
        "cloudformation:UpdateTerminationProtection",
    ],
    "On-premises instances in CodeDeploy": ["codedeploy:RegisterOnPremisesInstance"],
    "A table's replicas, import, items, stream to Kinesis and own policy": [
        "dynamodb:AssociateTableReplica", "dynamodb:BatchWriteItem", "dynamodb:*Item", "dynamodb:CreateTableReplica",
        "dynamodb:DeleteResourcePolicy", "dynamodb:DescribeImport", "dynamodb:*KinesisStreamingDestination", "dynamodb:ImportTable",
        "dynamodb:PutResourcePolicy", "dynamodb:Query", "dynamodb:Scan", "kinesis:*", "logs:PutLogEvents", "s3:GetObjectMetadata",
    ],
    "Networks with more than one range, VPN gateways, transfers of addresses, placement, volumes that are attached": [
        "ec2:AcceptAddressTransfer", "autoscaling:DescribeTags", "ec2:AttachVolume", "ec2:DetachVolume", "ec2:ModifyInstancePlacement",
        "ec2:ModifyPrivateDnsNameOptions", "ssm:*Association*", "ec2:*PrivateNatGatewayAddress", "ec2:*NatGatewayAddress",
        "ec2:*SubnetCidrBlock", "ec2:CreateVpcEncryptionControl", "ec2:ModifyVpcTenancy", "vpc-lattice:*", "vpce:*", "ec2:*VpnGateway",
    ],
    "Lake Formation, connections and schemas of Glue's registry": ["lakeformation:*", "glue:*Connection", "glue:GetSchemaVersion"],
    "Users and groups; a boundary is set and never taken away": ["iam:*User*", "iam:*Group*", "iam:DeleteRolePermissionsBoundary"],
    "Keys are made only for EMR, by the policy for machines": [],
    "Functions in a network, with file systems, layers, signed code or machines of their own": [
        "ec2:DescribeNetworkInterfaces", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs", "elasticfilesystem:*",
        "s3files:*", "lambda:AssociateRuntimeAlias", "lambda:*CodeSigningConfig", "lambda:GetLayerVersion", "lambda:PassCapacityProvider",
        "lambda:PutFunctionScalingConfig",
    ],
    "Log groups with indexes, policies, protection and tokens": [
        "logs:*IndexPolicy", "logs:DeleteResourcePolicy", "logs:PutBearerTokenAuthentication", "logs:PutDataProtectionPolicy",
        "logs:PutLogGroupDeletionProtection", "s3:REST.PUT.OBJECT", "sns:PutDataProtectionPolicy",
    ],
    "Clusters with copies of snapshots, AQUA, several zones and policies; what the schemas list by mistake": [
        "cloudwatch:PutMetricData", "ec2:*NetworkInterface*", "redshift:*SnapshotCopy*", "redshift:FailoverPrimaryCompute",
        "redshift:ModifyAquaConfiguration", "redshift:ModifyClusterDbRevisions", "redshift:PutResourcePolicy",
        "redshift:DeleteResourcePolicy", "initech:*",
    ],
    "Private zones, and logs of queries": [
        "route53:*VPC*", "route53:*QueryLoggingConfig", "route53:UpdateHostedZoneFeatures",
    ],
    "Buckets with replicas, web sites, metadata tables, inventories, locks and ACLs; settings that are only ever changed, not removed": [
        "s3:*Replication*", "s3:*Website", "s3:*MetadataT*", "s3:UpdateBucketMetadata*", "s3tables:*", "s3:DeleteBucketAnalyticsConfiguration",
        "s3:DeleteBucketCors", "s3:DeleteBucketEncryption", "s3:DeleteBucketLifecycle", "s3:DeleteBucketMetricsConfiguration",
        "s3:DeleteObject", "s3:Put*Configuration", "s3:PutBucketAbac", "s3:PutBucketAcl", "s3:PutBucketCORS", "s3:PutObjectAcl",
    ],
    "Secrets in several Regions": ["secretsmanager:*Re*Region*"],
    "Web ACLs of resources other than an API": [
        "amplify:*", "apprunner:*", "appsync:*", "bedrock-agentcore:*", "cognito-idp:*", "ec2:*VerifiedAccess*",
        "elasticloadbalancing:*", "wafv2:*PermissionPolicy",
    ],
    "Aliases of keys: a key is given by its ARN": ["kms:ListAliases"],
}  # fmt: skip


def types_of(*paths):
    for path in paths:
        for one in read(path)["Resources"].values():
            yield from SAM.get(one["Type"], [one["Type"]])


def granted(*policies):
    for name in policies:
        document = RESOURCES[name]["Properties"].get("PolicyDocument")
        documents = (
            [document]
            if document
            else [policy["Fn::If"][1]["PolicyDocument"] for policy in RESOURCES[name]["Properties"]["Policies"]]
        )
        for statement in (statement for one in documents for statement in one["Statement"]):
            yield from [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]


def needed(kind):
    handlers = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema.get("handlers", {})
    assert handlers or kind in SILENT, f"CloudFormation does not say what {kind} needs"
    return {
        action
        for name in ("create", "read", "update", "delete")
        for action in handlers.get(name, {}).get("permissions", [])
    }


def covered(action, patterns):
    return any(fnmatch.fnmatchcase(action.lower(), pattern.lower()) for pattern in patterns)


BASE = ("DeployDataPolicy", "DeployFunctionsPolicy", "DeployOperationsPolicy", "DeploymentRole")
# The stack of all machines and its nested stacks, which are in the same folder.
MACHINES = [ROOT / "stacks" / "machines.yaml", ROOT / "stacks" / "data-pipeline-lock.yaml"]
MACHINES += [
    ROOT / "stacks" / one["Properties"]["TemplateURL"]
    for one in read(MACHINES[0])["Resources"].values()
    if one["Type"] == "AWS::CloudFormation::Stack"
]
WAREHOUSE = [ROOT / "template.yaml", *sorted({*(ROOT / "stacks").glob("*.yaml")} - {*MACHINES})]


@pytest.mark.parametrize(
    ("policies", "paths"),
    [(BASE, WAREHOUSE), ((*BASE, "DeployMachinesPolicy"), MACHINES)],
    ids=["warehouse", "machines"],
)
def test_the_deployment_role_has_the_permissions_of_its_resources(policies, paths):
    allowed = {*granted(*policies), *(action for actions in UNUSED.values() for action in actions)}
    assert len(paths) > 5
    missing = {
        kind: sorted(a for a in needed(kind) if not covered(a, allowed)) for kind in sorted(set(types_of(*paths)))
    }
    assert {kind: actions for kind, actions in missing.items() if actions} == {}


def test_no_policy_has_a_wildcard_for_all_actions():
    for name in (*BASE, "DeployMachinesPolicy"):
        for action in granted(name):
            assert "*" not in action or action in {"ec2:Describe*", "redshift:Describe*"}, action


@pytest.mark.parametrize("name", ["PipelineRole", "BuildRole", "PushRole"])
def test_the_other_roles_name_their_resources(name):
    for policy in RESOURCES[name]["Properties"]["Policies"]:
        policy = policy["Fn::If"][1] if "Fn::If" in policy else policy
        for statement in policy["PolicyDocument"]["Statement"]:
            assert statement["Resource"] != "*" and "*" not in str(statement["Action"])
