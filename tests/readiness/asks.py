"""The calls that CloudFormation makes with its role for each resource of a stack: action, ARN and context.

The actions come from the handlers in the schema of each resource type. cfn-lint ships the schemas. An action usually
applies to the ARNs of the resource itself. An action on something else, such as a passed role, a key or a package,
applies to the ARNs in the resource's properties.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

from support import iam, physical
from support.processed import all_stacks, arns_of, names_of

HANDLERS = ("create", "read", "update", "delete")
DYNAMIC = re.compile(r"\{\{resolve:secretsmanager:(arn:[^}]*?):SecretString")


@dataclass(frozen=True)
class Ask:
    where: str
    kind: str
    action: str
    arn: str
    context: tuple = ()

    def __str__(self):
        return f"{self.kind} {self.where}: {self.action} on {self.arn}"


def ask(where, kind, action, arn, context):
    return Ask(where, kind, action, arn, tuple((key, tuple(values)) for key, values in sorted(context.items())))


@functools.cache
def handlers(kind: str) -> frozenset[str]:
    found = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema.get("handlers", {})
    return frozenset(action for name in HANDLERS for action in found.get(name, {}).get("permissions", []))


# Actions that no schema lists, by resource type. Each has a kind of ARN and a source. "own" means the ARNs of the
# resource. "*" means that the action does not support resource ARNs. `Asks.beyond` defines the other kinds.
BEYOND = {
    # "Required if an update rolls back", but no handler names it:
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudformation-stack.html
    "AWS::CloudFormation::Stack": [("cloudformation:CancelUpdateStack", "own")],
    # https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-plan-access-iam.html
    "AWS::EMR::Cluster": [
        (f"elasticmapreduce:{one}", "*")
        for one in (
            "AddTags", "DescribeCluster", "ListInstanceGroups", "ModifyInstanceGroups", "PutAutoTerminationPolicy", "RemoveAutoTerminationPolicy",
            "RemoveTags", "RunJobFlow", "SetTerminationProtection", "SetVisibleToAllUsers", "TerminateJobFlows",
        )
    ] + [("iam:PassRole", "named")],
    # https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html
    "AWS::Route53::RecordSetGroup": [
        ("route53:ChangeResourceRecordSets", "own"), ("route53:GetChange", "own"), ("route53:GetHostedZone", "own"),
        ("route53:ListResourceRecordSets", "own"), ("route53:ListHostedZonesByName", "*"),
    ],
    # CloudFormation waits until the change that creates a zone is complete.
    # https://docs.aws.amazon.com/Route53/latest/APIReference/API_CreateHostedZone.html
    "AWS::Route53::HostedZone": [("route53:GetChange", "change")],
    # CloudFormation writes the validation records of a domain to the zone in DomainValidationOptions.
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-certificatemanager-certificate.html
    "AWS::CertificateManager::Certificate": [("route53:ChangeResourceRecordSets", "zone"), ("route53:GetChange", "change")],
    # Access logs of a stage, and logs of a state machine.
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/AWS-logs-and-resource-policy.html
    "AWS::ApiGateway::Stage": [
        (f"logs:{one}", "*") for one in (
            "CreateLogDelivery", "DeleteLogDelivery", "DescribeLogGroups", "DescribeResourcePolicies", "GetLogDelivery", "ListLogDeliveries",
            "PutResourcePolicy", "UpdateLogDelivery",
        )
    ],
    # CloudFormation reads the tags of a function before it changes them.
    "AWS::Lambda::Function": [("lambda:ListTags", "own")],
    # Redshift stores a generated password in Secrets Manager with the caller's permissions, and rotates it.
    # https://docs.aws.amazon.com/redshift/latest/mgmt/redshift-secrets-manager-integration-permissions.html
    "AWS::Redshift::Cluster": [
        (f"secretsmanager:{one}", "redshift secret")
        for one in ("CreateSecret", "DeleteSecret", "DescribeSecret", "RotateSecret", "TagResource", "UpdateSecret")
    ],
    # https://docs.aws.amazon.com/apigateway/latest/developerguide/how-to-edge-optimized-custom-domain-name.html
    "AWS::ApiGateway::DomainName": [("cloudfront:UpdateDistribution", "edge")],
}  # fmt: skip

# Actions in the schemas that `Asks.listed` skips.
ELSEWHERE = {
    # `SERVICE_LINKED` covers this action, with the name of the service.
    "*": {"iam:CreateServiceLinkedRole"},
    # Needed only for flow logs in a bucket.
    "AWS::EC2::FlowLog": {"s3:GetBucketPolicy", "s3:PutBucketPolicy"},
}

# The service-linked roles that are created on the first use of a service: (service principal, role name).
SERVICE_LINKED = {
    "AWS::EMR::Cluster": ("elasticmapreduce.amazonaws.com", "AWSServiceRoleForEMRCleanup"),
    "AWS::ApiGateway::DomainName": ("ops.apigateway.amazonaws.com", "AWSServiceRoleForAPIGateway"),
    "AWS::Redshift::Cluster": ("redshift.amazonaws.com", "AWSServiceRoleForRedshift"),
}

# The IAM actions whose request context contains the permissions boundary of the role.
BOUNDED = {
    "iam:CreateRole", "iam:PutRolePermissionsBoundary", "iam:PutRolePolicy", "iam:DeleteRolePolicy", "iam:AttachRolePolicy", "iam:DetachRolePolicy",
}  # fmt: skip


def texts(part):
    if isinstance(part, dict):
        for key, one in part.items():
            # CloudFormation does not need the permissions in policy documents, or access to their principals.
            if key not in ("PolicyDocument", "AssumeRolePolicyDocument", "KeyPolicy"):
                yield from texts(one)
        if {"S3Bucket", "S3Key"} <= set(part):
            yield f"arn:aws:s3:::{part['S3Bucket']}/{part['S3Key']}"
        if set(part) == {"Bucket", "Key"}:
            yield f"arn:aws:s3:::{part['Bucket']}/{part['Key']}"
    elif isinstance(part, list):
        for one in part:
            yield from texts(one)
    elif isinstance(part, str):
        yield part


class Asks:
    """The calls for all stacks of a warehouse. `bucket` is where the pipeline stores the packages to deploy."""

    def __init__(self, warehouse, bucket: str):
        self.stacks, self.bucket = list(all_stacks(warehouse)), bucket
        # (type, action) pairs from the schemas for which no ARN is known. `all` does not yield these actions.
        self.dropped: set[tuple[str, str]] = set()
        # ARNs by physical name, because a resource can refer to a resource of another stack by name.
        self.arns = {}
        for _, stack in self.stacks:
            for name in stack.resources:
                for own, arns in zip(names_of(stack, name), arns_of(stack, name), strict=True):
                    self.arns.setdefault(own, set()).update(arns)
        # Properties of the roles by ARN, for their trusted principals and permissions boundaries.
        self.roles = {}
        for _, stack in self.stacks:
            for name, one in stack.resources.items():
                if one["Type"] == "AWS::IAM::Role":
                    self.roles[arns_of(stack, name)[0][0]] = one["Properties"]

    def all(self):
        for place, stack in self.stacks:
            for name in stack.resources:
                yield from self.of(f"{place}/{name}".lstrip("/"), stack, name)

    def of(self, where, stack, name):
        resource = stack.resources[name]
        kind = resource["Type"]
        own = {arn for arns in arns_of(stack, name) for arn in arns}
        named = self.named(stack, name)
        found = [*self.listed(where, resource, own, named), *self.beyond(where, stack, name, own, named)]
        self.dropped |= {(kind, action) for action in handlers(kind) - {one.action for one in found}}
        yield from found

    def listed(self, where, resource, own, named):
        kind, properties = resource["Type"], resource["Properties"]
        for action in sorted(handlers(kind) - ELSEWHERE["*"] - ELSEWHERE.get(kind, set())):
            try:
                about = iam.formats(action)
            except iam.UnknownAction:
                continue
            arns = {"*"} if not about else {one for one in own if iam.is_about(action, one)}
            if not arns and physical.is_nameless(kind) and not action.startswith("iam:"):
                arns = {one for one in named if iam.is_about(action, one)} or {self.sample(about)}
            for arn in sorted(arns or {one for one in named if iam.is_about(action, one)}):
                yield from self.calls(where, kind, action, arn, properties)

    @staticmethod
    def sample(about):
        """Returns an example ARN for a resource whose id the service generates, such as a subnet."""
        values = iter(("aws", "us-east-1", "123456789012"))
        return re.sub(r"\[\^:\]\*", lambda _: next(values), about[0]).replace(".*", "0123456789abcdef0")

    def named(self, stack, name):
        """Returns the ARNs in the properties of a resource, and the ARNs of the resources that it refers to."""
        # The resources inside a nested stack use its parameters, so the stack resource itself does not count.
        is_stack = stack.resources[name]["Type"] == "AWS::CloudFormation::Stack"
        written = set() if is_stack else set(texts(stack.resources[name]["Properties"]))
        found = {one for one in written if one.startswith("arn:")}
        found |= {arn for one in written for arn in self.arns.get(re.sub("^s3://([^/]+)/.*", r"\1", one), ())}
        for other in stack.edges.get(name, set()) | self.shifting(stack, name):
            if other in stack.resources and other != name:
                found |= {arn for arns in arns_of(stack, other) for arn in arns}
                # A resource that uses an instance profile also needs the profile's role.
                if stack.resources[other]["Type"] == "AWS::IAM::InstanceProfile":
                    found |= {one for role in stack.edges[other] for arns in arns_of(stack, role) for one in arns}
        return {one.replace("arn:aws:s3:::builds/", f"arn:aws:s3:::{self.bucket}/") for one in found}

    @staticmethod
    def shifting(stack, name):
        """Returns the CodeDeploy deployment group in the update policy of an alias. It shifts the alias's traffic."""
        policy = stack.template.body["Resources"][name].get("UpdatePolicy", {}).get("CodeDeployLambdaAliasUpdate", {})
        return {policy["DeploymentGroupName"]["Ref"]} if policy else set()

    def calls(self, where, kind, action, arn, properties):
        context = {"aws:requestedregion": ["us-east-1"], "kms:grantisforawsresource": ["true"]}
        if action == "iam:PassRole":
            for service in self.trusted(arn):
                yield ask(where, kind, action, arn, context | {"iam:passedtoservice": [service]})
            return
        if action in BOUNDED and "PermissionsBoundary" in self.roles.get(arn, {}):
            context["iam:permissionsboundary"] = [self.roles[arn]["PermissionsBoundary"]]
        if action in ("iam:AttachRolePolicy", "iam:DetachRolePolicy"):
            for policy in properties.get("ManagedPolicyArns", []):
                yield ask(where, kind, action, arn, context | {"iam:policyarn": [policy]})
            return
        yield ask(where, kind, action, arn, context)

    def trusted(self, role):
        """Returns the services that can assume a role of the warehouse. No call passes any other role."""
        if role not in self.roles:
            return []
        statements = self.roles[role]["AssumeRolePolicyDocument"]["Statement"]
        return [service for one in statements for service in iam.as_list(one["Principal"]["Service"])]

    def beyond(self, where, stack, name, own, named):
        resource = stack.resources[name]
        kind, properties = resource["Type"], resource["Properties"]
        for action, about in BEYOND.get(kind, []):
            arns = {
                "own": {one for one in own if iam.is_about(action, one)} if about == "own" else set(),
                "named": {one for one in named if iam.is_about(action, one)} if about == "named" else set(),
                "zone": {
                    f"arn:aws:route53:::hostedzone/{one['HostedZoneId']}" for one in properties.get("DomainValidationOptions", [])
                },
                "change": {"arn:aws:route53:::change/C0123456789ABCDEFGHIJ"},
                "edge": {"*"} if "EDGE" in properties.get("EndpointConfiguration", {}).get("Types", []) else set(),
                "redshift secret": {
                    f"arn:aws:secretsmanager:us-east-1:123456789012:secret:redshift!{properties.get('ClusterIdentifier')}-warehouse-a1B2c3"
                } if properties.get("ManageMasterPassword") else set(),
            }.get(about, {"*"})  # fmt: skip
            for arn in sorted(arns):
                yield from self.calls(where, kind, action, arn, properties)
        if kind in SERVICE_LINKED:
            service, role = SERVICE_LINKED[kind]
            arn = f"arn:aws:iam::123456789012:role/aws-service-role/{service}/{role}"
            yield ask(where, kind, "iam:CreateServiceLinkedRole", arn, {"iam:awsservicename": [service]})
        for secret in {one for text in texts(properties) for one in DYNAMIC.findall(text)}:
            yield Ask(where, kind, "secretsmanager:GetSecretValue", secret)
        if kind == "AWS::CloudFormation::Stack":
            yield from self.of_child(where, kind, stack.nested[name], min(own))

    def of_child(self, where, kind, child, own):
        """Yields the calls for a nested stack: its template in the bucket, its transforms and its SSM parameters."""
        yield Ask(where, kind, "s3:GetObject", f"arn:aws:s3:::{self.bucket}/packages/0123456789abcdef.template")
        for transform in iam.as_list(child.template.source.get("Transform", [])):
            arn = f"arn:aws:cloudformation:us-east-1:aws:transform/{transform.removeprefix('AWS::')}"
            # CloudFormation creates a stack with a transform through a change set.
            yield from (Ask(where, kind, "cloudformation:CreateChangeSet", one) for one in (arn, own))
        for name, one in child.template.source.get("Parameters", {}).items():
            if one["Type"].startswith("AWS::SSM::Parameter::Value"):
                arn = f"arn:aws:ssm:us-east-1::parameter{child.template.parameters[name]}"
                yield from (
                    Ask(f"{where} {name}", kind, action, arn) for action in ("ssm:GetParameter", "ssm:GetParameters")
                )
