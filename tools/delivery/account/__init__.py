"""What would stop a deployment to an account and Region, found by calls that only read."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    what: str
    # What was found, and what it means.
    detail: str
    # Nothing needs to be done.
    good: bool = True
    # A deployment would fail. What is neither good nor stops is advice, or could not be seen.
    stops: bool = False
    # The command that helps.
    command: str | None = None


def advice(what: str, detail: str, command: str | None = None) -> Finding:
    return Finding(what, detail, good=False, command=command)


def stop(what: str, detail: str, command: str | None = None) -> Finding:
    return Finding(what, detail, good=False, stops=True, command=command)
