"""A start with one provider's key: what is said, what is listed, and what is refused. No provider is called."""

import re
import time

import openai
import pytest

from conftest import CHAT_MODEL, free_port
from stack import Stack
from test_errors import chat

KEY = "sk-0123456789-not-a-key-of-anybodys"


@pytest.fixture(scope="module")
def with_one_key(tmp_path_factory):
    with Stack(free_port(), tmp_path_factory.mktemp("data"), {"OPENAI_API_KEY": KEY}) as stack:
        yield stack


@pytest.fixture(scope="module")
def printed(with_one_key):
    """All that is said at the start: the call to try is its end, a moment after `ready`."""
    deadline = time.monotonic() + 10
    while "Say hello" not in (said := "".join(with_one_key.program.output)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return said


@pytest.fixture
def client(with_one_key, printed):
    """As demo-credit, with the random token that is printed."""
    token = re.search(r"^token of demo-credit: (\S+)$", printed, re.MULTILINE)[1]
    with openai.OpenAI(base_url=f"{with_one_key.url}/v1", api_key=token, max_retries=0) as client:
        yield client


def test_the_start_names_the_keys_that_were_found_and_shows_none(printed, with_one_key):
    assert "platform keys found: openai (OPENAI_API_KEY)\n" in printed
    off = re.search(r"no platform key, so for callers' own keys only: (.*)", printed)[1].split(", ")
    assert {"fireworks", "groq", "mistral"} <= set(off) and "openai" not in off
    files = [path for path in with_one_key.data_dir.rglob("*") if path.is_file()]
    assert files and not [path for path in files if KEY.encode() in path.read_bytes()]
    assert KEY[:12] not in printed


def test_the_list_is_what_can_be_served(client):
    platform = [model for model in client.models.list()]
    assert platform and {model.owned_by for model in platform} == {"openai"}
    own = [model for model in client.models.list(extra_headers={"X-Matrix-BYO-API-Key": "sk-own"})]
    assert len(own) > len(platform) and CHAT_MODEL in [model.id for model in own]


def test_a_model_without_a_key_is_refused_with_words_and_goes_nowhere(client):
    with pytest.raises(openai.PermissionDeniedError) as caught:
        chat(client)
    message = caught.value.body["message"]
    assert caught.value.code == "model_not_allowed"
    assert "X-Matrix-BYO-API-Key" in message and 'no key of its own for provider "fireworks"' in message


def test_the_call_to_try_names_a_model_that_is_served_and_the_account_that_may_call_it(printed, client):
    tried = re.search(r"Bearer (\S+)'.*\"model\":\"([^\"]+)\"", printed, re.DOTALL)
    assert tried[1] == client.api_key and "Try it as demo-credit" in printed
    assert tried[2] in [model.id for model in client.models.list()]
