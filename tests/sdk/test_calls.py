"""Calls that succeed: the SDK gets what it gets from OpenAI, and the ledger gets one entry for each."""

import asyncio
import json

import openai

from conftest import CHAT_MODEL, EMBEDDING_MODEL, MESSAGES, TOKEN
from prices import card_sha256, cost_pax

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "book_ferry",
            "parameters": {
                "type": "object",
                "properties": {"pier": {"type": "string"}, "bicycles": {"type": "integer"}},
            },
        },
    }
]


def test_a_chat_call_is_answered_and_debited_once_at_the_cards_price(client, provider, ledger):
    provider.behave(answer="openai-chat")
    answer = client.chat.completions.create(model=CHAT_MODEL, messages=MESSAGES)
    assert answer.choices[0].message.content.startswith("A kettle teaches patience")
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (1294, 27)
    [entry] = ledger.new(1)
    counts = [entry[name] for name in ("tokens_input", "tokens_cached_input", "tokens_output")]
    assert counts == [1294, 1024, 27]
    named = [entry[name] for name in ("account", "kind", "funding", "model", "provider", "slot", "provenance")]
    assert named == ["demo-free", "debit", "platform", CHAT_MODEL, "fireworks", "default", "reported"]
    assert entry["cost_pax"] == cost_pax(entry) and float(entry["cost_pax"]) > 0
    assert entry["card_sha256"] == card_sha256(entry["rate_table_v"])


def test_a_json_answer_carries_the_cost_that_the_ledger_has(client, provider, ledger):
    raw = client.chat.completions.with_raw_response.create(model=CHAT_MODEL, messages=MESSAGES)
    assert raw.parse().choices[0].message.content
    [entry] = ledger.new(1)
    assert raw.headers["x-matrix-cost-pax"] == entry["cost_pax"] == cost_pax(entry)
    assert raw.headers["x-matrix-exchange-id"] == entry["exchange_id"]
    assert raw.headers["x-matrix-rate-table-version"] == str(entry["rate_table_v"])


def test_a_stream_has_no_usage_chunk_that_was_not_asked_for(client, provider, ledger):
    chunks = list(client.chat.completions.create(model=CHAT_MODEL, messages=MESSAGES, stream=True))
    assert len(chunks) > 3
    # What most programs do without looking: a chunk without choices would end them here.
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert not any(chunk.usage for chunk in chunks)
    [entry] = ledger.new(1)
    assert entry["provenance"] == "reported" and entry["tokens_output"] > 0
    assert entry["cost_pax"] == cost_pax(entry)
    # The gateway asked the provider for it.
    assert json.loads(provider.requests()[0]["body"])["stream_options"] == {"include_usage": True}


def test_a_stream_ends_with_the_usage_chunk_that_was_asked_for(client, provider, ledger):
    stream = client.chat.completions.create(
        model=CHAT_MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    *chunks, last = list(stream)
    assert last.choices == [] and all(chunk.choices and not chunk.usage for chunk in chunks)
    [entry] = ledger.new(1)
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (entry["tokens_input"], entry["tokens_output"])


def test_a_streams_head_says_which_exchange_and_which_card(client, provider, ledger):
    raw = client.chat.completions.with_raw_response.create(model=CHAT_MODEL, messages=MESSAGES, stream=True)
    for _ in raw.parse():
        pass
    [entry] = ledger.new(1)
    assert raw.headers["x-matrix-exchange-id"] == entry["exchange_id"]
    assert raw.headers["x-matrix-rate-table-version"] == str(entry["rate_table_v"])
    assert "x-matrix-cost-pax" not in raw.headers


def test_tool_calls_arrive_whole_and_streamed(client, provider, ledger):
    provider.behave(answer="openai-tools")
    answer = client.chat.completions.create(model=CHAT_MODEL, messages=MESSAGES, tools=TOOLS)
    [call] = answer.choices[0].message.tool_calls
    assert call.function.name == "book_ferry"
    whole = call.function.arguments
    assert json.loads(whole) == {"pier": 'north "A"', "bicycles": 2}

    # The SDK's own accumulator of a stream, which asks for no usage.
    with client.chat.completions.stream(model=CHAT_MODEL, messages=MESSAGES, tools=TOOLS) as stream:
        final = stream.get_final_completion()
    [call] = final.choices[0].message.tool_calls
    assert (call.function.name, call.function.arguments) == ("book_ferry", whole)
    assert [(entry["tokens_input"], entry["tokens_output"]) for entry in ledger.new(2)] == [(86, 22)] * 2


def test_embeddings_come_as_numbers_and_as_base64(client, provider, ledger):
    def embed(**options):
        answer = client.embeddings.create(model=EMBEDDING_MODEL, input=["one", "two"], **options)
        assert [item.index for item in answer.data] == [0, 1]
        return [item.embedding for item in answer.data]

    numbers = embed(encoding_format="float")
    # What the SDK does by itself: it asks for base64 and unpacks it.
    unpacked = embed()
    assert len(numbers[0]) == len(unpacked[0]) > 1 and numbers[0] != numbers[1]
    assert all(abs(one - other) < 1e-6 for one, other in zip(numbers[0] + numbers[1], unpacked[0] + unpacked[1]))
    assert [isinstance(text, str) for text in embed(encoding_format="base64")] == [True, True]
    entries = ledger.new(3)
    assert [entry["model"] for entry in entries] == [EMBEDDING_MODEL] * 3
    assert all(entry["tokens_output"] == 0 and entry["cost_pax"] == cost_pax(entry) for entry in entries)


def test_slot_and_labels_are_recorded_and_the_provider_learns_nothing_of_them(client, provider, ledger):
    headers = {"X-Matrix-Slot": "planner", "X-Matrix-Intent-ID": "intent 7", "X-Matrix-Goal-ID": "goal/8"}
    client.chat.completions.create(model=CHAT_MODEL, messages=MESSAGES, extra_headers=headers)
    [entry] = ledger.new(1)
    assert (entry["slot"], entry["intent_id"], entry["goal_id"]) == ("planner", "intent 7", "goal/8")
    [request] = provider.requests()
    assert TOKEN not in json.dumps(request)
    names = {name for name, _ in request["headers"]}
    assert not [name for name in names if name.startswith(("x-matrix", "x-stainless", "authorization"))]


def test_twenty_concurrent_calls_are_twenty_answers_and_twenty_entries(stack, provider, ledger):
    provider.behave(pace_ms=20)

    async def call(client, number: int) -> str:
        """The exchange's id; every second call is streamed."""
        create = client.chat.completions.with_raw_response.create
        messages = [{"role": "user", "content": f"call {number}"}]
        raw = await create(model=CHAT_MODEL, messages=messages, stream=number % 2 == 0)
        answer = raw.parse()
        if number % 2 == 0:
            assert [chunk.choices[0].delta.content async for chunk in answer]
        else:
            assert answer.choices[0].message.content
        return raw.headers["x-matrix-exchange-id"]

    async def all_calls():
        async with openai.AsyncOpenAI(base_url=f"{stack.url}/v1", api_key=TOKEN) as client:
            return await asyncio.gather(*(call(client, number) for number in range(20)))

    exchanges = asyncio.run(all_calls())
    entries = ledger.new(20)
    assert sorted(exchanges) == sorted(entry["exchange_id"] for entry in entries)
    assert len(set(exchanges)) == 20
    assert all(entry["cost_pax"] == cost_pax(entry) for entry in entries)
