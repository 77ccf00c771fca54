"""ALFWorld: six kinds of household task in rooms seen as pictures. Needs ``pip install 'gtr[alfworld]'``.

    package -> games, generate -> engine (or workers) -> env -> task
                                      world -> memory -> expert -> task
                                      world -> icons, view -> env

Importing this room imports neither TextWorld nor ALFWorld: only an engine that plays does.
"""
