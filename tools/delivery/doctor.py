"""Checks an AWS account before a deployment, and prints as JSON what would make one fail. It changes nothing.

    python3 tools/delivery/doctor.py --region eu-west-1

`cargo dataless doctor --aws` runs it. It uses the user's own credentials and Region, like any AWS tool. Exit status: 0,
whatever it finds.
"""

import argparse
import dataclasses
import json
import os
import shlex
from collections.abc import Iterator

import boto3
from botocore import exceptions

import configuration
from account import Finding, deployments, quotas, services, settings, stacks, stop
from account.calls import Account, code, look
from account.deployments import PIPELINE, WAREHOUSE, Deployment

# https://docs.aws.amazon.com/general/latest/gr/sts.html
EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
UNKNOWN = ("InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidToken")


def identify(account: Account, profile: str | None) -> Finding:
    """Whose credentials these are, or what is wrong with them."""
    what = "credentials"
    login = "aws sso login" + (f" --profile {profile}" if profile else "")
    try:
        account.identify()
    except exceptions.NoCredentialsError:
        return stop(what, "none were found: set AWS_PROFILE, pass --profile, or create some", "aws configure")
    except (exceptions.SSOError, exceptions.TokenRetrievalError) as error:
        return stop(what, f"the login has expired: {error}", login)
    except exceptions.ClientError as error:
        if code(error) in EXPIRED:
            return stop(what, "they have expired: log in again, or renew the session token", login)
        if code(error) in UNKNOWN:
            return stop(
                what,
                f"AWS rejects them, or {account.region} is not enabled in the account: {error}",
                "aws configure list",
            )
        return stop(what, str(error))
    except exceptions.BotoCoreError as error:
        return stop(what, f"could not reach AWS: {error}", "aws sts get-caller-identity")
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    where = f"{account.region}" + (f" at {endpoint}" if endpoint else "")
    return Finding(what, f"account {account.id} in {where}, as {account.caller}")


def planned(options: argparse.Namespace) -> list[Deployment]:
    """The deployments to check: without names both kinds, by hand and by the pipeline."""
    both = not options.stack and not options.pipeline_stack
    found = [deployments.by_hand(options.stack)] if options.stack or both else []
    if options.pipeline_stack or both:
        found += deployments.by_pipeline(options.pipeline_stack, options.branch)
    return found


def examine(account: Account, wanted: list[Deployment]) -> Iterator[Finding]:
    yield from services.check_partition(account)
    # The other checks read the parameters, and expect them to fit the template.
    checked = [(one, one.problems()) for one in wanted]
    yield from (stop("configuration", problem) for _, problems in checked for problem in problems)
    wanted = [one for one, problems in checked if not problems]
    if not wanted:
        return
    files = {one.file for one in wanted}
    yield from look("services", services.check, account, wanted)
    yield from look("quota of Lambda", quotas.check_lambda, account, wanted)
    if WAREHOUSE in files:
        yield from look("quota of Glue", quotas.check_glue, account, wanted)
    if PIPELINE in files:
        yield from look("quota of CodeBuild", quotas.check_builds, account, wanted)
        yield from look("build image", services.check_image, account, wanted)
    yield from look("API logging", settings.check_api_logging, account, wanted)
    yield from look("database default", settings.check_default_database, account)
    yield from look("Lake Formation", settings.check_lake_formation, account, wanted)
    for one in wanted:
        yield from look(f"stack {one.stack}", stacks.check, account, one)
    if any(one.source == deployments.SAMCONFIG for one in wanted):
        yield from look(f"stack {stacks.SAM_STACK}", stacks.check_sam, account)


def findings(options: argparse.Namespace) -> list[Finding]:
    try:
        session = boto3.Session(profile_name=options.profile)
    except exceptions.ProfileNotFound as error:
        return [stop("credentials", str(error), "aws configure list-profiles")]
    # The SDK for Python does not read AWS_REGION, other tools do.
    region = options.region or os.environ.get("AWS_REGION") or session.region_name
    if not region:
        return [stop("Region", "none is set: give --region, or set it", "aws configure set region us-east-1")]
    account = Account(session, region)
    identity = identify(account, options.profile)
    if identity.stops:
        return [identity]
    try:
        wanted = planned(options)
    except configuration.Invalid as error:
        return [identity, stop("configuration", str(error))]
    return [identity, *(with_options(finding, options) for finding in examine(account, wanted))]


def with_options(finding: Finding, options: argparse.Namespace) -> Finding:
    """Adds this run's account, Region and stacks to the finding's command."""
    if finding.command is None:
        return finding
    names = (
        ("stack", "pipeline_stack", "branch", "profile")
        if finding.command.startswith("cargo ")
        else ("region", "profile")
    )
    given = [
        (name, value) for name in names if (value := getattr(options, name)) and value != parser().get_default(name)
    ]
    words = [word for name, value in given for word in (f"--{name.replace('_', '-')}", value)]
    return dataclasses.replace(finding, command=" ".join([finding.command, *map(shlex.quote, words)]))


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Prints what would stop a deployment to an AWS account.")
    parser.add_argument(
        "--stack", metavar="NAME", help="the warehouse that is deployed by hand (default: of samconfig.toml)"
    )
    parser.add_argument(
        "--pipeline-stack", metavar="NAME", help=f"the stack of build.yaml (default: {deployments.PIPELINE_STACK})"
    )
    parser.add_argument(
        "--branch", default=deployments.BRANCH, help="the branch that the pipeline delivers (default: %(default)s)"
    )
    parser.add_argument("--region", help="default: the user's")
    parser.add_argument("--profile", help="default: the user's")
    return parser


if __name__ == "__main__":
    print(json.dumps([dataclasses.asdict(finding) for finding in findings(parser().parse_args())], indent=2))
