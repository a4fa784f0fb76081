"""The event types of the checkout, by their schemas in events/."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Files of the folder that are not event types.
NOT_TYPES = {"lock.json", "event-type.schema.json"}

# The example's types: other tables are derived from theirs, and texts about ads name them.
ADS = ("clicks", "impressions")


def names(root: Path = ROOT) -> list[str]:
    return sorted(path.stem for path in (root / "events").glob("*.json") if path.name not in NOT_TYPES)


def kebab(name: str) -> str:
    """As functions, streams and jobs have it: order-items."""
    return name.replace("_", "-")


def pascal(name: str) -> str:
    """As logical ids and metrics have it: OrderItems."""
    return "".join(word.capitalize() for word in name.split("_"))
