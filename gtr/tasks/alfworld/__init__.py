"""ALFWorld: six kinds of household task in rooms seen as pictures. Needs ``pip install 'guided-thought[alfworld]'``.

    package -> draft -> pddl -> generate -> game_set -> env -> task
               pddl_env, facts -> engine (or workers) -> env
                         world -> memory -> expert -> task
                         world -> icons, render -> env

Importing this room imports neither TextWorld nor ALFWorld: only an engine that plays does.
"""
