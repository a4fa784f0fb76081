"""Permissions boundaries of the roles that the pipeline's deployment role creates.

The pipeline passes them to the warehouse, and they do not allow changes to roles.
"""

import re

import pytest

from rights import pipeline, statements
from support.iam import as_list
from support.resolver import Refused, resolve
from templates import ROOT

BOUNDARIES = {
    "PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/of-the-warehouse",
    "MachinesBoundaryArn": "arn:aws:iam::123456789012:policy/of-machines",
}


def test_the_pipeline_sets_the_boundary_that_it_requires():
    (value,) = [
        one["Value"]
        for one in pipeline()["BuildProject"]["Properties"]["Environment"]["EnvironmentVariables"]
        if one["Name"] == "PERMISSIONS_BOUNDARY"
    ]
    assert value == "<WarehouseBoundary>"
    assert '--set "PermissionsBoundaryArn=$PERMISSIONS_BOUNDARY"' in (ROOT / "buildspec.yml").read_text(
        encoding="utf-8"
    )


def test_machines_of_a_pipeline_need_their_boundary():
    only = {"PermissionsBoundaryArn": BOUNDARIES["PermissionsBoundaryArn"]}
    for machine in ({"EnableEC2Instance": "yes"}, {"EnableEMRCluster": "yes"}, {"EnableRedshift": "yes"}):
        with pytest.raises(Refused, match=r"Deploy build-machines\.yaml"):
            resolve(ROOT / "template.yaml", only | machine)
        resolve(ROOT / "template.yaml", BOUNDARIES | machine)
    resolve(ROOT / "template.yaml", only)


def test_no_role_may_change_roles():
    assert [
        action
        for one in statements("WarehouseBoundary")
        for action in as_list(one["Action"])
        if re.match(r"iam|sts|\*|organi", action)
    ] == []
    for one in statements("MachinesBoundary"):
        changes = [action for action in as_list(one["Action"]) if re.match(r"iam:(?!Get|List)|sts|\*|organi", action)]
        # The exceptions: passing a role to a machine, and service-linked roles.
        assert changes == [] or (one["Action"] in ("iam:PassRole", "iam:CreateServiceLinkedRole") and one["Condition"])
