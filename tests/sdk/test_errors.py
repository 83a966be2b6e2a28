"""Refusals and failures: the SDK's own exceptions, with the gateway's codes, and nothing debited."""

import re

import openai
import pytest

from conftest import CHAT_MODEL, EMBEDDING_MODEL, MESSAGES, TOKEN
from prices import cost_pax


class Counted:
    """The stock client, and how many requests it really sent."""

    def __init__(self, stack, token: str = TOKEN):
        self.sent = 0
        http_client = openai.DefaultHttpxClient(event_hooks={"request": [self._count]})
        self.client = openai.OpenAI(base_url=f"{stack.url}/v1", api_key=token, http_client=http_client)

    def _count(self, _):
        self.sent += 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()


@pytest.fixture
def counted(stack):
    with Counted(stack) as counted:
        yield counted


def chat(client, **options):
    return client.chat.completions.create(**{"model": CHAT_MODEL, "messages": MESSAGES} | options)


REFUSALS = {
    "unknown model": (lambda c: chat(c, model="no-such-model"), openai.NotFoundError, 404, "model_not_found", "model"),
    "no model for this route": (
        lambda c: chat(c, model=EMBEDDING_MODEL), openai.NotFoundError, 404, "model_not_found", "model",
    ),
    "a route that is not served": (
        lambda c: c.completions.create(model=CHAT_MODEL, prompt="Hello"),
        openai.NotFoundError, 404, "unknown_route", None,
    ),
    "the responses API": (
        lambda c: c.responses.create(model=CHAT_MODEL, input="Hello"), openai.NotFoundError, 404, "unknown_route", None,
    ),
    "GET of a metered path": (
        lambda c: c.get("/chat/completions", cast_to=object), openai.APIStatusError, 405, "method_not_allowed", None,
    ),
    "a dearer service tier": (
        lambda c: chat(c, service_tier="flex"), openai.BadRequestError, 400, "unpriced_option", "service_tier",
    ),
    "web search": (
        lambda c: chat(c, web_search_options={}), openai.BadRequestError, 400, "unpriced_option", "web_search_options",
    ),
    "audio": (
        lambda c: chat(c, modalities=["text", "audio"], audio={"voice": "alloy", "format": "wav"}),
        openai.BadRequestError, 400, "unpriced_option", None,
    ),
    "no model": (lambda c: chat(c, model=""), openai.BadRequestError, 400, "missing_model", "model"),
    "a wrong type": (lambda c: chat(c, model=7), openai.BadRequestError, 400, "invalid_json", "model"),
    "a slot that is none": (
        lambda c: chat(c, extra_headers={"X-Matrix-Slot": "no slot"}),
        openai.BadRequestError, 400, "invalid_slot", None,
    ),
    "a compressed body": (
        lambda c: chat(c, extra_headers={"Content-Encoding": "gzip"}),
        openai.APIStatusError, 415, "unsupported_encoding", None,
    ),
    "a body above the limit": (
        lambda c: chat(c, messages=[{"role": "user", "content": "x" * (20 * 1024 * 1024)}]),
        openai.APIStatusError, 413, "request_too_large", None,
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_is_the_sdks_exception_and_goes_nowhere(name, counted, provider, ledger):
    call, exception, status, code, param = REFUSALS[name]
    with pytest.raises(exception) as caught:
        call(counted.client)
    error = caught.value
    assert (error.status_code, error.code) == (status, code)
    assert param is None or error.param == param
    assert error.body["message"] and error.type == "invalid_request_error"
    assert error.response.headers["x-should-retry"] == "false" and counted.sent == 1
    assert error.response.headers["x-matrix-exchange-id"]
    assert provider.requests() == []
    ledger.new(0)


def told(call) -> str:
    with pytest.raises(openai.NotFoundError) as caught:
        call()
    return caught.value.body["message"]


def test_whoever_calls_an_api_that_is_not_served_is_told_which_one_to_call(counted):
    message = told(lambda: counted.client.responses.create(model=CHAT_MODEL, input="Hello"))
    assert "/v1/responses is OpenAI's Responses API" in message and "client.chat.completions.create" in message
    assert "base URL" not in message


@pytest.mark.parametrize("base, says", [("", "Add /v1 to the end"), ("/v1/v1", "Take /v1 off the end")])
def test_whose_base_url_is_wrong_is_told_what_is_wrong_with_it(stack, base, says):
    with openai.OpenAI(base_url=stack.url + base, api_key=TOKEN) as client:
        for call in [lambda: chat(client), client.models.list, lambda: client.models.retrieve(CHAT_MODEL)]:
            message = told(call)
            assert message.startswith(f"{says} of the base URL") and "the path is /v1/" in message


def test_a_model_by_half_its_name_is_told_the_whole(counted):
    message = told(lambda: chat(counted.client, model="gpt-oss-120b"))
    assert message.startswith(f'Did you mean "{CHAT_MODEL}"?')
    message = told(lambda: chat(counted.client, model=EMBEDDING_MODEL))
    assert message.startswith("Call POST /v1/embeddings")


def test_an_unknown_token_is_an_authentication_error(stack, provider, ledger):
    with Counted(stack, "mtx-nobody") as counted:
        with pytest.raises(openai.AuthenticationError) as caught:
            chat(counted.client)
        assert (caught.value.status_code, caught.value.code) == (401, "invalid_api_key")
        assert caught.value.type == "authentication_error"
        assert caught.value.response.headers["x-should-retry"] == "false" and counted.sent == 1
    assert provider.requests() == []
    ledger.new(0)


def account(ledger, name: str) -> tuple[str, str]:
    """A new account with a token: the token, and the token's id."""
    created = ledger.run("account", "create", name, "--tier", "credit")
    assert created.returncode == 0, created.stderr
    granted = ledger.run("grant", name, "10", "--class", "purchase", "--reason", "a test")
    assert granted.returncode == 0, granted.stderr
    added = ledger.run("token", "add", name, "--name", "laptop")
    assert added.returncode == 0, added.stderr
    return added.stdout.strip(), re.search(r"tok_\w+", added.stderr)[0]


def test_a_new_account_calls_a_disabled_one_and_a_revoked_token_are_refused(stack, provider, ledger):
    token, token_id = account(ledger, "sdk-new")
    with Counted(stack, token) as counted:
        chat(counted.client)
    [entry] = ledger.new(1)
    assert (entry["account"], entry["tier"], entry["token_id"]) == ("sdk-new", "credit", token_id)

    token, _ = account(ledger, "sdk-disabled")
    assert ledger.run("account", "disable", "sdk-disabled").returncode == 0
    with Counted(stack, token) as counted, pytest.raises(openai.PermissionDeniedError) as caught:
        chat(counted.client)
    assert (caught.value.status_code, caught.value.code, counted.sent) == (403, "account_disabled", 1)

    token, token_id = account(ledger, "sdk-revoked")
    assert ledger.run("token", "revoke", token_id).returncode == 0
    with Counted(stack, token) as counted, pytest.raises(openai.AuthenticationError) as caught:
        chat(counted.client)
    assert (caught.value.code, counted.sent) == ("invalid_api_key", 1)
    assert len(provider.requests()) == 1
    ledger.new(1)


def test_while_the_ledger_is_silent_known_callers_are_served_and_others_may_try_again(stack, provider, ledger):
    token, _ = account(ledger, "sdk-outage")
    with Counted(stack) as known, Counted(stack, token) as other:
        chat(known.client)
        with stack.silent_ledger():
            chat(known.client)
            with pytest.raises(openai.InternalServerError) as caught:
                chat(other.client.with_options(max_retries=0))
        assert (caught.value.status_code, caught.value.code) == (503, "ledger_unavailable")
        assert "x-should-retry" not in caught.value.response.headers
        assert int(caught.value.response.headers["retry-after"]) > 0
        # The ledger is back, and nobody was told meanwhile that the token is wrong.
        chat(other.client)
        assert (known.sent, other.sent) == (2, 2)
    # The debits of the calls before it waited, and may arrive after the last call's: workers send on their own.
    assert sorted(entry["account"] for entry in ledger.new(3)) == ["demo-free", "demo-free", "sdk-outage"]


def test_a_providers_error_passes_as_it_is_and_is_not_charged(counted, provider, ledger):
    body = '{"error":{"message":"Slow down.","type":"rate_limit","param":null,"code":"provider_says_no"}}'
    provider.behave(status=429, body=body, headers={"x-should-retry": "false"})
    with pytest.raises(openai.RateLimitError) as caught:
        chat(counted.client)
    assert (caught.value.code, caught.value.body["message"]) == ("provider_says_no", "Slow down.")
    assert caught.value.response.text == body and counted.sent == 1
    ledger.new(0)


def test_what_the_sdk_tries_again_is_charged_once(counted, provider, ledger):
    provider.behave(status=503, times=2, headers={"retry-after-ms": "1"})
    assert chat(counted.client).choices[0].message.content
    assert counted.sent == len(provider.requests()) == 3
    ledger.new(1)


def test_a_stream_that_breaks_off_is_an_error_to_the_sdk_and_charged_by_estimate(client, provider, ledger):
    provider.behave(answer="openai-chat", cut_after_bytes=900)
    with pytest.raises(openai.APIConnectionError):
        list(chat(client, stream=True))
    [entry] = ledger.new(1)
    assert (entry["provenance"], entry["ending"]) == ("estimated", "provider_broke_off")
    assert entry["tokens_input"] > 0 and entry["cost_pax"] == cost_pax(entry)


def test_an_answer_that_breaks_off_is_charged_once_and_says_where(counted, provider, ledger):
    provider.behave(answer="openai-chat", cut_after_bytes=300)
    with pytest.raises(openai.InternalServerError) as caught:
        chat(counted.client)
    assert (caught.value.status_code, caught.value.code) == (502, "upstream_cut")
    [entry] = ledger.new(1)
    assert (entry["provenance"], entry["ending"]) == ("estimated", "provider_broke_off")
    assert caught.value.response.headers["x-matrix-exchange-id"] == entry["exchange_id"]
    assert counted.sent == 1, "trying again would be charged again"


def test_a_caller_who_hangs_up_in_a_stream_is_charged_for_what_was_sent(client, provider, ledger):
    provider.behave(answer="openai-chat", pace_ms=100)
    with chat(client, stream=True) as stream:
        next(iter(stream))
    [entry] = ledger.new(1)
    assert (entry["provenance"], entry["ending"]) == ("estimated", "caller_gone")
    # 25 in the whole answer, by the provider's count.
    assert entry["tokens_output"] < 10 and entry["cost_pax"] == cost_pax(entry)
