"""A real HTTP server process that speaks vLLM's API around a tiny model, and fails as servers do when it is told to.

    python engine_server.py MODEL_FOLDER PORT

Like vLLM it answers from its caches until all of them are reset, and takes adapters by name. `POST /fault` with
``{"kind": KIND, "times": N, "after": M}`` makes N answers after the next M (or, of the kinds at the end, all further
syncs) go wrong.
"""

import base64
import io
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from gtr.config import PolicyConfig
from gtr.policy.loading import load_policy
from gtr.types import Exchange, Prompt

CACHES = {"/reset_prefix_cache", "/reset_mm_cache", "/reset_encoder_cache"}
CHAT = (
    "die",
    "hang",
    "slow",
    "500",
    "drop",
    "not_json",
    "nested",
    "other_ids",
    "few_logprobs",
    "no_tokens",
    "prompt",
    "cut",
)
SYNC = ("stale", "deaf", "refuse")


class Model:
    def __init__(self, folder):
        self.lock, self.folder = threading.Lock(), folder
        self.fault, self.times, self.asked, self.requests, self.well = "", 0, 0, 0, 0
        self.begin()

    def begin(self):
        """As it was started."""
        self.served = {"policy": self.read(self.folder)}
        self.cache, self.reset = {}, set()

    @staticmethod
    def read(folder, **settings):
        # Whatever length is asked for is given: the policy's own limit is not used.
        return load_policy(folder, PolicyConfig(value_hidden=(8,), **settings))

    def chat(self, body):
        """The answer to a chat request; equal ones are answered from the cache."""
        key = json.dumps(body, sort_keys=True)
        with self.lock:
            self.asked += 1
            if key not in self.cache:
                self.cache[key] = self.answer(body)
            return json.loads(json.dumps(self.cache[key]))

    def inputs(self, body):
        """A prompt as the model reads it."""
        policy, messages = self.served[body["model"]], body["messages"]
        shown = [self.shown(message) for message in messages[::2]]
        said = [message["content"][0]["text"] for message in messages[1::2]]
        past = tuple(Exchange(*one, reply) for one, reply in zip(shown, said, strict=False))
        return policy, policy.inputs([Prompt(*shown[-1], past)])

    def render(self, body):
        """The prompt's ids, and its picture as another request may bring it."""
        _, inputs = self.inputs(body)
        file = io.BytesIO()
        torch.save({key: value for key, value in inputs.items() if "mask" not in key}, file)
        picture = base64.b64encode(file.getvalue()).decode()
        features = {"mm_hashes": {"image": ["h"]}, "mm_placeholders": {}, "kwargs_data": {"image": [picture]}}
        return {"token_ids": inputs["input_ids"][0].tolist(), "features": features}

    def score(self, body):
        """Reads ids under a picture and tells of the likeliest tokens at each place, and of the one that is there."""
        model, ids = self.served[body["model"]].network.model, torch.tensor([body["token_ids"]])
        (picture,) = body["features"]["kwargs_data"]["image"]
        inputs = torch.load(io.BytesIO(base64.b64decode(picture)), weights_only=True)
        with self.lock, torch.no_grad():
            self.asked += 1
            logits = model.eval()(**{**inputs, "input_ids": ids, "attention_mask": torch.ones_like(ids)}).logits[0]
        likely, told = logits.float().log_softmax(-1), [None]
        for place, token in enumerate(body["token_ids"][1:]):
            top = likely[place].topk(body["sampling_params"]["prompt_logprobs"]).indices.tolist()
            told.append({one: {"logprob": float(likely[place, one])} for one in {*top, token}})
        return {"prompt_token_ids": body["token_ids"], "prompt_logprobs": told}

    def answer(self, body):
        policy, inputs = self.inputs(body)
        policy.network.eval()
        greedy = body["temperature"] == 0
        torch.manual_seed(body["seed"])
        ends = body["stop_token_ids"]
        made = policy.network.sample(inputs, body["temperature"] or 1.0, greedy, body["max_tokens"], ends)
        tokens = made.tokens[0].tolist()
        length = next((i + 1 for i, token in enumerate(tokens) if token in ends), len(tokens))
        content = [{"token": "", "logprob": x} for x in made.logprobs[0, :length].tolist()]
        choice = {"index": 0, "token_ids": tokens[:length], "logprobs": {"content": content}}
        return {"prompt_token_ids": inputs["input_ids"][0].tolist(), "choices": [choice]}

    @staticmethod
    def shown(message):
        picture, text = message["content"]
        file = io.BytesIO(base64.b64decode(picture["image_url"]["url"].partition(",")[2]))
        return np.asarray(Image.open(file).convert("RGB")), text["text"]

    def load(self, body):
        if self.fault != "deaf":
            self.served["policy"] = self.read(body["kwargs"]["weights_path"])
        self.reset = set()
        return {"results": [None]}

    def forget(self, path):
        self.reset.add(path)
        if self.reset == CACHES and self.fault != "stale":
            self.cache = {}
        return {"success": True}

    def adapt(self, body):
        if body["lora_name"] in self.served:
            return {"error": "has already been loaded"}
        self.served[body["lora_name"]] = self.read(body["lora_path"], finetune="lora")
        return "Success"

    def drop(self, body):
        del self.served[body["lora_name"]]
        return "Success"


def spoil(answer, fault):
    """An answer about given ids, as a broken server gives it."""
    told = answer["prompt_logprobs"]
    if fault == "few_logprobs":
        told.pop()
    elif fault == "cut":
        told[-1] = None
    elif fault == "other_ids":
        token = answer["prompt_token_ids"][-1]
        told[-1] = {one: logprob for one, logprob in told[-1].items() if one != token}
    elif fault == "no_tokens":
        del answer["prompt_logprobs"]
    elif fault == "prompt":
        answer["prompt_token_ids"].insert(0, 1)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_GET(self):
        known = {"/v1/models": {"data": [{"id": name} for name in model.served]}}
        known["/state"] = {"asked": model.asked, "requests": model.requests, "served": list(model.served)}
        self.say(known[self.path])

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")
        if self.path == "/fault":
            model.fault, model.times, model.well = body["kind"], body["times"], body.get("after", 0)
            if not model.fault:
                model.begin()
            return self.say({})
        if self.path in ASKED:
            return self.chat(body)
        if model.fault == "refuse":
            return self.say({"error": "not now"}, 503)
        if self.path in CACHES:
            return self.say(model.forget(self.path))
        adapters = {"/v1/load_lora_adapter": model.adapt, "/v1/unload_lora_adapter": model.drop}
        found = {"/collective_rpc": model.load, **adapters}[self.path](body)
        return self.say(found, 400 if "error" in found else 200)

    def chat(self, body):
        fault = ""
        with model.lock:
            model.requests, model.well = model.requests + 1, model.well - 1
            if model.fault in CHAT and model.times > 0 and model.well < 0:
                model.times, fault = model.times - 1, model.fault
        if fault == "die":
            os._exit(1)
        if fault == "hang":
            time.sleep(3600)
        if fault == "slow":
            time.sleep(1)
        if fault == "drop":
            self.close_connection = True
            return None
        if fault == "500":
            return self.say({"error": "out of memory"}, 500)
        answer = ASKED[self.path](body)
        choice = answer.get("choices", [{}])[0]
        if "token_ids" in answer and fault in ("other_ids", "no_tokens", "prompt"):
            answer["token_ids"][0] = 10**6
        elif "prompt_logprobs" in answer:
            spoil(answer, fault)
        elif fault == "other_ids":
            choice["token_ids"][0] = 10**6
        elif fault == "few_logprobs":
            choice["logprobs"]["content"].pop()
        elif fault == "no_tokens":
            del choice["token_ids"]
        elif fault == "prompt":
            answer["prompt_token_ids"].insert(0, 1)
        elif fault == "cut":
            choice["token_ids"] = choice["token_ids"][:1]
            choice["logprobs"]["content"] = choice["logprobs"]["content"][:1]
        return self.say(answer, fault=fault)

    def say(self, value, status=200, fault=""):
        data = json.dumps(value).encode()
        data = {"not_json": data[: len(data) // 2], "nested": b"[" * 100_000}.get(fault, data)
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Quiet(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, address):
        pass


if __name__ == "__main__":
    torch.set_num_threads(1)
    model = Model(Path(sys.argv[1]))
    ASKED = {"/v1/chat/completions": model.chat, "/v1/chat/completions/render": model.render}
    ASKED["/inference/v1/generate"] = model.score
    Quiet(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
