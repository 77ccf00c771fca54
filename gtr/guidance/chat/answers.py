"""The form of a corrector's answer, and how it becomes a verdict (paper section 3.2)."""

import json
import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, create_model

from gtr.report.files import UNUSABLE
from gtr.tasks.reply import valid_text
from gtr.tasks.task import CorrectorSpec, Task
from gtr.types import Judgement, Observation, Verdict

LONGEST = 2000
"""Characters of one text in a corrected thought."""
LONGEST_THOUGHT = 4000
"""Characters of a corrected thought as it is written into a lesson."""
MOST_OBJECTS = 20
"""Beginnings of JSON objects that are tried in one text."""
MOST_SAID = 1000
"""Characters of what is said to be wrong with an answer."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_SPECIAL = re.compile(r"<[|/]?\w+\|?>|\[/?INST\]|<\|")
"""What tokenizers may read as special tokens: an image placeholder in a lesson would break the next forward."""


class BadAnswer(ValueError):
    """An answer that is not what was asked for; the text says why, in words that the model can act on."""


def _yes_or_no(value: object) -> object:
    if isinstance(value, bool):
        return "YES" if value else "NO"
    return value.strip(" .").upper() if isinstance(value, str) else value


YesNo = Annotated[Literal["YES", "NO"], BeforeValidator(_yes_or_no)]


def answer_form(spec: CorrectorSpec, thought_keys: tuple[str, ...]) -> type[BaseModel]:
    """The model of an answer: what is seen, the checks, the evaluation, and the correction."""
    checks = create_model("Checks", **_all(dict.fromkeys(spec.questions, bool)))
    thought = create_model("Thought", **_all({key: spec.thought.get(key, str) for key in thought_keys}))
    plan = {"target": str | None} if spec.plan else {}
    fields = {
        "seen": str,
        "checks": checks,
        "evaluation": YesNo,
        "possible_solution": YesNo,
        **plan,
        "correction": thought | None,
        "action": str | None,
    }
    return create_model("Answer", **_all(fields))


def _all(types: Mapping[str, Any]) -> dict[str, Any]:
    return {key: (kind, Field()) for key, kind in types.items()}


def schema_of(form: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a form, closed to further keys as strict structured output wants it."""
    schema = form.model_json_schema()
    for part in (schema, *schema.get("$defs", {}).values()):
        part["additionalProperties"] = False
    return schema


def read_answer(text: str, form: type[BaseModel]) -> BaseModel:
    """The first JSON object of a text that has the given form: some models think aloud, in JSON too, beforehand.

    Raises:
        BadAnswer: there is none; it says what is wrong with the last object that could be read at all.
    """
    fault = "there is no JSON object in it"
    start = text.find("{")
    for _ in range(MOST_OBJECTS):
        if start < 0:
            break
        end = start + 1
        try:
            value, end = json.JSONDecoder(strict=False).raw_decode(text, start)
            # Again, although the text itself is valid: JSON can spell half a character in letters.
            return form.model_validate(valid_text(value))
        except ValidationError as error:
            faults = error.errors(include_url=False, include_context=False, include_input=False)[:5]
            fault = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in faults)[:MOST_SAID]
        except UNUSABLE as error:
            fault = f"the JSON object cannot be read: {error}"
        start = text.find("{", end)
    raise BadAnswer(fault)


def to_verdict(answer: BaseModel, task: Task, observation: Observation, kept: str | None) -> Verdict:
    """The verdict of an answer. The evaluation counts, as in the paper, even where the checks say otherwise.

    Raises:
        BadAnswer: the answer contradicts itself or the game's rules, or the game cannot make sense of it.
    """
    try:
        return _verdict(answer.model_dump(), task, observation, kept)
    except BadAnswer:
        raise
    except UNUSABLE as error:  # A task's own code, over whatever a model may write.
        raise BadAnswer(f"the game cannot make sense of it: {type(error).__name__}: {str(error)[:200]}") from error


def _verdict(said: Mapping[str, Any], task: Task, observation: Observation, kept: str | None) -> Verdict:
    checks = dict(said["checks"])
    target = kept or _target(said.get("target"), task, observation)
    if said["evaluation"] == "YES":
        return Verdict(Judgement.CORRECT, answers=checks, target=target)
    if said["possible_solution"] == "NO":
        return Verdict(Judgement.UNSOLVABLE, answers=checks, target=target, stop=True)
    if said["correction"] is None:
        raise BadAnswer("evaluation is NO and possible_solution is YES, so correction must be the corrected thought")
    thought = clean_thought({key: said["correction"][key] for key in task.thought_keys})
    fault = task.validate_correction(observation, thought)
    if fault is not None:
        raise BadAnswer(f"the correction is not right: {fault[:MOST_SAID]}")
    action = clean(said["action"] or "").strip()
    legal = bool(action) and task.to_env(action, observation) is not None
    return Verdict(Judgement.INCORRECT, thought, action if legal else None, checks, target)


def contradicts(verdict: Verdict) -> bool:
    """Whether a thought was judged right against a check, or wrong although all checks passed."""
    if verdict.judgement is Judgement.SCORED:
        return False
    return (verdict.judgement is Judgement.CORRECT) != all(verdict.answers.values())


def _target(value: str | None, task: Task, observation: Observation) -> str | None:
    """A plan worth keeping: one that the game's words beside the picture do not rule out already."""
    plan = clean(value or "").strip()
    return plan if plan and task.fits(observation, plan) else None


def clean_thought(thought: Mapping[str, Any]) -> dict[str, Any]:
    """A corrected thought fit to be learnt from. Raises `BadAnswer` for what cannot be made so."""
    cleaned = {str(key): clean(value) for key, value in thought.items()}
    if len(json.dumps(cleaned, ensure_ascii=False)) > LONGEST_THOUGHT:
        raise BadAnswer(f"the correction is longer than {LONGEST_THOUGHT} characters")
    return cleaned


def clean(value: Any) -> Any:
    """A value without control characters, special tokens, endless text, or numbers that JSON does not know."""
    if isinstance(value, list):
        return [clean(one) for one in value]
    if isinstance(value, dict):
        return {clean(str(key)): clean(one) for key, one in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        raise BadAnswer("a number of the correction is not finite")
    if not isinstance(value, str):
        return value
    if len(value) > LONGEST:
        raise BadAnswer(f"a text of the correction is longer than {LONGEST} characters")
    if _SPECIAL.search(value):
        raise BadAnswer("the correction holds something that looks like a special token")
    return _CONTROL.sub(" ", valid_text(value))
