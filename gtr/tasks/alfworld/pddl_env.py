"""TextWorld's environment for PDDL games, without what it does badly.

- Its translation of PDDL overwrites ``sys.argv`` and ``sys.stdout``: both are restored.
- It parses grammar strings anew, and copies their contexts deeply, for every admissible command of every step: parsing
  is memoised, contexts are copied shallowly. It words a command anew on every step: commands are worded once.
- It translates a problem four times per game: once is enough without its planner, which is never called here.

What it says and allows stays the same, letter by letter.
"""

import copy
import functools
import re
import sys
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gtr.tasks.alfworld import package

TRANSLATIONS = 24
"""Translated problems kept per process."""


@functools.cache
def make_class() -> Any:
    """TextWorld's environment for PDDL games, worded once per command and without what nobody reads."""
    package.need()
    from textworld.envs.pddl.pddl import PddlEnv

    _patch()

    class Env(PddlEnv):  # type: ignore[misc, unused-ignore]
        def load(self, data: Mapping[str, Any]) -> None:
            super().load(data)
            self._commands: dict[tuple[str, ...], str] = {}
            self._changing = _changing(self._pddl_state.task.actions)

        def entities(self) -> dict[str, Any]:
            return dict(self._entity_infos)

        def facts(self) -> Iterable[tuple[str, tuple[str, ...]]]:
            return ((f.name, tuple(v.name for v in f.arguments)) for f in self._pddl_state.facts)

        def _gather_infos(self) -> None:
            self.state["won"] = self._pddl_state.check_goal()
            self.state["lost"] = False
            actions = list(self._pddl_state.all_applicable_actions())
            commands = [self._command(action) for action in actions]
            self.state["_valid_actions"], self.state["_valid_commands"] = actions, commands
            self.state["admissible_commands"] = sorted(set(commands))

        def _command(self, action: Any) -> str:
            key = (action.name, *(variable.name for variable in action.mapping.values()))
            known = self._commands.get(key)
            if known is not None:
                return known
            fixed = not self._changing.intersection(re.findall(r"(\w+)\(", action.command_template))
            context = {
                "state": self._pddl_state,
                "facts": [],
                "variables": {ph.name: self._entity_infos[var.name] for ph, var in action.mapping.items()},
                "mapping": action.mapping,
                "entity_infos": self._entity_infos,
            }
            action.command_template = self._logic.grammar.derive(action.command_template, context)
            text: str = action.format_command({name: info.name for name, info in self._entity_infos.items()})
            if fixed:
                self._commands[key] = text
            return text

    return Env


def _changing(actions: Sequence[Any]) -> frozenset[str]:
    """Predicates that some action changes."""
    return frozenset(effect.literal.predicate for action in actions for effect in action.effects)


@functools.cache
def _patch() -> None:
    """Replaces the parts of TextWorld that are slow or unsafe, once per process."""
    import fast_downward
    from textworld.envs.pddl import logic, textgen

    textgen.deepcopy = _fresh
    textgen._parse_and_convert = _copies(functools.lru_cache(4096)(textgen._parse_and_convert))
    textgen.Rule.parse_conjunctive_query = functools.lru_cache(4096)(textgen.Rule.parse_conjunctive_query)
    logic._parse_and_convert = functools.lru_cache(16)(logic._parse_and_convert)
    fast_downward.pddl2sas = _Translator(fast_downward.pddl2sas)


def _fresh(value: Any) -> Any:
    """A copy that shares everything but the containers and symbols that the grammar writes into."""
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, list):
        return [_fresh(one) for one in value]
    made = copy.copy(value)
    for inner in ("symbol", "expression"):
        part = getattr(made, inner, None)
        if part is not None and not isinstance(part, str):
            setattr(made, inner, _fresh(part))
    return made


def _copies(function: Any) -> Any:
    @functools.wraps(function)
    def copied(*arguments: Any, **settings: Any) -> Any:
        return _fresh(function(*arguments, **settings))

    return copied


class _Translator:
    """``pddl2sas`` with a memory. The planner's own translation (`optimize`) is the plain one: nothing here plans."""

    def __init__(self, translate: Any) -> None:
        self._translate = translate
        self._known: OrderedDict[tuple[str, str], Any] = OrderedDict()

    def __call__(self, domain: str, problem: str, verbose: bool = False, optimize: bool = False) -> Any:
        key = (domain, problem)
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        arguments, output = sys.argv, sys.stdout
        try:
            found = self._translate(domain, problem, verbose=verbose)
        finally:
            sys.argv, sys.stdout = arguments, output
        self._known[key] = found
        if len(self._known) > TRANSLATIONS:
            self._known.popitem(last=False)
        return found
