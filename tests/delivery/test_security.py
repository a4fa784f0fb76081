"""The resources of template.yaml with each of its security and DNS parameters, alone and in combination."""

import re
from itertools import product

import pytest

import event_types
from support.iam import as_list
from support.resolver import Refused, resolve
from templates import ROOT, read

TEMPLATE = ROOT / "template.yaml"

KEY = "arn:aws:kms:us-east-1:123456789012:key/0123abcd-0123-0123-0123-0123456789ab"
ACL = "arn:aws:wafv2:us-east-1:123456789012:regional/webacl/mine/0123abcd-0123-0123-0123-0123456789ab"
MACHINES = {
    "EnableEC2Instance": "yes",
    "EnableEMRCluster": "yes",
    "EnableRedshift": "yes",
    "RedshiftPassword": "Not-a-secret-1",
}
OPTIONS = (
    {"KmsKeyArn": KEY},
    {"AccessLogsBucket": "logs-of-all"},
    {"WebAclArn": ACL},
    {"AlarmEmail": "a@example.com"},
    {"RequireTrafficApiKey": "true"},
    {"ManageApiGatewayLogging": "false"},
    {"DeploymentPreferenceType": "AllAtOnce"},
    MACHINES,
)
NAMES = (
    {},
    {"DNSDomainName": "api.example.com", "HostedZoneID": "Z0123456789"},
    {"DNSDomainName": "api.example.com", "BaseDNSName": "example.com", "DNSEndpointType": "EDGE"},
    # An earlier deployment created the zone, and now HostedZoneID is set. BaseDNSName is still set.
    {"DNSDomainName": "api.example.com", "BaseDNSName": "example.com", "HostedZoneID": "Z0123456789"},
    # The custom domain was removed.
    {"BaseDNSName": "example.com", "HostedZoneID": "Z0123456789"},
)


def combinations():
    for name, chosen in product(NAMES, product((True, False), repeat=len(OPTIONS))):
        yield name | {
            key: value for on, option in zip(chosen, OPTIONS, strict=True) if on for key, value in option.items()
        }


def test_every_combination_resolves():
    found = list(combinations())
    assert len(found) == 5 * 256
    for parameters in found:
        stack = resolve(TEMPLATE, parameters)
        has_name = "DNSDomainName" in parameters
        assert ("DnsStack" in stack.nested) == ("DomainURL" in stack.outputs) == has_name
        has_new_zone = has_name and "HostedZoneID" not in parameters
        assert ("NameServers" in stack.outputs) == has_new_zone
        assert ("DnsStack/Zone" in stack.all_resources()) == has_new_zone
        assert ("ApiAccessStack/WebAclAssociation" in stack.all_resources()) == ("WebAclArn" in parameters)


@pytest.mark.parametrize(
    ("parameters", "region", "message"),
    [
        ({"DNSDomainName": "api.example.com"}, "us-east-1", "Give HostedZoneID, or BaseDNSName"),
        (NAMES[2], "eu-west-1", "take DNSEndpointType=REGIONAL"),
        ({"DNSDomainName": "https://api.example.com"}, "us-east-1", "A domain name in lower case"),
        ({"HostedZoneID": "example.com"}, "us-east-1", "The id of a hosted zone"),
        ({"WebAclArn": ACL.replace("regional", "global")}, "us-east-1", "The ARN of a regional web ACL"),
        ({"KmsKeyArn": "alias/mine"}, "us-east-1", "The ARN of a key, not of an alias"),
    ],
)
def test_invalid_parameters_are_refused_with_advice(parameters, region, message):
    with pytest.raises(Refused, match=re.escape(message)):
        resolve(TEMPLATE, parameters, {"AWS::Region": region})


@pytest.mark.parametrize("kind", ["REGIONAL", "EDGE"])
def test_the_domain_uses_tls_1_2_with_ipv4_and_ipv6(kind):
    made = resolve(TEMPLATE, NAMES[1] | {"DNSEndpointType": kind}).nested["DnsStack"].resources
    domain = made["Domain"]["Properties"]
    assert domain["SecurityPolicy"] == "TLS_1_2" and domain["EndpointConfiguration"]["Types"] == [kind]
    assert set(domain) & {"CertificateArn", "RegionalCertificateArn"} == {
        "CertificateArn" if kind == "EDGE" else "RegionalCertificateArn"
    }
    assert made["BasePath"]["Properties"]["BasePath"] == "advertising"
    records = made["Records"]["Properties"]
    assert records["HostedZoneId"] == "Z0123456789"
    prefix = "Distribution" if kind == "EDGE" else "Regional"
    assert [(one["Type"], one["AliasTarget"]["DNSName"]) for one in records["RecordSets"]] == [
        ("A", f"<Domain.{prefix}DomainName>"),
        ("AAAA", f"<Domain.{prefix}DomainName>"),
    ]
    validation = made["Certificate"]["Properties"]["DomainValidationOptions"]
    assert validation == [{"DomainName": "api.example.com", "HostedZoneId": "Z0123456789"}]


# The property for a key, by type.
KEY_OF = {
    "AWS::DynamoDB::Table": ("SSESpecification", "KMSMasterKeyId"),
    "AWS::KinesisFirehose::DeliveryStream": ("DeliveryStreamEncryptionConfigurationInput", "KeyARN"),
    "AWS::Logs::LogGroup": ("KmsKeyId",),
    "AWS::S3::Bucket": (
        "BucketEncryption", "ServerSideEncryptionConfiguration", 0, "ServerSideEncryptionByDefault", "KMSMasterKeyID",
    ),
    "AWS::SNS::Topic": ("KmsMasterKeyId",),
    "AWS::SQS::Queue": ("KmsMasterKeyId",),
    "AWS::SecretsManager::Secret": ("KmsKeyId",),
    "AWS::Athena::WorkGroup": ("WorkGroupConfiguration", "ResultConfiguration", "EncryptionConfiguration", "KmsKey"),
}  # fmt: skip


def test_a_key_encrypts_everything_that_is_stored():
    template = read(TEMPLATE)
    assert template["Globals"]["Function"]["KmsKeyArn"]["Fn::If"][1] == {"Ref": "KmsKeyArn"}
    seen = set()
    for name, one in resolve(TEMPLATE, {"KmsKeyArn": KEY} | MACHINES).all_resources().items():
        if one["Type"] in ("AWS::Glue::Job", "AWS::Glue::Crawler"):
            properties = one["Properties"]
            configuration = properties.get("SecurityConfiguration", properties.get("CrawlerSecurityConfiguration"))
            assert configuration == "<GlueSecurity>", name
        if path := KEY_OF.get(one["Type"]):
            value = one["Properties"]
            for step in path:
                value = value[step]
            assert value == KEY, name
            seen.add(one["Type"])
    assert seen == set(KEY_OF)


def uses_of_the_key(stack):
    """Returns the actions on the key that each role allows, by its inline policies or by shared managed policies."""
    found = {}
    for name, one in stack.all_resources().items():
        if one["Type"] == "AWS::IAM::Role":
            attached = [
                arn.strip("<>") for arn in one["Properties"].get("ManagedPolicyArns", []) if arn.startswith("<")
            ]
            documents = [policy["PolicyDocument"] for policy in one["Properties"].get("Policies", [])]
            documents += [stack.one(policy)["Properties"]["PolicyDocument"] for policy in attached]
            statements = [
                statement
                for document in documents
                for statement in document["Statement"]
                if "kms:" in str(statement["Action"])
            ]
            found[name] = {
                action
                for statement in statements
                for action in as_list(statement["Action"])
                if statement["Resource"] == KEY
            }
    return found


def test_roles_that_write_encrypted_data_may_use_the_key():
    may, without = (uses_of_the_key(resolve(TEMPLATE, key | MACHINES)) for key in ({"KmsKeyArn": KEY}, {}))
    assert len(may) > 15 and not any(without.values())
    # API Gateway, CodeDeploy and flow logs do not use the key. EMR has its own key.
    keyless = {"ApiLogsStack/ApiGatewayLoggingRole", "FunctionsStack/TrafficShiftRole"} | {
        f"MachinesStack/{one}" for one in ("EmrStack/ServiceRole", "NetworkStack/FlowLogRole")
    }
    assert keyless <= set(may)
    # These functions only decrypt, to read their environment variables.
    functions = {"FunctionsStack/MetricsSinkRole", "FunctionsStack/PreTrafficRole", "TrafficStack/AdTrafficRole"}
    functions |= {f"{event_types.pascal(one)}Events/CaptureRole" for one in event_types.names()}
    for name, actions in may.items():
        if name not in keyless:
            assert actions >= ({"kms:Decrypt"} if name in functions else {"kms:Decrypt", "kms:GenerateDataKey"}), name
            assert name not in functions or actions == {"kms:Decrypt"}, name


def denials(resource):
    statements = resource["Properties"]["PolicyDocument"]["Statement"]
    return [
        one
        for one in statements
        if one["Effect"] == "Deny" and one["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    ]


def test_resource_policies_deny_plain_http():
    seen = set()
    guarded = {
        "AWS::S3::Bucket": "AWS::S3::BucketPolicy",
        "AWS::SNS::Topic": "AWS::SNS::TopicPolicy",
        "AWS::SQS::Queue": "AWS::SQS::QueuePolicy",
    }
    for path in (TEMPLATE, ROOT / "build.yaml", ROOT / "build-machines.yaml"):
        resources = resolve(path, {}).all_resources()
        for name, one in resources.items():
            if policy_type := guarded.get(one["Type"]):
                token = f"<{name.rsplit('/', 1)[-1]}>"
                policies = [
                    other
                    for other in resources.values()
                    if other["Type"] == policy_type
                    and token
                    in (
                        [
                            other["Properties"].get("Bucket"),
                            *other["Properties"].get("Topics", []),
                            *other["Properties"].get("Queues", []),
                        ]
                    )
                ]
                assert policies and denials(policies[0]), f"{path.name}: {name}"
                seen.add(one["Type"])
    assert seen == set(guarded)


def test_access_logs_go_to_the_given_bucket():
    bucket = resolve(TEMPLATE, {"AccessLogsBucket": "logs-of-all"}).resources["DataLakeBucket"]["Properties"]
    assert bucket["LoggingConfiguration"] == {
        "DestinationBucketName": "logs-of-all",
        "LogFilePrefix": "dataless/data-lake/",
    }
    assert "LoggingConfiguration" not in resolve(TEMPLATE, {}).resources["DataLakeBucket"]["Properties"]


def test_retained_resources_are_named_in_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in (
        TEMPLATE,
        ROOT / "build.yaml",
        ROOT / "build-machines.yaml",
        *sorted((ROOT / "stacks").glob("*.yaml")),
    ):
        for name, one in read(path)["Resources"].items():
            policies = (one.get("DeletionPolicy"), one.get("UpdateReplacePolicy"))
            if policies not in ((None, None), ("Delete", "Delete")):
                assert f"`{name}`" in readme, f"{path.name} keeps {name}"
                # A resource that survives the deletion of its stack also survives its own replacement. Only a failed
                # first deployment deletes the resources that it created, because they are unused.
                assert policies in (("RetainExceptOnCreate", "Retain"), ("Snapshot", "Snapshot")), name


def test_statements_for_all_resources_have_a_comment():
    """A statement with `Resource: "*"` has a comment, in the statement or before it."""
    for path in (
        TEMPLATE,
        ROOT / "build.yaml",
        ROOT / "build-machines.yaml",
        *sorted((ROOT / "stacks").glob("*.yaml")),
    ):
        lines = path.read_text(encoding="utf-8").splitlines()
        explained = set()
        for number, line in enumerate(lines):
            if line.strip() not in ('Resource: "*"', "Resource: '*'"):
                continue
            start = next(at for at in range(number, 0, -1) if lines[at].strip() == "- Effect: Allow")
            actions = tuple(one.strip() for one in lines[start:number])
            block = lines[start - 3 : number + 1]
            if any(one.strip().startswith("#") for one in block):
                explained.add(actions)
            # One comment is enough for several equal statements. In a key policy, the wildcard means the key itself.
            inside = "\n".join(lines[max(0, start - 25) : start])
            assert actions in explained or "KeyPolicy:" in inside, f"{path.name}:{number + 1}"


def test_every_version_is_checked_before_it_gets_traffic():
    template = read(TEMPLATE)
    resources, preference = template["Resources"], template["Globals"]["Function"]["DeploymentPreference"]
    assert preference == {
        "Type": {"Ref": "DeploymentPreferenceType"}, "Role": {"Fn::GetAtt": ["FunctionsStack", "Outputs.TrafficShiftRoleArn"]},
    }  # fmt: skip
    functions = [
        name
        for name, one in resources.items()
        if one["Type"] == "AWS::Serverless::Function" and not name.endswith("Check")
    ]
    assert len(functions) >= 4
    tests = (ROOT / "crates" / "pre-traffic" / "src" / "test_event.rs").read_text(encoding="utf-8")
    for name in functions:
        check = name.removesuffix("Function") + "Check"
        own = resources[name]["Properties"]["DeploymentPreference"]
        assert own["Hooks"] == {"PreTraffic": {"Ref": check}}
        condition, alarms, _ = own["Alarms"]["Fn::If"]
        outputs = [alarm["Fn::GetAtt"][1] for alarm in alarms]
        assert condition == "HasRollbackAlarms" and len(outputs) == 2 and outputs[0].endswith("ErrorsAlarm")
        properties = resources[check]["Properties"]
        variables = properties["Environment"]["Variables"]
        assert variables["NEW_VERSION"] == {"Ref": f"{name}.Version"}
        # Test events of event types are generated from their schemas.
        assert variables["TEST_EVENT"] in event_types.names() or f'"{variables["TEST_EVENT"]}"' in tests
        # A check has no traffic shifting of its own, and its timeout is below the one hour of CodeDeploy.
        assert properties["DeploymentPreference"] == {"Enabled": False} and properties["Timeout"] <= 900


def test_no_arn_names_a_partition():
    """`arn:aws:` is wrong in the China and US government Regions, which have other partitions."""
    paths = [*ROOT.glob("*.yaml"), *(ROOT / "stacks").glob("*.yaml"), *(ROOT / "pipeline").glob("*.json")]
    lines = [(path.name, line.strip()) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    named = [(name, line) for name, line in lines if "arn:aws:" in line and "Description:" not in line]
    assert len(lines) > 5000 and named == []
