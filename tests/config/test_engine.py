"""Settings of the engine: what is right alone and wrong together, and what a run that has begun may change."""

from typing import Any

import pytest

from gtr.config.checks import check_resume, validate
from gtr.config.io import changed, config_from_dict, config_to_dict
from gtr.config.presets import build
from gtr.errors import ConfigError

VLLM = {"engine.name": "vllm", "engine.sync": "adapter"}
NOWHERE = (
    *("http://", "http://[::1", "http://.", "http://a..b", "http://xn--", "http://a.xn--", "http://a\0b", "http://a:0"),
    *("http://\u202e", "http://\u00e9.com", f"http://{'a' * 64}.b", "http://a:99999", "http://a:\uff11", "file:///etc"),
)
"""Addresses at which no library finds a server."""
LANGUAGE = {"policy.finetune": "lora", "policy.lora_target": "language"}


@pytest.mark.parametrize(
    ("dotted", "key"),
    [
        (VLLM, "engine.sync"),
        ({**VLLM, **LANGUAGE, "policy.lora_target": "all"}, "engine.sync"),
        ({**VLLM, **LANGUAGE, "policy.finetune": "full"}, "engine.sync"),
        ({"engine.servers": ()}, "engine.servers"),
        *(({"engine.servers": (one,)}, "engine.servers") for one in ("localhost:8000", "ftp://a", "http://a b", " ")),
        *(({"engine.servers": (one,)}, "engine.servers") for one in ("http://me:key@host", "http://host/?key=1")),
        *(({"engine.servers": (one,)}, "engine.servers") for one in NOWHERE),
        *(({"algo.teacher": one}, "algo.teacher") for one in NOWHERE if "://" in one),
        *(({"corrector.base_url": one}, "corrector.base_url") for one in NOWHERE),
        ({"engine.name": "sglang"}, "engine.name"),
        *(({f"engine.{key}": value}, f"engine.{key}") for key in ("timeout", "in_flight") for value in (0, -1, 1e9)),
        ({"engine.correction_cap": 0.5}, "engine.correction_cap"),
        ({"engine.correction_floor": 1.5}, "engine.correction_floor"),
        ({"engine.tolerance": 0.0}, "engine.tolerance"),
        ({"engine.retries": -1}, "engine.retries"),
        ({"engine.max_staleness": 1}, "engine.max_staleness"),
        ({"engine.name": "vllm", "engine.max_staleness": -1}, "engine.max_staleness"),
    ],
)
def test_what_cannot_work_is_named(dotted: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        validate(changed(build("opd" if "algo.teacher" in dotted else "gtr"), dotted))


def test_what_works() -> None:
    ahead = {"engine.name": "vllm", "engine.max_staleness": 2}
    for dotted in (ahead, {**VLLM, **LANGUAGE}, {"engine.servers": ("https://a.b:1/v1", "http://[::1]:8000/")}):
        validate(changed(build("gtr"), dotted))


def test_settings_from_before_there_were_engines() -> None:
    old = config_to_dict(build("gtr"))
    del old["engine"]
    del old["policy"]["lora_target"]
    assert config_from_dict(old) == build("gtr")


def test_what_a_begun_run_may_change() -> None:
    begun = build("gtr")
    check_resume(begun, changed(begun, {"engine.servers": ("http://a",), "engine.timeout": 3.0, "engine.retries": 9}))
    for dotted in ({"engine.name": "vllm"}, {"engine.correction": "off"}, {"engine.correction_cap": 3.0}):
        with pytest.raises(ConfigError, match=next(iter(dotted))):
            check_resume(begun, changed(begun, dotted))
