"""Plays games in ALFWorld's own text environment, untouched by gtr: a program of its own, with no import of gtr.

    python stock.py DATA_FOLDER COMMANDS.json ANSWERS.json

COMMANDS maps game files to lists of commands. ANSWERS maps them to one entry per observation: feedback, admissible
commands, score, won.
"""

import json
import os
import sys
from pathlib import Path


def main() -> None:
    data, commands_path, answers_path = map(Path, sys.argv[1:4])
    os.environ["ALFWORLD_DATA"] = str(data)
    from alfworld.agents.environment.alfred_tw_env import AlfredTWEnv

    commands = json.loads(commands_path.read_text())
    config = {
        "env": {
            "goal_desc_human_anns_prob": 0,
            "task_types": [1, 2, 3, 4, 5, 6],
            "domain_randomization": False,
            "expert_type": "handcoded",
        },
        "dataset": {"data_path": str(data / "json_2.1.1" / "train"), "num_train_games": 0},
        "general": {"training_method": "dqn"},
        "rl": {"training": {"max_nb_steps_per_episode": 1000}},
    }
    games = AlfredTWEnv(config, train_eval="train")
    games.game_files = sorted(commands)
    env = games.init_env(batch_size=1)
    answers: dict[str, list[object]] = {}
    while len(answers) < len(commands):
        feedback, infos = env.reset()
        game = infos["extra.gamefile"][0]
        seen = [(feedback[0], infos["admissible_commands"][0], 0, infos["won"][0])]
        for command in [] if game in answers else commands[game]:
            feedback, scores, _, infos = env.step([command])
            seen.append((feedback[0], infos["admissible_commands"][0], scores[0], infos["won"][0]))
        answers.setdefault(game, seen)
    env.close()
    answers_path.write_text(json.dumps(answers))


if __name__ == "__main__":
    main()
