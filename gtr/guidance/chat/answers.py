"""The form of a corrector's answer, and how it becomes a verdict (paper section 3.2)."""

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, create_model

from gtr.tasks.task import CorrectorSpec, Task
from gtr.types import Judgement, Observation, Verdict

LONGEST = 2000
"""Characters of one text in a corrected thought."""
MOST_OBJECTS = 20
"""Beginnings of JSON objects that are tried in one text."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_SPECIAL = re.compile(r"<[|/]?\w+\|?>|\[/?INST\]|<\|")
"""What tokenizers may read as special tokens: an image placeholder in a lesson would break the next forward."""


class BadAnswer(Exception):
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
        try:
            value, end = json.JSONDecoder(strict=False).raw_decode(text, start)
            return form.model_validate(value)
        except ValidationError as error:
            fault = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:5])
        except (ValueError, RecursionError) as error:
            fault, end = f"the JSON object cannot be read: {error}", start + 1
        start = text.find("{", end)
    raise BadAnswer(fault)


def to_verdict(answer: BaseModel, task: Task, observation: Observation, kept: str | None) -> Verdict:
    """The verdict of an answer. The evaluation counts, as in the paper, even where the checks say otherwise.

    Raises:
        BadAnswer: the answer contradicts itself or the game's rules.
    """
    said = answer.model_dump()
    checks = dict(said["checks"])
    target = kept or _target(said.get("target"), task, observation)
    if said["evaluation"] == "YES":
        return Verdict(Judgement.CORRECT, answers=checks, target=target)
    if said["possible_solution"] == "NO":
        return Verdict(Judgement.UNSOLVABLE, answers=checks, target=target, stop=True)
    if said["correction"] is None:
        raise BadAnswer("evaluation is NO and possible_solution is YES, so correction must be the corrected thought")
    thought = {key: _clean(said["correction"][key]) for key in task.thought_keys}
    objection = task.validate_correction(observation, thought)
    if objection is not None:
        raise BadAnswer(f"the correction is not right: {objection}")
    action = said["action"]
    legal = action is not None and task.to_env(action.strip(), observation) is not None
    return Verdict(Judgement.INCORRECT, thought, action.strip() if legal else None, checks, target)


def contradicts(verdict: Verdict) -> bool:
    """Whether a thought was judged right against a check, or wrong although all checks passed."""
    if verdict.judgement is Judgement.SCORED:
        return False
    return (verdict.judgement is Judgement.CORRECT) != all(verdict.answers.values())


def _target(value: str | None, task: Task, observation: Observation) -> str | None:
    """A plan worth keeping: one that the game's words beside the picture do not rule out already."""
    plan = _clean(value or "").strip()
    return plan if plan and task.fits(observation, plan) else None


def _clean(value: Any) -> Any:
    """A value fit to be learnt from: no control characters, no special tokens, no endless text."""
    if isinstance(value, list):
        return [_clean(one) for one in value]
    if not isinstance(value, str):
        return value
    if len(value) > LONGEST:
        raise BadAnswer(f"a text of the correction is longer than {LONGEST} characters")
    if _SPECIAL.search(value):
        raise BadAnswer("the correction holds something that looks like a special token")
    return _CONTROL.sub(" ", value)
