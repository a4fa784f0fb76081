"""Settings that all stacks in an account share: the API logging role, and the permissions of the Data Catalog."""

import dataclasses

import pytest

from account import settings
from account.calls import look

ROLE = "arn:aws:iam::123456789012:role/"

REPLACED = "and the stack would replace it for every API of this Region; set ManageApiGatewayLogging to false in config/main.json"


def has_role(stub, name):
    stub("apigateway", "get_account", {"cloudwatchRoleArn": ROLE + name} if name else {})


@pytest.mark.parametrize(
    ("role", "manages", "kind", "detail"),
    [
        (None, "true", "good", "no role is set: the stack makes one"),
        (
            None,
            "false",
            "stops",
            "ManageApiGatewayLogging is false and no role is set: API Gateway refuses a stage with logs; set it to true in "
            "config/main.json, or give API Gateway a role",
        ),
        ("logs", "true", "advice", f"{ROLE}logs is set, {REPLACED}"),
        ("logs", "false", "good", f"{ROLE}logs is set, and stays"),
        ("shop-main-ApiGatewayLoggingRole-1ABC", "true", "good", f"{ROLE}shop-main-ApiGatewayLoggingRole-1ABC is set"),
        # The role of another warehouse.
        (
            "old-shop-main-ApiGatewayLoggingRole-1ABC",
            "true",
            "advice",
            f"{ROLE}old-shop-main-ApiGatewayLoggingRole-1ABC is set, {REPLACED}",
        ),
    ],
)
def test_the_role_of_api_logs(account, stub, warehouse, role, manages, kind, detail):
    has_role(stub, role)
    deployment = dataclasses.replace(warehouse, parameters={"ManageApiGatewayLogging": manages})
    (found,) = settings.check_api_logging(account, [deployment])
    assert (found.good, found.stops) == (kind == "good", kind == "stops")
    assert found.detail == detail and found.command is None


def test_the_stack_creates_the_role_by_default(account, warehouse):
    assert warehouse.template(account).parameter("ManageApiGatewayLogging") == "true"


def grant(account, database, principal="IAM_ALLOWED_PRINCIPALS"):
    account.client("lakeformation").grant_permissions(
        Principal={"DataLakePrincipalIdentifier": principal},
        Resource={"Database": {"Name": database}},
        Permissions=["ALL"],
    )


def test_a_missing_default_database_is_created_by_the_first_job(account):
    (found,) = settings.check_default_database(account)
    assert found.good and "the first job creates it" in found.detail


@pytest.mark.parametrize("principal", [None, "arn:aws:iam::123456789012:role/analyst", "IAM_ALLOWED_PRINCIPALS"])
def test_roles_must_be_able_to_describe_the_default_database(account, principal):
    account.client("glue").create_database(DatabaseInput={"Name": "default"})
    if principal:
        grant(account, "default", principal)
    (found,) = settings.check_default_database(account)
    assert found.good == (principal == "IAM_ALLOWED_PRINCIPALS") and not found.stops
    if not found.good:
        assert found.command == (
            "aws lakeformation grant-permissions --principal DataLakePrincipalIdentifier=IAM_ALLOWED_PRINCIPALS "
            '--permissions DESCRIBE --resource \'{"Database": {"Name": "default"}}\''
        )


def test_all_pages_of_grants_are_read(account, stub):
    def page(principal):
        return [{"Principal": {"DataLakePrincipalIdentifier": principal}, "Permissions": ["ALL"]}]

    stub(
        "lakeformation",
        "list_permissions",
        {"PrincipalResourcePermissions": page("arn:aws:iam::1:role/a"), "NextToken": "more"},
    )
    stub("lakeformation", "list_permissions", {"PrincipalResourcePermissions": page("IAM_ALLOWED_PRINCIPALS")})
    assert "IAM_ALLOWED_PRINCIPALS" in settings.holders(account, {"Database": {"Name": "default"}})


def test_a_default_database_hidden_by_lake_formation_needs_a_grant(account, stub):
    message = "Insufficient Lake Formation permission(s) on default"
    stub("glue", "get_database", error="AccessDeniedException", message=message)
    (found,) = look("database default", settings.check_default_database, account)
    assert not found.good and "under Lake Formation" in found.detail and "grant-permissions" in found.command


def test_a_default_database_hidden_by_iam_is_reported(account, stub):
    stub("glue", "get_database", error="AccessDeniedException")
    (found,) = look("database default", settings.check_default_database, account)
    assert found.detail == "could not check: needs glue:GetDatabase"


IAM_ALONE = [{"Principal": {"DataLakePrincipalIdentifier": "IAM_ALLOWED_PRINCIPALS"}, "Permissions": ["ALL"]}]


DATABASE, TABLES = (
    '{"Database": {"Name": "shop_main"}}',
    '{"Table": {"DatabaseName": "shop_main", "TableWildcard": {}}}',
)


@pytest.mark.parametrize(
    ("databases", "tables", "governed"),
    [
        (IAM_ALONE, IAM_ALONE, {}),
        ([], IAM_ALONE, {"databases": DATABASE}),
        (IAM_ALONE, [], {"tables": TABLES}),
        ([], [], {"databases": DATABASE, "tables": TABLES}),
    ],
)
def test_lake_formation_needs_grants_for_new_databases_and_tables(account, warehouse, databases, tables, governed):
    chosen = {"CreateDatabaseDefaultPermissions": databases, "CreateTableDefaultPermissions": tables}
    account.client("lakeformation").put_data_lake_settings(DataLakeSettings=chosen)
    found = list(settings.check_lake_formation(account, [warehouse]))
    if not governed:
        assert [one.good for one in found] == [True]
        return
    for (nouns, resource), one in zip(governed.items(), found, strict=True):
        assert not one.good and not one.stops
        assert one.detail.startswith(f"it decides on new {nouns}, and the jobs of shop-main fail")
        # The command names a database that the first deployment creates.
        assert "after the first deployment" in one.detail
        assert one.command == (
            "aws lakeformation grant-permissions --principal DataLakePrincipalIdentifier=IAM_ALLOWED_PRINCIPALS "
            f"--permissions ALL --resource '{resource}'"
        )
