"""One icon per kind of thing and receptacle, as shapes on a 16 x 16 grid: data, no drawing.

A line is a list of shapes separated by ``;``. ``e`` ellipse, ``r`` rectangle, ``o`` rounded rectangle: left top right
bottom colour. ``l`` line: x y x y ... width colour. ``p`` polygon: x y x y ... colour.
"""

# One icon a line, however long.
# ruff: noqa: E501

COLOURS = {
    "red": (206, 44, 44), "rose": (240, 130, 150), "orange": (240, 140, 30), "yellow": (248, 214, 50),
    "lime": (160, 205, 60), "green": (50, 150, 70), "teal": (30, 150, 150), "sky": (110, 190, 240),
    "blue": (45, 95, 205), "navy": (25, 45, 110), "purple": (140, 70, 170), "pink": (245, 170, 215),
    "brown": (125, 75, 40), "tan": (215, 175, 120), "cream": (250, 238, 205), "white": (252, 252, 252),
    "silver": (200, 205, 212), "grey": (140, 145, 150), "dark": (70, 72, 78), "black": (25, 25, 28),
    "gold": (205, 160, 40), "wood": (170, 115, 65),
}  # fmt: skip

THINGS = {
    "alarmclock": "e 3 4 13 14 red;e 5 6 11 12 white;l 8 9 8 6.5 1 black;l 8 9 10 9 1 black;e 3 2 6 5 red;e 10 2 13 5 red",
    "apple": "e 2 5 14 15 red;l 8 5 9 1 1.4 brown;p 9 4 13 1 12 4 green",
    "baseballbat": "l 3 14 13 3 3 tan;l 2 15 6 11 1.6 brown",
    "basketball": "e 2 2 14 14 orange;l 2 8 14 8 1 black;l 8 2 8 14 1 black",
    "book": "r 3 2 13 14 blue;r 3 2 5 14 navy;r 6.5 4 11.5 6 white",
    "boots": "p 4 2 8 2 8 10 14 11 14 14 4 14 brown",
    "bowl": "p 1 6 15 6 12 13 4 13 sky;e 1 4 15 8 white",
    "box": "r 2 5 14 14 tan;p 2 5 5 2 11 2 14 5 wood;l 8 5 8 14 1 brown",
    "bread": "o 1 5 15 14 wood;e 1 3 8 10 wood;e 7 3 15 10 wood;l 5 7 5 12 1 brown;l 8 7 8 12 1 brown;l 11 7 11 12 1 brown",
    "butterknife": "r 7 1 10 10 silver;r 7 10 9 15 gold",
    "candle": "r 6 6 10 15 cream;p 8 1 10 4 8 6 6 4 orange",
    "cd": "e 2 2 14 14 silver;e 5 5 11 11 purple;e 6.5 6.5 9.5 9.5 white",
    "cellphone": "o 4 1 12 15 black;r 5 3 11 12 sky",
    "cloth": "p 2 3 14 2 13 13 3 14 pink;l 3 6 13 5 1 red;l 3 10 13 9 1 red",
    "creditcard": "o 1 4 15 12 green;r 1 6 15 7.5 black;r 3 9 7 10.5 gold",
    "cup": "p 3 2 13 2 11 14 5 14 orange;e 3 1 13 4 cream",
    "curtains": "r 1 1 15 3 brown;p 1 3 7 3 4 15 1 15 purple;p 15 3 9 3 12 15 15 15 purple",
    "desklamp": "r 4 13 12 15 dark;l 8 13 5 8 1.4 dark;l 5 8 9 4 1.4 dark;p 7 1 14 5 11 8 5 5 gold",
    "dishsponge": "o 2 5 14 12 yellow;r 2 9 14 12 green",
    "egg": "e 4 2 12 14 cream",
    "faucet": "r 3 3 6 14 silver;r 3 3 13 6 silver;r 10 6 13 9 silver",
    "floorlamp": "r 7 6 9 14 dark;e 4 13 12 16 dark;p 5 1 11 1 13 6 3 6 gold",
    "fork": "r 7 7 9 15 silver;r 4 1 5.3 7 silver;r 7.3 1 8.7 7 silver;r 10.7 1 12 7 silver;r 4 6 12 8 silver",
    "glassbottle": "r 6.5 1 9.5 5 teal;o 4 5 12 15 teal;r 6 7 7 13 white",
    "handtowel": "r 4 1 12 13 lime;r 4 10 12 11 white;r 4 13 12 15 green",
    "houseplant": "p 4 10 12 10 11 15 5 15 orange;e 2 3 8 9 green;e 8 3 14 9 green;e 5 1 11 8 green",
    "kettle": "e 3 5 13 15 grey;l 4 6 6 2 10 2 12 6 1.4 black;p 12 8 16 5 15 9 grey",
    "keychain": "e 2 2 9 9 gold;e 4 4 7 7 white;l 8 8 14 14 1.8 gold;l 12 12 14 10 1.4 gold",
    "knife": "p 7 1 11 5 11 10 7 10 silver;r 7 10 10 15 black",
    "ladle": "e 3 9 11 15 dark;l 9 11 13 1 1.8 dark",
    "laptop": "r 3 2 13 10 dark;r 4 3 12 9 sky;p 1 14 15 14 13 10 3 10 silver",
    "laundryhamperlid": "e 1 5 15 11 wood",
    "lettuce": "e 1 4 9 13 lime;e 7 4 15 13 lime;e 4 2 12 10 green;e 5 7 11 14 lime",
    "lightswitch": "o 4 2 12 14 white;r 7 5 9 11 grey",
    "mirror": "e 3 1 13 15 gold;e 4.5 2.5 11.5 13.5 sky",
    "mug": "e 9 5 15 12 blue;e 10.5 6.5 13.5 10.5 white;r 2 3 11 14 blue",
    "newspaper": "r 2 2 14 14 silver;r 3.5 4 12.5 6 black;l 4 8 12 8 0.8 dark;l 4 10 12 10 0.8 dark;l 4 12 12 12 0.8 dark",
    "painting": "r 1 2 15 14 gold;r 3 4 13 12 sky;p 3 12 7 7 11 12 green",
    "pan": "e 1 5 11 15 dark;e 3 7 9 13 grey;l 9 7 15 2 2 black",
    "papertowel": "e 4 1 12 5 white;r 4 3 12 14 white;e 6.5 2 9.5 4 wood",
    "papertowelroll": "r 4 3 12 14 white;e 4 1 12 5 silver;e 6.5 2 9.5 4 wood;r 12 3 14 9 white",
    "pen": "l 3 13 12 4 2 blue;p 2 15 2.5 11.5 5 13.5 black;l 11 5 13 3 2 black",
    "pencil": "l 4 12 12 4 2.4 yellow;p 2 15 3 11 5.5 13 tan;l 12 4 13.5 2.5 2.4 rose",
    "peppershaker": "r 5 5 11 15 black;e 5 2 11 7 silver",
    "pillow": "o 1 4 15 13 rose;o 3 6 13 11 pink",
    "plate": "e 1 3 15 14 white;e 4 6 12 11 silver",
    "plunger": "r 7 1 9 9 wood;p 3 14 13 14 11 8 5 8 red",
    "poster": "r 3 1 13 15 yellow;p 4 10 8 4 12 10 red",
    "pot": "r 3 5 13 14 silver;r 0.5 6 3 8 black;r 13 6 15.5 8 black;r 2.5 3.5 13.5 5.5 grey",
    "potato": "e 1 4 15 13 tan;e 4 6 5 7 brown;e 9 8 10 9 brown;e 7 10 8 11 brown",
    "remotecontrol": "o 5 1 11 15 dark;e 7 2.5 9 4.5 red;e 6 7 7.4 8.4 white;e 8.6 7 10 8.4 white;e 6 10 7.4 11.4 white;e 8.6 10 10 11.4 white",
    "saltshaker": "r 5 5 11 15 white;e 5 2 11 7 silver",
    "scrubbrush": "r 2 5 14 8 blue;r 3 8 13 12 cream",
    "showercurtain": "r 1 1 15 2.5 grey;r 2 2.5 14 15 sky",
    "showerdoor": "r 3 1 13 15 sky;r 10 7 11 10 dark",
    "showerglass": "r 2 1 14 15 silver;l 4 12 11 4 1 white",
    "showerhead": "l 3 3 9 3 1.6 silver;p 7 5 13 5 15 9 5 9 silver;l 7 11 7 14 0.8 blue;l 10 11 10 14 0.8 blue;l 13 11 13 14 0.8 blue",
    "sink": "e 1 4 15 14 silver;e 4 7 12 12 sky",
    "soapbar": "o 2 5 14 12 pink;o 4 7 12 10 white",
    "soapbottle": "o 4 6 12 15 purple;r 7 3 9 6 white;r 7 2 13 4 white",
    "spatula": "r 7 8 9 15 black;r 4 1 12 8 red;l 6.5 2.5 6.5 6.5 0.8 white;l 9.5 2.5 9.5 6.5 0.8 white",
    "spoon": "e 5 1 11 8 silver;r 7.2 7 8.8 15 silver",
    "spraybottle": "p 4 7 12 7 13 15 3 15 sky;r 6 4 10 7 blue;p 3 2 11 2 11 5 6 5 blue",
    "statue": "r 4 13 12 15 grey;p 5 13 11 13 10 6 6 6 grey;e 5.5 1 10.5 6.5 grey",
    "stoveknob": "e 3 3 13 13 black;r 7 3 9 8 white",
    "teddybear": "e 3 5 13 15 wood;e 2 2 6 6 wood;e 10 2 14 6 wood;e 4 1.5 12 9 tan;e 6 4 7 5 black;e 9 4 10 5 black",
    "television": "r 1 2 15 12 black;r 2 3 14 11 navy;r 6 12 10 14 dark",
    "tennisracket": "e 5 1 14 10 green;e 6.5 2.5 12.5 8.5 cream;l 6 9 2 15 2 brown",
    "tissuebox": "r 2 7 14 14 teal;p 5 7 8 1 11 7 white",
    "toiletpaper": "e 2 3 14 14 white;e 6 6.5 10 10.5 wood",
    "toiletpaperroll": "e 4 4 12 12 wood;e 6.5 6.5 9.5 9.5 white",
    "tomato": "e 2 4 14 15 rose;e 3 5 13 14 red;p 8 6 4 3 8 4 12 3 green",
    "towel": "r 3 1 13 15 teal;r 3 11 13 13 white",
    "vase": "p 6 1 10 1 9 5 13 9 10 15 6 15 3 9 7 5 purple",
    "watch": "r 6 1 10 15 brown;e 3.5 4 12.5 12 gold;e 5 5.5 11 10.5 white;l 8 8 8 6 0.9 black;l 8 8 10 8 0.9 black",
    "wateringcan": "r 4 6 12 14 green;l 12 11 15.5 5 1.8 green;l 4 7 1.5 9 4 13 1.2 green",
    "window": "r 2 2 14 14 white;r 3 3 7.5 7.5 sky;r 8.5 3 13 7.5 sky;r 3 8.5 7.5 13 sky;r 8.5 8.5 13 13 sky",
    "winebottle": "r 6.7 1 9.3 6 green;o 4.5 5 11.5 15 green;r 4.5 8 11.5 12 cream",
}  # fmt: skip
"""Kinds of things, by ALFWorld's lower-case names."""

RECEPTACLES = {
    "armchair": "o 2 2 14 11 green;o 0.5 6 4 14 green;o 12 6 15.5 14 green;r 4 8 12 13 lime",
    "bathtubbasin": "p 1 6 15 6 13 13 3 13 white;r 1 5 15 7 silver;e 4 6 12 10 sky",
    "bed": "r 1 4 3 14 wood;r 3 8 15 12 rose;o 3 6 7 9 white;r 13 12 15 14 wood",
    "cabinet": "r 2 1 14 15 wood;l 8 1 8 15 0.8 brown;e 6 7 7.4 8.6 gold;e 8.6 7 10 8.6 gold",
    "cart": "r 2 3 14 5 silver;r 2 9 14 11 silver;l 3 3 3 13 1 grey;l 13 3 13 13 1 grey;e 2 12 5 15 black;e 11 12 14 15 black",
    "coffeemachine": "r 3 1 13 15 dark;r 5 6 11 13 silver;r 6 9 10 13 black;e 10 2.5 12 4.5 red",
    "coffeetable": "r 1 6 15 8 brown;r 2 8 4 12 brown;r 12 8 14 12 brown;r 3 10 13 11 tan",
    "countertop": "r 0.5 3 15.5 6 grey;r 1.5 6 14.5 14 cream",
    "desk": "r 1 4 15 6 wood;r 2 6 6 14 wood;r 12 6 14 14 wood;r 3 7.5 5 9 gold;r 3 10.5 5 12 gold",
    "diningtable": "e 0.5 3 15.5 9 wood;r 7 8 9 14 brown;r 4 13 12 15 brown",
    "drawer": "r 1 4 15 12 tan;r 2.5 5.5 13.5 10.5 wood;r 6 7.2 10 8.8 gold",
    "dresser": "r 2 2 14 14 brown;l 2 6 14 6 0.8 tan;l 2 10 14 10 0.8 tan;r 7 3.5 9 4.8 gold;r 7 7.5 9 8.8 gold;r 7 11.5 9 12.8 gold",
    "fridge": "o 3 1 13 15 silver;l 3 6 13 6 0.8 dark;r 4.5 3 5.5 5 dark;r 4.5 7.5 5.5 12 dark",
    "garbagecan": "p 3 4 13 4 11.5 15 4.5 15 dark;r 2 2 14 4 black;l 6 6 6.5 13 0.8 grey;l 10 6 9.5 13 0.8 grey",
    "handtowelholder": "l 3 3 13 3 1.6 silver;r 5 4 11 9 lime;e 1.5 1.5 4.5 4.5 grey",
    "laundryhamper": "p 3 5 13 5 12 15 4 15 tan;e 3 3 13 7 brown;l 5 9 11 9 0.8 brown;l 5 12 11 12 0.8 brown",
    "microwave": "r 1 3 15 13 dark;r 2.5 5 10.5 11 sky;e 12 5 14 7 red;r 12 8 14 11 grey",
    "ottoman": "o 1 5 15 12 purple;r 2 12 4 14 brown;r 12 12 14 14 brown",
    "safe": "r 2 2 14 14 grey;e 5 5 11 11 black;e 6.5 6.5 9.5 9.5 gold",
    "shelf": "r 1 5 15 7 wood;p 3 7 5 7 3 11 brown;p 13 7 11 7 13 11 brown",
    "sidetable": "r 3 4 13 6 tan;r 4 6 6 14 tan;r 10 6 12 14 tan;r 6 7 10 10 wood",
    "sinkbasin": "o 1 7 15 14 silver;e 3 8 13 13 sky;l 8 8 8 3 12 3 12 6 1.4 grey",
    "sofa": "o 1 3 15 10 blue;o 0.5 6 4 13 navy;o 12 6 15.5 13 navy;r 4 8 12 13 sky",
    "stoveburner": "e 1 1 15 15 dark;e 3.5 3.5 12.5 12.5 red;e 5.5 5.5 10.5 10.5 dark;e 7 7 9 9 red",
    "toaster": "o 1 5 15 14 silver;r 4 3 7 6 wood;r 9 3 12 6 wood;r 13 8 14.5 10 black",
    "toilet": "r 4 1 12 6 white;e 3 6 13 14 white;e 5 8 11 12 sky",
    "toiletpaperhanger": "l 3 2 3 8 1.4 grey;l 3 8 13 8 1.4 grey;e 6 4 12 12 white",
    "towelholder": "l 2 3 14 3 1.6 silver;r 4 4 12 13 teal",
    "tvstand": "r 1 7 15 13 dark;r 2.5 8.5 7 11.5 grey;r 9 8.5 13.5 11.5 grey;r 3 1 13 7 navy",
}  # fmt: skip
"""Kinds of receptacles, by ALFWorld's lower-case names."""

UNKNOWN = "o 1 1 15 15 grey;l 5 5 8 3 11 5 8 9 1.6 white;e 7 11 9 13 white"
"""A kind that no table knows."""

HAND = (
    "o 4 8 12 15 tan;r 3.5 3 5.5 9 tan;r 6 1.5 8 9 tan;r 8.5 2 10.5 9 tan;r 11 4 12.6 9 tan;p 4 14 0.5 9 2 8 5 11 tan"
)

CLOSED = "l 2 2 14 14 2 red;l 14 2 2 14 2 red"
OPEN = "l 2 9 6 13 14 3 2.4 green"
CLEAN = "p 8 1 10 6 15 8 10 10 8 15 6 10 1 8 6 6 sky"
HOT = "p 8 1 12 7 12 12 8 15 4 12 4 7 orange;p 8 7 10 10 8 14 6 10 yellow"
COOL = "l 8 1 8 15 2 blue;l 2 4.5 14 11.5 2 blue;l 2 11.5 14 4.5 2 blue"
LIT = "e 4 4 12 12 yellow;l 8 0 8 16 1 gold;l 0 8 16 8 1 gold;l 2 2 14 14 1 gold;l 14 2 2 14 1 gold"
