"""What a hostile or broken server may send: some hundreds of kinds, by name, as the bytes of a whole HTTP response."""

import gzip
import json
from itertools import product

HALF = "\\ud83d"
"""Half an emoji, as JSON spells it."""
DEEP = "[" * 60_000
NUMBERS = (
    "1e999",
    "-1e999",
    "NaN",
    "Infinity",
    "9" * 400,
    "9" * 5000,
    "-5",
    "1e15",
    "0",
    "1.5",
    "true",
    "null",
    '"12"',
)
TEXTS = {
    "half": f'"{HALF} and {HALF}"',
    "other half": '"\\ude00"',
    "nul": '"a\\u0000b"',
    "controls": '"\\u0001\\u001b[31m\\u0085\\u202e"',
    "special": '"<image> </s>"',
    "long": json.dumps("word " * 2000),
    "five megabytes": json.dumps("x" * 5_000_000),
    "empty": '""',
}
OTHERS = {"null": "null", "false": "false", "list": "[]", "object": "{}", "nested": f"{DEEP}{']' * 60_000}"}
VALUES = {**TEXTS, **OTHERS, **{f"number {one[:9]} of {len(one)}": one for one in NUMBERS}}
"""JSON values by name, as text: Python could not write all of them."""
STATUSES = (
    300,
    301,
    304,
    400,
    401,
    402,
    403,
    404,
    405,
    408,
    409,
    413,
    422,
    425,
    429,
    451,
    499,
    500,
    502,
    503,
    504,
    599,
)
DATES = (
    "Mon, 01 Jan 99999999999 00:00:00 GMT",
    "Mon, 01 Jan 0001 00:00:00 GMT",
    "Mon, 01 Jan 2024 00:00:00 +999999999999",
    "Mon, 01 Jan 2024 00:00:00 -9999",
    "Mon, 99 Jan 2024 99:99:99 GMT",
    *("Fri, 31 Dec 9999 23:59:59 -2359", "soon", "", "-1", "0", "1e999", "-1e999", "nan", "9" * 400, "0x10", "\xbd"),
)


def response(status: int, body: bytes, *headers: tuple[str, str], length: int | None = None) -> bytes:
    """A whole response, its connection closed after it."""
    lines = [("Content-Type", "application/json"), ("Content-Length", str(len(body) if length is None else length))]
    lines += [("Connection", "close"), *headers]
    head = "".join(f"{name}: {value}\r\n" for name, value in lines)
    return f"HTTP/1.1 {status} Some reason\r\n{head}\r\n".encode("latin-1") + body


def completion(
    content: str = '"{}"', message: str = "", usage: str = '{"prompt_tokens": 9, "completion_tokens": 9}'
) -> bytes:
    """A chat completion of JSON texts."""
    said = message or f'{{"role": "assistant", "content": {content}}}'
    return f'{{"choices": [{{"message": {said}, "finish_reason": "stop"}}], "usage": {usage}}}'.encode()


def called(name: str = '"find_best_move"', arguments: str = '"{}"', number: str = '"call_1"') -> str:
    """A message that calls a tool."""
    call = f'{{"id": {number}, "type": "function", "function": {{"name": {name}, "arguments": {arguments}}}}}'
    return f'{{"content": null, "tool_calls": [{call}]}}'


def answers(answer: dict[str, object]) -> dict[str, bytes]:
    """A right answer with each of its fields, and each field of its correction, replaced by each of the values."""
    made = {}
    fields = [(key,) for key in answer] + [("correction", key) for key in answer.get("correction", {})]
    for path, (name, value) in product(fields, VALUES.items()):
        spoilt = json.loads(json.dumps(answer))
        place = spoilt["correction"] if len(path) == 2 else spoilt
        place[path[-1]] = "@"
        made[f"answer {'.'.join(path)}: {name}"] = completion(json.dumps(json.dumps(spoilt).replace('"@"', value)))
    for name, value in TEXTS.items():
        text = json.dumps(answer).replace('"thoughts": "', f'"thoughts": "{value[1:-1]}, ')
        made[f"answer right but for {name}"] = completion(json.dumps(text))
    return made


def arguments() -> dict[str, bytes]:
    """What a model that cannot call tools may say when it is asked for the arguments of Points24's."""
    texts = {name: f'{{"cards": [2, 4, 4, 10], "current": {value}}}' for name, value in VALUES.items()}
    texts |= {f"cards: {name}": f'{{"cards": {value}, "current": ""}}' for name, value in VALUES.items()}
    texts |= {f"card: {name}": f'{{"cards": [{value}]}}' for name, value in VALUES.items()}
    texts |= {f"key: {name}": f'{{"cards": [], {value}: 1}}' for name, value in TEXTS.items()}
    return {name: response(200, completion(json.dumps(text))) for name, text in texts.items()}


def echoes(key: str, answer: dict[str, object]) -> dict[str, bytes]:
    """Responses that repeat the key, plainly and in JSON's spellings."""
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in key)
    half = key[:5] + "".join(f"\\u{ord(letter):04X}" for letter in key[5:])
    made = {}
    for name, spelt in (("plain", key), ("bearer", f"Bearer {key}"), ("escaped", escaped), ("half escaped", half)):
        text = json.dumps(answer).replace('"thoughts": "', f'"thoughts": "{spelt} ')
        text = text.replace('"seen": "cards"', f'"seen": "{spelt}"')
        made[f"key {name} in a correction"] = completion(json.dumps(text))
        made[f"key {name} as the answer"] = completion(f'"{spelt}"')
        made[f"key {name} in a tool's name"] = completion(message=called(f'"{spelt}"', f'"{spelt}"', f'"{spelt}"'))
        body = f'{{"error": {{"message": "no {spelt}", "code": "{spelt}"}}, "{spelt}": 1}}'.encode()
        for status in (400, 401, 429, 500):
            made[f"key {name} with status {status}"] = response(status, body, ("Retry-After", spelt))
        made[f"key {name} in no JSON"] = f"<html>{spelt}".encode()
    made["key as reason"] = f"HTTP/1.1 500 {key}\r\nX-Echo: {key}\r\nContent-Length: 0\r\n\r\n".encode()
    return {name: body if body.startswith(b"HTTP/1.1 ") else response(200, body) for name, body in made.items()}


def statuses() -> dict[str, bytes]:
    bodies = {
        "nothing": b"",
        "html": b"<html>bad gateway</html>",
        "an error": b'{"error": {"message": "temperature? max_completion_tokens?", "code": "x"}}',
        "odd types": b'{"error": {"message": {"a": [1]}, "code": {"b": 1e999}, "param": 7, "type": null}}',
        "a list": b'[1, "error", null]',
        "half": f'{{"error": "{HALF}"}}'.encode(),
        "nesting": DEEP.encode(),
        "no UTF-8": b'{"error": "\xff\xfe\xed\xa0\xbd"}',
        "megabytes": b'{"error": "' + b"x" * 3_000_000,
    }
    return {f"status {code}, {name}": response(code, body) for code, (name, body) in product(STATUSES, bodies.items())}


def waits() -> dict[str, bytes]:
    named = product((429, 503), ("Retry-After", "retry-after-ms"), DATES)
    return {f"{code}, {name}: {value[:40]}": response(code, b"{}", (name, value)) for code, name, value in named}


def usages(answer: dict[str, object]) -> dict[str, bytes]:
    made = {f"usage: {name}": value for name, value in VALUES.items()}
    for field, (name, value) in product(("prompt_tokens", "completion_tokens"), VALUES.items()):
        other = "completion_tokens" if field == "prompt_tokens" else "prompt_tokens"
        made[f"usage {field}: {name}"] = f'{{"{field}": {value}, "{other}": 50}}'
    content = json.dumps(json.dumps(answer))
    return {name: response(200, completion(content, usage=usage)) for name, usage in made.items()}


def shapes() -> dict[str, bytes]:
    made = {}
    for name, value in VALUES.items():
        made[f"reply: {name}"] = value.encode()
        made[f"choices: {name}"] = f'{{"choices": {value}}}'.encode()
        made[f"choice: {name}"] = f'{{"choices": [{value}]}}'.encode()
        made[f"message: {name}"] = completion(message=value)
        made[f"content: {name}"] = completion(value)
        made[f"text: {name}"] = completion(json.dumps(value))
        made[f"tool calls: {name}"] = completion(message=f'{{"content": null, "tool_calls": {value}}}')
        made[f"tool call: {name}"] = completion(message=f'{{"content": null, "tool_calls": [{value}]}}')
        made[f"tool's name: {name}"] = completion(message=called(name=value))
        made[f"tool's number: {name}"] = completion(message=called(number=value))
        made[f"tool's arguments: {name}"] = completion(message=called(arguments=value))
        arguments = json.dumps(f'{{"dealer": {value}, "player": [{value}]}}')
        made[f"tool's argument: {name}"] = completion(message=called(arguments=arguments))
    made["many calls"] = completion(message=f'{{"content": null, "tool_calls": [{",".join([CALL] * 5000)}]}}')
    return {name: response(200, body) for name, body in made.items()}


CALL = '{"id": "1", "type": "function", "function": {"name": "x", "arguments": "{}"}}'


def transports() -> dict[str, bytes]:
    whole = completion()
    bomb = gzip.compress(b" " * 50_000_000)
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    made = {
        "nothing at all": b"",
        "no HTTP": b"\x16\x03\x01 hello\r\n\r\n",
        "half a status line": b"HTTP/1.1 2",
        "a status that is no number": b"HTTP/1.1 abc OK\r\n\r\n",
        "a huge status": b"HTTP/1.1 99999 OK\r\n\r\n",
        "status 100 only": b"HTTP/1.1 100 Continue\r\n\r\n",
        "status 101": response(101, b""),
        "status 204": b"HTTP/1.1 204 No Content\r\n\r\n",
        "cut in half": response(200, whole[: len(whole) // 2], length=len(whole)),
        "longer than it says": response(200, whole, length=10),
        "a negative length": response(200, whole, length=-5),
        "a huge length": response(200, whole, length=10**30),
        "no number as length": b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n" + whole,
        "two lengths": response(200, whole, ("Content-Length", "3")),
        "a chunk that is no number": chunked + b"zz\r\nabc\r\n",
        "a chunk cut short": chunked + b"ff\r\nabc",
        "a huge chunk": chunked + b"f" * 40 + b"\r\nabc",
        "200 kB of header": response(200, whole, ("X-Long", "x" * 200_000)),
        "ten thousand headers": response(200, whole, *[("X-Many", "x")] * 10_000),
        "a header without a name": b"HTTP/1.1 200 OK\r\n: x\r\n\r\n" + whole,
        "NUL in a header": response(200, whole, ("X-Nul", "a\x00b")),
        "compressed": response(200, gzip.compress(whole), ("Content-Encoding", "gzip")),
        "a bomb": response(200, bomb, ("Content-Encoding", "gzip")),
        "a bomb as error": response(500, bomb, ("Content-Encoding", "gzip")),
        "compressed, it says": response(200, whole, ("Content-Encoding", "gzip")),
        "compressed, nobody knows how": response(200, whole, ("Content-Encoding", "zebra, br, x")),
        "megabytes": response(200, b" " * 5_000_000 + whole),
        "redirected to nowhere": response(302, b"", ("Location", "file:///etc/passwd")),
        "redirected to no address": response(307, b"", ("Location", "http://[::bad")),
        "redirected for ever": response(302, b"", ("Location", "?again")),
    }
    for charset in ("utf-16", "idna", "base64", "nonsense", "utf-8; charset=x", "\xff", "unicode_escape", "zlib"):
        for status in (200, 500):
            kind = ("Content-Type", f"application/json; charset={charset}")
            made[f"charset {charset!r}, status {status}"] = response(status, whole + b"\xff", kind)
    return made


def kinds(key: str, answer: dict[str, object]) -> dict[str, bytes]:
    """All of them; `answer` is a right one to the question asked, which they spoil."""
    spoilt = {name: response(200, body) for name, body in answers(answer).items()}
    return {**statuses(), **waits(), **usages(answer), **shapes(), **transports(), **spoilt, **echoes(key, answer)}
