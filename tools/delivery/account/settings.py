"""Settings of the account that all stacks share."""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from botocore.exceptions import ClientError

from account import Finding, advice, stop
from account.calls import AccessDenied, Account, code
from account.deployments import WAREHOUSE, Deployment

EVERYONE = "IAM_ALLOWED_PRINCIPALS"

# --- API Gateway ------------------------------------------------------------------------------------------------------


def check_api_logging(account: Account, deployments: Iterable[Deployment]) -> Iterator[Finding]:
    """API Gateway has one role for logs per account and Region.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-apigateway-account.html
    """
    role = account.call("apigateway", "get_account").get("cloudwatchRoleArn")
    for deployment in deployments:
        if deployment.file != WAREHOUSE:
            continue
        what = f"API logging of {deployment.stack}"
        manages = deployment.template(account).parameter("ManageApiGatewayLogging") == "true"
        # The role of an earlier stack with this name has it in its own.
        is_own = role is not None and re.search(rf"/{re.escape(deployment.stack)}-ApiGatewayLoggingRole-\w+$", role)
        if role is None and not manages:
            text = "ManageApiGatewayLogging is false and no role is set: API Gateway refuses a stage with logs"
            yield stop(what, f"{text}; set it to true in {deployment.source}, or give API Gateway a role")
        elif role is None:
            yield Finding(what, "no role is set: the stack makes one")
        elif manages and not is_own:
            text = f"{role} is set, and the stack would replace it for every API of this Region"
            yield advice(what, f"{text}; set ManageApiGatewayLogging to false in {deployment.source}")
        else:
            yield Finding(what, f"{role} is set" + ("" if manages else ", and stays"))


# --- Glue and Lake Formation ------------------------------------------------------------------------------------------


def check_default_database(account: Account) -> Iterator[Finding]:
    """Spark with the Data Catalog asks for the database `default`, and makes it when it is missing.
    https://docs.aws.amazon.com/glue/latest/dg/aws-glue-programming-etl-glue-data-catalog-hive.html
    """
    what = "database default"
    resource = {"Database": {"Name": "default"}}
    grant = grant_command("DESCRIBE", resource)
    try:
        account.call("glue", "get_database", Name="default")
    except AccessDenied as denied:
        if "Lake Formation" in str(denied.__cause__):
            yield advice(
                what, "it is under Lake Formation, without rights for you; the jobs' roles need them too", grant
            )
            return
        raise
    except ClientError as error:
        if code(error) != "EntityNotFoundException":
            raise
        yield Finding(what, "does not exist yet: the first job creates it")
        return
    if EVERYONE in holders(account, resource):
        yield Finding(what, "there, and IAM alone decides who may read it")
    else:
        text = (
            f"no grant to {EVERYONE} is seen: under Lake Formation each Spark job fails until its role may describe it"
        )
        yield advice(what, text, grant)


def holders(account: Account, resource: dict) -> set[str]:
    """Who has rights on a resource of the Data Catalog."""
    found: set[str] = set()
    request: dict[str, Any] = {"Resource": resource}
    while True:
        answer = account.call("lakeformation", "list_permissions", **request)
        found |= {one["Principal"]["DataLakePrincipalIdentifier"] for one in answer["PrincipalResourcePermissions"]}
        if not answer.get("NextToken"):
            return found
        request["NextToken"] = answer["NextToken"]


def check_lake_formation(account: Account, deployments: Iterable[Deployment]) -> Iterator[Finding]:
    """Whether IAM alone decides on new databases and tables, as it does unless somebody changed it.
    https://docs.aws.amazon.com/lake-formation/latest/dg/change-settings.html
    """
    what = "Lake Formation"
    settings = account.call("lakeformation", "get_data_lake_settings")["DataLakeSettings"]
    governed = [
        noun
        for noun in ("Database", "Table")
        if not any(
            one["Principal"]["DataLakePrincipalIdentifier"] == EVERYONE
            for one in settings.get(f"Create{noun}DefaultPermissions", [])
        )
    ]
    if not governed:
        yield Finding(what, "IAM alone decides on new databases and tables")
        return
    for deployment in deployments:
        if deployment.file != WAREHOUSE:
            continue
        database = deployment.stack.replace("-", "_")
        # A grant on a database gives no rights on its tables.
        # https://docs.aws.amazon.com/lake-formation/latest/APIReference/API_TableResource.html
        resources = {"Database": {"Name": database}, "Table": {"DatabaseName": database, "TableWildcard": {}}}
        for noun in governed:
            text = (
                f"it decides on new {noun.lower()}s, and the jobs of {deployment.stack} fail until IAM has its rights back: "
                "after the first deployment an administrator of the data lake gives them"
            )
            yield advice(what, text, grant_command("ALL", {noun: resources[noun]}))


def grant_command(permissions: str, resource: dict) -> str:
    return (
        f"aws lakeformation grant-permissions --principal DataLakePrincipalIdentifier={EVERYONE} --permissions {permissions} "
        f"--resource '{json.dumps(resource)}'"
    )
