"""Stacks that are there already, and names that something else has."""

from collections.abc import Callable, Iterator

from botocore.exceptions import ClientError

import configuration
import templates
from account import Finding, advice, stop
from account.calls import LOOKUP_ERRORS, Account, code, reason
from account.deployments import KINDS, Deployment, deploy_pipeline

# What helps a stack in a state that allows no update. {stack} is its name.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html#cfn-console-view-stack-data-resources-status-codes
DELETE = "aws cloudformation delete-stack --stack-name {stack}"
HELP = {
    # Nothing but what is retained is left of it: CloudFormation only lets it be deleted.
    "ROLLBACK_COMPLETE": DELETE,
    "ROLLBACK_FAILED": DELETE,
    "CREATE_FAILED": DELETE,
    # Takes resources that can't be deleted out of the stack.
    "DELETE_FAILED": DELETE + " --deletion-mode FORCE_DELETE_STACK",
    "UPDATE_FAILED": "aws cloudformation rollback-stack --stack-name {stack}",
    "UPDATE_ROLLBACK_FAILED": "aws cloudformation continue-update-rollback --stack-name {stack}",
}
WAIT = {
    "CREATE_IN_PROGRESS": "aws cloudformation wait stack-create-complete --stack-name {stack}",
    "UPDATE_IN_PROGRESS": "aws cloudformation wait stack-update-complete --stack-name {stack}",
    "DELETE_IN_PROGRESS": "aws cloudformation wait stack-delete-complete --stack-name {stack}",
}
# The other states have no waiter that ends well.
LOOK = "aws cloudformation describe-stacks --stack-name {stack} --query 'Stacks[0].StackStatus'"

# In these states a stack owns no resources, so none of its names.
OWNS_NOTHING = ("ROLLBACK_COMPLETE", "REVIEW_IN_PROGRESS")

# The stack of the bucket that `sam deploy` uploads to.
SAM_STACK = "aws-sam-cli-managed-default"


def check(account: Account, deployment: Deployment) -> Iterator[Finding]:
    """Whether the stack can be made, or updated."""
    what = f"stack {deployment.stack}"
    for problem in configuration.check_stack_name(deployment.stack):
        yield stop(what, problem, deployment.rename)
    stack = describe(account, deployment.stack)
    kind = KINDS[deployment.file]
    if stack is None:
        yield Finding(what, f"does not exist yet: {kind} will be created")
    # A stack that only has a change set may have no parameters to know it by.
    elif stack["StackStatus"] != "REVIEW_IN_PROGRESS" and (other := file_of(stack)) != deployment.file:
        is_what = f"{KINDS.get(other, 'a part of a warehouse')} ({other})" if other else "not of this repository"
        yield stop(what, f"it exists and is {is_what}: {kind} needs another name", deployment.rename)
        return
    else:
        yield state(what, stack, kind)
    if not owns_resources(stack):
        yield from check_names(account, deployment)


def check_sam(account: Account) -> Iterator[Finding]:
    what = f"stack {SAM_STACK}"
    stack = describe(account, SAM_STACK)
    if stack is None:
        yield Finding(what, "does not exist yet: sam creates it with its bucket")
    else:
        yield state(what, stack, "the bucket of sam")


def describe(account: Account, name: str) -> dict | None:
    try:
        return account.call("cloudformation", "describe_stacks", StackName=name)["Stacks"][0]
    except ClientError as error:
        # There is no code of its own for it.
        if "does not exist" in str(error):
            return None
        raise


def owns_resources(stack: dict | None) -> bool:
    return stack is not None and stack["StackStatus"] not in OWNS_NOTHING


def state(what: str, stack: dict, kind: str) -> Finding:
    status, name = stack["StackStatus"], stack["StackName"]
    if status in HELP:
        return stop(what, f"it is in {status} and can't be updated", HELP[status].format(stack=name))
    # A change set that nobody executed: the next one takes its place.
    if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
        return stop(what, f"it is in {status}: wait until it ends", WAIT.get(status, LOOK).format(stack=name))
    return Finding(what, f"{kind}, {status}")


def file_of(stack: dict) -> str | None:
    """Which template of the repository a stack was made from, by its parameters: they outlast outputs, and change
    little from version to version."""
    given = {one["ParameterKey"] for one in stack.get("Parameters", [])}
    paths = [*sorted(templates.ROOT.glob("*.yaml")), *sorted((templates.ROOT / "stacks").glob("*.yaml"))]
    contents = {str(path.relative_to(templates.ROOT)): templates.read(path) for path in paths}
    declared = {
        file: set(content.get("Parameters", {})) for file, content in contents.items() if "Resources" in content
    }
    alike = {file: len(given & names) / max(1, len(given | names)) for file, names in declared.items()}
    best = max(alike, key=lambda file: alike[file])
    return best if alike[best] >= 0.5 else None


# --- names ------------------------------------------------------------------------------------------------------------


def found(service: str, operation: str, parameter: str, missing: str) -> Callable[[Account, str], bool]:
    """Whether a call finds a name. `missing` is in the error's code or message when it does not."""

    def exists(account: Account, name: str) -> bool:
        try:
            answer = account.call(service, operation, **{parameter: name})
        except ClientError as error:
            if missing in f"{code(error)} {error}":
                return False
            raise
        # Emulators may answer with nothing instead.
        return set(answer) != {"ResponseMetadata"}

    return exists


def has_log_group(account: Account, name: str) -> bool:
    pages = account.pages("logs", "describe_log_groups", logGroupNamePrefix=name)
    return any(group["logGroupName"] == name for page in pages for group in page["logGroups"])


def has_project(account: Account, name: str) -> bool:
    return bool(account.call("codebuild", "batch_get_projects", names=[name])["projects"])


STATE_MACHINE = "arn:{account.partition}:states:{account.region}:{account.id}:stateMachine:{}"


def has_state_machine(account: Account, name: str) -> bool:
    arn = STATE_MACHINE.format(name, account=account)
    return found("stepfunctions", "describe_state_machine", "stateMachineArn", "StateMachineDoesNotExist")(account, arn)


# By type: the property that names it, whether the name is taken, and what frees it. CloudFormation refuses to make what
# exists, most of it before anything is made.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/validate-stack-deployments.html
NAMED = {
    "AWS::Athena::WorkGroup": (
        "Name",
        found("athena", "get_work_group", "WorkGroup", "not found"),
        "aws athena delete-work-group --work-group {} --recursive-delete-option",
    ),
    "AWS::CloudWatch::Dashboard": (
        "DashboardName",
        found("cloudwatch", "get_dashboard", "DashboardName", "NotFound"),
        "aws cloudwatch delete-dashboards --dashboard-names {}",
    ),
    "AWS::CodeBuild::Project": ("Name", has_project, "aws codebuild delete-project --name {}"),
    "AWS::CodeCommit::Repository": (
        "RepositoryName",
        found("codecommit", "get_repository", "repositoryName", "RepositoryDoesNotExist"),
        # It holds commits: it is used again, not deleted.
        deploy_pipeline("{deployment.stack}", "{deployment.parameters[Branch]}", "{}"),
    ),
    "AWS::CodePipeline::Pipeline": (
        "Name",
        found("codepipeline", "get_pipeline", "name", "PipelineNotFound"),
        "aws codepipeline delete-pipeline --name {}",
    ),
    "AWS::Glue::Crawler": ("Name", found("glue", "get_crawler", "Name", "EntityNotFound"), "aws glue delete-crawler --name {}"),
    "AWS::Glue::Database": ("Name", found("glue", "get_database", "Name", "EntityNotFound"), "aws glue delete-database --name {}"),
    "AWS::Glue::Job": ("Name", found("glue", "get_job", "JobName", "EntityNotFound"), "aws glue delete-job --job-name {}"),
    "AWS::KinesisFirehose::DeliveryStream": (
        "DeliveryStreamName",
        found("firehose", "describe_delivery_stream", "DeliveryStreamName", "ResourceNotFound"),
        "aws firehose delete-delivery-stream --delivery-stream-name {}",
    ),
    "AWS::Logs::LogGroup": ("LogGroupName", has_log_group, "aws logs delete-log-group --log-group-name {}"),
    "AWS::Scheduler::Schedule": (
        "Name",
        found("scheduler", "get_schedule", "Name", "ResourceNotFound"),
        "aws scheduler delete-schedule --name {}",
    ),
    "AWS::Serverless::Function": (
        "FunctionName",
        found("lambda", "get_function", "FunctionName", "ResourceNotFound"),
        "aws lambda delete-function --function-name {}",
    ),
    "AWS::StepFunctions::StateMachine": (
        "StateMachineName",
        has_state_machine,
        f"aws stepfunctions delete-state-machine --state-machine-arn {STATE_MACHINE}",
    ),
}  # fmt: skip


def names(account: Account, deployment: Deployment) -> list[tuple[str, str]]:
    """The types and names of what the deployment would make under a name that is known before."""
    made = []
    for resource in deployment.template(account).resources():
        if resource.type in NAMED:
            # A database is named one level down.
            holder = "DatabaseInput" if resource.type == "AWS::Glue::Database" else None
            node = resource.properties.get(holder, {}) if holder else resource.properties
            name = resource.template.known(node.get(NAMED[resource.type][0]))
            made += [(resource.type, name)] if name else []
    return made


def check_names(account: Account, deployment: Deployment) -> Iterator[Finding]:
    what = f"names of {deployment.stack}"
    free, unseen = 0, set()
    for kind, name in names(account, deployment):
        _, exists, command = NAMED[kind]
        try:
            if not exists(account, name):
                free += 1
                continue
        except LOOKUP_ERRORS as error:
            unseen.add(reason(error))
            continue
        noun = kind.rsplit("::", 1)[1]
        remedy = command.format(name, account=account, deployment=deployment)
        yield stop(what, f"the {noun} {name} exists already, perhaps left by an earlier stack", remedy)
    if unseen:
        yield advice(what, f"could not check all names: {', '.join(sorted(unseen))}")
    if free:
        yield Finding(what, f"free: {free}")
