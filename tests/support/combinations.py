"""Generates combinations of the optional parts of the warehouse."""

from itertools import product
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "template.yaml"

TOGGLES = {
    "Orchestrator": ("StepFunctions", "DataPipeline"),
    "EnablePipeline": ("yes", ""),
    "EnableEC2Instance": ("yes", ""),
    "EnableEMRCluster": ("yes", ""),
    "EnableRedshift": ("yes", ""),
}

# Additional parameters of the optional parts.
OPTIONS = (
    {"KeyPair": "operators", "AllowedSSHRange": "10.20.0.0/16"},
    {"AccessKeyID": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": "not-a-secret"},
    {
        "RedshiftNumberOfNodes": "2",
        "RedshiftPauseSchedule": "cron(0 20 * * ? *)",
        "RedshiftResumeSchedule": "cron(0 2 * * ? *)",
    },
    {"ScriptsBucket": "elsewhere", "DataPipelineStart": "2027-01-31T02:30:00", "ETLLanguage": "scala"},
)

# Data Pipeline requires a password for Redshift.
PASSWORD = {"RedshiftPassword": "Not-a-secret-1"}


def toggles() -> list[dict[str, str]]:
    return [with_password(dict(zip(TOGGLES, values, strict=True))) for values in product(*TOGGLES.values())]


def all_combinations() -> list[dict[str, str]]:
    """Returns every combination of the toggles with no option, with each single option, and with all options."""
    everything = {key: value for option in OPTIONS for key, value in option.items()}
    return [chosen | options for chosen in toggles() for options in ({}, *OPTIONS, everything)]


def with_password(chosen: dict[str, str]) -> dict[str, str]:
    needs_one = chosen["Orchestrator"] == "DataPipeline" and chosen["EnableRedshift"] == "yes"
    return chosen | PASSWORD if needs_one else chosen


def named(chosen: dict[str, str]) -> str:
    """Returns the combination as text for messages and test names."""
    return " ".join(f"{key}={value}" for key, value in chosen.items())
