"""Deploys the nested stacks of the warehouse with moto's CloudFormation."""

from __future__ import annotations

import ipaddress
import json
import re
from pathlib import Path

import boto3

from support.combinations import ROOT, TEMPLATE
from support.resolver import PSEUDO_PARAMETERS, Resolver, read_template, resolve

ORDER = (
    "NetworkStack",
    "ScriptInstanceStack",
    "EmrStack",
    "RedshiftStack",
    "DataPipelineLockStack",
    "DataPipelineStack",
)

# Outputs of AWS::SecretsManager::Secret, which moto skips.
UNKNOWN_TO_MOTO = {"SecretArn"}

# Values for resources of the parent stack, which is not deployed here.
EXAMPLES = {
    "<AdTrafficTable.Arn>": "arn:aws:dynamodb:us-east-1:123456789012:table/traffic",
    "<AlarmTopic>": "arn:aws:sns:us-east-1:123456789012:alarms",
    "<DataLakeBucket>": "lake-bucket",
    "<GlueDatabase>": "dataless",
}


def deploy(chosen):
    """Deploys the nested stacks one after the other. Returns the outputs of each stack."""
    cloudformation = boto3.client("cloudformation")
    outputs: dict[str, dict[str, str]] = {}
    for name in ORDER:
        wanted = resolve(TEMPLATE, chosen, outputs=outputs)
        if name not in wanted.all_nested():
            continue
        properties = wanted.one(name)["Properties"]
        cloudformation.create_stack(
            StackName=f"dataless-{name}",
            TemplateBody=template_body(
                ROOT / "stacks" / Path(properties["TemplateURL"]).name, properties["Parameters"]
            ),
            Parameters=[
                {"ParameterKey": key, "ParameterValue": with_examples(str(value))}
                for key, value in properties["Parameters"].items()
            ],
            Capabilities=["CAPABILITY_IAM"],
        )
        (stack,) = cloudformation.describe_stacks(StackName=f"dataless-{name}")["Stacks"]
        assert stack["StackStatus"] == "CREATE_COMPLETE"
        outputs[name] = {one["OutputKey"]: one["OutputValue"] for one in stack.get("Outputs", [])}
        assert set(wanted.all_nested()[name].outputs) - set(outputs[name]) <= UNKNOWN_TO_MOTO
    return outputs


def template_body(path, parameters):
    """Returns the template as JSON. Resolves Fn::Cidr, and AWS::NoValue in a list, which moto does not support."""
    conditions = Resolver(path, parameters, PSEUDO_PARAMETERS, {})

    def expand(part):
        if isinstance(part, list):
            return [expand(one) for one in part if not is_absent(one)]
        if not isinstance(part, dict):
            return part
        if list(part) == ["Fn::Cidr"]:
            range_, count, host_bits = part["Fn::Cidr"]
            network = ipaddress.ip_network(parameters[range_["Ref"]])
            return [str(one) for one in network.subnets(new_prefix=32 - host_bits)][:count]
        return {key: expand(one) for key, one in part.items()}

    def is_absent(item):
        if not isinstance(item, dict) or list(item) != ["Fn::If"]:
            return False
        condition, then, otherwise = item["Fn::If"]
        return (then if conditions.condition({"Condition": condition}) else otherwise) == {"Ref": "AWS::NoValue"}

    return json.dumps(expand(read_template(path)))


def with_examples(value):
    for token, example in EXAMPLES.items():
        value = value.replace(token, example)
    return re.sub(r"<(\w+)>", r"\1", value)
