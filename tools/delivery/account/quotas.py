"""Quotas that are too small. New accounts have smaller ones than the documentation names."""

import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

from account import Finding, advice, stacks, stop
from account.calls import Account
from account.deployments import PIPELINE, WAREHOUSE, Deployment

# Below this the beacons and the sink get in each other's way in an ordinary hour.
LAMBDA_ENOUGH = 100

# What Lambda keeps for functions without a reservation.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
LAMBDA_UNRESERVED = 100

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
LAMBDA_CODE, LAMBDA_DEFAULT = "L-B99A9384", 1000

# https://docs.aws.amazon.com/codebuild/latest/userguide/limits.html
ARM_BUILDS = re.compile(r"Concurrently running builds for ARM/(\w+) environment")

# https://docs.aws.amazon.com/general/latest/gr/glue.html
GLUE_DPUS, GLUE_RUNS = "max task dpus per account", "max concurrent job runs per account"


def increase(service: str, code: str, value: int) -> str:
    return f"aws service-quotas request-service-quota-increase --service-code {service} --quota-code {code} --desired-value {value}"


def quotas(account: Account, service: str) -> dict[str, dict]:
    """By name. The applied values lack those that are the default."""
    found: dict[str, dict] = {}
    for operation in ("list_aws_default_service_quotas", "list_service_quotas"):
        for page in account.pages("service-quotas", operation, ServiceCode=service):
            found |= {quota["QuotaName"]: quota for quota in page["Quotas"]}
    return found


def whole(value: Any) -> int:
    """A parameter of the type Number may have a fraction."""
    return math.ceil(float(value))


# --- Lambda -----------------------------------------------------------------------------------------------------------


def reserved(account: Account, deployment: Deployment) -> int:
    resources = deployment.template(account).resources()
    functions = [one for one in resources if one.type in ("AWS::Serverless::Function", "AWS::Lambda::Function")]
    return sum(whole(one.value("ReservedConcurrentExecutions") or 0) for one in functions)


def to_reserve(account: Account, deployment: Deployment) -> int:
    """What the deployment reserves in addition: an existing stack has its reservation already."""
    wanted = reserved(account, deployment)
    return 0 if wanted and stacks.owns_resources(stacks.describe(account, deployment.stack)) else wanted


def check_lambda(account: Account, deployments: Iterable[Deployment]) -> Iterator[Finding]:
    what = "quota of Lambda"
    limits = account.call("lambda", "get_account_settings")["AccountLimit"]
    total, unreserved = limits["ConcurrentExecutions"], limits.get("UnreservedConcurrentExecutions", 0)
    wanted = max((to_reserve(account, one) for one in deployments if one.file == WAREHOUSE), default=0)
    command = increase("lambda", LAMBDA_CODE, max(LAMBDA_DEFAULT, total + wanted))
    if wanted and unreserved - wanted < LAMBDA_UNRESERVED:
        yield stop(
            what,
            f"the functions reserve {wanted} concurrent executions; {unreserved} of {total} are unreserved, of which Lambda "
            f"keeps {LAMBDA_UNRESERVED}",
            command,
        )
    elif total < LAMBDA_ENOUGH:
        yield advice(
            what,
            f"{total} concurrent executions: under load requests are throttled, and events wait in raw-errors/",
            command,
        )
    else:
        yield Finding(what, f"{total} concurrent executions")


# --- CodeBuild --------------------------------------------------------------------------------------------------------


def check_builds(account: Account, deployments: Iterable[Deployment]) -> Iterator[Finding]:
    what = "quota of CodeBuild"
    pipeline = next(one for one in deployments if one.file == PIPELINE)
    wanted = pipeline.template(account).parameter("ComputeType").removeprefix("BUILD_GENERAL1_")
    arm: dict[str, dict] = {}
    for name, quota in quotas(account, "codebuild").items():
        if found := ARM_BUILDS.fullmatch(name):
            arm[found[1].upper()] = quota
    shown = ", ".join(f"{size.lower()} {quota['Value']:g}" for size, quota in sorted(arm.items()))
    # Service Quotas does not list each size.
    listed = arm.get(wanted)
    able = [size for size, other in arm.items() if other["Value"] >= 1]
    if not arm:
        yield advice(what, "could not check: Service Quotas lists no builds on ARM")
    elif listed and listed["Value"] < 1:
        command = increase("codebuild", listed["QuotaCode"], 1)
        instead = f"; ComputeType=BUILD_GENERAL1_{able[0]} would do" if able else ""
        yield stop(what, f"no build on ARM of size {wanted.lower()} may run ({shown}){instead}", command)
    elif not able:
        command = increase("codebuild", next(iter(arm.values()))["QuotaCode"], 1)
        yield advice(
            what, f"no build on ARM of a listed size may run ({shown}); size {wanted.lower()} is not listed", command
        )
    else:
        yield Finding(
            what, f"builds on ARM at once: {shown}" + ("" if listed else f"; size {wanted.lower()} is not listed")
        )


# --- Glue -------------------------------------------------------------------------------------------------------------


def at_once(account: Account, deployment: Deployment) -> tuple[int, int]:
    """The most runs of Glue jobs at a time, and their DPUs: the ETL of all types, or several days' tables."""
    template = deployment.template(account)
    types = sum(resource.type == "AWS::KinesisFirehose::DeliveryStream" for resource in template.resources())
    days = whole(template.parameter("PipelineParallelDays"))

    def dpus(kind: str) -> int:
        # G.1X and R.1X are one DPU a worker, 2X two.
        (size,) = re.findall(r"(\d+)X", template.parameter(f"{kind}WorkerType"))
        return int(size) * whole(template.parameter(f"{kind}NumberOfWorkers"))

    return max(types, days), max(types * dpus("ETL"), days * dpus("Glue"))


def check_glue(account: Account, deployments: Iterable[Deployment]) -> Iterator[Finding]:
    what = "quota of Glue"
    runs, dpus = map(max, zip(*(at_once(account, one) for one in deployments if one.file == WAREHOUSE), strict=True))
    by_name = {name.lower(): quota for name, quota in quotas(account, "glue").items()}
    small = False
    for name, wanted in ((GLUE_RUNS, runs), (GLUE_DPUS, dpus)):
        quota = by_name.get(name)
        if quota is None:
            small = True
            yield advice(what, f"could not check: Service Quotas does not list {name}")
        elif quota["Value"] < wanted:
            small = True
            text = f"{name} is {quota['Value']:g}, and a night takes {wanted}: its jobs would fail"
            yield advice(what, text, increase("glue", quota["QuotaCode"], wanted))
    if not small:
        yield Finding(what, f"enough for the {runs} runs and {dpus} DPUs that a night takes at once")
