"""Writes docs/reference.md from the templates: every parameter, every output, what is kept, what costs money.

python3 tools/delivery/reference.py           print the page python3 tools/delivery/reference.py --write   write it
"""

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import templates

PAGE = templates.ROOT / "docs" / "reference.md"

TITLES = {
    "template.yaml": "The warehouse, `template.yaml`",
    "build.yaml": "The pipeline, `build.yaml`",
    "build-machines.yaml": "Permissions of the pipeline for machines, `build-machines.yaml`",
}

# What AWS bills for each type. Free types are in none of the tables.
BILLED = {
    "AWS::ApiGateway::DomainName": "nothing by itself; EDGE: requests are those of the API",
    "AWS::Athena::WorkGroup": "bytes that queries scan, 5 USD per TB; `AthenaScanLimitBytes` limits one query",
    "AWS::CloudWatch::Alarm": "month",
    "AWS::CloudWatch::Dashboard": "month",
    "AWS::CodeBuild::Project": "minute of a build",
    "AWS::CodeCommit::Repository": "active user and month, five are free",
    "AWS::CodePipeline::Pipeline": "minute of an action",
    "AWS::DynamoDB::Table": "read, write, GB and month; backups by GB and month",
    "AWS::EC2::Instance": "hour",
    "AWS::EC2::NatGateway": "hour and GB",
    "AWS::EC2::EIP": "hour",
    "AWS::EC2::FlowLog": "GB of logs",
    "AWS::EC2::VPCEndpoint": "hour and zone; free for S3 and DynamoDB",
    "AWS::EMR::Cluster": "hour of its nodes",
    "AWS::Glue::Crawler": "DPU-hour while it runs, at least 10 minutes",
    "AWS::Glue::Job": "DPU-hour while it runs, at least a minute",
    "AWS::KMS::Key": "month",
    "AWS::KinesisFirehose::DeliveryStream": "GB, each record rounded up to 5 KB",
    "AWS::Logs::LogGroup": "GB written, GB and month kept",
    "AWS::Redshift::Cluster": "hour of its nodes, GB and month",
    "AWS::Route53::HostedZone": "month",
    "AWS::S3::Bucket": "GB and month, requests",
    "AWS::SNS::Topic": "e-mail, a thousand a month are free",
    "AWS::SQS::Queue": "request, a million a month are free",
    "AWS::Scheduler::Schedule": "start, 14 million a month are free",
    "AWS::SecretsManager::Secret": "month",
    "AWS::Serverless::Api": "request, and GB that leaves AWS",
    "AWS::Serverless::Function": "request, and GB-second",
    "AWS::StepFunctions::StateMachine": "state transition, 4,000 a month are free",
    "AWS::DataPipeline::Pipeline": "activity and month",
    "AWS::WAFv2::WebACLAssociation": "the web ACL: month, rules, requests",
}


def escape(text: object) -> str:
    return " ".join(str(text).split()).replace("|", "\\|")


def code(text: object) -> str:
    return f"`{escape(text)}`" if str(text) != "" else "blank"


def table(header: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows])


def allowed(parameter: dict[str, Any]) -> str:
    """Allowed values, besides the type."""
    if "AllowedValues" in parameter:
        return ", ".join(code(as_text(one)) for one in parameter["AllowedValues"])
    if "MinValue" in parameter or "MaxValue" in parameter:
        least, most = parameter.get("MinValue"), parameter.get("MaxValue")
        return (
            f"{least} to {most}" if None not in (least, most) else f"from {least}" if most is None else f"up to {most}"
        )
    return escape(parameter.get("ConstraintDescription", ""))


def as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def parameters(template: dict[str, Any]) -> str:
    declared = template["Parameters"]
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    parts = []
    for group in groups:
        rows = []
        for name in group["Parameters"]:
            one = declared[name]
            kind = one["Type"] + (", not shown" if one.get("NoEcho") else "")
            default = code(as_text(one["Default"])) if "Default" in one else "must be given"
            rows.append([f"`{name}`", kind, default, allowed(one), escape(one["Description"])])
        parts.append(
            f"### {group['Label']['default']}\n\n" + table(["parameter", "type", "default", "allowed", "effect"], rows)
        )
    return "\n\n".join(parts)


def condition_of(part: dict[str, Any]) -> str:
    return f"`{part['Condition']}`" if "Condition" in part else "always"


def outputs(template: dict[str, Any]) -> str:
    def export(one: dict[str, Any]) -> str:
        name = one.get("Export", {}).get("Name", {}).get("Fn::Sub", "")
        return f"`{name}`".replace("${AWS::StackName}", "<stack>") if name else ""

    rows = [
        [f"`{name}`", condition_of(one), export(one), escape(one["Description"])]
        for name, one in template["Outputs"].items()
    ]
    return table(["output", "when", "export", "meaning"], rows)


def every_template() -> dict[str, dict[str, Any]]:
    stacks = sorted((templates.ROOT / "stacks").glob("*.yaml"))
    paths = [
        templates.ROOT / "template.yaml",
        *stacks,
        templates.ROOT / "build.yaml",
        templates.ROOT / "build-machines.yaml",
    ]
    return {str(path.relative_to(templates.ROOT)): templates.read(path) for path in paths}


def retained() -> str:
    rows = [
        [f"`{path}`", f"`{name}`", one["Type"], "a last snapshot" if one["DeletionPolicy"] == "Snapshot" else "itself"]
        for path, template in every_template().items()
        for name, one in template["Resources"].items()
        if one.get("DeletionPolicy") in ("Retain", "RetainExceptOnCreate", "Snapshot")
    ]
    return table(["template", "resource", "type", "what stays"], rows)


def billed() -> str:
    rows = []
    for path, template in every_template().items():
        counts = Counter((one["Type"], one.get("Condition", "")) for one in template["Resources"].values())
        for (kind, condition), count in sorted(counts.items()):
            if kind in BILLED:
                rows.append([f"`{path}`", kind, str(count), f"`{condition}`" if condition else "always", BILLED[kind]])
    return table(["template", "type", "count", "when", "billed by"], rows)


def page() -> str:
    parts = [
        "# Reference\n\nWritten by `python3 tools/delivery/reference.py --write` from the templates. Do not edit it here: a test compares this page "
        "with what the program prints."
    ]
    for path, title in TITLES.items():
        template = templates.read(templates.ROOT / path)
        parts += [f"## {title}", parameters(template), "### Outputs", outputs(template)]
    parts += [
        "## What stays when a stack is deleted",
        retained(),
        "[Taking it down](delivery.md#taking-it-down) has the commands.",
        "## What costs money",
        "By the resources of each template. `stacks/event.yaml` is created once per event type, and optional parts only when their parameters "
        "ask for them. [costs.md](costs.md#a-month) has the cost at 1, 100 and 10,000 events per second, with prices and their date.",
        billed(),
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes docs/reference.md from the templates.")
    parser.add_argument("--write", action="store_true", help="write docs/reference.md instead of printing it")
    if parser.parse_args().write:
        Path(PAGE).write_text(page(), encoding="utf-8")
    else:
        print(page(), end="")


if __name__ == "__main__":
    main()
