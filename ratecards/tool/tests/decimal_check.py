"""Prices usages from LiteLLM's list with Python's decimal, and compares with what the gateway says.

Nothing here is the gateway's: the list is read again, bands and service tiers are chosen again, and each rounding is
decimal's own ROUND_HALF_UP.

    python3 decimal_check.py LIST PAX_USD CASES

A case is a line: provider, the provider's model, mode, service tier or -, seven counts, the gateway's cost.
"""

import json
import re
import sys
from decimal import ROUND_HALF_UP, Decimal, getcontext

getcontext().prec = 80
MILLION = Decimal(1_000_000)
PREFIX = {"openai": "", "fireworks": "fireworks_ai/", "together": "together_ai/"}
INPUT_PARTS = [
    ("cache_read_input_token_cost", 1),
    ("cache_creation_input_token_cost", 2),
    ("input_cost_per_audio_token", 3),
]
OUTPUT_PARTS = [("output_cost_per_reasoning_token", 6), ("output_cost_per_audio_token", 5)]


def round_to(value, places):
    return value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)


def cost(listed, mode, tier, counts, pax_usd):
    end = "" if tier == "-" else "_" + tier
    band = ""
    bounds = {int(m[1]) for key in listed if (m := re.fullmatch(r"input_cost_per_token_above_(\d+)k_tokens", key))}
    for bound in sorted(bounds):
        if counts[0] > bound * 1000:
            band = f"_above_{bound}k_tokens"

    def rate(field):
        per_token = listed.get(field + band + end)
        if per_token is None or per_token == 0:
            return None
        return round_to(per_token * MILLION / pax_usd, 9)

    total = Decimal(0)
    groups = [("input_cost_per_token", 0, INPUT_PARTS)]
    if mode == "chat":
        groups.append(("output_cost_per_token", 4, OUTPUT_PARTS))
    else:
        groups = [("input_cost_per_token", 0, INPUT_PARTS[:1])]
    for field, whole, parts in groups:
        left = counts[whole]
        for part, index in parts:
            price = rate(part)
            if price is not None and counts[index] <= counts[whole]:
                taken = min(counts[index], left)
                left -= taken
                total += taken * price
        total += left * rate(field)
    return round_to(total / MILLION, 12)


def main():
    path, pax_usd, cases = sys.argv[1:]
    with open(path, encoding="utf-8") as file:
        prices = json.load(file, parse_float=Decimal, parse_int=Decimal)
    models, compared, wrong, unknown = set(), 0, [], set()
    with open(cases, encoding="utf-8") as file:
        for line in file:
            provider, model, mode, tier, counts, said = line.rstrip("\n").split("\t")
            listed = prices.get(PREFIX.get(provider, provider + "/") + model)
            if listed is None:
                unknown.add(model)
                continue
            expected = cost(listed, mode, tier, [int(count) for count in counts.split()], Decimal(pax_usd))
            models.add((provider, model))
            compared += 1
            if str(expected) != said and format(expected, "f") != said:
                wrong.append(f"{provider} {model} {tier} {counts}: {said}, should be {expected:f}")
    print(f"{len(models)} models, {compared} bills compared, {len(wrong)} differ, not in the list: {sorted(unknown)}")
    if wrong:
        print("\n".join(wrong[:40]))
        sys.exit(1)


main()
