"""The sets of template parameters to test: the defaults, each option alone, and all compatible options together."""

from support.combinations import PASSWORD

KEY = "arn:aws:kms:us-east-1:123456789012:key/0123abcd-0123-0123-0123-0123456789ab"
ACL = "arn:aws:wafv2:us-east-1:123456789012:regional/webacl/mine/0123abcd-0123-0123-0123-0123456789ab"

SWITCHES = {
    "a key": {"KmsKeyArn": KEY},
    "access logs": {"AccessLogsBucket": "logs-of-all"},
    "a firewall": {"WebAclArn": ACL},
    "an API key": {"RequireTrafficApiKey": "true"},
    "logging managed elsewhere": {"ManageApiGatewayLogging": "false"},
    "a name in a zone": {"DNSDomainName": "api.example.com", "HostedZoneID": "Z0123456789ABCDEFGHIJ"},
    "a name and a new zone": {"DNSDomainName": "api.example.com", "BaseDNSName": "example.com"},
    "a name at the edge": {"DNSDomainName": "api.example.com", "BaseDNSName": "example.com", "DNSEndpointType": "EDGE"},
    "no traffic shifting": {"DeploymentPreferenceType": "AllAtOnce"},
    "an address for alarms": {"AlarmEmail": "a@example.com"},
    "no metric math": {"EnableMetricMathAlarms": "false"},
    "no schedule": {"EnablePipeline": ""},
    "a lake filled every hour": {"FreshnessSchedule": "rate(1 hour)"},
    "ETL in Scala": {"ETLLanguage": "scala"},
    "a bucket for scripts": {"ScriptsBucket": "scripts-of-all"},
    "a script instance": {"EnableEC2Instance": "yes"},
    "SSH": {"EnableEC2Instance": "yes", "KeyPair": "operators", "AllowedSSHRange": "10.20.0.0/16"},
    "EMR": {"EnableEMRCluster": "yes"},
    "Redshift": {"EnableRedshift": "yes"},
    "Redshift with a password": {"EnableRedshift": "yes", **PASSWORD},
    "Redshift that pauses": {
        "EnableRedshift": "yes", "RedshiftPauseSchedule": "cron(0 20 * * ? *)", "RedshiftResumeSchedule": "cron(0 2 * * ? *)",
    },
    "Data Pipeline": {"Orchestrator": "DataPipeline"},
    "Data Pipeline and its lock": {"Orchestrator": "DataPipeline", "EnablePipeline": ""},
}  # fmt: skip

MACHINES = {"EnableEC2Instance": "yes", "EnableEMRCluster": "yes", "EnableRedshift": "yes"}
EVERYTHING = {
    **{key: value for name, switch in SWITCHES.items() if name.startswith(("a ", "an ", "ETL", "Redshift")) for key, value in switch.items()},
    **MACHINES,
}  # fmt: skip

OPTIONS: dict[str, dict[str, str]] = {"defaults": {}} | SWITCHES | {
    "everything": EVERYTHING,
    "everything under Data Pipeline": EVERYTHING | {
        "Orchestrator": "DataPipeline", "AccessKeyID": "AKIAIOSFODNN7EXAMPLE", "SecretAccessKey": "not-a-secret",
    },
}  # fmt: skip
