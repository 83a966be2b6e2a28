"""The metrics as an operator's Prometheus has them after an hour of traffic: their names and labels are those of docs/metrics.md,
their sums are the ledger's, and no caller can make a series.

Debian's Prometheus: `envoy/tools.sh prometheus` installs it, and says so loudly where it cannot; then this is left out.
"""

import collections
import json
import pathlib
import re
import subprocess
import time

import pytest

import prometheus
import traffic
from conftest import free_port
from prometheus import Prometheus, documented
from stack import ROOT, Provider, Stack
from traffic import Traffic

# A thousand names that nobody knows, each of a model and of a slot.
INVENTED = 1000
CALLS = 1500
PROVIDER, MODEL = "gen_ai_provider_name", "gen_ai_request_model"
# What Prometheus adds to every series.
ITS_OWN = {"__name__", "job", "instance"}

needs_prometheus = pytest.mark.skipif(
    not prometheus.binary("prometheus"), reason="Prometheus is not installed: sh envoy/tools.sh prometheus"
)


class Hour:
    """A stack with a Prometheus, after the hour."""

    def __init__(self, stack: Stack, played: Traffic, scraper: Prometheus):
        self.entries = stack.ledger.entries()
        self.traffic, self.prometheus = played, scraper
        self.series = scraper.series()
        self.ledgers = scraper.ask("series", **{"match[]": '{job="pax-ledger",__name__=~"pax_ledger_.*"}'})

    def of(self, metric: str) -> list[dict]:
        return [one for one in self.series if one["__name__"] == metric]


NEWEST = max(int(file.stem[1:]) for file in (ROOT / "ratecards").glob("v*.json"))


def known() -> dict[str, set[str]]:
    """What the card in force and the configuration name: nothing else may be such a label's value."""
    card = json.loads((ROOT / f"ratecards/v{NEWEST}.json").read_text())
    return {
        MODEL: set(card["models"]),
        PROVIDER: set(json.loads((ROOT / "envoy/providers.json").read_text())),
        "slot": set(card["free_tier"]["slots"]) | {"default"},
    }


def made(stack: Stack, name: str, *options: str) -> str:
    """A new account's token."""
    for command in [("account", "create", name, "--tier", "free", *options), ("token", "add", name, "--name", "x")]:
        done = stack.ledger.run(*command)
        assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def a_configuration_with_a_mistake(stack: Stack):
    """As an operator writes it: Envoy keeps the one that it has."""
    [file] = (stack.data_dir / f"run/{stack.port}").rglob("filter.yaml")
    good = file.read_text()
    for text in [good.replace('\\"workers\\"', '\\"workerz\\"'), good]:
        new = file.with_suffix(".new")
        new.write_text(text)
        new.rename(file)
        time.sleep(1)


@pytest.fixture(scope="module")
def hour(tmp_path_factory):
    folder: pathlib.Path = tmp_path_factory.mktemp("metrics")
    with Provider() as provider:
        secret = "for-prometheus-alone"
        settings = {
            "UPSTREAM": provider.address,
            "UPSTREAM_OWN_KEYS": "1",
            "PAX_LEDGER_METRICS_SECRET": secret,
        }
        with Stack(free_port(), folder / "data", settings) as stack:
            admin = int((stack.data_dir / f"run/{stack.port}/admin").read_text())
            with Prometheus(folder, admin, ledgers_job(stack, secret)) as scraper:
                played = Traffic(stack.port)
                poor, off = made(stack, "poor", "--daily-cap", "0.0000001"), made(stack, "off")
                assert stack.ledger.run("account", "disable", "off").returncode == 0
                traffic.ordinary(played, CALLS)
                traffic.refusals(played, INVENTED, poor, off)
                traffic.troubles(played, provider)
                with stack.silent_ledger():
                    # Those that the gateway remembers are served, debits wait, and nobody new is let in.
                    played.many(60, lambda _: played.call(traffic.chat(traffic.FREE_MODEL), traffic.FREE))
                    for number in range(3):
                        played.call(traffic.chat(traffic.FREE_MODEL), f"mtx-new-{number}")
                    time.sleep(6)
                a_configuration_with_a_mistake(stack)
                drained(stack, played)
                scraper.scraped_again()
                yield Hour(stack, played, scraper)


def drained(stack: Stack, played: Traffic):
    """Waits until no debit comes any more."""
    count, since = -1, time.monotonic()
    while time.monotonic() - since < 2:
        now = len(stack.ledger.entries())
        if now != count:
            count, since = now, time.monotonic()
        time.sleep(0.1)


def ledgers_job(stack: Stack, secret: str) -> dict:
    """As ledger/README.md has it. The stack's ports are free ones: Envoy's configuration has them."""
    config = (stack.data_dir / f"run/{stack.port}/envoy.yaml").read_text()
    port = re.search(r"cluster_name: ledger\n(?:.*\n)*?.*port_value: (\d+)", config).group(1)
    return {
        "job_name": "pax-ledger",
        "authorization": {"credentials": secret},
        "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
    }


@needs_prometheus
def test_the_ledgers_own_metrics_are_those_of_its_page_and_count_the_same(hour):
    page = set(re.findall(r"^\| `(pax_ledger_\w+)` \|", (ROOT / "ledger/README.md").read_text(), re.MULTILINE))
    ends = re.compile(r"_(bucket|sum|count)$")
    names = {one["__name__"] for one in hour.ledgers}
    assert {name if name in page else ends.sub("", name) for name in names} == page
    number = hour.prometheus.number
    # With the credit that the demo's account was granted.
    assert number("pax_ledger_entries") == len(hour.entries) + 1
    assert number("sum(pax_ledger_charged_picopax_total)") == number("sum(pax_charged_picopax_total)")
    assert number("pax_ledger_quarantine_unseen_lines") == 0


@needs_prometheus
def test_the_names_kinds_and_labels_are_those_of_the_page_and_no_others(hour):
    page = documented()
    kinds = {name: said[0]["type"] for name, said in hour.prometheus.ask("metadata").items() if re.match("pax_(?!ledger_)|gen_ai", name)}
    assert kinds == {name: kind for name, (kind, _) in page.items()}
    ends = re.compile(r"_(bucket|sum|count)$")
    found = collections.defaultdict(set)
    for one in hour.series:
        name = one["__name__"] if one["__name__"] in page else ends.sub("", one["__name__"])
        found[name].add(frozenset(set(one) - ITS_OWN - {"le"}))
    assert found == {name: {frozenset(labels)} for name, (_, labels) in page.items()}


@needs_prometheus
def test_labels_come_from_cards_and_configuration_and_no_name_of_a_caller_is_one(hour):
    for label, names in known().items():
        values = {one[label] for one in hour.series if label in one}
        assert values <= names | {"other", "none"} and {"other", "none"} <= values, (label, values)
    everything = json.dumps(hour.series)
    for caller in ["demo-free", "demo-credit", "poor", "invented", "slot-", "gpt-of-", "sk-", "mtx-", "tok_", "elsewhere"]:
        assert caller not in everything, caller


@needs_prometheus
def test_a_thousand_invented_models_and_slots_are_one_series_of_each_metric(hour):
    invented = [one for one in hour.of("pax_calls_total") if one[MODEL] == "other" and one["outcome"] == "refused"]
    assert len(invented) == 1, invented
    query = f'sum(pax_calls_total{{{MODEL}="other",outcome="refused",slot="other"}})'
    assert hour.prometheus.number(query) == INVENTED
    print(f"{len(hour.series)} series, {len([1 for one in hour.series if 'le' not in one])} without buckets")
    assert len(hour.series) < 4096


@needs_prometheus
def test_calls_are_the_answers_and_errors_the_codes_that_callers_got(hour):
    assert hour.prometheus.number("sum(pax_calls_total)") == hour.traffic.sent
    outcomes = hour.prometheus.by("sum by (outcome) (pax_calls_total)", "outcome")
    wanted = ["answered", "caller_gone", "local", "provider_broke_off", "provider_error", "provider_failed", "refused"]
    assert sorted(outcome for (outcome,) in outcomes) == wanted
    codes = hour.prometheus.by("sum by (error_type) (pax_refusals_total)", "error_type")
    # What Envoy told a caller whose answer it had begun is no code.
    assert {code: count for (code,), count in codes.items()} == dict(hour.traffic.codes)
    assert len(codes) >= 18, codes
    ok = hour.traffic.statuses[200]
    assert outcomes[("answered",)] + outcomes[("local",)] <= ok <= sum(outcomes.values())


@needs_prometheus
def test_money_and_tokens_are_the_ledgers_to_the_last_digit(hour):
    picopax = lambda text: int(text.replace(".", ""))
    charged, tokens, counted, flags = (collections.Counter() for _ in range(4))
    names = known()
    for entry in hour.entries:
        provider = entry["provider"]
        model = entry["model"] if entry["model"] in names[MODEL] else "other"
        slot = entry["slot"] if entry["slot"] in names["slot"] else "other"
        charged[provider, model, slot] += picopax(entry["cost_pax"])
        tokens[provider, model, "input"] += entry["tokens_input"]
        tokens[provider, model, "output"] += entry["tokens_output"]
        counted[entry["provenance"],] += 1
        flags.update((flag,) for flag in entry["flags"])
    some = lambda counter: {labels: value for labels, value in counter.items() if value}
    by = hour.prometheus.by
    assert by(f"sum by ({PROVIDER},{MODEL},slot) (pax_charged_picopax_total)", PROVIDER, MODEL, "slot") == some(charged)
    assert hour.prometheus.number("sum(pax_charged_picopax_total)") == sum(charged.values()) > 0
    type_of = (PROVIDER, MODEL, "gen_ai_token_type")
    assert by(f"sum by ({','.join(type_of)}) (gen_ai_client_token_usage_total)", *type_of) == some(tokens)
    assert by("sum by (provenance) (pax_usage_total)", "provenance") == some(counted) and len(counted) == 2
    assert by("sum by (flag) (pax_flags_total)", "flag") == some(flags) != {}
    recorded = by("pax_debits_total", "result")
    # One whose acknowledgement got lost in the outage was sent again.
    # A call of the credit tier that is not charged has its hold voided.
    first, again, voided = (recorded.pop((result,), 0) for result in ("recorded", "duplicate", "voided"))
    assert first <= len(hour.entries) <= first + again and voided > 0 and recorded == {}


@needs_prometheus
def test_what_is_open_is_nothing_at_rest_and_the_outage_shows(hour):
    number = hour.prometheus.number
    for gauge in ["pax_calls_in_flight", "pax_reserved_picopax", "pax_outbox_waiting", "pax_outbox_oldest_seconds"]:
        assert number(gauge) == 0, gauge
    assert number("max_over_time(pax_outbox_waiting[10m])") > 0
    assert number("max_over_time(pax_outbox_oldest_seconds[10m])") >= 3
    assert number("max_over_time(pax_calls_in_flight[10m])") >= 5
    assert number("max_over_time(pax_reserved_picopax[10m])") > 0
    assert number("sum(pax_callouts_failed_total)") > 0
    assert number("pax_rate_table_version") == NEWEST and number("pax_rate_cards") == NEWEST
    assert number("sum(pax_configurations_rejected_total)") > 0


@needs_prometheus
def test_histograms_have_the_buckets_of_the_page_and_a_value_for_each_answer(hour):
    name = "gen_ai_client_operation_duration_milliseconds"
    bounds = {one["le"] for one in hour.of(f"{name}_bucket")}
    assert bounds == {str(10 * 2**n) for n in range(17)} | {"+Inf"}
    answered = hour.prometheus.number('sum(pax_calls_total{outcome="answered"})')
    assert hour.prometheus.number(f"sum({name}_count)") == answered
    streams = sum(entry["stream"] for entry in hour.entries if entry["upstream_status"])
    assert hour.prometheus.number("sum(gen_ai_client_operation_time_to_first_chunk_milliseconds_count)") == streams


@needs_prometheus
def test_prometheus_takes_the_alerts_and_they_are_true_when_they_should(hour):
    check = ["promtool", "check", "rules", prometheus.ALERTS]
    assert subprocess.run(check, capture_output=True).returncode == 0
    [group] = hour.prometheus.ask("rules")["groups"]
    assert all(rule["health"] == "ok" for rule in group["rules"]), group
    names = set(re.findall(r"\b(?:pax|gen_ai)_\w+", prometheus.ALERTS.read_text())) - {PROVIDER}
    assert names <= set(documented()), names
    tests = ROOT / "tests/sdk/alerts.test.yaml"
    done = subprocess.run(["promtool", "test", "rules", tests], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
