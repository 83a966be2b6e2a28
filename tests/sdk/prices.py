"""The price of an entry, worked out anew from the rate card file with Python's decimals."""

import hashlib
import json
from decimal import ROUND_HALF_UP, Decimal

from stack import ROOT


def card(version: int) -> dict:
    return json.loads((ROOT / f"ratecards/v{version}.json").read_text())


def card_sha256(version: int) -> str:
    return hashlib.sha256((ROOT / f"ratecards/v{version}.json").read_bytes()).hexdigest()


def cost_pax(entry: dict) -> str:
    """What the entry's tokens cost under the entry's card."""
    priced = card(entry["rate_table_v"])
    usd = priced["models"][entry["model"]]["usd_per_mtok"]

    def rate(name: str) -> Decimal:
        exact = Decimal(usd[name]) / Decimal(priced["pax_usd"])
        return exact.quantize(Decimal("1e-9"), ROUND_HALF_UP)

    cached = entry["tokens_cached_input"] if "cached_input" in usd else 0
    total = (entry["tokens_input"] - cached) * rate("input")
    total += cached * rate("cached_input") if cached else 0
    total += entry["tokens_output"] * rate("output") if entry["tokens_output"] else 0
    return format((total / 1_000_000).quantize(Decimal("1e-12"), ROUND_HALF_UP), "f")
