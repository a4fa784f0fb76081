"""Services that the Region does not offer."""

from collections.abc import Iterable, Iterator

from account import Finding, advice, stop
from account.calls import Account
from account.deployments import PIPELINE, Deployment

# Each service of the templates, as the public parameters of Systems Manager name it.
SERVICES = {
    "AWS::ApiGateway": "apigateway",
    "AWS::Athena": "athena",
    "AWS::CertificateManager": "acm",
    "AWS::CloudFormation": "cloudformation",
    "AWS::CloudWatch": "cloudwatch",
    "AWS::CodeBuild": "codebuild",
    "AWS::CodeCommit": "codecommit",
    "AWS::CodePipeline": "codepipeline",
    "AWS::DataPipeline": "datapipeline",
    "AWS::DynamoDB": "dynamodb",
    "AWS::EC2": "ec2",
    "AWS::EMR": "emr",
    "AWS::Events": "events",
    "AWS::Glue": "glue",
    "AWS::IAM": "iam",
    "AWS::KMS": "kms",
    "AWS::KinesisFirehose": "firehose",
    "AWS::Lambda": "lambda",
    "AWS::Logs": "logs",
    "AWS::Redshift": "redshift",
    "AWS::Route53": "route53",
    "AWS::S3": "s3",
    "AWS::SNS": "sns",
    "AWS::SQS": "sqs",
    "AWS::SSM": "ssm",
    "AWS::Scheduler": "scheduler",
    "AWS::SecretsManager": "secretsmanager",
    "AWS::StepFunctions": "stepfunctions",
    "AWS::WAFv2": "waf-regional",
}
# What SAM makes of its own types.
SAM_SERVICES = {
    "AWS::Serverless::Api": ["apigateway"],
    "AWS::Serverless::Function": ["lambda", "codedeploy"],
}

# Where the list of services can be read; it is about every Region.
# https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-public-parameters-global-infrastructure.html
LISTED_IN = [
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
    "ap-east-1",
    "ap-south-1",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eu-north-1",
    "sa-east-1",
]

# https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameters.html
MAX_PARAMETERS = 10

# Where all of them are.
ANOTHER_REGION = "cargo dataless doctor --aws --region us-east-1"


def needed(account: Account, deployments: Iterable[Deployment]) -> list[str]:
    types = {resource.type for one in deployments for resource in one.template(account).resources()}
    services = {name for kind in types for name in SAM_SERVICES.get(kind) or [SERVICES[kind.rsplit("::", 1)[0]]]}
    return sorted(services)


def check(account: Account, deployments: list[Deployment]) -> Iterator[Finding]:
    what = f"services in {account.region}"
    prefix = f"/aws/service/global-infrastructure/regions/{account.region}/services/"
    paths = [prefix + name for name in needed(account, deployments)]
    lists = account.region if account.region in LISTED_IN else LISTED_IN[0]
    missing = []
    for start in range(0, len(paths), MAX_PARAMETERS):
        answer = account.call("ssm", "get_parameters", region=lists, Names=paths[start : start + MAX_PARAMETERS])
        missing += [path.removeprefix(prefix) for path in answer.get("InvalidParameters", [])]
    if len(missing) == len(paths):
        yield advice(what, "could not check: AWS lists no services of this Region")
        return
    for name in missing:
        if name == "codecommit":
            yield advice(
                what,
                "codecommit is not offered: take GitHub as the source (ConnectionArn, Owner, Repo)",
                ANOTHER_REGION,
            )
        else:
            yield stop(what, f"{name} is not offered, and the stacks need it", ANOTHER_REGION)
    if not missing:
        yield Finding(what, f"all {len(paths)} are offered")


def check_partition(account: Account) -> Iterator[Finding]:
    if account.partition != "aws":
        yield advice(
            "partition", f"this is {account.partition}; prices and limits in the documentation are those of aws"
        )


def check_image(account: Account, deployments: list[Deployment]) -> Iterator[Finding]:
    """Whether CodeBuild has the image of build.yaml here; its machines with ARM are not in every Region."""
    project = next(
        resource
        for one in deployments
        if one.file == PIPELINE
        for resource in one.template(account).resources()
        if resource.type == "AWS::CodeBuild::Project"
    )
    image = project.template.known(project.properties["Environment"]["Image"])
    platforms = account.call("codebuild", "list_curated_environment_images")["platforms"]
    listed = {one["name"] for platform in platforms for language in platform["languages"] for one in language["images"]}
    if image in listed:
        yield Finding("build image", image)
    else:
        yield advice(
            "build image", f"{image} is not in CodeBuild's list here: the first build may not start", ANOTHER_REGION
        )
