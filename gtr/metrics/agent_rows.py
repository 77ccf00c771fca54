"""What a rollout alone tells of an agent: its episodes, replies, actions and thoughts."""

from gtr.metrics.metric import Metric

GTR = "arXiv 2503.08525"
MAYE = "arXiv 2504.02587, table 2"
ENDED = "episode/ended"
TURNS, COMPLETE, ANNOUNCED = "count/turns", "count/complete", "count/announced"
THOUGHTS, JUDGED, STARTS, ANNOUNCED_RIGHT = "count/thoughts", "count/judged", "count/starts", "count/announced_right"

AGENT = (
    # -- episodes -------------------------------------------------------------------------------------------------
    Metric(
        "episode/success",
        "episodes that reached their goal / ended episodes",
        "Training success: sampled, with early stops; compare methods by `gtr eval` instead.",
        "up",
        n=ENDED,
    ),
    Metric(
        "episode/return",
        "sum of all rewards / ended episodes",
        "Undiscounted return of an episode. A ratio of totals, so that episodes cut by the rollout's edge do not bias "
        "it towards short ones; without what an environment that broke had given before.",
        "up",
        n=ENDED,
    ),
    Metric(
        "episode/conditions",
        "mean share of the goal's conditions that hold when an episode ends",
        "Partial success, in games that count conditions (ALFWorld); 1 where the goal is reached.",
        "up",
        "arXiv 1912.01734",
        n=ENDED,
    ),
    Metric(
        "episode/length",
        "mean number of turns of ended episodes",
        "Counted from the episode's own start, also when that lay in an earlier rollout.",
        "steady; doubling or halving without more success is collapse",
        n=ENDED,
    ),
    Metric("episode/ended", "number of ended episodes", "How many episodes the shares above rest on.", "-"),
    Metric(
        "episode/stopped",
        "episodes ended by the corrector / ended episodes",
        "Early truncation (reference code).",
        "down",
        GTR,
        n=ENDED,
    ),
    Metric(
        "episode/truncated", "episodes cut by the time limit / ended episodes", "The agent dithers.", "down", n=ENDED
    ),
    Metric(
        "episode/aborted",
        "number of turns on which an environment broke",
        "These turns count in no other metric.",
        "0",
    ),
    # -- replies --------------------------------------------------------------------------------------------------
    Metric("reply/complete", "complete replies / turns", "Replies that have every key once.", "up, near 1", n=TURNS),
    Metric("reply/empty", "empty replies / turns", "Nothing but white space.", "0", n=TURNS),
    Metric("reply/cut", "cut replies / turns", "The token limit came before the end.", "0", n=TURNS),
    Metric("reply/malformed", "malformed replies / turns", "Not readable as thought and action.", "0", n=TURNS),
    Metric("reply/missing_key", "replies without a required key / turns", "Readable but not whole.", "0", n=TURNS),
    Metric("reply/repeated_key", "replies with a key twice / turns", "Ambiguous, so not used.", "0", n=TURNS),
    Metric(
        "reply/tokens", "mean number of sampled tokens", "Length of thought and action together.", "steady", n=TURNS
    ),
    # -- actions --------------------------------------------------------------------------------------------------
    Metric(
        "action/legal",
        "turns with a legal action / turns",
        "Incomplete replies count as not legal.",
        "up, near 1",
        n=TURNS,
    ),
    Metric(
        "action/illegal",
        "complete replies whose action the game forbids / complete replies",
        "Well written, but against the rules.",
        "down",
        n=COMPLETE,
    ),
    Metric(
        "action/max_share",
        "most frequent action / actions",
        "Near 1 when the agent does one thing whatever it sees.",
        "steady; a rise without more success is collapse",
    ),
    Metric(
        "action/is/<action>",
        "turns with this action / actions",
        "The action histogram: the eight most frequent, in lower case, texts cut to 32 characters.",
        "-",
    ),
    Metric(
        "action/follows",
        "actions that are the one their thought announces (`Task.same_action`) / complete replies that announce one",
        "Whether acting follows thinking. Cloning thoughts with actions masked can let it slip.",
        "up, near 1",
        n=ANNOUNCED,
    ),
    Metric(
        "action/follows_right",
        "the same among thoughts that pass every check",
        "Whether right thoughts lead to their actions.",
        "up, near 1",
        n=ANNOUNCED_RIGHT,
    ),
    # -- what thoughts say, in states where a right thought exists -------------------------------------------------
    Metric(
        "thought/solvable",
        "turns in states where the expert has a thought / turns; all, where a task has no expert",
        "Falls when actions spoil games. All metrics of thoughts are taken over these states alone, so that they do "
        "not fall with it.",
        "up",
        n=TURNS,
    ),
    Metric(
        "thought/perception",
        "thoughts whose stated view of the picture is true / judged thoughts",
        "Reading accuracy. Saw the collapse of Points24 where text diversity did not.",
        "up, near 1",
        n=JUDGED,
    ),
    Metric(
        "thought/plan",
        "thoughts whose plan works from their state / judged thoughts",
        "Judged without the corrector's target, so that it means the same for every method.",
        "up",
        n=JUDGED,
    ),
    Metric(
        "thought/step", "thoughts that announce a right next action / judged thoughts", "As it says.", "up", n=JUDGED
    ),
    Metric(
        "thought/start_plan",
        "first turns whose thought states a plan that works / first turns in solvable states",
        "Like thought/plan on the start states only, which no policy can choose; incomplete replies count as wrong.",
        "up",
        n=STARTS,
    ),
    Metric("thought/right", "thoughts that pass every check / judged thoughts", "As it says.", "up", n=JUDGED),
    Metric("thought/<check>", "thoughts that pass this check / judged thoughts", "A task's own check.", "up", n=JUDGED),
    # -- how thoughts read ----------------------------------------------------------------------------------------
    Metric(
        "thought/characters", "mean characters of the thought's values", "Thought length.", "steady", GTR, n=THOUGHTS
    ),
    Metric(
        "thought/words",
        "mean words of the thought's values",
        "A word: letters and digits, or one sign.",
        "steady",
        n=THOUGHTS,
    ),
    Metric(
        "thought/self_bleu2",
        "mean over 64 thoughts of BLEU-2 against the other 63 (NLTK smoothing method 1)",
        "How alike thoughts read. Short structured thoughts are alike even in health: watch the change.",
        "steady; near 1 is one template",
        "arXiv 1802.01886",
    ),
    Metric(
        "thought/distinct1",
        "different words / words, in 64 thoughts",
        "Vocabulary of thoughts.",
        "steady",
        "arXiv 1510.03055",
    ),
    Metric(
        "thought/distinct2",
        "different word pairs / word pairs, in 64 thoughts",
        "The same for pairs.",
        "steady",
        "arXiv 1510.03055",
    ),
    Metric(
        "thought/per_state",
        "different thoughts / different states (`Task.state_key`)",
        "Near 0 when one thought serves every state (template collapse).",
        "steady; falls towards 1 as the agent grows sure, below it is collapse",
    ),
    Metric(
        "distinct/<field>",
        "different values of this thought field / different states",
        "The same for one part of the thought, such as the plan.",
        "as thought/per_state",
    ),
    Metric(
        "reflection/ratio", "thoughts with reconsidering words / thoughts", "Second thoughts.", "-", MAYE, n=THOUGHTS
    ),
    Metric("reflection/in_right", "right thoughts with such words / right thoughts", "As it says.", "-", MAYE),
    Metric("reflection/in_wrong", "wrong thoughts with such words / wrong thoughts", "As it says.", "-", MAYE),
    Metric("reflection/right_with", "right thoughts with such words / thoughts with them", "Do they help?", "up", MAYE),
    Metric("reflection/right_without", "right thoughts without / thoughts without", "To compare with.", "up", MAYE),
    # -- what they rest on ----------------------------------------------------------------------------------------
    Metric(TURNS, "number of turns", "Without those on which an environment broke.", "-"),
    Metric(COMPLETE, "number of complete replies", "As it says.", "-"),
    Metric(ANNOUNCED, "complete replies whose thought announces an action", "What action/follows rests on.", "-"),
    Metric(ANNOUNCED_RIGHT, "the same among right thoughts", "What action/follows_right rests on.", "-"),
    Metric(THOUGHTS, "complete replies in solvable states", "The thoughts that are measured.", "-"),
    Metric(JUDGED, "thoughts that the task can answer questions about", "What shares of right thoughts rest on.", "-"),
    Metric(STARTS, "first turns in solvable states", "What thought/start_plan rests on.", "-"),
)
