"""Drafts as PDDL, in the words and order of ALFWorld's own problems."""

from gtr.tasks.alfworld import package
from gtr.tasks.alfworld.draft import LAMP, Draft, type_of
from gtr.tasks.alfworld.games import Game
from gtr.tasks.alfworld.world import Kind


def _safe(key: str) -> str:
    """An id as PDDL may name it, in ALFWorld's way."""
    signs = {"|": "_bar_", "-": "_minus_", "+": "_plus_", ".": "_dot_", ",": "_comma_"}
    return "".join(signs.get(sign, sign) for sign in key)


def game_of(draft: Draft) -> Game:
    """The draft as a game that the engine reads; no walkthrough yet."""
    logic = package.logic()
    grammar = logic.grammar.replace("UNKNOWN GOAL", draft.text)
    return Game(draft.name, draft.kind, logic.domain, grammar, _problem(draft), None)


def _problem(draft: Draft) -> str:
    constants = package.constants()
    known, actions = constants["VAL_RECEPTACLE_OBJECTS"], constants["VAL_ACTION_OBJECTS"]
    kind_of = {thing: thing.split("|")[0] for thing in draft.inside}
    things = sorted(set(kind_of.values()) | ({draft.thing, draft.where} if draft.kind is Kind.LOOK else {draft.thing}))
    places = sorted({type_of(key) for key in draft.receptacles})
    spots = sorted(set(draft.receptacles.values()))
    declared = [
        "agent1 - agent",
        *(f"{name}Type - otype" for name in things),
        *(f"{name}Type - rtype" for name in sorted({*places, "Sink", "SinkBasin", "Microwave", "Fridge"})),
        *(f"{name}Type - otype" for name in ("Knife", "ButterKnife") if name not in things),
        *(f"{_safe(key)} - object" for key in sorted(draft.inside)),
        *(f"{_safe(key)} - receptacle" for key in sorted(draft.receptacles)),
        *(f"{_safe(spot)} - location" for spot in [*spots, draft.start]),
    ]
    facts = [f"atLocation agent1 {_safe(draft.start)}"]
    for key, spot in sorted(draft.receptacles.items()):
        facts.append(f"receptacleType {_safe(key)} {type_of(key)}Type")
        facts.append(f"receptacleAtLocation {_safe(key)} {_safe(spot)}")
        if type_of(key) in constants["OPENABLE_CLASS_SET"]:
            facts.append(f"openable {_safe(key)}")
    properties = {"Cleanable": "cleanable", "Heatable": "heatable", "Coolable": "coolable", "Toggleable": "toggleable"}
    for key, receptacle in sorted(draft.inside.items()):
        name, kind = _safe(key), kind_of[key]
        facts.append(f"objectType {name} {kind}Type")
        facts.append(f"inReceptacle {name} {_safe(receptacle)}")
        facts.append(f"objectAtLocation {name} {_safe(draft.receptacles[receptacle])}")
        facts += [f"{word} {name}" for group, word in properties.items() if kind in actions[group]]
        if kind != LAMP:
            facts.append(f"pickupable {name}")
    facts += [f"canContain {place}Type {kind}Type" for place in places for kind in things if kind in known[place]]
    goal = str(package.goals()[draft.kind.value]["pddl"])
    goal = goal.format(obj=draft.thing, recep=draft.where, toggle=draft.where).replace("#", "-")
    init = "\n  ".join(f"({fact})" for fact in facts)
    name = draft.name.replace("/", "_")
    objects = "\n  ".join(declared)
    return f"(define (problem {name})\n(:domain alfred)\n(:objects\n  {objects}\n)\n(:init\n  {init}\n)\n{goal}\n"
