"""Prints template.yaml as SAM's transform makes it, as JSON. Runs with the Python of the SAM CLI, which has the transform."""

import json
import logging
import sys
from pathlib import Path

from samcli.yamlhelper import yaml_parse
from samtranslator.translator.transform import transform


class NoManagedPolicies:
    """No function names one."""

    def load(self):
        return {}


def translated(path: Path) -> dict:
    template = yaml_parse(path.read_text(encoding="utf-8"))
    for resource in template["Resources"].values():
        # What `sam package` puts in place of local paths.
        for name in {"CodeUri", "DefinitionUri"} & set(resource.get("Properties", {})):
            resource["Properties"][name] = "s3://packages/one"
    return transform(template, {}, NoManagedPolicies())


if __name__ == "__main__":
    logging.disable()
    json.dump(translated(Path(sys.argv[1])), sys.stdout)
