"""An hour of a gateway's traffic, as callers make it, in a minute: every outcome and nearly every refusal."""

import collections
import concurrent.futures
import http.client
import json
import socket
import threading

CREDIT, FREE = "mtx-demo-credit", "mtx-demo-free"
WORKERS = 6
CHAT = "/v1/chat/completions"
FREE_MODEL = "accounts/fireworks/models/gpt-oss-120b"
MODELS = [
    "accounts/fireworks/models/gpt-oss-20b",
    FREE_MODEL,
    "deepseek-chat",
    "mistral-small-latest",
    "gpt-4.1-mini",
    "Qwen/Qwen3.5-9B",
    "qwen/qwen3.8-27b",
]
EMBEDDINGS = ["nomic-ai/nomic-embed-text-v1.5", "text-embedding-3-small", "mistral-embed"]


class Traffic:
    """Callers on connections of their own; what they got is counted."""

    def __init__(self, port: int):
        self.port = port
        self.lock = threading.Lock()
        self.sent = 0
        self.codes: collections.Counter = collections.Counter()
        self.statuses: collections.Counter = collections.Counter()

    def _count(self, status: int | str, code: str | None = None):
        with self.lock:
            self.sent += 1
            self.statuses[status] += 1
            if code:
                self.codes[code] += 1

    def call(self, body, token: str | None = CREDIT, path=CHAT, method="POST", ours=True, **headers) -> int:
        """One call. `ours`: an error of it is in the gateway's own words."""
        sent = {"content-type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["authorization"] = f"Bearer {token}"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        code = None
        try:
            connection.request(method, path, body if isinstance(body, (str, bytes, type(None))) else json.dumps(body), sent)
            answer = connection.getresponse()
            status = answer.status
            try:
                said = answer.read()
                if status >= 400 and ours:
                    code = json.loads(said)["error"]["code"]
            except http.client.IncompleteRead:
                pass
        finally:
            connection.close()
        self._count(status, code)
        return status

    def hang_up(self, body: dict, token: str = CREDIT):
        """A call whose caller is gone as soon as something of its answer is there."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as caller:
            text = json.dumps(body)
            head = f"POST {CHAT} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\nauthorization: Bearer {token}\r\n"
            head += f"content-type: application/json\r\ncontent-length: {len(text)}\r\n\r\n"
            caller.sendall((head + text).encode())
            caller.recv(100)
        self._count("hung up")

    def many(self, count: int, call):
        """`call(number)` for so many numbers, a few at a time."""
        with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
            for done in [pool.submit(call, number) for number in range(count)]:
                done.result()


def chat(model: str, stream: bool = False, **more) -> dict:
    return {"model": model, "stream": stream, "max_tokens": 20, "messages": [{"role": "user", "content": "Hi"}]} | more


def ordinary(traffic: Traffic, calls: int):
    """JSON, streams and embeddings of every provider, slots known and invented, own keys, and the gateway's own answers."""

    def one(number: int):
        model, stream = MODELS[number % len(MODELS)], number % 3 == 0
        slot = ["default", "planner", "executor", f"slot-{number}"][number % 4]
        match number % 10:
            case 0:
                text = {"model": EMBEDDINGS[number % len(EMBEDDINGS)], "input": "hello"}
                traffic.call(text, path="/v1/embeddings", x_matrix_slot=slot)
            case 1 | 2:
                traffic.call(chat(FREE_MODEL, stream), FREE)
            case 3:
                traffic.call(chat(model, stream), FREE, x_matrix_byo_api_key="sk-of-the-caller")
            case 4:
                # A model that no card prices, at a provider that takes callers' own keys.
                traffic.call(chat(f"gpt-of-{number}"), x_matrix_byo_api_key="sk-of-the-caller")
            case 5:
                traffic.call(None, path=["/v1/models", "/v1/credits"][number // 10 % 2], method="GET")
            case _:
                traffic.call(chat(model, stream), x_matrix_slot=slot)

    traffic.many(calls, one)


def refusals(traffic: Traffic, invented: int, poor: str, disabled: str):
    """Every refusal that a caller can bring about, and so many invented models and slots."""
    traffic.many(invented, lambda number: traffic.call(chat(f"model;slot=x-{number}"), x_matrix_slot=f"invented-{number}"))
    body = chat(MODELS[0])
    for _ in range(3):
        traffic.call(body, "nobody")
        traffic.call(body, None)
        traffic.call(body, disabled)
        traffic.call(chat(FREE_MODEL), poor)
        traffic.call(body, FREE)
        traffic.call("{", CREDIT)
        traffic.call({"messages": []})
        traffic.call(chat(MODELS[0], service_tier="flex"))
        traffic.call(body, path="/v1/completion")
        traffic.call(None, method="GET")
        traffic.call(body, x_matrix_slot="No Slot")
        traffic.call(body, x_matrix_byo_api_key="true")
        traffic.call(body, host="elsewhere.example")
        traffic.call(body, content_encoding="gzip")
        traffic.call(body, x_matrix_goal_id="g" * 500)
    # It is refused by what its head says; no byte of such a body need be sent.
    traffic.call(None, content_length=str(21 << 20))


def troubles(traffic: Traffic, provider):
    """What goes wrong at a provider, and callers who hang up."""
    for behaviour, calls in [
        ({"status": 500}, lambda: traffic.call(chat(MODELS[0]), ours=False)),
        ({"status": 429}, lambda: traffic.call(chat(MODELS[2]), ours=False)),
        ({"status": 401}, lambda: traffic.call(chat(MODELS[3]))),
        ({"status": 401}, lambda: traffic.call(chat(MODELS[3]), ours=False, x_matrix_byo_api_key="sk-wrong")),
        ({"cut_before_head": True}, lambda: traffic.call(chat(MODELS[4]))),
        ({"cut_after_bytes": 60}, lambda: traffic.call(chat(MODELS[1]))),
        ({"answer": "openai-chat", "cut_after_bytes": 300}, lambda: traffic.call(chat(MODELS[4], stream=True))),
        ({"no_usage": True}, lambda: traffic.call(chat(MODELS[0]))),
        ({"gzip": True}, lambda: traffic.call(chat(MODELS[0]))),
        ({"answer": "deepseek-chat"}, lambda: traffic.call(chat(MODELS[2]))),
        ({"answer": "deepseek-reasoning"}, lambda: traffic.call(chat("deepseek-reasoner"))),
        ({"pace_ms": 200}, lambda: traffic.hang_up(chat(MODELS[0], stream=True))),
        # Longer than the workers take to say what they have open.
        ({"delay_ms": 4000}, lambda: traffic.call(chat(FREE_MODEL, stream=True), FREE)),
    ]:
        provider.reset()
        provider.behave(**behaviour)
        traffic.many(5, lambda _: calls())
    provider.reset()
