"""The trust policies of the roles in build.yaml and the other templates."""

from templates import ROOT, read

# Services whose documentation shows a trust policy without a condition, and does not list the condition keys that they
# send. A condition on a key that is not sent is false, so the service could not assume the role.
SEND_NO_SOURCE = {
    "cloudformation.amazonaws.com", "codepipeline.amazonaws.com", "firehose.amazonaws.com", "redshift.amazonaws.com",
    "scheduler.redshift.amazonaws.com",
}  # fmt: skip


def test_a_service_that_documents_no_source_is_trusted_without_a_condition():
    seen = set()
    for path in (
        ROOT / "template.yaml",
        ROOT / "build.yaml",
        ROOT / "build-machines.yaml",
        *(ROOT / "stacks").glob("*.yaml"),
    ):
        for name, one in read(path)["Resources"].items():
            if one["Type"] == "AWS::IAM::Role":
                (statement,) = one["Properties"]["AssumeRolePolicyDocument"]["Statement"]
                service = statement["Principal"]["Service"]
                if isinstance(service, str) and service in SEND_NO_SOURCE:
                    seen.add(service)
                    assert "Condition" not in statement, f"{path.name}: {name}"
    assert seen == SEND_NO_SOURCE
