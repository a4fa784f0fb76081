"""Computes physical names, ARNs and Ref values as CloudFormation does, and defines the valid names of each type."""

from __future__ import annotations

import re
from dataclasses import dataclass

# The suffix of generated names. CloudFormation's current suffix is one character shorter.
RANDOM = "1ABCDEFGHIJ2K"
UUID = "0123abcd-0123-0123-0123-0123456789ab"


@dataclass(frozen=True)
class Kind:
    # The property that sets the name ("" if the service generates an id), its maximum length, and a regular expression.
    name_property: str
    limit: int
    characters: str
    # Placeholders: {p}artition, {r}egion, {a}ccount, {name}, and any {Property} of the resource.
    # GetAtt Arn returns the first ARN.
    arns: tuple[str, ...]
    # The form of generated names: "stack" starts with the stack name, "logical" with the logical id. Resource handlers
    # of the registry use one of these forms, but it is not documented which. With "either", both names must be valid.
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-name.html
    form: str = "stack"
    ref: str = "name"
    lower: bool = False
    name_attributes: tuple[str, ...] = ()


def service(kind: str, *resources: str, region: str = "{r}", account: str = "{a}") -> tuple[str, ...]:
    return tuple(f"arn:{{p}}:{kind}:{region}:{account}:{one}" for one in resources)


def api(*paths: str) -> tuple[str, ...]:
    return service("apigateway", *paths, account="")


def opaque(*arns: str, sample: str = "0123456789abcdef", ref: str = "name") -> Kind:
    """Returns a Kind for resources whose id the service generates."""
    return Kind("", 0, "", tuple(one.replace("{id}", sample) for one in arns), form=sample, ref=ref)


WORD, DASHED = r"[A-Za-z0-9_-]+", r"[A-Za-z0-9._-]+"
IAM = r"[\w+=,.@-]+"
LOG_GROUP = service("logs", "log-group:{name}:*", "log-group:{name}")
# FunctionName can also be the ARN of a version or an alias, see `arns`.
FUNCTION = service("lambda", "function:{FunctionName}", "function:{FunctionName}:live", "function:{FunctionName}:7")
CATALOG = service("glue", "catalog")
TAGS = "/tags/arn"

# The limits are from the API reference of each service.
KINDS = {
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
    "AWS::S3::Bucket": Kind("BucketName", 63, r"[a-z0-9][a-z0-9.-]+[a-z0-9]", ("arn:{p}:s3:::{name}",), lower=True),
    "AWS::S3::BucketPolicy": opaque("arn:{p}:s3:::{Bucket}"),
    # https://docs.aws.amazon.com/firehose/latest/APIReference/API_CreateDeliveryStream.html
    "AWS::KinesisFirehose::DeliveryStream": Kind("DeliveryStreamName", 64, DASHED, service("firehose", "deliverystream/{name}")),
    # https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html
    "AWS::Logs::LogGroup": Kind("LogGroupName", 512, r"[.\-_/#A-Za-z0-9]+", LOG_GROUP),
    "AWS::Logs::LogStream": Kind("LogStreamName", 512, r"[^:*]+", service("logs", "log-group:{LogGroupName}:log-stream:{name}")),
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
    "AWS::IAM::Role": Kind("RoleName", 64, IAM, service("iam", "role/{name}", region="")),
    "AWS::IAM::ManagedPolicy": Kind("ManagedPolicyName", 128, IAM, service("iam", "policy/{name}", region=""), ref="arn"),
    "AWS::IAM::InstanceProfile": Kind("InstanceProfileName", 128, IAM, service("iam", "instance-profile/{name}", region="")),
    # https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
    "AWS::Lambda::Function": Kind("FunctionName", 64, WORD, service("lambda", "function:{name}")),
    "AWS::Lambda::Version": opaque(*FUNCTION, ref="7"),
    "AWS::Lambda::Alias": opaque(*FUNCTION, ref="live"),
    "AWS::Lambda::Permission": opaque(*FUNCTION),
    "AWS::ApiGateway::RestApi": opaque(*api("/restapis/{id}", "/restapis", TAGS), sample="a1b2c3d4e5"),
    "AWS::ApiGateway::Deployment": opaque(*api("/restapis/{RestApiId}/deployments/{id}", "/restapis/{RestApiId}/deployments")),
    "AWS::ApiGateway::Stage": Kind("StageName", 128, WORD, api("/restapis/{RestApiId}/stages/{name}", "/restapis/{RestApiId}/stages", TAGS)),
    "AWS::ApiGateway::Account": opaque(*api("/account")),
    "AWS::ApiGateway::ApiKey": opaque(*api("/apikeys/{id}", "/apikeys", TAGS)),
    "AWS::ApiGateway::UsagePlan": opaque(*api("/usageplans/{id}", "/usageplans", TAGS)),
    "AWS::ApiGateway::UsagePlanKey": opaque(*api("/usageplans/{UsagePlanId}/keys/{id}", "/usageplans/{UsagePlanId}/keys")),
    "AWS::ApiGateway::DomainName": Kind("DomainName", 512, r"[a-z0-9.-]+", api("/domainnames/{name}", "/domainnames", TAGS)),
    "AWS::ApiGateway::BasePathMapping": opaque(*api("/domainnames/{DomainName}/basepathmappings/{BasePath}", "/domainnames/{DomainName}/basepathmappings")),
    # https://docs.aws.amazon.com/athena/latest/APIReference/API_CreateWorkGroup.html
    "AWS::Athena::WorkGroup": Kind("Name", 128, DASHED, service("athena", "workgroup/{name}")),
    "AWS::CertificateManager::Certificate": opaque(*service("acm", "certificate/{id}"), sample=UUID, ref="arn"),
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
    "AWS::CloudFormation::Stack": Kind("", 128, r"[A-Za-z][A-Za-z0-9-]*", service("cloudformation", f"stack/{{name}}/{UUID}"), ref="arn"),
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
    "AWS::CloudWatch::Alarm": Kind("AlarmName", 255, r"[\x20-\x7e]+", service("cloudwatch", "alarm:{name}")),
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutDashboard.html
    "AWS::CloudWatch::Dashboard": Kind("DashboardName", 255, WORD, service("cloudwatch", "dashboard/{name}", region="")),
    # https://docs.aws.amazon.com/codedeploy/latest/userguide/limits.html
    "AWS::CodeDeploy::Application": Kind("ApplicationName", 100, r"[A-Za-z0-9._+=,@-]+", service("codedeploy", "application:{name}")),
    "AWS::CodeDeploy::DeploymentGroup": Kind(
        "DeploymentGroupName", 100, r"[A-Za-z0-9._+=,@-]+",
        service("codedeploy", "deploymentgroup:{ApplicationName}/{name}", "application:{ApplicationName}", "deploymentconfig:{DeploymentConfigName}"),
    ),
    "AWS::DynamoDB::Table": Kind("TableName", 255, DASHED, service("dynamodb", "table/{name}")),
    # https://docs.aws.amazon.com/glue/latest/webapi/API_Job.html
    "AWS::Glue::Job": Kind("Name", 255, r"[A-Za-z0-9_-]+", service("glue", "job/{name}"), form="logical"),
    "AWS::Glue::Crawler": Kind("Name", 255, r"[A-Za-z0-9_-]+", service("glue", "crawler/{name}"), form="either"),
    # Athena accepts lowercase letters, digits and underscores without quotes.
    "AWS::Glue::Database": Kind("DatabaseInput.Name", 255, r"[a-z0-9_]+", service("glue", "database/{name}", "table/{name}/any", "userDefinedFunction/{name}/any") + CATALOG),
    "AWS::Glue::Table": Kind("TableInput.Name", 255, r"[a-z0-9_]+", service("glue", "table/{DatabaseName}/{name}", "database/{DatabaseName}") + CATALOG),
    "AWS::Glue::SecurityConfiguration": Kind("Name", 255, r"[A-Za-z0-9_-]+", ()),
    "AWS::KMS::Key": opaque(*service("kms", "key/{id}"), sample=UUID),
    # https://docs.aws.amazon.com/redshift/latest/APIReference/API_CreateCluster.html
    "AWS::Redshift::Cluster": Kind("ClusterIdentifier", 63, r"[a-z](-?[a-z0-9])*", service("redshift", "cluster:{name}", f"namespace:{UUID}"), lower=True),
    "AWS::Redshift::ClusterParameterGroup": Kind("ParameterGroupName", 255, r"[a-z](-?[a-z0-9])*", service("redshift", "parametergroup:{name}"), lower=True),
    "AWS::Redshift::ClusterSubnetGroup": Kind("ClusterSubnetGroupName", 255, r"[a-z0-9._-]+", service("redshift", "subnetgroup:{name}"), lower=True),
    "AWS::Redshift::ScheduledAction": Kind("ScheduledActionName", 60, r"[A-Za-z][A-Za-z0-9-]*", ()),
    "AWS::Route53::HostedZone": opaque("arn:{p}:route53:::hostedzone/{id}", sample="Z0123456789ABCDEFGHIJ"),
    "AWS::Route53::RecordSetGroup": opaque("arn:{p}:route53:::hostedzone/{HostedZoneId}", "arn:{p}:route53:::change/{id}"),
    # https://docs.aws.amazon.com/sns/latest/api/API_CreateTopic.html
    "AWS::SNS::Topic": Kind("TopicName", 256, WORD, service("sns", "{name}"), ref="arn", name_attributes=("TopicName",)),
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html
    "AWS::SQS::Queue": Kind("QueueName", 80, WORD, service("sqs", "{name}"), name_attributes=("QueueName",)),
    # https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html
    "AWS::Scheduler::Schedule": Kind("Name", 64, DASHED, service("scheduler", "schedule/default/{name}"), form="either"),
    # Secrets Manager appends a hyphen and six characters to the ARN.
    # https://docs.aws.amazon.com/secretsmanager/latest/userguide/troubleshoot.html#ARN_secretnamehyphen
    "AWS::SecretsManager::Secret": Kind("Name", 512, r"[A-Za-z0-9/_+=.@-]+", service("secretsmanager", "secret:{name}-a1B2c3"), form="logical", ref="arn"),
    # https://docs.aws.amazon.com/step-functions/latest/apireference/API_CreateStateMachine.html
    "AWS::StepFunctions::StateMachine": Kind("StateMachineName", 80, WORD, service("states", "stateMachine:{name}"), form="logical", ref="arn", name_attributes=("Name",)),
    "AWS::WAFv2::WebACLAssociation": opaque("{ResourceArn}", "{WebACLArn}"),
    # Types in build.yaml. https://docs.aws.amazon.com/codepipeline/latest/userguide/limits.html
    "AWS::CodeBuild::Project": Kind("Name", 150, r"[A-Za-z0-9][A-Za-z0-9_-]+", service("codebuild", "project/{name}")),
    "AWS::CodeCommit::Repository": Kind("RepositoryName", 100, DASHED, service("codecommit", "{name}"), name_attributes=("Name",)),
    "AWS::CodePipeline::Pipeline": Kind("Name", 100, r"[A-Za-z0-9.@_-]+", service("codepipeline", "{name}")),
    "AWS::Events::Rule": Kind("Name", 64, DASHED, service("events", "rule/{name}")),
}  # fmt: skip

# Types for which policies can only use "*", and types that use only the ARNs of other resources.
NAMELESS = {
    "AWS::CloudFormation::WaitConditionHandle", "AWS::DataPipeline::Pipeline", "AWS::EMR::Cluster", "AWS::EMR::SecurityConfiguration",
    "AWS::IAM::Policy", "AWS::SNS::Subscription", "AWS::SNS::TopicPolicy", "AWS::SQS::QueuePolicy",
}  # fmt: skip


def is_nameless(kind: str) -> bool:
    return kind in NAMELESS or kind.startswith("AWS::EC2::")


def generated(stack: str, logical: str, limit: int) -> str:
    """Returns `<stack>-<logical id>-<random>`. Truncates long parts, but leaves the stack half of the space."""
    room = limit - len(RANDOM) - 2
    stack = stack[: max(room // 2, room - len(logical))]
    return f"{stack}-{logical[: room - len(stack)]}-{RANDOM}"


def names(kind: str, logical: str, stack: str, given: str | None) -> list[str]:
    one = KINDS[kind]
    if given is not None:
        return [given]
    if one.form not in ("stack", "logical", "either"):
        return [one.form]
    made = {
        "stack": generated(stack, logical, one.limit),
        "logical": f"{logical[: one.limit - len(RANDOM) - 1]}-{RANDOM}",
    }
    chosen = [made[one.form]] if one.form in made else list(made.values())
    return [name.lower() if one.lower else name for name in chosen]


def arns(kind: str, name: str, pseudo: dict, properties: dict | None = None) -> list[str]:
    properties = properties or {}
    if kind.startswith("AWS::Lambda::") and str(properties.get("FunctionName")).startswith("arn:"):
        return [properties["FunctionName"]]
    values = {
        "p": pseudo["AWS::Partition"],
        "r": pseudo["AWS::Region"],
        "a": pseudo["AWS::AccountId"],
        "name": name,
    } | properties
    # References are resolved without the properties of the resource. ARNs with placeholders for them are skipped.
    known = [one for one in KINDS[kind].arns if all(field in values for field in re.findall(r"\{(\w+)\}", one))]
    return [re.sub(r"\{(\w+)\}", lambda match: str(values[match[1]]), one) for one in known]


def reference(kind: str, name: str, pseudo: dict, properties: dict | None = None) -> str:
    """Returns the value of Ref."""
    if kind in ("AWS::Lambda::Alias", "AWS::Lambda::Version"):
        function = (properties or {})["FunctionName"]
        return next(
            one for one in arns(kind, name, pseudo, {"FunctionName": function}) if one.endswith(f":{KINDS[kind].ref}")
        )
    return arns(kind, name, pseudo, properties)[0] if KINDS[kind].ref == "arn" else name
