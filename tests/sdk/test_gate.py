"""The gate as a caller of the stock SDK meets it: whitelist, daily cap, own keys, models and credits."""

import csv
import io

import openai
import pytest

from conftest import CHAT_MODEL, MESSAGES
from test_errors import Counted, chat

OTHER_MODEL = "accounts/fireworks/models/gpt-oss-20b"


@pytest.fixture
def new_account(stack, ledger):
    """Makes an account of tier free with a token; counts what its client sends."""
    opened = []

    def make(name: str, *options: str) -> Counted:
        created = ledger.run("account", "create", name, "--tier", "free", *options)
        assert created.returncode == 0, created.stderr
        added = ledger.run("token", "add", name, "--name", "sdk")
        assert added.returncode == 0, added.stderr
        counted = Counted(stack, added.stdout.strip())
        opened.append(counted)
        return counted

    yield make
    for counted in opened:
        counted.client.close()


def test_a_model_that_is_not_on_the_list_is_a_permission_error(new_account, provider, ledger):
    caller = new_account("sdk-list")
    with pytest.raises(openai.PermissionDeniedError) as caught:
        chat(caller.client, model=OTHER_MODEL)
    error = caught.value
    assert (error.code, error.param, error.type) == ("model_not_allowed", "model", "permission_error")
    assert "X-Matrix-BYO-API-Key" in error.body["message"]
    assert caller.sent == 1 and provider.requests() == []
    ledger.new(0)


def test_a_spent_cap_is_a_rate_limit_error_that_is_not_tried_again(new_account, provider, ledger):
    # The model may answer 32,768 tokens at 0.05 PAX a million: one call fits, and it costs next to nothing.
    caller = new_account("sdk-cap", "--daily-cap", "0.002")
    chat(caller.client)
    ledger.new(1)
    assert ledger.run("account", "cap", "sdk-cap", "0.0000001").returncode == 0
    blocked = new_account("sdk-zero", "--daily-cap", "0")
    with pytest.raises(openai.RateLimitError) as caught:
        chat(blocked.client)
    error = caught.value
    assert (error.status_code, error.code, error.type) == (429, "daily_cap_exceeded", "insufficient_quota")
    assert error.body["spent_pax"] == "0.000000000000" and error.body["limit_pax"] == "0.000000000000"
    assert error.body["resets_at"].endswith("T00:00:00.000Z")
    assert error.response.headers["x-should-retry"] == "false" and blocked.sent == 1
    assert len(provider.requests()) == 1
    ledger.new(1)


def test_what_is_left_of_the_day_stands_on_the_answer_and_in_the_credits(new_account, provider, ledger):
    caller = new_account("sdk-day", "--daily-cap", "3")
    raw = caller.client.chat.completions.with_raw_response.create(model=CHAT_MODEL, messages=MESSAGES)
    cost = raw.headers["x-matrix-cost-pax"]
    assert raw.headers["x-matrix-daily-spent-pax"] == cost
    [entry] = ledger.new(1)
    credits = caller.client.get("/credits", cast_to=object)
    assert credits["account"] == "sdk-day" and credits["daily_cap_pax"] == "3.000000000000"
    assert credits["spent_today_pax"] == cost == entry["cost_pax"]
    assert credits["remaining_today_pax"] == raw.headers["x-matrix-daily-remaining-pax"]
    page = caller.client.get("/credits/ledger", cast_to=object)
    assert [item["exchange_id"] for item in page["data"]] == [raw.headers["x-matrix-exchange-id"]]
    lines = caller.client.get("/credits/ledger?format=csv", cast_to=str, options={"headers": {"accept": "text/csv"}})
    [line] = csv.DictReader(io.StringIO(lines))
    assert line["cost_pax"] == cost
    # Another account sees nothing of it, whatever it asks for.
    other = new_account("sdk-other")
    answer = other.client.get(
        "/credits", cast_to=object, options={"headers": {"x-pax-account": "sdk-day", "x-matrix-account": "sdk-day"}}
    )
    assert answer["account"] == "sdk-other" and answer["spent_today_pax"] == "0.000000000000"


def test_the_models_are_those_of_the_slot(new_account):
    caller = new_account("sdk-models")
    default = [model.id for model in caller.client.models.list()]
    planner = [model.id for model in caller.client.models.list(extra_headers={"X-Matrix-Slot": "planner"})]
    assert CHAT_MODEL in default and OTHER_MODEL not in default
    assert default != planner and CHAT_MODEL in planner
    assert list(caller.client.models.list(extra_headers={"X-Matrix-Slot": "no-such-slot"})) == []


def test_one_model_is_told_as_the_list_has_it_and_another_is_refused_as_a_call_would_be(new_account):
    caller = new_account("sdk-model")
    for model in caller.client.models.list():
        assert caller.client.models.retrieve(model.id) == model
    with pytest.raises(openai.PermissionDeniedError):
        caller.client.models.retrieve(OTHER_MODEL)
    own = {"X-Matrix-BYO-API-Key": "sk-sdk-own"}
    assert caller.client.models.retrieve(OTHER_MODEL, extra_headers=own).id == OTHER_MODEL
    assert OTHER_MODEL in [model.id for model in caller.client.models.list(extra_headers=own)]
    with pytest.raises(openai.NotFoundError) as caught:
        caller.client.models.retrieve("gpt-oss-120b")
    assert caught.value.code == "model_not_found" and CHAT_MODEL in caught.value.body["message"]


def test_a_key_of_ones_own_calls_any_model_that_a_provider_is_known_for(new_account, provider, ledger):
    caller = new_account("sdk-byo", "--daily-cap", "0")
    own = {"X-Matrix-BYO-API-Key": "sk-sdk-own"}
    chat(caller.client, model=OTHER_MODEL, extra_headers=own)
    chat(caller.client, model="gpt-99-not-in-any-card", extra_headers=own)
    sent = [dict(request["headers"]) for request in provider.requests()]
    assert [headers.get("authorization") for headers in sent] == ["Bearer sk-sdk-own"] * 2
    assert not [name for headers in sent for name in headers if name.startswith("x-matrix")]
    entries = ledger.new(2)
    assert {entry["funding"] for entry in entries} == {"byo"}
    assert {entry["cost_pax"] for entry in entries} == {"0.000000000000"}
    assert all(entry["tokens_input"] > 0 for entry in entries)
    with pytest.raises(openai.BadRequestError) as caught:
        chat(caller.client, extra_headers={"X-Matrix-BYO-API-Key": "true"})
    assert caught.value.code == "byo_missing_key"
